"""From the catalogue's tracks to one row per recording: `tracks.parquet`.

The same recording stands in a catalogue under several track ids (single, album, compilation), each
with its own popularity. Left in, copies would sit on both sides of a split.
"""

import json
import re
import unicodedata
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hitsong.config import AUDIO_FEATURES
from hitsong.files import replacing

TOLERANCE_MS = 2000
COPY_COLUMNS = ["track_id", "kept", "step", "name", "artist_name", "popularity"]

_TEXT, _WHOLE, _REAL, _LIST = pa.string(), pa.int64(), pa.float64(), pa.list_(pa.string())
SCHEMA = pa.schema(
    {
        "track_id": _TEXT,
        "name": _TEXT,
        "artist_id": _TEXT,
        "artist_ids": _LIST,
        "artist_name": _TEXT,
        "album_id": _TEXT,
        "album_name": _TEXT,
        "album_type": _TEXT,
        "release_date": _TEXT,
        "release_date_precision": _TEXT,
        "duration_ms": _WHOLE,
        "explicit": pa.bool_(),
        "isrc": _TEXT,
        "preview_url": _TEXT,
        "audio_path": _TEXT,
        "genre": _TEXT,
        "licence": _TEXT,
        "split": _TEXT,
        "popularity": _REAL,
        "popularity_raw": _REAL,
        "popularity_source": _TEXT,
        "fetched_at": _TEXT,
        "aliases": _LIST,
        **dict.fromkeys(AUDIO_FEATURES, _REAL),
    }
)


def table(catalog, track_ids):
    """Every track of a crawl with what the catalogue knows of it, copies included.

    Parameters
    ----------
    catalog : hitsong.collect.catalog.Catalog
    track_ids : iterable of str

    Returns
    -------
    pandas.DataFrame
        One row per track id, in their order; tracks without a popularity are left out.
    """
    catalog.connection.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (track_id TEXT PRIMARY KEY)")
    catalog.connection.execute("DELETE FROM chosen")
    catalog.connection.executemany(
        "INSERT OR IGNORE INTO chosen VALUES (?)", ((track_id,) for track_id in track_ids)
    )
    tracks = catalog.frame(
        """SELECT t.*, a.name AS album_name, a.album_type, a.release_date, a.release_date_precision, f.features
           FROM chosen JOIN tracks t USING (track_id) LEFT JOIN albums a USING (album_id)
           LEFT JOIN audio_features f USING (track_id)
           WHERE t.popularity IS NOT NULL ORDER BY track_id"""
    )
    if tracks.empty:
        return pd.DataFrame(columns=SCHEMA.names)
    credits = catalog.frame(
        """SELECT track_id, artist_id, name FROM chosen JOIN track_artists USING (track_id)
           LEFT JOIN artists USING (artist_id) ORDER BY track_id, position"""
    ).groupby("track_id")
    tracks = tracks.set_index("track_id", drop=False)
    tracks["artist_ids"] = credits["artist_id"].agg(list)
    tracks["artist_id"] = credits["artist_id"].first()
    tracks["artist_name"] = credits["name"].first()
    features = [json.loads(text) if isinstance(text, str) else {} for text in tracks.pop("features")]
    tracks = tracks.drop(columns="features_known")
    for name in AUDIO_FEATURES:
        tracks[name] = [feature.get(name) for feature in features]
    tracks["explicit"] = tracks["explicit"].astype("boolean")
    return tracks.reset_index(drop=True)


def deduplicate(tracks):
    """Keep one row per recording.

    Two tracks are the same recording when their preview URLs agree (without the query), when their
    ISRCs agree, or, for tracks that have neither, when normalised title, main artist and duration
    (within 2 s) do. The most popular copy survives; the ids of the others become its `aliases`, and a
    preview or audio features that only a copy has are taken over.

    Parameters
    ----------
    tracks : pandas.DataFrame
        As `table` gives them.

    Returns
    -------
    recordings : pandas.DataFrame
        Sorted by `track_id`, with the columns of `SCHEMA`.
    copies : pandas.DataFrame
        The rows that fell: `track_id`, `kept` (the survivor), `step` (preview, isrc or title), `name`,
        `artist_name`, `popularity`.
    """
    if tracks.empty:
        return tracks.reindex(columns=SCHEMA.names), pd.DataFrame(columns=COPY_COLUMNS)
    tracks = tracks.sort_values("track_id", ignore_index=True)
    edges, recording_after = [np.empty((2, 0), int)], {}
    for step, pairs in {"preview": _same_preview, "isrc": _same_isrc, "title": _same_title}.items():
        edges.append(pairs(tracks))
        linked = np.concatenate(edges, axis=1)
        graph = coo_array((np.ones(linked.shape[1], bool), linked), shape=(len(tracks), len(tracks)))
        recording_after[step] = connected_components(graph, directed=False)[1]

    tracks = tracks.assign(
        row=np.arange(len(tracks)),
        recording=recording_after["title"],
        has_preview=tracks["preview_url"].notna(),
    )
    best = tracks.sort_values(
        ["popularity", "has_preview", "release_date", "track_id"], ascending=[False, False, True, True]
    )
    copies = best.groupby("recording", sort=False)
    survivors = best.drop_duplicates("recording").set_index("recording")
    survivors["aliases"] = copies["track_id"].agg(lambda ids: sorted(ids.iloc[1:]))
    # GroupBy.first takes the first value that is there: the survivor's own, or else a copy's.
    for name in ["preview_url", *AUDIO_FEATURES]:
        survivors[name] = survivors[name].fillna(copies[name].first())

    fallen = best[best.duplicated("recording")].copy()
    fallen["kept"] = fallen["recording"].map(survivors["track_id"])
    row, kept_row = fallen["row"].to_numpy(), fallen["recording"].map(survivors["row"]).to_numpy(int)
    together = {step: after[row] == after[kept_row] for step, after in recording_after.items()}
    fallen["step"] = np.select(list(together.values()), list(together), default="")
    return (
        survivors.sort_values("track_id", ignore_index=True).reindex(columns=SCHEMA.names),
        fallen.sort_values("track_id", ignore_index=True)[COPY_COLUMNS],
    )


