"""Spotify: artists of a genre -> their albums -> the albums' tracks -> popularity and audio features.

The strategy `artists` of study 1, with two mends: every list is read to its end (albums over 50
tracks, artists over a page of albums), and albums, tracks and features are read in the largest batches
that the Web API allows (20, 50 and 100).
"""

import time
from datetime import UTC, datetime

import requests
import spotipy
from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyClientCredentials, SpotifyOauthError

from hitsong.cli import bar
from hitsong.config import AUDIO_FEATURES
from hitsong.errors import ComeBackLater, UserError

PAGE, ALBUMS, TRACKS, FEATURES = 50, 20, 50, 100  # the Web API's largest batches
CEILING = 1000  # a search shows no more than its first 1,000 results
LONGEST_WAIT_S = 60


class Spotify:
    """A crawl of one genre.

    Parameters
    ----------
    connection : hitsong.sources.connection.Connection
    settings : hitsong.config.Collect

    Raises
    ------
    UserError
        If the connection has no credentials.
    """

    def __init__(self, connection, settings):
        if not (connection.client_id and connection.client_secret):
            raise UserError(
                "collect.api is live, but SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET are not set: "
                "export them, or set collect.api: standin for synthetic songs"
            )
        self.settings = settings
        self.connection = connection
        self.client = Client(connection)
        self.source = "synthetic" if connection.synthetic else "spotify"
        self.groups = ",".join(sorted(settings.album_types))
        self.crawl = f"{connection.name}:genre:{settings.genre}:{settings.market}"

    @property
    def notice(self):
        """What a user should know before the crawl."""
        if self.connection.synthetic:
            return "The stand-in plays Spotify: artists, songs and popularity are SYNTHETIC."
        return "Spotify's Developer Terms (IV.2) forbid training machine-learning models on its content: see README.md."

    @property
    def planted(self):
        """What the stand-in planted in the genre's songs, or None."""
        return self.connection.planted(self.settings.genre) if self.connection.synthetic else None

    def collect(self, catalog):
        """Bring the catalogue up to date with the genre; returns the number of requests made."""
        self._search(catalog)
        self._albums(catalog)
        self._tracks(catalog)
        self._popularity(catalog)
        self._features(catalog)
        return self.client.requests

    def track_ids(self, catalog):
        """Every track on an album (of the types asked for) of one of the genre's artists."""
        return catalog.column(
            f"""SELECT DISTINCT t.track_id FROM members m JOIN artist_albums aa ON aa.artist_id = m.id
                JOIN albums USING (album_id) JOIN tracks t USING (album_id)
                WHERE m.crawl = ? AND album_type IN ({_marks(self.settings.album_types)}) ORDER BY t.track_id""",
            self.crawl,
            *self.settings.album_types,
        )

    # ------------------------------------------------------------------ artists of the genre

    def _search(self, catalog):
        query = f'genre:"{self.settings.genre}"'
        listing = f"search:{self.crawl}"
        offset = catalog.offset(listing)
        with bar(desc="artists", unit="artist", initial=offset or 0) as progress:
            while offset is not None and offset < CEILING:
                page = self.client.search(
                    q=query, type="artist", limit=PAGE, offset=offset, market=self.settings.market
                )
                page = page["artists"]
                artists = [artist(item) for item in page["items"] if item]
                progress.total = min(page["total"], CEILING)
                offset = offset + PAGE if page["next"] else None
                with catalog.page():
                    catalog.put("artists", artists)
                    catalog.put("members", [{"crawl": self.crawl, "id": row["artist_id"]} for row in artists])
                    catalog.advance(listing, offset)
                progress.update(len(artists))
        if not catalog.column("SELECT 1 FROM members WHERE crawl = ? LIMIT 1", self.crawl):
            raise UserError(
                f"collect.genre: Spotify knows no artist of the genre {self.settings.genre!r}; "
                f"check the spelling"
                + (
                    f"; the stand-in has {', '.join(self.connection.genres)}"
                    if self.connection.synthetic
                    else ""
                )
            )

    # ------------------------------------------------------------------ their albums

    def _albums(self, catalog):
        artists = catalog.column("SELECT id FROM members WHERE crawl = ? ORDER BY id", self.crawl)
        listings = {
            artist_id: f"albums:{artist_id}:{self.groups}:{self.settings.market}" for artist_id in artists
        }
        waiting = [artist_id for artist_id in artists if catalog.offset(listings[artist_id]) is not None]
        for artist_id in bar(waiting, desc="albums of", unit="artist"):
            offset = catalog.offset(listings[artist_id])
            while offset is not None:
                page = self.client.artist_albums(
                    artist_id,
                    include_groups=self.groups,
                    country=self.settings.market,
                    limit=PAGE,
                    offset=offset,
                )
                albums = [album(item) for item in page["items"] if item]
                offset = offset + PAGE if page["next"] else None
                with catalog.page():
                    catalog.put("albums", albums)
                    catalog.put(
                        "artist_albums",
                        [{"artist_id": artist_id, "album_id": row["album_id"]} for row in albums],
                    )
                    catalog.advance(listings[artist_id], offset)

    # ------------------------------------------------------------------ the albums' tracks

    def _tracks(self, catalog):
        waiting = catalog.column(
            """SELECT DISTINCT album_id FROM members JOIN artist_albums ON artist_id = id JOIN albums USING (album_id)
               WHERE crawl = ? AND NOT tracks_known ORDER BY album_id""",
            self.crawl,
        )
        with bar(desc="tracks of", unit="album", total=len(waiting)) as progress:
            fresh = [album_id for album_id in waiting if catalog.offset(f"tracks:{album_id}") == 0]
            for ids in _batches(fresh, ALBUMS):
                answer = self.client.albums(ids, market=self.settings.market)["albums"]
                with catalog.page():
                    for album_id, found in zip(ids, answer, strict=True):
                        self._keep_tracks(catalog, album_id, found and found["tracks"], offset=0)
                progress.update(len(ids))
            # Albums over 50 tracks: what the batch did not embed is read page by page.
            for album_id in waiting:
                while offset := catalog.offset(f"tracks:{album_id}"):
                    page = self.client.album_tracks(
                        album_id, limit=PAGE, offset=offset, market=self.settings.market
                    )
                    with catalog.page():
                        self._keep_tracks(catalog, album_id, page, offset)

    def _keep_tracks(self, catalog, album_id, page, offset):
        """Keep one page of an album's tracks, and where the next one starts."""
        items = page["items"] if page else []  # a null entry: the album is gone
        for item in items:
            if item and item["id"]:  # local files have no id
                row, artists = track(item)
                catalog.put("artists", artists)
                catalog.put_track({**row, "album_id": album_id}, [row["artist_id"] for row in artists])
        more = page and page["next"]
        catalog.advance(f"tracks:{album_id}", offset + PAGE if more else None)
        catalog.put("albums", [{"album_id": album_id, "tracks_known": int(not more)}])

    # ------------------------------------------------------------------ what is known of each track

    def _popularity(self, catalog):
        known = set(catalog.column("SELECT track_id FROM tracks WHERE fetched_at IS NOT NULL"))
        waiting = [track_id for track_id in self.track_ids(catalog) if track_id not in known]
        with bar(desc="popularity of", unit="track", total=len(waiting)) as progress:
            for ids in _batches(waiting, TRACKS):
                answer = self.client.tracks(ids, market=self.settings.market)["tracks"]
                now = datetime.now(UTC).isoformat(timespec="seconds")
                with catalog.page():
                    for track_id, found in zip(ids, answer, strict=True):
                        row = {"track_id": track_id, "popularity_source": self.source, "fetched_at": now}
                        if found:
                            row |= full_track(found)
                        catalog.put("tracks", [row])
                progress.update(len(ids))

    def _features(self, catalog):
        known = set(catalog.column("SELECT track_id FROM tracks WHERE features_known"))
        waiting = [track_id for track_id in self.track_ids(catalog) if track_id not in known]
        with bar(desc="audio features of", unit="track", total=len(waiting)) as progress:
            for ids in _batches(waiting, FEATURES):
                answer = self.client.audio_features(ids)
                with catalog.page():
                    for track_id, found in zip(ids, answer, strict=True):
                        catalog.put_features(
                            track_id, found and {name: found.get(name) for name in AUDIO_FEATURES}
                        )
                progress.update(len(ids))


