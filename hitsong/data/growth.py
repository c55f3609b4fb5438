"""Popularity in the months after release: early and late values, and what was read of the first weeks.

A value of some months after release is the mean of the levels read in them, or the counts a month over the periods that
lie wholly in them. What is not known has no value.
"""

import numpy as np
import pandas as pd

from hitsong.collect import history
from hitsong.data import folds
from hitsong.data.ages import release_times
from hitsong.data.folds import EXCLUDED
from hitsong.errors import UserError

MONTH = pd.Timedelta(days=365.25 / 12)
FIRST_WEEKS = ["mean", "first", "last", "trend"]
PREFIX = (
    "first_weeks_"  # of the columns of tracks that hold `FIRST_WEEKS`, and when the last of them was read
)


def load_readings(study, config):
    """The readings of a study's popularity, of the quantity that its config asks for.

    Returns
    -------
    pandas.DataFrame
        `track_id`, `value`, `start` (missing for levels) and `read_at`; times without a zone, in UTC.

    Raises
    ------
    UserError
        If there is no history.
    """
    readings = history.read(study.history)
    readings = readings[readings["read_at"].notna()]
    if readings.empty:
        raise UserError(
            f"target.kind growth: {study.history} holds no readings with their time; read popularity several times "
            "(01_collect.py --refresh), or take a dump of ListenBrainz (configs/growth.yaml)"
        )
    return select_quantity(readings, config)


def select_quantity(readings, config):
    """The rows of one quantity: `collect.popularity` where it was read, else the only one, or the most frequent."""
    counts = readings["quantity"].value_counts()
    setting = str(config.collect.popularity)
    quantity = setting if setting in counts else counts.index[0]
    rows = readings[readings["quantity"] == quantity]
    if rows["start"].notna().any():
        # Counts of periods; totals until a day say little of its weeks. A later dump counts the last month of the
        # earlier one again, and completely.
        rows = rows[rows["start"].notna()].sort_values("read_at")
        rows = rows.drop_duplicates(["track_id", "start"], keep="last")
    rows = rows[["track_id", "value", "start", "read_at"]].copy()
    for name in ("start", "read_at"):
        rows[name] = rows[name].dt.tz_convert(None).astype("datetime64[ns]")
    return rows.sort_values(["track_id", "read_at"], ignore_index=True)


