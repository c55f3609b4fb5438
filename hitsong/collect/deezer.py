"""Deezer's public API: no key, previews for everyone, and `rank` (0 to about a million) as popularity.

artists
    The artists of one of Deezer's coarse genres, or those named in a file -> their albums -> the albums' tracks.
playlist
    The tracks of the playlists that a query finds: the way to a genre that Deezer has no name for.

Every track is then read once on its own, because only there Deezer names the guest artists, whom a split by artist
has to take into account.
"""

from urllib.parse import urlsplit

import requests

from hitsong.collect.catalog import Page
from hitsong.collect.crawl import Crawl
from hitsong.collect.deduplicate import normalised
from hitsong.collect.filters import in_years, read_lines
from hitsong.collect.readings import POPULARITY
from hitsong.collect.throttle import RefusedError, RetryableError, Throttle, retry_after
from hitsong.errors import UserError
from hitsong.progress import bar

PAGE = 100
GAP_S = 0.1  # Deezer allows 50 requests in 5 seconds,
QUOTA_PAUSE_S = 5.0  # and sends no Retry-After beyond that
PLAYLISTS = 25  # how many of a query's playlists are read
TIMEOUT_S = 20
QUOTA, BUSY, NO_DATA = 4, 700, 800  # error codes


class Deezer(Crawl):
    """A crawl of Deezer.

    Raises
    ------
    UserError
        If the strategy is not one of Deezer's.
    """

    service, source, quantity = "Deezer", "deezer", "rank"
    live_notice = "Deezer's terms allow personal, non-commercial use of its API: see README.md."

    def __init__(self, connection, config, catalog):
        super().__init__(connection, config, catalog)
        if self.settings.strategy not in ("artists", "playlist"):
            raise UserError(
                f"collect.strategy {self.settings.strategy} is Spotify's; Deezer has artists and playlist"
            )
        self.client = Client(connection, self.settings)
        self.popularity_source = f"{'synthetic ' if connection.synthetic else ''}deezer rank"

    @staticmethod
    def scope(connection, settings):
        """What the content of the catalogue's pages and tracks depends on, apart from the request."""
        return f"{connection.name}:deezer"

    def collect(self):
        """Bring the catalogue up to date with the crawl, and export its tracks (see `Crawl.export`)."""
        if self.settings.strategy == "playlist":
            genres = dict.fromkeys(self._playlist_ids())
            self._read_tracks(genres)
            return self.export(self.passing(genres))
        genres, album_types = self._tracks_of_artists()
        self._read_tracks(genres)
        tracks = self.export(genres)
        return tracks.assign(album_type=tracks["track_id"].map(album_types))

    # ------------------------------------------------------------------ artists -> albums -> tracks

    def _tracks_of_artists(self):
        """The genre and the album type of each track on the albums of the crawl's artists."""
        albums = {}
        for artist_id, genre in bar(self._artists().items(), desc="albums of", unit="artist"):
            for item in self._list(f"artist/{_number(artist_id)}/albums", album):
                if item["album_type"] in self.settings.album_types and in_years(
                    item["release_date"], self.settings.years
                ):
                    albums.setdefault(item["album_id"], (genre, item["album_type"]))
        genres, album_types = {}, {}
        for album_id, (genre, album_type) in bar(albums.items(), desc="tracks of", unit="album"):
            for track_id in self._list(f"album/{_number(album_id)}/tracks", _track_id):
                genres.setdefault(track_id, genre)
                album_types.setdefault(track_id, album_type)
        return genres, album_types

    def _artists(self):
        """The genre, or None, of each artist of the crawl."""
        if self.settings.artists_file:
            return dict.fromkeys(self._named_artists())
        genre_ids = {item["name"]: item["id"] for item in self._list("genre", dict)}
        artists = {}
        for genre in self.settings.genres:
            key = next((genre_ids[name] for name in genre_ids if normalised(name) == normalised(genre)), None)
            if key is None:
                raise UserError(
                    f"collect.genre: Deezer has no genre {genre!r}, only {', '.join(sorted(genre_ids))}. "
                    "Name the artists in collect.artists_file, or use collect.strategy: playlist with "
                    "collect.playlist: a query"
                )
            for item in self._list(f"genre/{key}/artists", artist):
                artists.setdefault(item["artist_id"], genre)
        return artists

    def _named_artists(self):
        """The ids of the artists named in `collect.artists_file`."""
        names = read_lines(self.settings.artists_file, "collect.artists_file")
        for name in bar(names, desc="searching", unit="artist"):
            results = self._list("search/artist", artist, pages=1, q=name)
            match = next((item for item in results if normalised(item["name"]) == normalised(name)), None)
            if match is None:
                print(f"{name}: Deezer has no artist of this name")
            else:
                yield match["artist_id"]

    # ------------------------------------------------------------------ playlists

    def _playlist_ids(self):
        """The ids of the tracks in the playlists that the query finds."""
        query = self.settings.playlist
        if query is None:
            raise UserError("strategy playlist needs collect.playlist: what to search Deezer's playlists for")
        playlists = list(
            self._list("search/playlist", lambda item: item["id"], pages=1, size=PLAYLISTS, q=query)
        )
        if not playlists:
            raise UserError(f"collect.playlist: Deezer finds no playlist for {query!r}")
        for playlist in bar(playlists, desc="playlists", unit="playlist"):
            yield from self._list(f"playlist/{playlist}/tracks", _track_id)

    # ------------------------------------------------------------------ lists and tracks

    def _list(self, path, shape, pages=None, size=PAGE, **parameters):
        """Yield the items of a list, as `shape` describes them; of the first `pages` pages only if that is set."""

        def request(offset):
            try:
                body = self.client.get(path, "data", **parameters, limit=size, index=offset)
            except RefusedError:  # gone since it was listed
                body = {"data": []}
            following = offset + size
            more = body.get("next") or following < body.get("total", 0)
            last = pages is not None and following >= pages * size
            items = [shape(item) for item in body["data"] if item]
            return Page(items, following if more and not last else None, body.get("total")), ()

        query = "".join(f" {name}={value}" for name, value in parameters.items())
        return self.items(f"{path}{query} by {size}", request)

    def _read_tracks(self, track_ids):
        """Read each track that the catalogue lacks."""
        missing = sorted(set(track_ids) - self.catalog.known_tracks())
        for track_id in bar(missing, desc="rank of", unit="track"):
            self.catalog.store_tracks([self._track(track_id)])

    def _track(self, track_id):
        """The catalogue's row for a track; nothing but its id where Deezer no longer has it."""
        try:
            row = track(self.client.get(f"track/{_number(track_id)}", "id"))
        except RefusedError:
            row = {}
        return {**row, "track_id": track_id}

    def read_again(self, track_ids):
        """Yield the rank of each track (see `Crawl.read_again`): Deezer has no batches."""
        self.check_budget(len(track_ids), "reading popularity again")
        for track_id in track_ids:
            yield {POPULARITY: {track_id: self._track(track_id).get("popularity")}}


