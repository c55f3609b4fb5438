"""Readings of popularity over time: `history.parquet`, one row per reading.

Popularity changes, so `tracks.parquet` holds the first reading of each track, and this table all of them. A reading is
a level at the time `read_at` (Spotify's popularity, Deezer's rank, all listens so far), or a count over the time from
`start` to `read_at` (the listens of a month). What is unknown has no row.
"""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hitsong.files import write_if_changed

_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    {
        "track_id": pa.string(),
        "source": pa.string(),  # spotify, deezer, listenbrainz, fma or table
        "quantity": pa.string(),  # popularity, rank, listens, users, ...
        "value": pa.float64(),
        "start": _TIME,  # null: a level; else a count from here to read_at
        "read_at": _TIME,  # null: a table that does not say on which day it was read
    }
)
_DAY = r"\d{4}-\d\d-\d\d(?:[T ].*)?"
KEY = ["track_id", "source", "quantity", "start", "read_at"]


def of_tracks(tracks, source, quantity):
    """The one reading of each track of a source that is a file; a date that is not known to the day stays unknown.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `track_id`, `popularity` and `fetched_at`.
    source, quantity : str
    """
    day = tracks["fetched_at"].astype("str")
    read_at = pd.to_datetime(
        day.where(day.str.fullmatch(_DAY).fillna(False).astype(bool)), utc=True, format="ISO8601"
    )
    return pd.DataFrame(
        {
            "track_id": tracks["track_id"],
            "source": source,
            "quantity": quantity,
            "value": tracks["popularity"],
        }
    ).assign(start=pd.NaT, read_at=read_at)


def of_months(months, last, source, quantities):
    """Counts by month as readings, a row for each quantity.

    Months without a row count 0, from the first month of any track to the last.

    Parameters
    ----------
    months : pandas.DataFrame
        `track_id`, `month` (200501 is January 2005) and the quantities.
    last : pandas.Timestamp
        When the counts end (UTC): the month in which this lies is not complete.
    source : str
    quantities : sequence of str
    """
    start = pd.to_datetime(months["month"].astype("str"), format="%Y%m", utc=True)
    read_at = (start + pd.offsets.MonthBegin(1)).clip(upper=last)
    rows = months[["track_id"]].assign(source=source, start=start, read_at=read_at)
    return pd.concat([rows.assign(quantity=name, value=months[name].astype(float)) for name in quantities])


def write(path, readings):
    """Write `history.parquet` unless it has the same content already; True if it was written.

    Parameters
    ----------
    path : pathlib.Path
    readings : pandas.DataFrame
        The columns of `SCHEMA`; times with a time zone, or without one in UTC. Rows without a value are left out, and
        of rows that agree in `KEY` the first is kept.
    """
    readings = readings.reindex(columns=SCHEMA.names)
    for name in ("start", "read_at"):
        readings[name] = pd.to_datetime(readings[name], utc=True).astype("datetime64[us, UTC]")
    readings = readings[readings["value"].notna()].drop_duplicates(KEY)
    readings = readings.sort_values(KEY, ignore_index=True, na_position="first")
    return write_if_changed(path, readings, SCHEMA)


def read(path):
    """Read `history.parquet` as a DataFrame with the columns of `SCHEMA`; without the file, without rows."""
    if not path.exists():
        return SCHEMA.empty_table().to_pandas()
    return pq.read_table(path, schema=SCHEMA).to_pandas()


def describe(readings):
    """How many readings there are of each track, and of which days, in a line."""
    if readings.empty:
        return "no reading of popularity"
    levels, counts = readings[readings["start"].isna()], readings[readings["start"].notna()]
    parts = []
    if len(levels):
        number = levels.groupby(["track_id", "quantity"]).size()
        many = (
            f"{number.min():,}" if number.min() == number.max() else f"{number.min():,} to {number.max():,}"
        )
        days = levels["read_at"].dropna().dt.strftime("%Y-%m-%d")
        when = (
            f"{days.min()} to {days.max()}"
            if days.nunique() > 1
            else days.max()
            if len(days)
            else "no known day"
        )
        parts.append(f"{many} reading{'s' if number.max() > 1 else ''} of each track ({when})")
    if len(counts):
        parts.append(f"counts by month ({counts['start'].min():%Y-%m} to {counts['start'].max():%Y-%m})")
    return ", ".join(parts)
