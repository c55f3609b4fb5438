"""Recordings as ListenBrainz describes them, and songs: the recordings that are one.

The wire format of the metadata and popularity routes, and the grouping by ISRC, or title and duration.
"""

import pandas as pd

from hitsong.collect.matching import TOLERANCE_S, fold, take_apart

RECORDING_COLUMNS = [
    "track_id", "name", "artist_id", "artist_ids", "artist_name", "artist_names", "album_id", "album_name",
    "release_date", "release_date_precision", "duration_ms", "isrcs",
]  # fmt: skip


def recording(mbid, item):
    """A row of `RECORDING_COLUMNS` from a metadata object; None if it lacks a name or an artist."""
    about, credit, release = (item.get(key) or {} for key in ("recording", "artist", "release"))
    artists = [artist for artist in credit.get("artists") or [] if artist.get("artist_mbid")]
    name = about.get("name")
    if not name or not artists:
        return None
    date = about.get("first_release_date") or (str(release["year"]) if release.get("year") else None)
    return {
        "track_id": mbid,
        "name": name,
        "artist_id": artists[0]["artist_mbid"],
        "artist_ids": [artist["artist_mbid"] for artist in artists],
        "artist_name": artists[0].get("name") or credit.get("name"),
        "artist_names": [artist.get("name") or "" for artist in artists],
        "album_id": release.get("mbid"),
        "album_name": release.get("name"),
        "release_date": date,
        "release_date_precision": date and {4: "year", 7: "month", 10: "day"}.get(len(date)),
        "duration_ms": about.get("length"),
        "isrcs": sorted(about.get("isrcs") or []),
    }


def popularity(item):
    """Listens and users of a popularity object; None if they are unknown, which is not 0."""
    counts = item.get("total_listen_count"), item.get("total_user_count")
    return None if None in counts else list(counts)


def group_songs(recordings):
    """One row per song: recordings of an artist that share an ISRC, or title and duration (3 s), are one.

    Parameters
    ----------
    recordings : pandas.DataFrame
        `RECORDING_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        The rows of the earliest recording of each song, sorted by `track_id`, with `mbids`, the list of its recordings,
        and `isrc`.
    """
    recordings = recordings.sort_values("track_id", ignore_index=True)
    parent = list(range(len(recordings)))

    def root(row):
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first, by_title = {}, {}
    for row, item in enumerate(recordings.itertuples(index=False)):
        for isrc in item.isrcs:
            parent[root(row)] = root(first.setdefault((item.artist_id, isrc), row))
        title = take_apart(item.name)
        key = item.artist_id, title.core, title.versions, title.numbers, fold(item.name) if title.rest else ""
        if pd.notna(item.duration_ms):
            by_title.setdefault(key, []).append((item.duration_ms, row))
    for rows in by_title.values():
        rows.sort()
        for (shorter, one), (longer, other) in zip(rows, rows[1:], strict=False):
            if longer - shorter <= 1000 * TOLERANCE_S:
                parent[root(other)] = root(one)
    recordings["song"] = [root(row) for row in range(len(recordings))]
    groups = recordings.groupby("song", sort=False)
    order = recordings.sort_values(["release_date", "track_id"], na_position="last", kind="stable")
    songs = order.drop_duplicates("song").set_index("song")
    songs["mbids"] = groups["track_id"].agg(list)
    songs["isrc"] = groups["isrcs"].agg(
        lambda lists: min((isrc for each in lists for isrc in each), default=None)
    )
    return songs.drop(columns="isrcs").sort_values("track_id", ignore_index=True)
