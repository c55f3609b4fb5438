"""Deezer's public API: no key, previews for everyone, and `rank` as popularity.

artists
    The artists of one of Deezer's coarse genres, or those named in a file -> their albums -> the albums' tracks.
playlist
    The tracks of the playlists that a query finds: the way to a genre that Deezer has no name for.

Every track is then read once on its own, because only there Deezer says who else is credited, and without
the guests no split by artist is honest. `rank` (0 to about a million) is kept raw; as popularity it becomes
the percentile among the crawl's recordings.
"""

from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests

from hitsong.collect import deduplicate
from hitsong.collect.deduplicate import normalised
from hitsong.collect.filters import in_years, lines_of
from hitsong.collect.throttle import Manners, Trouble, retry_after
from hitsong.errors import UserError
from hitsong.files import digest
from hitsong.progress import bar

PAGE = 100
GAP_S = 0.1  # Deezer allows 50 requests in 5 seconds,
QUOTA_PAUSE_S = 5.0  # and says so without a Retry-After
PLAYLISTS = 25  # how many of a query's playlists are read
TIMEOUT_S = 20
QUOTA, BUSY, NO_DATA = 4, 700, 800  # error codes


class Refused(Exception):
    """Deezer has no such thing, or does not understand the question."""


class Deezer:
    """A crawl.

    Parameters
    ----------
    connection : hitsong.collect.connection.Connection
    settings : hitsong.config.Collect

    Raises
    ------
    UserError
        If the strategy is not one of Deezer's.
    """

    percentile = True

    def __init__(self, connection, settings):
        if settings.strategy not in ("artists", "playlist"):
            raise UserError(
                f"collect.strategy {settings.strategy} is Spotify's; Deezer has artists and playlist"
            )
        self.connection, self.settings = connection, settings
        self.client = Client(connection, settings)
        self.source = f"{'synthetic ' if connection.synthetic else ''}deezer rank percentile"

    @property
    def notice(self):
        """What a user should know before the crawl."""
        if self.connection.synthetic:
            return "The stand-in plays Deezer: artists, songs and popularity are SYNTHETIC."
        return "Deezer's terms allow personal, non-commercial use of its API: see README.md."

    planted = None

    @property
    def requests(self):
        return self.client.manners.requests

    def collect(self, catalog):
        """Bring the catalogue up to date with the crawl; returns the number of requests made."""
        self.catalog = catalog
        if self.settings.strategy == "playlist":
            self._playlists()
        else:
            self._artists()
            self._albums()
            self._tracks()
        self._details()
        return self.requests

    def economy(self, tracks):
        """Say what the crawl cost."""
        return f"{self.requests:,} requests ({1000 * self.requests / max(1, tracks):,.0f} per 1,000 tracks)"

    def tracks(self, catalog):
        """The tracks of this crawl, copies included."""
        return deduplicate.table(catalog, self.track_ids(catalog))

    def track_ids(self, catalog):
        """The tracks of this crawl that pass its filters: years and album types."""
        if self.settings.strategy == "playlist":
            rows = catalog.query(
                """SELECT m.id AS track_id, a.release_date, a.album_type FROM members m
                   JOIN tracks t ON t.track_id = m.id LEFT JOIN albums a USING (album_id)
                   WHERE m.crawl = ? ORDER BY m.id""",
                self._crawl,
            )
            return [row["track_id"] for row in rows if in_years(row["release_date"], self.settings.years)]
        rows = catalog.query(
            """SELECT DISTINCT t.track_id, a.release_date, a.album_type FROM members m
               JOIN artist_albums aa ON aa.artist_id = m.id
               JOIN albums a USING (album_id) JOIN tracks t USING (album_id)
               WHERE m.crawl = ? ORDER BY t.track_id""",
            self._crawl,
        )
        return [row["track_id"] for row in rows if self._wanted(row)]

    @property
    def _crawl(self):
        s = self.settings
        if s.strategy == "playlist":
            return f"{self.connection.name}:deezer:playlist:{s.playlist}"
        what = digest(self._names()) if s.artists_file else ",".join(s.genres)
        return f"{self.connection.name}:deezer:artists:{what}"

    # ------------------------------------------------------------------ artists -> albums -> tracks

    def _artists(self):
        if self.settings.artists_file:
            for name in bar(self._names(), desc="looking up", unit="artist"):
                listing = f"artist:{self._crawl}:{name}"
                if self.catalog.offset(listing) is None:
                    continue
                found = self.client.get("search/artist", "data", q=name, limit=PAGE)["data"]
                match = next(
                    (item for item in found if item and normalised(item["name"]) == normalised(name)), None
                )
                if match is None:
                    print(f"{name}: Deezer knows no artist of this name")
                self._keep_artists(listing, [match] if match else [])
            return
        listing = f"artists:{self._crawl}"
        if self.catalog.offset(listing) is None:
            return
        genres = {item["name"]: item["id"] for item in self.client.get("genre", "data")["data"] if item}
        for genre in self.settings.genres:
            found = next((name for name in genres if normalised(name) == normalised(genre)), None)
            if found is None:
                raise UserError(
                    f"collect.genre: Deezer has no genre {genre!r}, only {', '.join(sorted(genres))}. "
                    "Name the artists in collect.artists_file, or use collect.strategy: playlist with "
                    "collect.playlist: a query"
                )
            self._keep_artists(listing, self.client.get(f"genre/{genres[found]}/artists", "data")["data"])

    def _names(self):
        return lines_of(self.settings.artists_file, "collect.artists_file")

    def _keep_artists(self, listing, items):
        with self.catalog.page():
            for item in filter(None, items):
                self.catalog.put("artists", [artist(item)])
                self.catalog.put("members", [{"crawl": self._crawl, "id": artist(item)["artist_id"]}])
            self.catalog.advance(listing, None)

    def _albums(self):
        artists = self.catalog.column("SELECT id FROM members WHERE crawl = ? ORDER BY id", self._crawl)
        waiting = [one for one in artists if self.catalog.offset(f"albums:{one}") is not None]
        for artist_id in bar(waiting, desc="albums of", unit="artist"):
            for page, following in self._pages(f"albums:{artist_id}", f"artist/{_number(artist_id)}/albums"):
                albums = [album(item) for item in page]
                with self.catalog.page():
                    self.catalog.put("albums", albums)
                    self.catalog.put(
                        "artist_albums",
                        [{"artist_id": artist_id, "album_id": row["album_id"]} for row in albums],
                    )
                    self.catalog.advance(f"albums:{artist_id}", following)

    def _tracks(self):
        rows = self.catalog.query(
            """SELECT DISTINCT a.album_id, a.release_date, a.album_type FROM members m
               JOIN artist_albums aa ON aa.artist_id = m.id JOIN albums a USING (album_id)
               WHERE m.crawl = ? ORDER BY a.album_id""",
            self._crawl,
        )
        wanted = [row["album_id"] for row in rows if self._wanted(row)]
        waiting = [one for one in wanted if self.catalog.offset(f"tracks:{one}") is not None]
        for album_id in bar(waiting, desc="tracks of", unit="album"):
            for page, following in self._pages(f"tracks:{album_id}", f"album/{_number(album_id)}/tracks"):
                with self.catalog.page():
                    for item in page:
                        self._keep_found(item, album_id)
                    self.catalog.advance(f"tracks:{album_id}", following)

    def _playlists(self):
        if self.settings.playlist is None:
            raise UserError("strategy playlist needs collect.playlist: what to search Deezer's playlists for")
        listing = f"playlists:{self._crawl}"
        if self.catalog.offset(listing) is not None:
            found = self.client.get("search/playlist", "data", q=self.settings.playlist, limit=PLAYLISTS)[
                "data"
            ]
            with self.catalog.page():
                for item in filter(None, found):
                    self.catalog.put("members", [{"crawl": listing, "id": str(item["id"])}])
                self.catalog.advance(listing, None)
        playlists = self.catalog.column("SELECT id FROM members WHERE crawl = ? ORDER BY id", listing)
        if not playlists:
            raise UserError(f"collect.playlist: Deezer finds no playlist for {self.settings.playlist!r}")
        for playlist in bar(playlists, desc="playlists", unit="playlist"):
            for page, following in self._pages(f"playlist:{playlist}", f"playlist/{playlist}/tracks"):
                with self.catalog.page():
                    for item in page:
                        self.catalog.put("members", [{"crawl": self._crawl, "id": self._keep_found(item)}])
                    self.catalog.advance(f"playlist:{playlist}", following)

    def _pages(self, listing, path):
        """Read a list from where it stopped: (items, where it goes on) pairs."""
        index = self.catalog.offset(listing)
        while index is not None:
            try:
                page = self.client.get(path, "data", limit=PAGE, index=index)
            except Refused:  # gone since it was listed
                page = {"data": []}
            index = index + PAGE if page.get("next") or index + PAGE < page.get("total", 0) else None
            yield [item for item in page["data"] if item], index

    def _keep_found(self, item, album_id=None):
        """Keep a track as lists have it: enough to be asked for."""
        track_id = f"deezer:{item['id']}"
        known = self.catalog.column("SELECT 1 FROM tracks WHERE track_id = ?", track_id)
        if not known:
            self.catalog.put("tracks", [{"track_id": track_id, "album_id": album_id, "name": item["title"]}])
        return track_id

    # ------------------------------------------------------------------ each track on its own

    def _details(self):
        unread = set(self.catalog.column("SELECT track_id FROM tracks WHERE fetched_at IS NULL"))
        waiting = [track_id for track_id in self.track_ids(self.catalog) if track_id in unread]
        for track_id in bar(waiting, desc="rank of", unit="track"):
            try:
                item = self.client.get(f"track/{_number(track_id)}", "id")
            except Refused:
                item = None
            now = datetime.now(UTC).isoformat(timespec="seconds")
            row = {"track_id": track_id, "popularity_source": self.source, "fetched_at": now}
            with self.catalog.page():
                if item is None:
                    self.catalog.put("tracks", [row])
                    continue
                found, artists, its_album = track(item)
                self.catalog.put("artists", artists)
                if its_album:
                    known = self.catalog.column(
                        "SELECT 1 FROM albums WHERE album_id = ?", its_album["album_id"]
                    )
                    if not known:  # an album's own entry says more
                        self.catalog.put("albums", [its_album])
                kept = self.catalog.column("SELECT album_id FROM tracks WHERE track_id = ?", track_id)[0]
                row |= found | {"album_id": kept or (its_album and its_album["album_id"])}
                self.catalog.put_track(row, [credit["artist_id"] for credit in artists])

    def _wanted(self, row):
        return (
            in_years(row["release_date"], self.settings.years)
            and row["album_type"] in self.settings.album_types
        )


