"""Spotify's Web API as it is in 2026: a client that survives it, a probe of what it gives us, and its wire format."""

import logging
from dataclasses import asdict, dataclass

import requests
import spotipy
from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyClientCredentials, SpotifyOauthError

from hitsong.collect.throttle import Manners, Trouble, retry_after
from hitsong.errors import UserError

PAGE, SMALL_PAGE = 50, 10  # list limits: of extended and older development apps, and of newer ones
ALBUMS, TRACKS, FEATURES = 20, 50, 100  # the largest batches
CEILING = 1000  # a search shows no more than its first 1,000 results
TIMEOUT_S = 20

# Spotipy logs every refusal; what matters of them is said by us.
logging.getLogger("spotipy").setLevel(logging.CRITICAL)


class Refused(Exception):
    """An answer that asking again will not change: status and message."""

    def __init__(self, status, message):
        super().__init__(f"{status} {message}".strip())
        self.status = status


class _Credentials(SpotifyClientCredentials):
    """Spotipy's client-credentials flow, with the token asked of our connection and kept in memory."""

    def __init__(self, connection):
        super().__init__(
            connection.client_id,
            connection.client_secret,
            cache_handler=MemoryCacheHandler(),  # the default writes the token to disk
            requests_session=connection.session,
            requests_timeout=TIMEOUT_S,
            proxies=connection.session.proxies or None,
        )
        self.OAUTH_TOKEN_URL = connection.token_url

    def forget(self):
        self.cache_handler.save_token_to_cache(None)


