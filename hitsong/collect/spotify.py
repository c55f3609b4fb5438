"""Spotify: four ways to a list of tracks, and one way to the details of each.

artists
    Search the artists of a genre -> all their albums -> the albums' tracks (study 1).
search
    Search the tracks of genres, divided into narrower searches where one has more results than the service
    shows (studies 2 and 4); see `hitsong.collect.spotify_query`.
ids
    A file of track ids (study 5).
playlist
    A playlist's tracks.

Then popularity and audio features of every track. Albums, tracks and features are read in the largest batches
that the service grants (20, 50 and 100).
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta

from hitsong.collect import spotify_api as api
from hitsong.collect.crawl import Crawl
from hitsong.collect.filters import in_years, read_text, select_tracks
from hitsong.collect.readings import POPULARITY
from hitsong.collect.spotify_api import ALBUMS, ALTERNATIVES, CEILING, FEATURES, TRACKS, Capabilities, Client
from hitsong.collect.spotify_query import Narrowing, Query
from hitsong.collect.throttle import RefusedError
from hitsong.config import AUDIO_FEATURES
from hitsong.errors import UserError
from hitsong.files import digest
from hitsong.progress import bar

PROBE_VALID = timedelta(days=1)
_ID = "[0-9A-Za-z]{22}"


class Spotify(Crawl):
    """A crawl of Spotify."""

    service, source, quantity = "Spotify", "spotify", "popularity"
    live_notice = "Spotify's Developer Terms (IV.2) forbid training models on its content: see README.md."

    def __init__(self, connection, config, catalog):
        super().__init__(connection, config, catalog)
        self.client = Client(connection, config.collect)
        self.popularity_source = "synthetic" if connection.synthetic else "spotify"
        self.least_requests = 0  # that this crawl could not do without
        self._capabilities = None

    @staticmethod
    def scope(connection, settings):
        """What the content of the catalogue's pages and tracks depends on, apart from the request."""
        return f"{connection.name}:{settings.market}"

    def collect(self):
        """Bring the catalogue up to date with the crawl, and export its tracks (see `Crawl.export`)."""
        strategy = self.settings.strategy
        if strategy == "artists":
            genres = self._tracks_of_artists()
        elif strategy == "search":
            genres = {}
            for genre in self.settings.genres:
                for track_id in self._search_tracks(genre):
                    genres.setdefault(track_id, genre)
        else:
            genres = dict.fromkeys(self._listed_ids() if strategy == "ids" else self._playlist_ids())
        self._read_tracks(genres)
        if strategy != "artists":  # whose albums were filtered by year and artist
            genres = self.passing(genres)
        self._read_features(genres)
        return self.export(genres)

    def cost(self, n_tracks):
        """One line on what the crawl cost, also against the least that the batch sizes allow."""
        least = self.requests / max(1, self.least_requests)
        return f"{super().cost(n_tracks)}, {least:.2f} x the least that the API's batches allow"

    # ------------------------------------------------------------------ the app's capabilities

    @property
    def capabilities(self):
        """What the service gives this app: probed before the first request of a crawl, and valid for a day."""
        if self._capabilities is None:
            app = digest(self.connection.name + self.connection.client_id)
            stored = self.catalog.capabilities(app)
            if stored and datetime.now(UTC) - stored[1] < PROBE_VALID:
                self._capabilities = Capabilities(**stored[0])
            else:
                self._capabilities = self._probe(app)
            if not self._capabilities.popularity:
                raise UserError(
                    f"Spotify gives this app no popularity ({self._capabilities.why['popularity']}), and without it "
                    f"there is nothing to predict. {ALTERNATIVES}"
                )
        return self._capabilities

    @property
    def with_previews(self):
        return self.capabilities.previews

    def _probe(self, app):
        capabilities = api.probe(
            self.client, self.settings.genres[0], self.connection.genres, self.settings.market
        )
        self.catalog.store_capabilities(app, capabilities)
        print("What Spotify gives this app:")
        for label, value, reason in capabilities.rows():
            print(f"  {label:15} {value:4} {reason}".rstrip())
        return capabilities

    def _get(self, path, need, **parameters):
        """Send a request, and count it among those that the crawl cannot do without."""
        self.capabilities  # noqa: B018 - the first request of a crawl is the probe
        self.least_requests += 1
        return self.client.get(path, need, market=self.settings.market, **parameters)

    # ------------------------------------------------------------------ searches

    def _search(self, query):
        """Yield the pages of a search, and of narrower ones where it has more results than the service shows.

        Years alternate, page by page, in an order that the seed decides, so that a crawl that stops at a cap has tracks
        of all years.
        """
        total = self._search_page(query, 0).total or 0
        years = query.by_year() if total > CEILING else []
        if not years:
            yield from self._search_one_year(query)
            return
        pages = [self._search_one_year(narrow) for narrow in self._shuffled(years)]
        while pages:
            for year in list(pages):
                page = next(year, None)
                if page is None:
                    pages.remove(year)
                else:
                    yield page

    def _search_one_year(self, query):
        """Yield the pages of a search that cannot be divided by year."""
        total = self._search_page(query, 0).total or 0
        narrowing, seen = Narrowing(query), set()

        def visible(query):
            for items in self._visible_pages(query):
                for item in items:
                    seen.add(item["id"])
                    narrowing.see(item)
                yield items

        yield from visible(query)
        if total > CEILING:
            for narrow in narrowing:
                if len(seen) >= total:
                    return
                yield from visible(narrow)

    def _visible_pages(self, query):
        """Yield the pages of a search that the service shows, in an order that the seed decides."""
        visible = min(self._search_page(query, 0).total or 0, CEILING)
        for offset in self._shuffled(range(0, max(1, visible), self.capabilities.page)):
            yield self._search_page(query, offset).items

    def _search_page(self, query, offset):
        kind, size = query.kind, self.capabilities.page

        def request(offset):
            body = self._get("search", f"{kind}s", q=str(query), type=kind, limit=size, offset=offset)[
                f"{kind}s"
            ]
            if kind == "artist":
                items = [api.artist(item) for item in body["items"] if item]
                return api.page(body, offset, size, [{"id": item["artist_id"], **item} for item in items]), ()
            tracks = [api.track(item) for item in body["items"] if api.playable(item)]
            items = [
                {"id": row["track_id"], "name": row["name"], "artist_names": row["artist_names"]}
                for row in tracks
            ]
            return api.page(body, offset, size, items), tracks

        return self.page(f"search {kind} {query} by {size}", offset, request)

    def _search_all(self, query, select=None, limit=None):
        """The distinct items of a search, at most `limit` of those that `select` takes from each page."""
        total = self._search_page(query, 0).total or 0
        reached, items = set(), {}
        with bar(desc=f"{query.kind}s of {query.genre}", unit=query.kind, total=limit or total) as progress:
            for page in self._search(query):
                reached.update(item["id"] for item in page)
                items |= {item["id"]: item for item in (select(page) if select else page)}
                progress.update(len(items) - progress.n)
                if limit is not None and len(items) >= limit:
                    print(f"{query}: {limit:,} of {total:,} {query.kind}s taken, from all years in turn")
                    return list(items.values())[:limit]
        if total > max(CEILING, len(reached)):
            print(
                f"{query}: {len(reached):,} of {total:,} {query.kind}s reached; the others lie beyond the first "
                f"{CEILING:,} results of every narrower search"
            )
        return list(items.values())

    def _search_tracks(self, genre):
        """The ids of a genre's tracks that pass the filters; a sample of `per_genre` of them if that is set."""
        limit = self.settings.per_genre

        def sample(page):
            stored = self.catalog.tracks(item["id"] for item in page)
            passing = set(select_tracks(stored, self.settings)["track_id"])
            return [item for item in self._shuffled(page) if item["id"] in passing]

        years = None
        if self.settings.years:
            first, _, last = self.settings.years.partition("-")
            years = int(first), int(last or first)
        return [
            item["id"] for item in self._search_all(Query("track", genre, years), limit and sample, limit)
        ]

    def _shuffled(self, values):
        """Values in an order that only the seed and each value decide: one more value moves no other."""
        return sorted(values, key=lambda value: hashlib.sha256(f"{self.seed} {value}".encode()).digest())

    # ------------------------------------------------------------------ artists -> albums -> tracks

    def _tracks_of_artists(self):
        """The ids of the tracks on the albums of the genres' artists, with the genre of each."""
        artists = {}
        for genre in self.settings.genres:
            for artist in self._search_all(Query("artist", genre)):
                if self.artist_list is None or (artist["id"], artist["name"]) in self.artist_list:
                    artists.setdefault(artist["id"], genre)
        if self.artist_list is not None and not artists:
            raise UserError(
                f"{self.settings.artists_file}: Spotify's search finds none of these artists in the genre"
            )
        albums = {}
        for artist_id, genre in bar(artists.items(), desc="albums of", unit="artist"):
            for album in self._albums(artist_id):
                if album["album_type"] in self.settings.album_types and in_years(
                    album["release_date"], self.settings.years
                ):
                    albums.setdefault(album["album_id"], genre)
        self._read_albums(albums)
        genres = {}
        for album_id, genre in albums.items():
            for track_id in self._album_tracks(album_id):
                genres.setdefault(track_id, genre)
        return genres

    def _albums(self, artist_id):
        """An artist's albums; not those that the artist only appears on."""
        groups = ",".join(sorted(self.settings.album_types))

        def request(offset):
            size = self.capabilities.page
            path = f"artists/{artist_id}/albums"
            body = self._get(path, "items", include_groups=groups, limit=size, offset=offset)
            return api.page(body, offset, size, [api.album(item) for item in body["items"] if item]), ()

        return self.items(f"albums of {artist_id}: {groups}", request)

    def _read_albums(self, album_ids):
        """Read the first tracks of albums in batches."""
        missing = [
            album_id for album_id in album_ids if self.catalog.page(f"tracks of {album_id}", 0) is None
        ]
        size = self._batch_size(missing, ALBUMS, "reading albums")
        with bar(desc="tracks of", unit="album", total=len(missing)) as progress:
            for ids in _batches(missing, size):
                for album_id, album in self._batch("albums", "albums", ids, size):
                    body = album["tracks"] if album else {"items": []}
                    self.page(f"tracks of {album_id}", 0, lambda offset, body=body: _track_page(body, offset))
                progress.update(len(ids))

    def _album_tracks(self, album_id):
        def request(offset):
            return _track_page(
                self._get(f"albums/{album_id}/tracks", "items", limit=api.PAGE, offset=offset), offset
            )

        return self.items(f"tracks of {album_id}", request)

    # ------------------------------------------------------------------ tracks by id

    def _listed_ids(self):
        path = self.settings.ids_file
        ids = track_ids_in(read_text(path, "collect.ids_file"))
        if not ids:
            raise UserError(f"collect.ids_file: {path} holds no track id (22 letters and digits)")
        return ids

    def _playlist_ids(self):
        match = re.search(_ID, self.settings.playlist)
        if match is None:
            raise UserError(
                f"collect.playlist: {self.settings.playlist!r} holds no playlist id (22 letters and digits)"
            )

        def request(offset):
            try:
                body = self._get(f"playlists/{match[0]}/tracks", "items", limit=api.PAGE, offset=offset)
            except RefusedError as error:
                raise UserError(
                    f"collect.playlist: Spotify does not show {match[0]} to this app ({error})"
                ) from None
            entries = [entry.get("track") or entry.get("item") for entry in body["items"] if entry]
            tracks = [api.track(item) for item in entries if api.playable(item)]
            return api.page(body, offset, api.PAGE, [row["track_id"] for row in tracks]), tracks

        return self.items(f"playlist {match[0]}", request)

    # ------------------------------------------------------------------ details of each track

    def _read_tracks(self, track_ids):
        """Read the tracks that the catalogue lacks, or that an app without previews has read."""
        missing = sorted(set(track_ids) - self.catalog.known_tracks(with_previews=True))
        if missing and not self.with_previews:
            missing = sorted(set(missing) - self.catalog.known_tracks())
        size = self._batch_size(missing, TRACKS, "reading tracks")
        with bar(desc="popularity of", unit="track", total=len(missing)) as progress:
            for ids in _batches(missing, size):
                rows = [
                    api.track(item, track_id) for track_id, item in self._batch("tracks", "tracks", ids, size)
                ]
                self.catalog.store_tracks(rows, self.with_previews)
                progress.update(len(ids))
        gone = len(set(track_ids)) - len(self.catalog.tracks(track_ids))
        if gone and missing:
            print(f"{gone:,} tracks are gone from Spotify; left out")

    def read_again(self, track_ids):
        """Yield the popularity of tracks, a batch at a time (see `Crawl.read_again`)."""
        size = self._batch_size(track_ids, TRACKS, "reading popularity again")
        for ids in _batches(track_ids, size):
            items = self._batch("tracks", "tracks", ids, size)
            yield {POPULARITY: {track_id: item and item.get("popularity") for track_id, item in items}}

    def _read_features(self, track_ids):
        missing = sorted(set(track_ids) - self.catalog.known_features())
        if not missing:
            return
        if not self.capabilities.features:
            print("audio features: not for this app; the run goes on without (04_baseline.py will say so)")
            return
        with bar(desc="audio features of", unit="track", total=len(missing)) as progress:
            for ids in _batches(missing, FEATURES):
                self.catalog.store_features(
                    {
                        track_id: item and {name: item.get(name) for name in AUDIO_FEATURES}
                        for track_id, item in self._batch("audio-features", "audio_features", ids, FEATURES)
                    }
                )
                progress.update(len(ids))

    def _batch_size(self, missing, size, purpose):
        """The size of a batch, after making sure that the budget allows for it."""
        if missing and self.capabilities.batches:
            return size
        self.check_budget(len(missing), f"this app may not read in batches, and {purpose}")
        return 1

    def _batch(self, path, need, ids, size):
        """Read several objects: (id, object or None) pairs, by one request or by one each."""
        if size > 1:
            items = self._get(path, need, ids=",".join(ids))[need]
            by_id = {item.get("linked_from", item)["id"]: item for item in items if item}
            return [(track_id, by_id.get(track_id)) for track_id in ids]
        return [(track_id, self._single(f"{path}/{track_id}")) for track_id in ids]

    def _single(self, path):
        try:
            return self._get(path, "id")
        except RefusedError as error:
            if error.status == 404:
                return None
            raise UserError(f"Spotify refused {path}: {error}") from None


def track_ids_in(text):
    """Find the track ids in a text: bare, as spotify:track: URIs, or in open.spotify.com addresses."""
    return re.findall(f"(?<![0-9A-Za-z]){_ID}(?![0-9A-Za-z])", text)


def _track_page(body, offset):
    """A page of an album's tracks: their ids."""
    ids = [item["id"] for item in body["items"] if api.playable(item)]
    return api.page(body, offset, api.PAGE, ids), ()


def _batches(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]
