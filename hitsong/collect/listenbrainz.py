"""Open popularity: listens and listeners from ListenBrainz, of recordings that MusicBrainz describes.

artists
    The artists of a MusicBrainz tag, or those named in a file -> their recordings.
listened
    Every recording of the dump that has at least `collect.min_users` users.

Listens come from a dump on disk (see `hitsong.collect.listens`), or from ListenBrainz's popularity route, which is
tried on famous recordings first: it has been unreliable, and null from it means unknown. One song has several MBIDs:
recordings of an artist that share an ISRC, or title and duration (3 s), are summed.
"""

import re

import numpy as np
import pandas as pd

from hitsong.collect import musicbrainz
from hitsong.collect.crawl import Crawl
from hitsong.collect.deduplicate import SCHEMA
from hitsong.collect.filters import read_lines, select_tracks
from hitsong.collect.matching import TOLERANCE_S, fold, take_apart
from hitsong.collect.throttle import RefusedError, Throttle
from hitsong.errors import ComeBackLater, UserError
from hitsong.files import write_table
from hitsong.progress import bar
from hitsong.study import Study

BATCH = 1000  # recordings of a request
FEW_USERS = 10  # below it, popularity is mostly chance
GAP_S = 0.35  # ListenBrainz states its limit in headers: 30 requests in 10 s
MISS_DAYS = 30  # after so long, what was unknown is requested again
FAMOUS = [
    ("Bohemian Rhapsody", "Queen"), ("Smells Like Teen Spirit", "Nirvana"), ("Billie Jean", "Michael Jackson"),
    ("Karma Police", "Radiohead"), ("Get Lucky", "Daft Punk"),
]  # fmt: skip
_MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ListenBrainz(Crawl):
    """A crawl of MusicBrainz and ListenBrainz.

    Parameters
    ----------
    connection : hitsong.collect.connection.Connection
    config : hitsong.config.Config
    catalog : hitsong.collect.catalog.Catalog
    """

    service = "MusicBrainz and ListenBrainz"
    live_notice = (
        "MusicBrainz's core data and ListenBrainz's dumps are CC0; tags are CC BY-NC-SA 3.0: a genre made from them is "
        "for non-commercial use."
    )

    def __init__(self, connection, config, catalog):
        super().__init__(connection, config, catalog)
        self.config, self.study = config, Study.of(config)
        self.fewest = self.settings.min_users or 1
        self.musicbrainz = musicbrainz.connect(connection, self.settings)
        gap = 0.0 if connection.synthetic else GAP_S
        throttle = Throttle("ListenBrainz", gap, self.settings.longest_wait_s)
        self.listenbrainz = musicbrainz.Api(
            "ListenBrainz", connection.session, connection.listenbrainz, throttle
        )
        self.synthetic = "synthetic " if connection.synthetic else ""

    @staticmethod
    def scope(connection, settings):
        """What the content of the catalogue's pages depends on, apart from the request."""
        return f"{connection.name}:musicbrainz"

    @property
    def requests(self):
        """Requests sent so far."""
        return self.musicbrainz.throttle.requests + self.listenbrainz.throttle.requests

    def collect(self):
        """Bring the catalogue up to date, count, and export one row per song."""
        dump = None
        if self.settings.listens:
            from hitsong.collect.listens import Dump

            dump = Dump(self.settings.listens, self.study.folder / "listens", self.config.compute.scheduler)
        elif not self._has_popularity():
            raise UserError(
                "ListenBrainz's popularity route is not available now: try again later, or download a dump of listens "
                "and name its folder as collect.listens"
            )
        genres = self._recordings(dump)
        tracks = group_songs(self._describe(genres))
        if tracks.empty:
            raise UserError("MusicBrainz describes none of these recordings; nothing to collect")
        tracks["genre"] = tracks["track_id"].map(genres)
        tracks = self._count(tracks, dump) if dump else self._ask(tracks)
        return self._select(tracks)

    # ------------------------------------------------------------------ which recordings

    def _recordings(self, dump):
        """The genre, or None, of each recording to describe."""
        if self.settings.strategy == "listened":
            counts = dump.count_recordings()
            chosen = counts.loc[counts["users"] >= self.fewest, "key"]
            print(f"{len(chosen):,} of {len(counts):,} recordings have at least {self.fewest} users")
            return dict.fromkeys(chosen)
        genres = {}
        for artist, genre in bar(self._artists().items(), desc="recordings of", unit="artist"):
            try:
                recordings = musicbrainz.recordings_of(self.items, self.musicbrainz, artist)
            except RefusedError:  # gone, or merged into another
                continue
            for mbid in recordings:
                genres.setdefault(mbid, genre)
        return genres

    def _artists(self):
        """The genre, or None, of each artist of the crawl."""
        artists = {}
        if self.settings.artists_file:
            for name in read_lines(self.settings.artists_file, "collect.artists_file"):
                hits = [{"id": name}] if _MBID.fullmatch(name) else self._named(name)
                if len(hits) != 1:
                    print(f"{name}: MusicBrainz has {len(hits)} artists of this name; give the MBID instead")
                    continue
                artists[hits[0]["id"]] = None
        else:
            for genre in self.settings.genres:
                for item in musicbrainz.artists_of_tag(self.items, self.musicbrainz, genre):
                    artists.setdefault(item["id"], genre)
        if not artists:
            raise UserError(
                f"MusicBrainz has no artist for {self.settings.artists_file or self.settings.genre!r}: name another "
                "tag as collect.genre, or artists in collect.artists_file"
            )
        return artists

    def _named(self, name):
        return musicbrainz.artists_of_name(self.items, self.musicbrainz, name)

    # ------------------------------------------------------------------ metadata

    def _describe(self, mbids):
        """What ListenBrainz says of recordings: a table of those that it knows, a row each."""

        def request(batch):
            body = {"recording_mbids": batch, "inc": "artist tag release"}
            items = self.listenbrainz.post("1/metadata/recording/", body)
            return {mbid: items.get(mbid) for mbid in batch}

        described = self._in_batches("metadata", sorted(mbids), request, "metadata of")
        rows = [recording(mbid, item) for mbid, item in described.items() if item]
        return pd.DataFrame([row for row in rows if row], columns=RECORDING_COLUMNS)

    def _in_batches(self, kind, mbids, request, desc):
        """What is stored of each recording, or else what `request(batch)` sends: by MBID, None where unknown."""
        results, missing = {}, []
        for mbid in mbids:
            stored = self.catalog.lookup(f"{kind} {mbid}")
            if stored == []:  # unknown; ask again some time
                stored = self.catalog.lookup(f"{kind} {mbid}", MISS_DAYS)
            if stored is None:
                missing.append(mbid)
            results[mbid] = stored[0] if stored else None
        for start in bar(range(0, len(missing), BATCH), desc=desc, unit="batch"):
            items = request(missing[start : start + BATCH])
            self.catalog.store_lookups(
                {f"{kind} {mbid}": [] if item is None else [item] for mbid, item in items.items()}
            )
            results |= items
        return results

    # ------------------------------------------------------------------ popularity

    def _count(self, tracks, dump):
        """Listens and users of each song from the dump; by month in `listens.parquet`."""
        rows, mapped, last = dump.describe()
        songs = tracks[["track_id", "mbids"]].explode("mbids")
        totals, months = dump.count_songs(songs.set_axis(["key", "recording_mbid"], axis=1))
        if totals.empty:
            raise UserError(
                f"collect.listens: the dump in {self.settings.listens} holds no listen of these {len(tracks):,} songs; "
                "is it of this MusicBrainz, or of the stand-in with other settings?"
            )
        write_table(self.study.folder / "listens.parquet", months.rename(columns={"key": "track_id"}))
        print(f"{rows:,} listens until {last}, {mapped / max(1, rows):.0%} of them of a known recording")
        counts = tracks[["track_id"]].merge(totals, left_on="track_id", right_on="key", how="left")
        tracks["users"] = counts["users"].fillna(0).to_numpy(float)
        tracks["listens"] = counts["listens"].fillna(0).to_numpy(float)
        return tracks.assign(fetched_at=last, source="listenbrainz dump")

    def _has_popularity(self):
        """Whether the popularity route knows any listener of famous recordings."""
        mbids = [
            mbid
            for title, artist in FAMOUS
            for mbid in musicbrainz.search_recordings(self.items, self.musicbrainz, title, artist)
        ]
        try:
            items = self.listenbrainz.post("1/popularity/recording", {"recording_mbids": sorted(set(mbids))})
        except (RefusedError, ComeBackLater) as error:
            print(error)
            return False
        return any(item.get("total_user_count") for item in items)

    def _ask(self, tracks):
        """Listens and users of each song from the popularity route: the sums over its recordings that are known."""

        def request(batch):
            try:
                items = self.listenbrainz.post("1/popularity/recording", {"recording_mbids": batch})
            except RefusedError as error:
                raise UserError(f"{error} What was read is kept; come back later") from None
            known = {item["recording_mbid"]: popularity(item) for item in items}
            return {mbid: known.get(mbid) for mbid in batch}

        mbids = sorted(tracks["mbids"].explode())
        known = self._in_batches("popularity", mbids, request, "popularity of")
        values = [[known[mbid] for mbid in each if known[mbid]] for each in tracks["mbids"]]
        tracks["users"] = [sum(v[1] for v in each) if each else np.nan for each in values]
        tracks["listens"] = [sum(v[0] for v in each) if each else np.nan for each in values]
        return tracks.assign(
            fetched_at=pd.Timestamp.now("UTC").date().isoformat(), source="listenbrainz popularity"
        )

    def _select(self, tracks):
        """The songs that pass the filters, with their popularity; prints how many have few users."""
        tracks = tracks[tracks["users"].notna()]
        enough = (tracks["users"] >= FEW_USERS).mean() if len(tracks) else 0
        print(
            f"{enough:.0%} of {len(tracks):,} songs have at least {FEW_USERS} users: below, popularity is mostly chance"
        )
        tracks = tracks[tracks["users"] >= self.fewest]
        counted = self.settings.popularity
        tracks = tracks.assign(
            popularity=tracks[counted],
            popularity_source=f"{self.synthetic}" + tracks["source"] + f", {counted}",
        )
        return select_tracks(tracks, self.settings).reindex(columns=SCHEMA.names)


# ---------------------------------------------------------------------- the wire format

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