class Client:
    """Spotipy with manners.

    Every call names the key that a good answer has: an empty, half or foreign body is then asked for
    again rather than believed.

    Parameters
    ----------
    connection : hitsong.collect.connection.Connection
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
        gap = 0.0 if connection.synthetic else settings.gap_s
        self.manners = Manners("Spotify", gap, settings.longest_wait_s)
        self._credentials = _Credentials(connection)
        # A session of our own has no retry adapter: a 429 arrives at once, with its headers.
        self._spotify = spotipy.Spotify(
            auth_manager=self._credentials,
            requests_session=connection.session,
            requests_timeout=TIMEOUT_S,
            proxies=connection.session.proxies or None,
        )
        self._spotify.prefix = connection.api

    def get(self, path, need, **parameters):
        """Ask for a path of the Web API.

        Parameters
        ----------
        path : str
            For example ``artists/ID/albums``.
        need : str
            A key that a good answer has.
        **parameters
            Of the query; None is left out.

        Raises
        ------
        Refused
            If the service says no for good.
        UserError
            If it refuses the credentials, or the app's owner has no Premium.
        ComeBackLater
        """
        parameters = {name: value for name, value in parameters.items() if value is not None}
        return self.manners.ask(lambda: self._once(path, need, parameters))

    def _once(self, path, need, parameters):
        try:
            answer = self._spotify._get(path, **parameters)
        except SpotifyOauthError as error:
            if error.error in ("invalid_client", "invalid_request", "unauthorized_client"):
                raise UserError(
                    f"Spotify refused the credentials ({error.error_description or error.error}); "
                    "check SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET"
                ) from None
            raise Trouble("no token") from None
        except spotipy.SpotifyException as error:
            raise self._translated(error) from None
        except requests.RequestException as error:
            raise Trouble(f"no answer: {type(error).__name__}") from None
        except (AttributeError, KeyError, TypeError):  # spotipy trips over bodies that are not as documented
            raise Trouble("an error that cannot be read") from None
        if not isinstance(answer, dict) or need not in answer:
            raise Trouble("an answer that is not what was asked for")
        return answer

    def _translated(self, error):
        """What an HTTP error means to us."""
        status, message = error.http_status, str(error.msg).rpartition(":\n ")[2]
        message = "" if message == "None" else " ".join(message.split())
        if status == 429:
            return Trouble("429", retry_after(error.headers), quota=error.reason == "QUOTA_EXCEEDED")
        if status >= 500 or status == 408:
            return Trouble(f"{status} {message}".strip())
        if status == 401:  # expired before its time: the next attempt brings a new one
            self._credentials.forget()
            return Trouble("401, the token was refused")
        if status == 403 and "premium" in message.lower():
            return UserError(
                "Spotify refuses this app: its owner needs a Premium subscription (since February 2026). "
                f"{ALTERNATIVES}"
            )
        return Refused(status, message)


# ---------------------------------------------------------------------- what this app may do


ALTERNATIVES = "Sources that need no Spotify app: collect.source deezer, fma or table; see README.md"


@dataclass(frozen=True)
class Capabilities:
    """What the service gives this app.

    Attributes
    ----------
    page : int
        Largest page of a list.
    popularity, previews, batches, features : bool
    why : dict of str to str
        A reason for each no.
    """

    page: int
    popularity: bool
    previews: bool
    batches: bool
    features: bool
    why: dict

    def rows(self):
        """(what, yes / no / number, why) lines for the terminal and the catalogue."""
        words = {
            "page": "largest page",
            "popularity": "popularity",
            "previews": "preview URLs",
            "batches": "batch reads",
            "features": "audio features",
        }
        values = asdict(self)
        for name, label in words.items():
            value = values[name]
            shown = ("yes" if value else "no") if isinstance(value, bool) else str(value)
            yield label, shown, self.why.get(name, "")


def probe(client, genre, genres=(), market=None):
    """Find out with a handful of requests what the service gives this app.

    Spotify does not say which class an app is of; it can only be tried.

    Parameters
    ----------
    client : Client
    genre : str
        Whose tracks to try it on.
    genres : sequence of str
        The genres that there are, if that is known.
    market : str, optional

    Returns
    -------
    Capabilities

    Raises
    ------
    UserError
        If not even a search is answered, or the genre has no tracks.
    """
    why, page = {}, PAGE
    query = {"q": f'genre:"{genre}"', "type": "track", "market": market}
    try:
        found = client.get("search", "tracks", limit=PAGE, **query)
    except Refused as refusal:
        if refusal.status != 400:
            raise UserError(f"Spotify refuses even a search ({refusal}). {ALTERNATIVES}") from None
        page, why["page"] = SMALL_PAGE, "a development app made since February 2026"
        found = client.get("search", "tracks", limit=SMALL_PAGE, **query)
    tracks = [item for item in found["tracks"]["items"] if item]
    if not tracks:
        known = f"; the stand-in has {', '.join(genres)}" if genres else ""
        raise UserError(
            f"collect.genre: Spotify knows no track of the genre {genre!r}; check the spelling{known}"
        )
    popularity = any(item.get("popularity") is not None for item in tracks)
    previews = any(item.get("preview_url") for item in tracks)
    if not popularity:
        why["popularity"] = "removed for development apps made since February 2026"
    if not previews:
        why["previews"] = "null since November 2024 but for apps with extended access"
    ids = ",".join(item["id"] for item in tracks[:2])
    batches = _allowed(client, "tracks", "tracks", ids, why, "batches")
    features = _allowed(client, "audio-features", "audio_features", ids, why, "features")
    return Capabilities(page, popularity, previews, batches, features, why)


def _allowed(client, path, need, ids, why, name):
    try:
        client.get(path, need, ids=ids)
        return True
    except Refused as refusal:
        why[name] = f"the service answers {refusal}"
        return False


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
    }
    if item.get("preview_url"):
        row["preview_url"] = item["preview_url"]
    return row, [{"artist_id": c["id"], "name": c["name"]} for c in item["artists"] if c.get("id")]


def full_track(item):
    """What a full track object adds to its simplified form."""
    row = {
        "popularity": item.get("popularity"),
        "isrc": (item.get("external_ids") or {}).get("isrc"),
    }
    if item.get("preview_url"):
        row["preview_url"] = item["preview_url"]
    return row


def playable(item):
    """Whether a list's entry is a track with an id: not null, not a local file, not an episode."""
    return bool(item and item.get("id") and item.get("type", "track") == "track" and not item.get("is_local"))


def more(page, offset, size):
    """Where a list goes on, or None at its end; `next` may be null too early, and `total` may change."""
    following = offset + size
    return following if page.get("next") or following < (page.get("total") or 0) else None
