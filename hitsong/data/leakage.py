"""Leaks: what is on two sides of a split although it should not be.

Each check counts what two of train, validation and test have in common:

artists
    Artists credited on tracks of two sides, guests included.
same_audio
    Recordings of the same bytes (sha256 of the download).
same_title
    Pairs of tracks with the same normalised title and artist's name, within 2 s of duration.
near_audio
    Pairs of clips of one recording, perhaps begun seconds apart (`hitsong.data.near_audio`).
late_readings
    Of growth: tracks with readings among their inputs that were made after the date as of which they are predicted, or
    in training with an outcome read after it (`hitsong.data.growth.count_late`).

Pairs of the last two kinds are united before splitting (`unite`), so that under the artist and the time scheme none is
left on two sides.
"""

import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hitsong.collect.deduplicate import TOLERANCE_MS, normalised
from hitsong.data.folds import EXCLUDED

SIDES = ("train", "validation", "test")
CHECKS = {
    "artists": "artists",
    "same_audio": "recordings by hash",
    "same_title": "pairs of equal title, artist and duration",
    "near_audio": "pairs of clips of nearly the same audio",
    "late_readings": "tracks with readings from after their date",
}


def count_leaks(tracks, sides, hashes=None, near=None):
    """Count what is on two sides.

    Parameters
    ----------
    tracks : pandas.DataFrame
        `track_id`, `artist_ids`, `artist_name`, `name`, `duration_ms`.
    sides : pandas.Series
        The side of each track, by track_id, or its fold; tracks without one, or `excluded`, are ignored.
    hashes : pandas.Series, optional
        Hash of each track's audio, by track_id.
    near : pandas.DataFrame, optional
        Pairs of track ids, `track_id` and `other`.

    Returns
    -------
    dict
        A count for each of `CHECKS` but `late_readings`; None where it could not be checked.
    """
    tracks = tracks.assign(side=tracks["track_id"].map(sides))
    tracks = tracks[tracks["side"].notna() & (tracks["side"] != EXCLUDED)]
    side = tracks.set_index("track_id")["side"]
    counts = {
        "artists": _on_two_sides(tracks[["artist_ids", "side"]].explode("artist_ids"), "artist_ids"),
        "same_audio": None,
        "same_title": _on_sides_apart(same_titles(tracks), side),
        "near_audio": None,
    }
    if hashes is not None:
        hashed = pd.DataFrame({"hash": hashes, "side": side.reindex(hashes.index)}).dropna()
        counts["same_audio"] = _on_two_sides(hashed, "hash")
    if near is not None:
        counts["near_audio"] = _on_sides_apart(near, side)
    return counts


def leaks_line(counts):
    """Format the counts of a scheme as one line."""
    checked = [f"{count:,} {CHECKS[name]}" for name, count in counts.items() if count is not None]
    missing = [CHECKS[name] for name, count in counts.items() if count is None]
    line = f"on two sides: {', '.join(checked)}"
    return f"{line}; not checked: {', '.join(missing)}" if missing else line


def leak_warnings(counts):
    """List the leaks that a reader must know before trusting the results, one line each."""
    return [f"leak across the split, {CHECKS[name]}: {count:,}" for name, count in counts.items() if count]


def same_titles(tracks):
    """Find pairs of tracks of equal title and artist's name, neighbours in duration.

    Parameters
    ----------
    tracks : pandas.DataFrame
        `track_id`, `name`, `artist_name`, `duration_ms`.

    Returns
    -------
    pandas.DataFrame
        `track_id` and `other`.
    """
    keyed = pd.DataFrame({
        "track_id": tracks["track_id"],
        "title": tracks["name"].fillna("").map(normalised),
        "artist": tracks["artist_name"].fillna("").map(normalised),
        "duration": tracks["duration_ms"],
    })  # fmt: skip
    keyed = keyed[keyed["title"] != ""].sort_values(["title", "artist", "duration", "track_id"])
    before = keyed.shift()
    same = (keyed["title"] == before["title"]) & (keyed["artist"] == before["artist"])
    close = keyed["duration"] - before["duration"] <= TOLERANCE_MS
    pairs = pd.DataFrame({"track_id": before["track_id"], "other": keyed["track_id"]})
    return pairs[same & close].reset_index(drop=True)


def unite(tracks, pairs):
    """Give tracks of one recording an artist in common, so that a split keeps them together.

    Parameters
    ----------
    tracks : pandas.DataFrame
        `track_id` and `artist_ids`.
    pairs : pandas.DataFrame
        `track_id` and `other`; pairs with other tracks are ignored.

    Returns
    -------
    pandas.DataFrame
        The same with longer `artist_ids`: for splits only.
    """
    ids = pd.Index(tracks["track_id"])
    a, b = (ids.get_indexer(pairs[column]) for column in ("track_id", "other"))
    inside = (a >= 0) & (b >= 0)
    edges = coo_array((inside[inside], (a[inside], b[inside])), shape=(len(ids), len(ids)))
    number = pd.Series(connected_components(edges, directed=False)[1])
    first = pd.Series(ids).groupby(number).transform("min")
    several = number.groupby(number).transform("size") > 1
    credits = [
        # The name comes after those of artists, so that none of these names a group of known artists.
        [*([] if artists is None else artists), f"~recording {name}"] if linked else artists
        for artists, name, linked in zip(tracks["artist_ids"], first, several, strict=True)
    ]
    return tracks.assign(artist_ids=pd.Series(credits, index=tracks.index, dtype=object))


def _on_sides_apart(pairs, side):
    """Count the pairs of tracks whose sides differ."""
    a, b = (side.reindex(pairs[column]).to_numpy(object) for column in ("track_id", "other"))
    return int((pd.notna(a) & pd.notna(b) & (a != b)).sum())


def _on_two_sides(rows, key):
    """Count the values of a column that occur on more than one side."""
    return int((rows.dropna().groupby(key)["side"].nunique() > 1).sum())