def with_growth(tracks, readings, settings):
    """The tracks whose growth is known, with early and late popularity.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `track_id` and `release_date`.
    readings : pandas.DataFrame
        From `load_readings`.
    settings : config.Target
        `observe_months` and `predict_months`.

    Returns
    -------
    pandas.DataFrame
        With `released` (time), `early` and `late` (levels, or counts a month), `late_read_at`, when the last reading
        behind `late` was made, and `predicted_at`, the end of the months that may be used as input.

    Raises
    ------
    UserError
        If no track has readings in both windows.
    """
    tracks = tracks.assign(released=release_times(tracks))
    if settings.between:
        early, late = (value_at(tracks, readings, pd.Timestamp(day)) for day in settings.between)
        predicted_at, windows = (
            early["read_at"],
            "two readings up to {} and up to {}".format(*settings.between),
        )
        late["value"] = late["value"].where(late["read_at"] > early["read_at"])
    else:
        begin, end = settings.predict_months
        early = value_within(tracks, readings, 0, settings.observe_months)
        late = value_within(tracks, readings, begin, end)
        predicted_at = tracks["released"] + settings.observe_months * MONTH
        windows = (
            f"readings in its first {settings.observe_months:g} months and in months {begin:g} to {end:g}"
        )
    tracks = tracks.assign(
        early=early["value"], late=late["value"], late_read_at=late["read_at"], predicted_at=predicted_at
    )
    complete = tracks[tracks[["early", "late"]].notna().all(axis=1)].reset_index(drop=True)
    if complete.empty:
        first, last = readings["read_at"].min(), readings["read_at"].max()
        raise UserError(
            f"target.kind growth: no track has {windows}; readings go from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        )
    return complete


def value_at(tracks, readings, time):
    """Popularity by the last reading up to a time: a level, or the counts a month of the last period before it.

    Returns
    -------
    pandas.DataFrame
        As from `value_within`.
    """
    rows = readings[readings["read_at"] <= time]
    are_counts = rows["start"].notna().any()
    if are_counts:
        start = rows["start"].max()
        rows = rows[rows["start"] == start]
    last = rows.drop_duplicates("track_id", keep="last").set_index("track_id").reindex(tracks["track_id"])
    last = last.set_axis(tracks.index)
    if are_counts:  # a period without a row counts 0
        last["read_at"] = rows["read_at"].max()
        last["value"] = last["value"].fillna(0) / ((last["read_at"] - start) / MONTH)
        last.loc[~(tracks["released"] <= start), "value"] = np.nan
    return last[["value", "read_at"]]


def value_within(tracks, readings, begin, end):
    """Popularity from one month after release to another.

    Parameters
    ----------
    tracks : pandas.DataFrame
        `track_id` and `released`.
    readings : pandas.DataFrame
    begin, end : float
        Months after release.

    Returns
    -------
    pandas.DataFrame
        In the order of `tracks`: `value`, NaN where unknown, and `read_at` of the last reading behind it.
    """
    by_track = readings_within(tracks, readings, begin, end).groupby("track_id")
    levels = by_track["value"].mean().where(by_track["start"].count() == 0)
    read = by_track["read_at"].max()
    ids = tracks["track_id"]
    value, read_at = (series.reindex(ids).set_axis(ids.index) for series in (levels, read))
    periods = _periods(readings)
    if len(periods):
        first, last = (tracks["released"] + month * MONTH for month in (begin, end))
        start, stop = periods["start"].to_numpy(), periods["read_at"].to_numpy()
        place = np.searchsorted(start, first.to_numpy(), side="left")
        after = np.searchsorted(stop, last.to_numpy(), side="right")
        is_covered = (after > place) & tracks["released"].notna().to_numpy()
        days = np.append(0, ((stop - start) / MONTH.to_timedelta64()).cumsum())
        months = days[after.clip(max=len(start))] - days[place.clip(max=len(start))]
        counts = (
            by_track["value"].sum().reindex(ids, fill_value=0).to_numpy(float)
        )  # a month without a row counts 0
        rate = np.divide(counts, months, out=np.full(len(ids), np.nan), where=is_covered)
        value = value.where(value.notna(), rate)
        ends = pd.Series(stop[(after - 1).clip(min=0)], index=ids.index)
        read_at = read_at.where(~is_covered, ends)
    return pd.DataFrame({"value": value.to_numpy(float), "read_at": read_at.to_numpy()}, index=tracks.index)


def readings_within(tracks, readings, begin, end):
    """The readings from one month after release to another, counts only where their whole period is.

    Returns
    -------
    pandas.DataFrame
        The columns of `readings`, and `month`: months from release to the reading.
    """
    rows = readings.merge(tracks[["track_id", "released"]], on="track_id")
    rows["month"] = (rows["read_at"] - rows["released"]) / MONTH
    first = ((rows["start"].fillna(rows["read_at"]) - rows["released"]) / MONTH).to_numpy(float)
    return rows[(first >= begin) & (rows["month"] <= end)].drop(columns="released")


def first_weeks(tracks, readings, months):
    """What was read of each track in its first months: an input for baselines.

    Parameters
    ----------
    tracks : pandas.DataFrame
        `track_id` and `released`.
    readings : pandas.DataFrame
    months : float
        `target.observe_months`.

    Returns
    -------
    table : pandas.DataFrame
        Indexed by track_id in the order of `tracks`: `mean`, `first` and `last` reading as log(value + 1), and
        `trend`, their change a month; NaN where unknown.
    read_at : pandas.Series
        When the last of these readings was made, by track_id.
    """
    rows = readings_within(tracks, readings, 0, months)
    length = ((rows["read_at"] - rows["start"]) / MONTH).fillna(1.0).clip(lower=1e-6)
    rows["log"] = np.log1p((rows["value"] / length).clip(lower=0))  # of counts: a month
    by_track = rows.sort_values("read_at").groupby("track_id")
    ends = by_track.agg(
        first=("log", "first"), last=("log", "last"), begin=("month", "first"), end=("month", "last")
    )
    passed = (ends["end"] - ends["begin"]).where(lambda months: months > 0)
    whole = value_within(tracks, readings, 0, months).set_axis(tracks["track_id"])
    table = pd.DataFrame({"mean": np.log1p(whole["value"].clip(lower=0))}).join(ends[["first", "last"]])
    counted_none = table["mean"].notna() & table["first"].isna()
    table.loc[counted_none, ["first", "last"]] = 0.0
    table = table.join(((ends["last"] - ends["first"]) / passed).rename("trend"))
    return table.rename_axis("track_id")[FIRST_WEEKS], whole["read_at"]


def with_first_weeks(tracks, readings, settings):
    """The tracks with `first_weeks` of `target.observe_months` in columns that begin with `PREFIX`.

    Of growth between two days these hold the reading of the first day.
    """
    if settings.between:
        early = pd.Series(np.log1p(tracks["early"].clip(lower=0).to_numpy()), tracks["track_id"])
        table = pd.DataFrame({name: early for name in FIRST_WEEKS}).assign(trend=np.nan)
        read_at = tracks["predicted_at"]
    else:
        table, read_at = first_weeks(tracks, readings, settings.observe_months)
    columns = {f"{PREFIX}{name}": table[name].to_numpy() for name in table}
    return tracks.assign(**columns, **{f"{PREFIX}read_at": read_at.to_numpy()})


def count_late(tracks, division):
    """Count tracks of which more was used than could be read by then.

    Parameters
    ----------
    tracks : pandas.DataFrame
        From `with_first_weeks`; with a rolling origin also from `hitsong.data.origins.with_sides`.
    division : str
        A split scheme, or "folds".

    Returns
    -------
    int
        Tracks with a reading among the inputs that was made after their prediction, or in training with an outcome that
        was read after the date of the origin (under the scheme "time": the release of the first test track).
    """
    is_late = tracks[f"{PREFIX}read_at"] > tracks["predicted_at"]
    if division != "folds" or "origin" not in tracks:
        side = tracks["fold" if division == "folds" else division]
        if division == "time":
            is_late |= (side != "test") & (
                tracks["late_read_at"] > tracks.loc[side == "test", "released"].min()
            )
        return int((is_late & (side != EXCLUDED)).sum())
    is_used = np.zeros(len(tracks), bool)
    for name in folds.names(tracks):
        date = tracks.loc[tracks[name] == "test", "origin"].min()
        is_used |= tracks[name] != EXCLUDED
        is_late |= tracks[name].isin(["train", "validation"]) & (tracks["late_read_at"] > date)
    return int((is_late & is_used).sum())


def _periods(readings):
    """The periods that counts cover, in time: `start` and `read_at`."""
    counts = readings[readings["start"].notna()]
    return counts.groupby("start", as_index=False)["read_at"].max().sort_values("start")
