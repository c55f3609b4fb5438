"""Spotify: four ways to a list of tracks, one way to what is known of each.

artists
    Search the artists of a genre -> all their albums -> the albums' tracks (study 1).
search
    Search the tracks of genres, split by year and by first letter where a query has more results than the
    service shows (studies 2 and 4).
ids
    A file of track ids (study 5).
playlist
    A playlist's tracks.

Then popularity and audio features of every track. Albums, tracks and features are read in the largest batches
that the service grants (20, 50 and 100), and nothing is asked that the catalogue holds already.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import cached_property

from hitsong.collect import deduplicate
from hitsong.collect import spotify_api as api
from hitsong.collect.deduplicate import normalised
from hitsong.collect.filters import in_years, lines_of, text_of
from hitsong.collect.spotify_api import ALBUMS, ALTERNATIVES, CEILING, FEATURES, TRACKS, Capabilities, Client
from hitsong.collect.spotify_query import Query
from hitsong.config import AUDIO_FEATURES
from hitsong.errors import UserError
from hitsong.files import digest
from hitsong.progress import bar

PROBE_HOLDS = timedelta(days=1)


class Spotify:
    """A crawl.

    Parameters
    ----------
    connection : hitsong.collect.connection.Connection
    settings : hitsong.config.Collect
    """

    percentile = False  # popularity is 0-100 as it comes

    def __init__(self, connection, settings):
        self.connection, self.settings = connection, settings
        self.client = Client(connection, settings)
        self.source = "synthetic" if connection.synthetic else "spotify"
        self.groups = ",".join(sorted(settings.album_types))
        self.minimum = 0  # requests that a crawl of what was read now cannot do without
        self._can = None

    @property
    def notice(self):
        """What a user should know before the crawl."""
        if self.connection.synthetic:
            return "The stand-in plays Spotify: artists, songs and popularity are SYNTHETIC."
        return "Spotify's Developer Terms (IV.2) forbid training machine-learning models on its content: see README.md."

    @property
    def planted(self):
        """What the stand-in planted in the genres' songs, or None."""
        return self.connection.planted(self.settings.genres) if self.connection.synthetic else None

    @property
    def requests(self):
        return self.client.manners.requests

    def collect(self, catalog):
        """Bring the catalogue up to date with the crawl; returns the number of requests made."""
        self.catalog = catalog
        if self.settings.strategy == "artists":
            for genre in self.settings.genres:
                self._search(genre, "artist")
            self._albums()
            self._tracks()
            self._name_genres()
        elif self.settings.strategy == "search":
            for genre in self.settings.genres:
                self._search(genre, "track")
        elif self.settings.strategy == "ids":
            self._ids()
        else:
            self._playlist()
        self._popularity()
        self._features()
        return self.requests

    def economy(self, tracks):
        """Say what the crawl cost: requests per 1,000 tracks, and against the least that was possible."""
        return (
            f"{self.requests:,} requests ({1000 * self.requests / max(1, tracks):,.0f} per 1,000 tracks), "
            f"{self.requests / max(1, self.minimum):.2f} x the least that the API's batches allow"
        )

    def tracks(self, catalog):
        """The tracks of this crawl, copies included."""
        return deduplicate.table(catalog, self.track_ids(catalog))

    def track_ids(self, catalog):
        """The tracks of this crawl that pass its filters: years, album types, artists."""
        crawls = self._crawls()
        if self.settings.strategy == "artists":
            rows = catalog.query(
                f"""SELECT DISTINCT t.track_id, a.release_date, t.popularity_source
                    FROM members m JOIN artist_albums aa ON aa.artist_id = m.id
                    JOIN albums a USING (album_id) JOIN tracks t USING (album_id)
                    WHERE m.crawl IN ({_marks(crawls)}) AND a.album_type IN ({_marks(self.settings.album_types)})
                    ORDER BY t.track_id""",
                *crawls,
                *self.settings.album_types,
            )
        else:
            rows = catalog.query(
                f"""SELECT DISTINCT m.id AS track_id, a.release_date FROM members m
                    LEFT JOIN tracks t ON t.track_id = m.id LEFT JOIN albums a USING (album_id)
                    WHERE m.crawl IN ({_marks(crawls)}) ORDER BY m.id""",
                *crawls,
            )
        found = [row["track_id"] for row in rows if in_years(row["release_date"], self.settings.years)]
        if self.settings.artists_file and self.settings.strategy != "artists":
            by = catalog.query(
                "SELECT track_id, artist_id, name FROM track_artists JOIN artists USING (artist_id)"
            )
            wanted = {row["track_id"] for row in by if self._listed(row["artist_id"], row["name"])}
            found = [track_id for track_id in found if track_id in wanted]
        return found

    # ------------------------------------------------------------------ what the service lets us do

    @property
    def can(self):
        """What this app may do; probed before the first request of a crawl, and kept for a day."""
        if self._can is None:
            app = digest(self.connection.name + self.connection.client_id)
            self._can = self._known(app) or self._probed(app)
            if not self._can.popularity:
                raise UserError(
                    f"Spotify gives this app no popularity ({self._can.why['popularity']}), and without it there is "
                    f"nothing to predict. {ALTERNATIVES}"
                )
        return self._can

    def _known(self, app):
        kept = self.catalog.capabilities(app)
        if kept and datetime.now(UTC) - datetime.fromisoformat(kept["probed_at"]) < PROBE_HOLDS:
            return Capabilities(**kept["found"])
        return None

    def _probed(self, app):
        can = api.probe(self.client, self.settings.genres[0], self.connection.genres, self.settings.market)
        self.catalog.keep_capabilities(app, can)
        print("What Spotify gives this app:")
        for what, value, why in can.rows():
            print(f"  {what:15} {value:4} {why}".rstrip())
        return can

    def _get(self, path, need, **parameters):
        """Ask, and count the request among those that no crawl can do without."""
        self.can  # noqa: B018 - the first request of a crawl is the probe
        self.minimum += 1
        return self.client.get(path, need, market=self.settings.market, **parameters)

    def _afford(self, requests, what):
        """Refuse to read one by one what would go beyond the budget."""
        if requests > self.settings.request_budget:
            raise UserError(
                f"this app may not read in batches, and {what} one by one needs {requests:,} requests, more than "
                f"collect.request_budget ({self.settings.request_budget:,}): raise it, or narrow the crawl by years"
            )

    # ------------------------------------------------------------------ search, split where it must be

    def _search(self, genre, kind):
        """Read a search for artists or tracks to its end."""
        crawl = self._crawl(genre)
        queries = [Query(genre, self._years())]
        while queries:
            query = queries.pop(0)
            if self._full(crawl, kind):
                return
            if self.catalog.offset(f"split:{crawl}:{query}") is None or not self._read(crawl, kind, query):
                queries = [*query.split(), *queries]

    def _read(self, crawl, kind, query):
        """Read one query's pages; False if it has too many results and can be split instead."""
        listing = f"search:{crawl}:{query}"
        offset = self.catalog.offset(listing)
        with bar(desc=f"{kind}s of {query}", unit=kind, initial=offset or 0) as progress:
            while offset is not None and not self._full(crawl, kind):
                size = self.can.page
                page = self._get(
                    "search", f"{kind}s", q=query.text(kind), type=kind, limit=size, offset=offset
                )
                page = page[f"{kind}s"]
                if offset == 0 and page["total"] > CEILING and query.split():
                    with self.catalog.page():
                        self.catalog.advance(f"split:{crawl}:{query}", None)
                    return False
                progress.total = min(page["total"], CEILING)
                offset = api.more(page, offset, size)
                if offset is not None and offset + size > CEILING:
                    print(
                        f"{query}: {page['total'] - offset:,} of {page['total']:,} results lie beyond Spotify's reach"
                    )
                    offset = None
                with self.catalog.page():
                    for item in filter(None, page["items"]):
                        self._keep_found(crawl, kind, item, query.genre)
                    self.catalog.advance(listing, offset)
                progress.update(len(page["items"]))
        return True

    def _keep_found(self, crawl, kind, item, genre):
        if kind == "artist":
            self.catalog.put("artists", [api.artist(item)])
            self.catalog.put("members", [{"crawl": crawl, "id": item["id"]}])
        elif api.playable(item) and not self._full(crawl, kind):
            self._keep_full_track(item["id"], item, genre)
            self.catalog.put("members", [{"crawl": crawl, "id": item["id"]}])

    def _full(self, crawl, kind):
        """Whether a genre's cap has been reached."""
        if self.settings.per_genre is None or kind == "artist":
            return False
        return (
            self.catalog.column("SELECT count(*) FROM members WHERE crawl = ?", crawl)[0]
            >= self.settings.per_genre
        )

    # ------------------------------------------------------------------ artists -> albums -> tracks

    def _albums(self):
        artists = self._artists()
        listings = {
            artist_id: f"albums:{artist_id}:{self.groups}:{self.settings.market}" for artist_id in artists
        }
        waiting = [artist_id for artist_id in artists if self.catalog.offset(listings[artist_id]) is not None]
        for artist_id in bar(waiting, desc="albums of", unit="artist"):
            offset = self.catalog.offset(listings[artist_id])
            while offset is not None:
                page = self._get(
                    f"artists/{artist_id}/albums",
                    "items",
                    include_groups=self.groups,  # not appears_on, which brings other artists' tracks
                    limit=self.can.page,
                    offset=offset,
                )
                albums = [api.album(item) for item in page["items"] if item]
                offset = api.more(page, offset, self.can.page)
                with self.catalog.page():
                    self.catalog.put("albums", albums)
                    self.catalog.put(
                        "artist_albums",
                        [{"artist_id": artist_id, "album_id": row["album_id"]} for row in albums],
                    )
                    self.catalog.advance(listings[artist_id], offset)

    def _artists(self):
        """The crawl's artists, only those of the whitelist if there is one."""
        crawls = self._crawls()
        found = self.catalog.query(
            f"""SELECT DISTINCT artist_id, name FROM members JOIN artists ON artist_id = id
                WHERE crawl IN ({_marks(crawls)}) ORDER BY artist_id""",
            *crawls,
        )
        if self.settings.artists_file:
            found = [row for row in found if self._listed(row["artist_id"], row["name"])]
            if not found:
                raise UserError(
                    f"{self.settings.artists_file}: Spotify's search finds none of these artists in the genre"
                )
        return [row["artist_id"] for row in found]

    def _tracks(self):
        artists = self._artists()
        rows = self.catalog.query(
            f"""SELECT DISTINCT album_id, release_date FROM artist_albums JOIN albums USING (album_id)
                WHERE artist_id IN (SELECT value FROM json_each(?)) AND NOT tracks_known
                AND album_type IN ({_marks(self.settings.album_types)}) ORDER BY album_id""",
            _json(artists),
            *self.settings.album_types,
        )
        waiting = [row["album_id"] for row in rows if in_years(row["release_date"], self.settings.years)]
        fresh = [album_id for album_id in waiting if self.catalog.offset(f"tracks:{album_id}") == 0]
        size = ALBUMS if fresh and self.can.batches else 1
        if size == 1:
            self._afford(len(fresh), "reading albums")
        with bar(
            desc="tracks of", unit="album", total=len(waiting), initial=len(waiting) - len(fresh)
        ) as progress:
            for ids in _batches(fresh, size):
                for album_id, found in self._batch("albums", "albums", ids, size):
                    with self.catalog.page():
                        self._keep_album(album_id, found and found["tracks"], 0)
                progress.update(len(ids))
        # Albums over 50 tracks: what the batch did not embed is read page by page.
        for album_id in waiting:
            while offset := self.catalog.offset(f"tracks:{album_id}"):
                page = self._get(f"albums/{album_id}/tracks", "items", limit=api.PAGE, offset=offset)
                with self.catalog.page():
                    self._keep_album(album_id, page, offset)

    def _name_genres(self):
        """Say of each track which genre it was found under first."""
        for genre in self.settings.genres:
            with self.catalog.page():
                self.catalog.connection.execute(
                    """UPDATE tracks SET genre = ? WHERE genre IS NULL AND album_id IN (
                           SELECT album_id FROM members JOIN artist_albums ON artist_id = id WHERE crawl = ?)""",
                    (genre, self._crawl(genre)),
                )

    def _keep_album(self, album_id, page, offset):
        """Keep one page of an album's tracks, and where the next one starts; a null album is gone."""
        for item in filter(api.playable, page["items"] if page else []):
            row, artists = api.track(item)
            self.catalog.put("artists", artists)
            self.catalog.put_track({**row, "album_id": album_id}, [credit["artist_id"] for credit in artists])
        following = api.more(page, offset, api.PAGE) if page else None
        self.catalog.advance(f"tracks:{album_id}", following)
        self.catalog.put("albums", [{"album_id": album_id, "tracks_known": int(following is None)}])

    # ------------------------------------------------------------------ tracks by name

    def _ids(self):
        ids = sorted(set(track_ids_in(text_of(self.settings.ids_file, "collect.ids_file"))))
        if not ids:
            raise UserError(
                f"collect.ids_file: {self.settings.ids_file} holds no track id (22 letters and digits)"
            )
        with self.catalog.page():
            self.catalog.put("members", [{"crawl": self._crawls()[0], "id": track_id} for track_id in ids])
            self.catalog.put("tracks", [{"track_id": track_id} for track_id in ids])

    def _playlist(self):
        crawl = self._crawls()[0]
        playlist = re.search(r"[0-9A-Za-z]{22}", self.settings.playlist)
        if playlist is None:
            raise UserError(
                f"collect.playlist: {self.settings.playlist!r} holds no playlist id (22 letters and digits)"
            )
        listing = f"playlist:{crawl}"
        while (offset := self.catalog.offset(listing)) is not None:
            try:
                page = self._get(f"playlists/{playlist[0]}/tracks", "items", limit=api.PAGE, offset=offset)
            except api.Refused as refusal:
                raise UserError(
                    f"collect.playlist: Spotify does not show {playlist[0]} to this app ({refusal})"
                ) from None
            with self.catalog.page():
                for entry in filter(None, page["items"]):
                    item = entry.get("track") or entry.get("item")
                    if api.playable(item):
                        self._keep_full_track(item["id"], item)
                        self.catalog.put("members", [{"crawl": crawl, "id": item["id"]}])
                self.catalog.advance(listing, api.more(page, offset, api.PAGE))

    # ------------------------------------------------------------------ what is known of each track

    def _popularity(self):
        known = set(self.catalog.column("SELECT track_id FROM tracks WHERE fetched_at IS NOT NULL"))
        waiting = [track_id for track_id in self.track_ids(self.catalog) if track_id not in known]
        size = TRACKS if waiting and self.can.batches else 1
        if size == 1:
            self._afford(len(waiting), "reading tracks")
        with bar(desc="popularity of", unit="track", total=len(waiting)) as progress:
            for ids in _batches(waiting, size):
                answers = self._batch("tracks", "tracks", ids, size)
                with self.catalog.page():
                    for track_id, found in answers:
                        self._keep_full_track(track_id, found)
                progress.update(len(ids))
        gone = self.catalog.column(
            "SELECT count(*) FROM tracks WHERE fetched_at IS NOT NULL AND popularity IS NULL"
        )[0]
        if gone and waiting:
            print(
                f"{gone:,} tracks are gone from Spotify: the catalogue keeps their ids, tracks.parquet leaves them out"
            )

    def _keep_full_track(self, track_id, found, genre=None):
        """Keep a full track under the id that was asked for (relinking answers with another); None is gone."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"track_id": track_id, "popularity_source": self.source, "fetched_at": now}
        if genre is not None:
            row["genre"] = genre
        if found is None:
            self.catalog.put("tracks", [row])
            return
        simple, artists = api.track(found)
        album = api.album(found["album"])
        self.catalog.put("albums", [album])
        self.catalog.put("artists", artists)
        row = simple | {"album_id": album["album_id"]} | api.full_track(found) | row
        self.catalog.put_track(row, [credit["artist_id"] for credit in artists])

    def _features(self):
        known = set(self.catalog.column("SELECT track_id FROM tracks WHERE features_known"))
        waiting = [track_id for track_id in self.track_ids(self.catalog) if track_id not in known]
        if not waiting:
            return
        if not self.can.features:
            print("audio features: not for this app; the run goes on without (04_baseline.py will say so)")
            return
        with bar(desc="audio features of", unit="track", total=len(waiting)) as progress:
            for ids in _batches(waiting, FEATURES):
                answers = self._batch("audio-features", "audio_features", ids, FEATURES)
                with self.catalog.page():
                    for track_id, found in answers:
                        self.catalog.put_features(
                            track_id, found and {name: found.get(name) for name in AUDIO_FEATURES}
                        )
                progress.update(len(ids))

    def _batch(self, path, need, ids, size):
        """Read several objects: (id, object or None) pairs, by one request or by one each."""
        if size > 1:
            found = self._get(path, need, ids=",".join(ids))[need]
            by_id = {item.get("linked_from", item)["id"]: item for item in found if item}
            return [(one, by_id.get(one)) for one in ids]
        return [(one, self._single(f"{path}/{one}")) for one in ids]

    def _single(self, path):
        try:
            return self._get(path, "id")
        except api.Refused as refusal:
            if refusal.status == 404:
                return None
            raise UserError(f"Spotify refused {path}: {refusal}") from None

    # ------------------------------------------------------------------ names and filters

    def _crawls(self):
        """The names under which the catalogue remembers what this crawl found."""
        s = self.settings
        if s.strategy == "ids":
            return [f"{self.connection.name}:ids:{digest(text_of(s.ids_file, 'collect.ids_file'))}"]
        if s.strategy == "playlist":
            return [f"{self.connection.name}:playlist:{s.playlist}:{s.market}"]
        return [self._crawl(genre) for genre in s.genres]

    def _crawl(self, genre):
        years = self.settings.years if self.settings.strategy == "search" else None
        cap = self.settings.per_genre if self.settings.strategy == "search" else None
        return f"{self.connection.name}:{self.settings.strategy}:{genre}:{self.settings.market}:{years}:{cap}"

    def _years(self):
        """The years to search in, or None for all."""
        if self.settings.years is None or self.settings.strategy != "search":
            return None
        first, _, last = self.settings.years.partition("-")
        return int(first), int(last or first)

    def _listed(self, artist_id, name):
        """Whether the whitelist has an artist, by id or by name."""
        return artist_id in self._whitelist or normalised(name) in self._whitelist

    @cached_property
    def _whitelist(self):
        lines = lines_of(self.settings.artists_file, "collect.artists_file")
        return {*lines, *map(normalised, lines)}


def track_ids_in(text):
    """Find the track ids in a text: bare, as spotify:track: URIs, or in open.spotify.com addresses."""
    return re.findall(r"(?<![0-9A-Za-z])[0-9A-Za-z]{22}(?![0-9A-Za-z])", text)


def _json(values):
    return "[" + ",".join(f'"{value}"' for value in values) + "]"


def _batches(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def _marks(values):
    return ", ".join("?" * len(values))