def with_audio_copies(copies, downloads, recordings):
    """Bring the list of fallen copies up to date with those that only their audio gave away.

    Parameters
    ----------
    copies : pandas.DataFrame
        As `deduplicate` gives them, perhaps with audio copies of an earlier run.
    downloads : pandas.DataFrame
        From `hitsong.collect.previews.table`.
    recordings : pandas.DataFrame
    """
    found = downloads[downloads["status"] == "duplicate"].merge(recordings, on="track_id")
    found = found.assign(kept=found["error"].str.removeprefix("same audio as "), step="audio")
    return pd.concat([copies[copies["step"] != "audio"], found[COPY_COLUMNS]], ignore_index=True)


def percentile(recordings):
    """Turn popularity on a scale of its own into the percentile among these recordings, 0-100.

    The raw value stays in `popularity_raw`; ties share their mean rank.
    """
    raw = recordings["popularity"].astype(float)
    places = (raw.rank() - 1) / max(1, len(raw) - 1)
    return recordings.assign(popularity_raw=raw, popularity=(100 * places).round(2))


def write(path, recordings):
    """Write `tracks.parquet`, unless it already says the same; True if it was written."""
    recordings = recordings.astype(object).where(recordings.notna(), None)
    new = pa.Table.from_pydict({name: recordings[name].tolist() for name in SCHEMA.names}, schema=SCHEMA)
    if path.exists() and pq.read_table(path).equals(new):
        return False
    with replacing(path) as temporary:
        pq.write_table(new, temporary)
    return True


def read(path):
    """Read `tracks.parquet` as a DataFrame."""
    return pq.read_table(path, schema=SCHEMA).to_pandas()


def normalised(title):
    """Reduce a title to what two spellings of it share.

    >>> normalised("Él  Niño (feat. Someone)") == normalised("el nino")
    True
    """
    title = re.sub(r"[(\[]\s*(feat|ft|with)\b[^)\]]*[)\]]", " ", title, flags=re.IGNORECASE)
    folded = unicodedata.normalize("NFKD", title).casefold()
    return " ".join(
        "".join(c if c.isalnum() else " " for c in folded if not unicodedata.combining(c)).split()
    )


def _same_preview(tracks):
    return _equal(
        tracks["preview_url"].map(lambda url: urlsplit(url)._replace(query="").geturl(), na_action="ignore")
    )


def _same_isrc(tracks):
    return _equal(tracks["isrc"].str.upper() if tracks["isrc"].notna().any() else tracks["isrc"])


def _same_title(tracks):
    """Pairs of equal title, artist and duration of which at least one track has no better key."""
    keyed = pd.DataFrame(
        {
            "title": tracks["name"].fillna("").map(normalised),
            "artist": tracks["artist_id"],
            "duration": tracks["duration_ms"],
            "bare": tracks["preview_url"].isna() & tracks["isrc"].isna(),
        }
    ).sort_values(["title", "artist", "duration"])
    before = keyed.shift()
    pair = (
        (keyed["title"] == before["title"])
        & (keyed["title"] != "")
        & (keyed["artist"] == before["artist"])
        & (keyed["duration"] - before["duration"] <= TOLERANCE_MS)
        & (keyed["bare"] | before["bare"].eq(True))
    ).to_numpy()
    return np.stack([keyed.index.to_numpy()[np.flatnonzero(pair) - 1], keyed.index.to_numpy()[pair]])


def _equal(keys):
    """Link each row to the first row of the same key: row numbers, shape (2, links)."""
    keys = keys.dropna()
    rows = pd.Series(keys.index, index=keys.index)
    first = rows.groupby(keys).transform("first").to_numpy()
    linked = first != rows.to_numpy()
    return np.stack([first[linked], rows.to_numpy()[linked]]).astype(int)