# ---------------------------------------------------------------------- the wire format


def artist(item):
    """The catalogue's row for an artist object."""
    return {
        "artist_id": item["id"],
        "name": item["name"],
        "genres": ", ".join(item.get("genres") or []),
        "popularity": item.get("popularity"),
        "followers": (item.get("followers") or {}).get("total"),
    }


def album(item):
    """The catalogue's row for a simplified or full album object."""
    return {
        "album_id": item["id"],
        "name": item["name"],
        "album_type": item["album_type"],
        "release_date": item.get("release_date"),
        "release_date_precision": item.get("release_date_precision"),
        "total_tracks": item.get("total_tracks"),
    }


def track(item):
    """The catalogue's row for a simplified track, and the rows of its credited artists."""
    row = {
        "track_id": item["id"],
        "name": item["name"],
        "duration_ms": item["duration_ms"],
        "explicit": int(bool(item.get("explicit"))),
        "preview_url": item.get("preview_url"),
    }
    return row, [{"artist_id": credit["id"], "name": credit["name"]} for credit in item["artists"]]


def full_track(item):
    """What a full track object adds to its simplified form."""
    return {
        "popularity": item.get("popularity"),
        "isrc": (item.get("external_ids") or {}).get("isrc"),
        "preview_url": item.get("preview_url"),
    }


