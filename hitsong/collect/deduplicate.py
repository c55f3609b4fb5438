"""One row per recording: `tracks.parquet`.

A catalogue has the same recording under several track ids (single, album, compilation), each with its own popularity.
Copies could otherwise be on different sides of a split.
"""

import re
import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hitsong.config import AUDIO_FEATURES
from hitsong.errors import UserError
from hitsong.files import write_if_changed

TOLERANCE_MS = 2000
MOST_TITLES = 3  # of one recording: translations, spellings
MOST_UNTITLED = 20  # tracks without a title that may share a key
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
        "popularity_source": _TEXT,
        "fetched_at": _TEXT,  # the day (and time) popularity was read at the source; null if unknown
        "aliases": _LIST,
        **dict.fromkeys(AUDIO_FEATURES, _REAL),
    }
)


def remove_placeholders(tracks):
    """Drop preview addresses and ISRCs that many different titles share: placeholders of a table.

    As keys they would merge different recordings into one.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With the columns of `SCHEMA` that a source gives.

    Returns
    -------
    tracks : pandas.DataFrame
        With all columns of `SCHEMA`.
    remarks : list of str
        On what was dropped.
    """
    tracks, remarks = tracks.reindex(columns=SCHEMA.names), []
    for name, key in {"preview_url": _preview_key(tracks), "isrc": _isrc_key(tracks)}.items():
        shared = key[key.duplicated(keep=False) & key.notna()]
        if shared.empty:
            continue
        titles = title_counts(tracks.loc[shared.index], shared)
        for value, count in titles[titles > MOST_TITLES].items():
            rows = key.eq(value).fillna(False).astype(bool)
            tracks = tracks.assign(**{name: tracks[name].mask(rows)})
            remarks.append(
                f"{name} {value!r} is shared by {int(rows.sum()):,} tracks of {count:,} different titles: "
                "a placeholder, ignored"
            )
    return tracks, remarks


def title_counts(tracks, keys):
    """The number of different titles of each key, in falling order.

    Text after " - " or in brackets is no part of a title. Tracks without a title count as different ones if a key has
    more than `MOST_UNTITLED` of them.
    """
    titles = tracks["name"].astype("str").str.replace(r"(?:\s-\s|[(\[]).*", "", regex=True)
    titles = _on_distinct(titles, normalised).where(titles.notna())
    counts = titles.groupby(keys).nunique()
    untitled = titles.isna().groupby(keys).sum()
    return (counts + untitled.where(untitled > MOST_UNTITLED, 0)).sort_values(ascending=False, kind="stable")


def deduplicate(tracks):
    """Keep one row per recording.

    Two tracks are the same recording when their preview addresses agree (without the query), when their ISRCs agree,
    or, for tracks that have neither, when normalised title, main artist and duration (within 2 s) do. The most popular
    copy is kept; the ids of the others become its `aliases`, and a preview or audio features that only a copy has are
    taken over.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With the columns of `SCHEMA` that a source gives.

    Returns
    -------
    recordings : pandas.DataFrame
        Sorted by `track_id`, with the columns of `SCHEMA`.
    copies : pandas.DataFrame
        The rows left out: `track_id`, `kept` (the row that stands for it), `step` (preview, isrc or title), `name`,
        `artist_name`, `popularity`.
    """
    tracks = tracks.reindex(columns=SCHEMA.names)
    if tracks.empty:
        return tracks, pd.DataFrame(columns=COPY_COLUMNS)
    tracks = tracks.sort_values("track_id", ignore_index=True)
    edges, recording_after = [np.empty((2, 0), int)], {}
    for step, pairs in {"preview": _same_preview, "isrc": _same_isrc, "title": _same_title}.items():
        edges.append(pairs(tracks))
        linked = np.concatenate(edges, axis=1)
        graph = coo_array((np.ones(linked.shape[1], bool), linked), shape=(len(tracks), len(tracks)))
        recording_after[step] = connected_components(graph, directed=False)[1]

    recording = pd.Series(recording_after["title"])
    alone = ~recording.duplicated(keep=False)
    single = tracks[alone].assign(aliases=[[] for _ in range(alone.sum())])
    if alone.all():
        return single, pd.DataFrame(columns=COPY_COLUMNS)
    copied = tracks[~alone]
    best = copied.assign(recording=recording, has_preview=copied["preview_url"].notna()).sort_values(
        ["popularity", "has_preview", "release_date", "track_id"], ascending=[False, False, True, True]
    )
    group = best.groupby("recording", sort=False)
    survivors = best.drop_duplicates("recording").set_index("recording")
    survivors["aliases"] = group["track_id"].agg(lambda ids: sorted(ids.iloc[1:]))
    # GroupBy.first takes the first value that is not missing: the survivor's own, or else a copy's.
    for name in ["preview_url", *AUDIO_FEATURES]:
        survivors[name] = survivors[name].fillna(group[name].first())

    fallen = best[best.duplicated("recording")].copy()
    fallen["kept"] = fallen["recording"].map(survivors["track_id"])
    kept_row = fallen["recording"].map(best.reset_index().groupby("recording", sort=False)["index"].first())
    together = [after[fallen.index] == after[kept_row.to_numpy(int)] for after in recording_after.values()]
    fallen["step"] = np.select(together, list(recording_after), default="")
    recordings = pd.concat([single, survivors[SCHEMA.names]]) if len(single) else survivors[SCHEMA.names]
    return (
        recordings.sort_values("track_id", ignore_index=True),
        fallen.sort_values("track_id", ignore_index=True)[COPY_COLUMNS],
    )


