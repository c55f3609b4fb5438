"""Sound for tracks that come without it: previews of the same recordings at Deezer.

A track is looked up by its ISRC, and by title and artist where that gives no match (see `hitsong.collect.matching`).
What Deezer sent is kept in the catalogue, so no request is repeated: a match for good, the lack of one for
`MISS_DAYS`. Which preview a track gets follows from the tracks, the responses and the rules alone, and is decided
anew at each run.
"""

from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from hitsong.collect import matching
from hitsong.collect.throttle import RefusedError
from hitsong.progress import bar

MISS_DAYS = 30  # after so long, a track without a match is looked up again
HITS = 50  # of a search
MATCH_COLUMNS = ["preview_source", "matched_by", "match_score", "matched_id", "matched_title", "matcher"]
UNMATCHED_COLUMNS = [
    "track_id", "name", "artist_name", "isrc", "duration_ms", "reason", "candidate_id", "candidate_title",
    "candidate_artist", "candidate_duration_ms", "score",
]  # fmt: skip


def choose_sources(tracks, config):
    """The tracks with the audio that the source names, as far as `download.previews` takes it, and which to look up.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With the columns of `tracks.parquet`.
    config : hitsong.config.Config

    Returns
    -------
    tracks : pandas.DataFrame
        With `preview_source` ("source", or missing) and `deezer_id`, the id under which Deezer gives the present
        address of the preview.
    wanted : numpy.ndarray of bool
        Tracks to look up at Deezer: those without audio, or all if Deezer comes first.
    """
    previews = config.download.previews
    tracks = tracks.assign(**dict.fromkeys(MATCH_COLUMNS, None))
    if "source" not in previews:
        tracks = tracks.assign(preview_url=None, audio_path=None)
    named = (tracks["preview_url"].notna() | tracks["audio_path"].notna()).to_numpy(bool)
    tracks["preview_source"] = np.where(named, "source", None)
    ids = tracks["track_id"]
    tracks["deezer_id"] = ids.where(ids.str.startswith("deezer:") & tracks["preview_url"].notna(), None)
    if "deezer" not in previews or not _can_match(tracks, config):
        return tracks, np.zeros(len(tracks), bool)
    return tracks, ~named if previews[0] == "source" else np.ones(len(tracks), bool)


def _can_match(tracks, config):
    """Whether the Deezer that `collect.api` names has the sound of these tracks: the stand-in has none of real ones."""
    synthetic = tracks["popularity_source"].astype("str").str.startswith("synthetic").all()
    return synthetic == (config.collect.api == "standin")


def add_matches(tracks, wanted, client, catalog):
    """Look up tracks at Deezer and give them the previews of their matches.

    Parameters
    ----------
    tracks : pandas.DataFrame
    wanted : numpy.ndarray of bool
        Both from `choose_sources`.
    client : hitsong.collect.deezer.Client
    catalog : hitsong.collect.catalog.Catalog
        Keeps the responses; its scope is that of Deezer.

    Returns
    -------
    tracks : pandas.DataFrame
        With `preview_url` and `deezer_id` of the matches, and `MATCH_COLUMNS`.
    unmatched : pandas.DataFrame
        The tracks looked up in vain: `UNMATCHED_COLUMNS`, with the best candidate where there is one.

    Raises
    ------
    ComeBackLater
    """
    finder, tracks, unmatched = Finder(client, catalog), tracks.reset_index(drop=True), []
    columns = [*MATCH_COLUMNS, "preview_url", "deezer_id", "audio_path"]
    values = {name: tracks[name].to_numpy(object, copy=True) for name in columns}
    rows = np.flatnonzero(wanted)
    for row, track in zip(
        bar(rows, desc="looked up at Deezer", unit="track"), _songs(tracks, rows), strict=True
    ):
        by, result = finder.find(track)
        if result is None or result.reason:
            unmatched.append(_unmatched(tracks.iloc[row], result))
            continue
        match = result.candidate
        row_values = [
            "deezer",
            by,
            result.score,
            match.id,
            match.title,
            matching.VERSION,
            match.preview,
            match.id,
            None,
        ]
        for name, value in zip(columns, row_values, strict=True):
            values[name][row] = value
    tracks = tracks.assign(**values)
    return tracks, pd.DataFrame(unmatched, columns=UNMATCHED_COLUMNS)