class Client:
    """Deezer over requests, with manners.

    Parameters
    ----------
    connection : hitsong.collect.connection.Connection
    settings : hitsong.config.Collect
    """

    def __init__(self, connection, settings):
        gap = 0.0 if connection.synthetic else max(GAP_S, settings.gap_s)
        self.manners = Manners("Deezer", gap, settings.longest_wait_s)
        self._connection = connection

    def get(self, path, need, **parameters):
        """Ask for a path of the API; `need` is a key that a good answer has.

        Raises
        ------
        Refused
            If there is no such thing.
        ComeBackLater
        """
        return self.manners.ask(lambda: self._once(path, need, parameters))

    def preview(self, track_id):
        """Resolve a track's preview to an address that is good for 15 minutes; None if it has none."""
        try:
            return self.get(f"track/{_number(track_id)}", "id").get("preview") or None
        except Refused:
            return None

    def _once(self, path, need, parameters):
        try:
            answer = self._connection.session.get(
                self._connection.deezer + path, params=parameters, timeout=TIMEOUT_S
            )
        except requests.RequestException as error:
            raise Trouble(f"no answer: {type(error).__name__}") from None
        if answer.status_code == 429:
            raise Trouble("429", retry_after(answer.headers))
        if (
            answer.status_code >= 500 or answer.status_code == 403
        ):  # 403: asked too fast, by Deezer's firewall
            raise Trouble(str(answer.status_code))
        try:
            body = answer.json()
        except ValueError:
            raise Trouble("an answer that is not JSON") from None
        if isinstance(body, dict) and body.get("error"):  # with status 200
            raise _error(body["error"])
        if not isinstance(body, dict) or need not in body:
            raise Trouble("an answer that is not what was asked for")
        return body


