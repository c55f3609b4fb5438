"""Release dates as times, and the age of tracks."""

import pandas as pd


def release_times(tracks):
    """When tracks were released, where the month is known: of a month without a day its middle.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `release_date`: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.

    Returns
    -------
    pandas.Series [dtype=datetime64]
        NaT where only the year is known, or nothing.
    """
    dates = tracks["release_date"].astype("str")
    months = dates.str.fullmatch(r"\d{4}-\d{2}").fillna(False).astype(bool)
    days = dates.str.fullmatch(r"\d{4}-\d{2}-\d{2}").fillna(False).astype(bool)
    full = (dates + "-15").where(months, dates.where(days))
    return pd.to_datetime(full, format="%Y-%m-%d", errors="coerce")


def age(tracks):
    """Years between release and the reading of popularity, NaN where the release is unknown: a Series."""

    def years(dates):
        parts = dates.astype("str").str.extract(r"^(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?").astype(float)
        return parts[0].where(parts[0] > 0) + (parts[1].fillna(7) - 1) / 12 + (parts[2].fillna(1) - 1) / 365

    return years(tracks["fetched_at"]) - years(tracks["release_date"])