class Client:
    """Deezer's API through requests."""

    def __init__(self, connection, settings):
        gap = 0.0 if connection.synthetic else max(GAP_S, settings.gap_s)
        self.throttle = Throttle("Deezer", gap, settings.longest_wait_s)
        self.session, self.scope = connection.session, Deezer.scope(connection, settings)
        self._connection = connection

    def get(self, path, need, **parameters):
        """Request a path of the API; `need` is a key that a valid response has.

        Raises
        ------
        RefusedError
            If there is no such thing.
        ComeBackLater
        """
        return self.throttle.send(lambda: self._request(path, need, parameters))

    def preview(self, track_id):
        """The present address of a track's preview, valid for 15 minutes; None if it has none."""
        try:
            return self.get(f"track/{_number(track_id)}", "id").get("preview") or None
        except RefusedError:
            return None

    def _request(self, path, need, parameters):
        try:
            response = self._connection.session.get(
                self._connection.deezer + path, params=parameters, timeout=TIMEOUT_S
            )
        except requests.RequestException as error:
            raise RetryableError(f"no response: {type(error).__name__}") from None
        if response.status_code == 429:
            raise RetryableError("429", retry_after(response.headers))
        if (
            response.status_code >= 500 or response.status_code == 403
        ):  # 403: too many requests, by the firewall
            raise RetryableError(str(response.status_code))
        try:
            body = response.json()
        except ValueError:
            raise RetryableError("a response that is not JSON") from None
        if isinstance(body, dict) and body.get("error"):  # with status 200
            raise _error(body["error"])
        if not isinstance(body, dict) or need not in body:
            raise RetryableError("an incomplete response")
        return body


def _error(error):
    """Our error for one inside a response of status 200; it may be an object, a string or a list."""
    code = error.get("code") if isinstance(error, dict) else None
    message = error.get("message", "") if isinstance(error, dict) else str(error)
    if code == QUOTA:
        return RetryableError(message or "quota", retry_after=QUOTA_PAUSE_S)
    if code == BUSY:
        return RetryableError(message or "busy")
    if code in (NO_DATA, 500, 501, 600):
        return RefusedError(message)
    return RetryableError(message or "an error without a reason")


# ---------------------------------------------------------------------- the wire format


def artist(item):
    """What the catalogue keeps of an artist object in a list."""
    return {"artist_id": f"deezer:{item['id']}", "name": item["name"], "followers": item.get("nb_fan")}


def album(item):
    """The columns of the catalogue that an album object gives; tracks and playlists omit its type."""
    kind, date = item.get("record_type"), item.get("release_date")
    date = None if date == "0000-00-00" else date or None
    return {
        "album_id": f"deezer:{item['id']}",
        "album_name": item.get("title"),
        "album_type": {"ep": "single", "compile": "compilation"}.get(kind, kind),
        "release_date": date,
        "release_date_precision": date and "day",
    }


def track(item):
    """The catalogue's row for a track object; the preview's address without its query, which expires."""
    credits = [item.get("artist") or {}, *(item.get("contributors") or [])]
    artists = {credit["id"]: credit["name"] for credit in credits if credit.get("id")}
    inside, preview = item.get("album") or {}, item.get("preview")
    return {
        "track_id": _track_id(item),
        "name": item["title"],
        "artist_ids": [f"deezer:{key}" for key in artists],
        "artist_names": list(artists.values()),
        **(album(inside) if inside.get("id") else {}),
        "duration_ms": 1000 * item["duration"],
        "explicit": int(bool(item.get("explicit_lyrics"))),
        "isrc": item.get("isrc") or None,
        "preview_url": urlsplit(preview)._replace(query="").geturl() if preview else None,
        "popularity": item.get("rank"),
    }


def _track_id(item):
    return f"deezer:{item['id']}"


def _number(identifier):
    return identifier.removeprefix("deezer:")