def _error(error):
    """What an error inside a good answer means to us; it may be an object, a string or a list."""
    code = error.get("code") if isinstance(error, dict) else None
    message = error.get("message", "") if isinstance(error, dict) else str(error)
    if code == QUOTA:
        return Trouble(message or "quota", retry_after=QUOTA_PAUSE_S)
    if code == BUSY:
        return Trouble(message or "busy")
    if code in (NO_DATA, 500, 501, 600):
        return Refused(message)
    return Trouble(message or "an error without a reason")


# ---------------------------------------------------------------------- the wire format


def artist(item):
    """The catalogue's row for an artist object."""
    return {"artist_id": f"deezer:{item['id']}", "name": item["name"], "followers": item.get("nb_fan")}


def album(item):
    """The catalogue's row for an album object, or for the album inside a track."""
    row = {"album_id": f"deezer:{item['id']}", "name": item.get("title")}
    if item.get("record_type"):
        kind = item["record_type"]
        row["album_type"] = {"ep": "single", "compile": "compilation"}.get(kind, kind)
    date = item.get("release_date")
    if date and date != "0000-00-00":
        row |= {"release_date": date, "release_date_precision": "day"}
    return row


def track(item):
    """The catalogue's rows for a full track: itself, all its credited artists, and its album (or None).

    The preview's address is kept without its query, which expires.
    """
    credits = item.get("contributors") or []
    main = item.get("artist") or {}
    artists = {one["id"]: artist(one) for one in [main, *credits] if one.get("id")}
    preview = item.get("preview") or None
    row = {
        "name": item["title"],
        "duration_ms": 1000 * item["duration"],
        "explicit": int(bool(item.get("explicit_lyrics"))),
        "isrc": item.get("isrc") or None,
        "preview_url": urlsplit(preview)._replace(query="").geturl() if preview else None,
        "popularity": item.get("rank"),
    }
    inside = item.get("album") or {}
    return row, list(artists.values()), album(inside) if inside.get("id") else None


def _number(identifier):
    return identifier.removeprefix("deezer:")