# ---------------------------------------------------------------------- the client


class _Credentials(SpotifyClientCredentials):
    """Spotipy's client-credentials flow, with the token asked of our connection."""

    def __init__(self, connection):
        super().__init__(
            connection.client_id,
            connection.client_secret,
            cache_handler=MemoryCacheHandler(),  # the default writes the token to disk
            requests_session=connection.session,
            requests_timeout=20,
            proxies=connection.session.proxies or None,
        )
        self.OAUTH_TOKEN_URL = connection.token_url


class Client:
    """Spotipy with counted requests, waits that are short or refused, and errors in plain words.

    Any method of `spotipy.Spotify` can be called on it.
    """

    def __init__(self, connection):
        self.requests = 0
        # A session of our own has no retry adapter: a 429 arrives at once, with its headers.
        self._spotify = spotipy.Spotify(
            auth_manager=_Credentials(connection),
            requests_session=connection.session,
            requests_timeout=20,
            proxies=connection.session.proxies or None,
        )
        self._spotify.prefix = connection.api

    def __getattr__(self, name):
        method = getattr(self._spotify, name)

        def call(*arguments, **options):
            return self._call(method, arguments, options)

        return call

    def _call(self, method, arguments, options, attempts=5):
        for attempt in range(1, attempts + 1):
            self.requests += 1
            try:
                return method(*arguments, **options)
            except SpotifyOauthError as error:
                raise UserError(
                    f"Spotify refused the credentials ({error.error_description or error.error}); "
                    "check SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET"
                ) from None
            except spotipy.SpotifyException as error:
                if error.http_status == 429:
                    wait = float((error.headers or {}).get("Retry-After", 5))
                    if wait > LONGEST_WAIT_S:
                        again = datetime.fromtimestamp(time.time() + wait).strftime("%Y-%m-%d %H:%M")
                        raise ComeBackLater(
                            f"Spotify asks for a pause of {wait:,.0f} s; what was read is kept. "
                            f"Run the same command again after {again}"
                        ) from None
                elif error.http_status < 500:
                    raise UserError(f"Spotify refused a request: {error.http_status} {error.msg}") from None
                else:
                    wait = 2.0**attempt / 2
                reason = f"{error.http_status} {error.msg}"
            except requests.RequestException as error:
                wait = 2.0**attempt / 2
                reason = type(error).__name__
            if attempt < attempts:
                time.sleep(wait)
        raise UserError(
            f"Spotify did not answer {attempts} times ({reason}); the same command continues later"
        )


def _batches(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def _marks(values):
    return ", ".join("?" * len(values))
