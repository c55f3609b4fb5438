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

from hitsong.collect import history, musicbrainz
from hitsong.collect.crawl import Crawl
from hitsong.collect.deduplicate import SCHEMA
from hitsong.collect.filters import read_lines, select_tracks
from hitsong.collect.readings import APART
from hitsong.collect.recordings import RECORDING_COLUMNS, group_songs, popularity, recording
from hitsong.collect.throttle import RefusedError, Throttle
from hitsong.errors import ComeBackLater, UserError
from hitsong.files import write_table
from hitsong.progress import bar
from hitsong.study import Study

COUNTS = ["users", "listens"]
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

    service, source = "MusicBrainz and ListenBrainz", "listenbrainz"
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
        self._refreshed = False
        self._months = history.SCHEMA.empty_table().to_pandas()
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
        dump = self._open_dump()
        genres = self._recordings(dump)
        tracks = group_songs(self._describe(genres))
        if tracks.empty:
            raise UserError("MusicBrainz describes none of these recordings; nothing to collect")
        tracks["genre"] = tracks["track_id"].map(genres)
        mbids = tracks.set_index("track_id")["mbids"]
        self.catalog.store_lookups({f"song {track_id}": values for track_id, values in mbids.items()})
        tracks = self._before_refresh(self._count(tracks, dump), dump) if dump else self._ask(tracks)
        return self._select(tracks)

    def _open_dump(self):
        """The dump of listens; None if the popularity route is to be used, which must then be available."""
        if self.settings.listens:
            from hitsong.collect.listens import Dump

            return Dump(self.settings.listens, self.study.folder / "listens", self.config.compute.scheduler)
        if not self._has_popularity():
            raise UserError(
                "ListenBrainz's popularity route is not available now: try again later, or download a dump of listens "
                "and name its folder as collect.listens"
            )
        return None

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
        months = months.rename(columns={"key": "track_id"})
        write_table(self.study.folder / "listens.parquet", months)
        print(f"{rows:,} listens until {last}, {mapped / max(1, rows):.0%} of them of a known recording")
        counts = tracks[["track_id"]].merge(totals, left_on="track_id", right_on="key", how="left")
        tracks["users"] = counts["users"].fillna(0).to_numpy(float)
        tracks["listens"] = counts["listens"].fillna(0).to_numpy(float)
        end = pd.Timestamp(last, tz="UTC")
        by_track = tracks.set_index("track_id")
        self.catalog.readings.store({f"dump {name}": by_track[name] for name in COUNTS}, end.isoformat())
        self._months = history.of_months(months, end, self.source, COUNTS)
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
        mbids = sorted(tracks["mbids"].explode())
        counts = self._in_batches("popularity", mbids, self._request_popularity, "popularity of")
        times = self.catalog.lookup_times("popularity")
        by_song = [_sum(counts, each) for each in tracks["mbids"]]
        for place, name in enumerate(("listens", "users")):
            tracks[name] = [np.nan if values is None else values[place] for values in by_song]
        fetched_at = pd.Series([max(map(times.get, each)) for each in tracks["mbids"]], tracks.index)
        with_counts = tracks[tracks["users"].notna()].assign(fetched_at=fetched_at)
        for read_at, songs in with_counts.set_index("track_id").groupby("fetched_at"):
            self.catalog.readings.store({name: songs[name] for name in COUNTS}, read_at, APART)
        return tracks.assign(fetched_at=fetched_at, source="listenbrainz popularity")

    def _request_popularity(self, mbids):
        """Listens and users of recordings, None where they are unknown: by MBID."""
        try:
            items = self.listenbrainz.post("1/popularity/recording", {"recording_mbids": mbids})
        except RefusedError as error:
            raise UserError(f"{error} What was read is kept; come back later") from None
        counts = {item["recording_mbid"]: popularity(item) for item in items}
        return {mbid: counts.get(mbid) for mbid in mbids}

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

    # ------------------------------------------------------------------ readings

    @property
    def quantity(self):
        """What popularity counts: users or listens."""
        return self.settings.popularity

    @property
    def stored_quantity(self):
        """What the catalogue calls it: counts of a dump and of the route differ."""
        return f"dump {self.quantity}" if self.settings.listens else self.quantity

    def refresh(self, track_ids):
        """Count the songs of tracks in the present dump, or read the popularity route again (see `Crawl.refresh`)."""
        dump = self._open_dump()
        if dump is None:
            super().refresh(track_ids)
        else:
            counted_at = pd.read_parquet(self.study.tracks, columns=["fetched_at"])["fetched_at"].max()
            self._refreshed = True
            self._count(self._songs(track_ids), dump)
            if self.catalog.lookup(f"refreshed with {dump.identity}") is None:
                self.catalog.store_lookup(f"refreshed with {dump.identity}", [counted_at])

    def _before_refresh(self, tracks, dump):
        """The songs with the counts that 01 took from an earlier dump, if only a refresh has read this one."""
        counted_at = (self.catalog.lookup(f"refreshed with {dump.identity}") or [None])[0]
        if counted_at in (None, tracks["fetched_at"].iat[0]):
            return tracks
        readings = self.catalog.readings.of(tracks["track_id"])
        readings = readings[readings["read_at"] == pd.Timestamp(counted_at, tz="UTC")]
        values = readings.pivot(index="track_id", columns="quantity", values="value")
        tracks = tracks[tracks["track_id"].isin(values.index)].assign(fetched_at=counted_at)
        return tracks.assign(
            **{name: tracks["track_id"].map(values[f"dump {name}"]) for name in COUNTS}
        ).reset_index(drop=True)

    def read_again(self, track_ids):
        """Yield the users and listens of songs, as many as fit into a request (see `Crawl.read_again`)."""
        batches = [[]]
        for track_id, mbids in self._songs(track_ids).itertuples(index=False):
            if batches[-1] and sum(len(other) for _, other in batches[-1]) + len(mbids) > BATCH:
                batches.append([])
            batches[-1].append((track_id, mbids))
        for songs in filter(None, batches):
            counts = self._request_popularity([mbid for _, mbids in songs for mbid in mbids])
            values = {track_id: _sum(counts, mbids) for track_id, mbids in songs}
            yield {
                name: {track_id: value and value[place] for track_id, value in values.items()}
                for place, name in enumerate(("listens", "users"))
            }

    def _songs(self, track_ids):
        """The recordings of songs as 01 has grouped them: `track_id` and `mbids`."""
        mbids = [self.catalog.lookup(f"song {track_id}") for track_id in track_ids]
        if None in mbids:
            raise UserError(
                "this study was collected by an earlier version of this program; run 01 without --refresh"
            )
        return pd.DataFrame({"track_id": track_ids, "mbids": mbids})

    def readings(self, tracks):
        """All readings of tracks, and the counts by month of this dump and of earlier ones (see `Crawl.readings`).

        Of a month that several dumps hold, a refresh keeps the counts that were there; 01 with a dump that no refresh
        has read counts anew.
        """
        months = [history.read(self.study.history), self._months]
        if self._refreshed:
            _compare(*months)
        months = pd.concat(months if self._refreshed else months[::-1])
        months = months[months["start"].notna() & months["track_id"].isin(set(tracks["track_id"]))]
        return pd.concat([super().readings(tracks), months], ignore_index=True)


def _compare(before, now):
    """Print how much the counts of months differ from those of the same months before, if they do."""
    both = before.merge(now, on=history.KEY, suffixes=("", "_now"))
    both = both[both["start"].notna() & (both["quantity"] == "listens")]
    change = both["value_now"].sum() / both["value"].sum() - 1 if len(both) else 0.0
    if abs(change) > 0.01:
        print(
            f"the dump has {change:+.0%} listens in months that were counted before; their first counts were kept "
            "(a study of its own would count all anew)"
        )


def _sum(counts, mbids):
    """Listens and users of a song: the sums over those of its recordings that are known; None if none is."""
    pairs = [counts[mbid] for mbid in mbids if counts[mbid]]
    return [sum(values) for values in zip(*pairs, strict=True)] or None
