"""Readings of popularity over time: `history.parquet`, one row per reading.

Popularity changes, so `tracks.parquet` holds the first reading of each track, and this table all of them. A reading is
a level at the time `read_at` (Spotify's popularity, Deezer's rank, all listens so far), or a count over the time from
`start` to `read_at` (the listens of a month). What is unknown has no row.
"""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hitsong.files import replacing

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
KEY = ["track_id", "source", "quantity", "start", "read_at"]


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
    new = pa.Table.from_pandas(readings, SCHEMA, preserve_index=False).replace_schema_metadata()
    if path.exists() and pq.read_table(path).equals(new):
        return False
    with replacing(path) as temporary:
        pq.write_table(new, temporary)
    return True


def read(path):
    """Read `history.parquet` as a DataFrame with the columns of `SCHEMA`; without the file, without rows."""
    if not path.exists():
        return SCHEMA.empty_table().to_pandas()
    return pq.read_table(path, schema=SCHEMA).to_pandas()