def require_popularity(recordings, path):
    """Raise UserError if there is no recording to go on with; `path` is where they would be written."""
    if recordings.empty:
        raise UserError(
            f"no track with a popularity passes the filters, so there is no {path}: widen collect"
        )


def with_audio_copies(copies, downloads, recordings):
    """Update the list of copies with those that have the same audio.

    Parameters
    ----------
    copies : pandas.DataFrame
        As `deduplicate` gives them, perhaps with audio copies of an earlier run.
    downloads : pandas.DataFrame
        From `hitsong.collect.previews.table`.
    """
    same = downloads[downloads["status"] == "duplicate"].merge(recordings, on="track_id")
    same = same.assign(kept=same["error"].str.removeprefix("same audio as "), step="audio")
    return pd.concat([copies[copies["step"] != "audio"], same[COPY_COLUMNS]], ignore_index=True)


def read_copies(path):
    """Read `duplicates.csv`; ids of digits stay text."""
    return pd.read_csv(
        path, dtype=dict.fromkeys(["track_id", "kept", "step", "name", "artist_name"], "str"), keep_default_na=False,
        na_values={"popularity": [""]},
    )  # fmt: skip


def write(path, recordings):
    """Write `tracks.parquet` unless it has the same content already; True if it was written."""
    return write_if_changed(path, recordings, SCHEMA)


def read(path):
    """Read `tracks.parquet` as a DataFrame."""
    return pq.read_table(path, schema=SCHEMA).to_pandas()


def normalised(title):
    """A title without capitals, accents, punctuation and guests.

    >>> normalised("Él  Niño (feat. Someone)") == normalised("el nino")
    True
    """
    if "(" in title or "[" in title:
        title = re.sub(r"[(\[]\s*(feat|ft|with)\b[^)\]]*[)\]]", " ", title, flags=re.IGNORECASE)
    if title.isascii():
        return " ".join(re.findall("[0-9a-z]+", title.lower()))
    folded = unicodedata.normalize("NFKD", title).casefold()
    return " ".join(
        "".join(c if c.isalnum() else " " for c in folded if not unicodedata.combining(c)).split()
    )


def _on_distinct(column, function):
    """Apply a function to each distinct text of a column; missing stays missing."""
    codes, cells = pd.factorize(column)
    values = pd.array([function(cell) for cell in cells], dtype="str")
    return pd.Series(pd.api.extensions.take(values, codes, allow_fill=True), column.index)


def _preview_key(tracks):
    return tracks["preview_url"].astype("str").str.replace(r"\?[^#]*", "", regex=True)


def _isrc_key(tracks):
    return tracks["isrc"].astype("str").str.upper()


def _same_preview(tracks):
    return _equal(_preview_key(tracks))


def _same_isrc(tracks):
    return _equal(_isrc_key(tracks))


def _same_title(tracks):
    """Pairs of equal title, artist and duration of which at least one track has no better key."""
    bare = tracks["preview_url"].isna() & tracks["isrc"].isna()
    of_bare = tracks["artist_id"].isin(tracks.loc[bare, "artist_id"])
    keyed = tracks.loc[of_bare, ["name", "artist_id", "duration_ms"]].assign(bare=bare[of_bare])
    keyed["title"] = _on_distinct(keyed["name"].astype("str"), normalised).fillna("")
    keyed = keyed.sort_values(["title", "artist_id", "duration_ms"])
    before = keyed.shift()
    pair = (
        (keyed["title"] == before["title"])
        & (keyed["title"] != "")
        & (keyed["artist_id"] == before["artist_id"])
        & (keyed["duration_ms"] - before["duration_ms"] <= TOLERANCE_MS)
        & (keyed["bare"] | before["bare"].eq(True))
    ).to_numpy(bool, na_value=False)
    rows = keyed.index.to_numpy()
    return np.stack([rows[np.flatnonzero(pair) - 1], rows[pair]]).astype(int)


def _equal(keys):
    """Link each row to the first row of the same key: row numbers, shape (2, links)."""
    keys = keys.dropna()
    keys = keys[keys.duplicated(keep=False)]
    rows = pd.Series(keys.index, index=keys.index)
    first = rows.groupby(keys).transform("first").to_numpy()
    linked = first != rows.to_numpy()
    return np.stack([first[linked], rows.to_numpy()[linked]]).astype(int)