def describe(tracks, wanted, unmatched):
    """Lines on how many of the tracks looked up were matched by what, and why the others were not."""
    if not wanted.any():
        return []
    matched = tracks["matched_by"].value_counts()
    lines = [
        f"sound from Deezer: {int(matched.sum()):,} of {int(wanted.sum()):,} tracks matched "
        f"({int(matched.get('isrc', 0)):,} by ISRC, {int(matched.get('words', 0)):,} by title, artist and duration)"
    ]
    if len(unmatched):
        reasons = unmatched["reason"].str.partition(":")[0].value_counts()
        lines.append(
            f"{len(unmatched):,} without a match at Deezer: "
            + ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
        )
    return lines


class Finder:
    """Finds the matches of songs among what Deezer sends, or has sent.

    Parameters
    ----------
    client : hitsong.collect.deezer.Client
    catalog : hitsong.collect.catalog.Catalog
    """

    def __init__(self, client, catalog):
        self.client, self.catalog = client, catalog

    def find(self, song):
        """The match of a song: by what ("isrc", "words"), and a `matching.Comparison`; None without candidates."""
        result = self._find(song, max_age_days=None)
        if result[1] is None or result[1].reason:
            result = self._find(song, MISS_DAYS)
        return result

    def _find(self, song, max_age_days):
        """Go through the ways to look a song up until one gives a match; else the best that came of them."""
        best = (None, None)
        for by, path, parameters in _ways(song):
            candidates = [matching.Song(**item) for item in self._candidates(path, parameters, max_age_days)]
            result = matching.choose(song, candidates, by)
            if result and result.reason is None:
                return by, result
            if result and (best[1] is None or result.score > best[1].score):
                best = (by, result)
        return best

    def _candidates(self, path, parameters, max_age_days):
        """What Deezer sends to a request: stored, unless it is older than `max_age_days`."""
        name = " ".join([path, *parameters.values()])
        items = self.catalog.lookup(name, max_age_days)
        if items is None:
            need = "data" if parameters else "id"
            limits = {"limit": HITS} if parameters else {}
            try:
                body = self.client.get(path, need, **parameters, **limits)
            except RefusedError:  # no such ISRC
                body = {"data": []}
            items = [_candidate(item) for item in body.get("data", [body]) if item]
            self.catalog.store_lookup(name, items)
        return items


def _ways(song):
    """How to look a song up: by what, the path of the request and its parameters."""
    if song.isrc:
        yield "isrc", f"track/isrc:{song.isrc}", {}
    core = matching.take_apart(song.title).core
    if song.artist and core:
        artist = song.artist.replace('"', " ")
        yield "words", "search", {"q": f'artist:"{artist}" track:"{core}"'}
        yield "words", "search", {"q": f"{artist} {core}"}


def _songs(tracks, rows):
    """The tracks of some rows as songs to look up."""
    columns = ["name", "artist_name", "duration_ms", "isrc", "album_name"]
    for name, artist, duration, isrc, album in tracks.loc[rows, columns].itertuples(index=False):
        yield matching.Song(
            title=_text(name) or "", artist=_text(artist) or "", isrc=_text(isrc), album=_text(album),
            seconds=None if pd.isna(duration) else duration / 1000,
        )  # fmt: skip


def _text(value):
    return None if pd.isna(value) else value


def _candidate(item):
    """What is kept of a track object: the fields of a `matching.Song`."""
    preview = item.get("preview")
    artist = item.get("artist") or {}
    return {
        "title": item.get("title") or "",
        "artist": artist.get("name") or "",
        "seconds": item.get("duration") or None,
        "isrc": item.get("isrc") or None,
        "album": (item.get("album") or {}).get("title"),
        "id": f"deezer:{item['id']}",
        "artist_id": f"deezer:{artist['id']}" if artist.get("id") else None,
        "preview": urlsplit(preview)._replace(query="").geturl() if preview else None,
        "rank": item.get("rank") or 0,
    }


def _unmatched(track, result):
    """A row of `unmatched.csv`."""
    row = {name: track[name] for name in UNMATCHED_COLUMNS[:5]}
    if result is None:
        return row | {"reason": "not found"}
    candidate = result.candidate
    return row | {
        "reason": result.reason,
        "candidate_id": candidate.id,
        "candidate_title": candidate.title,
        "candidate_artist": candidate.artist,
        "candidate_duration_ms": candidate.seconds and round(1000 * candidate.seconds),
        "score": result.score,
    }
