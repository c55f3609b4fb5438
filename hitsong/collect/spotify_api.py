"""Spotify's Web API as of 2026: a client, a probe of what the service gives an app, and the wire format."""

import logging
from dataclasses import asdict, dataclass

import requests
import spotipy
from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyClientCredentials, SpotifyOauthError

from hitsong.collect.catalog import Page
from hitsong.collect.throttle import RefusedError, RetryableError, Throttle, retry_after
from hitsong.errors import UserError

PAGE, SMALL_PAGE = 50, 10  # list limits: of extended and older development apps, and of newer ones
ALBUMS, TRACKS, FEATURES = 20, 50, 100  # the largest batches
CEILING = 1000  # a search shows no more than its first 1,000 results
TIMEOUT_S = 20

# Spotipy logs every refusal; those that matter are reported by our own errors.
logging.getLogger("spotipy").setLevel(logging.CRITICAL)


class _Credentials(SpotifyClientCredentials):
    """Spotipy's client-credentials flow through our connection, with the token in memory."""

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
    """Spotipy with our own throttle.

    Every request names a key that a valid response has: an empty, partial or foreign body is then requested
    again.

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
        self.throttle = Throttle("Spotify", gap, settings.longest_wait_s)
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
        """Request a path of the Web API.

        Parameters
        ----------
        path : str
            For example ``artists/ID/albums``.
        need : str
            A key that a valid response has.
        **parameters
            Of the query; None is left out.

        Raises
        ------
        RefusedError
            If the service refuses the request for good.
        UserError
            If it refuses the credentials, or the app's owner has no Premium.
        ComeBackLater
        """
        parameters = {name: value for name, value in parameters.items() if value is not None}
        return self.throttle.send(lambda: self._request(path, need, parameters))

    def _request(self, path, need, parameters):
        try:
            body = self._spotify._get(path, **parameters)
        except SpotifyOauthError as error:
            if error.error in ("invalid_client", "invalid_request", "unauthorized_client"):
                raise UserError(
                    f"Spotify refused the credentials ({error.error_description or error.error}); "
                    "check SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET"
                ) from None
            raise RetryableError("no token") from None
        except spotipy.SpotifyException as error:
            raise self._translate(error) from None
        except requests.RequestException as error:
            raise RetryableError(f"no response: {type(error).__name__}") from None
        except (AttributeError, KeyError, TypeError):  # spotipy fails on bodies that are not as documented
            raise RetryableError("an unreadable error") from None
        if not isinstance(body, dict) or need not in body:
            raise RetryableError("an incomplete response")
        return body

    def _translate(self, error):
        """Our error for an HTTP error."""
        status, message = error.http_status, str(error.msg).rpartition(":\n ")[2]
        message = "" if message == "None" else " ".join(message.split())
        if status == 429:
            return RetryableError("429", retry_after(error.headers), quota=error.reason == "QUOTA_EXCEEDED")
        if status >= 500 or status == 408:
            return RetryableError(f"{status} {message}".strip())
        if status == 401:  # expired early: the next attempt requests a new one
            self._credentials.forget()
            return RetryableError("401, the token was refused")
        if status == 403 and "premium" in message.lower():
            return UserError(
                "Spotify refuses this app: its owner needs a Premium subscription (since February 2026). "
                f"{ALTERNATIVES}"
            )
        return RefusedError(f"{status} {message}".strip(), status)


# ---------------------------------------------------------------------- the app's capabilities


ALTERNATIVES = "Sources that need no Spotify app: collect.source deezer, fma or table; see README.md"


@dataclass(frozen=True)
class Capabilities:
    """What the service gives an app.

    Attributes
    ----------
    page : int
        Largest page of a list.
    popularity, previews, batches, features : bool
    why : dict of str to str
        A reason for each that is missing.
    """

    page: int
    popularity: bool
    previews: bool
    batches: bool
    features: bool
    why: dict

    def rows(self):
        """(label, yes / no / number, reason) lines for the terminal."""
        labels = {
            "page": "largest page",
            "popularity": "popularity",
            "previews": "preview URLs",
            "batches": "batch reads",
            "features": "audio features",
        }
        values = asdict(self)
        for name, label in labels.items():
            value = values[name]
            text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
            yield label, text, self.why.get(name, "")


def probe(client, genre, genres=(), market=None):
    """Find out with a few requests what the service gives this app: Spotify does not state an app's class.

    Parameters
    ----------
    genre : str
        Whose tracks to try.
    genres : sequence of str
        All genres of the service, if they are known; for the error message.

    Returns
    -------
    Capabilities

    Raises
    ------
    UserError
        If the service refuses even a search, or the genre has no tracks.
    """
    why, page = {}, PAGE
    query = {"q": f'genre:"{genre}"', "type": "track", "market": market}
    try:
        response = client.get("search", "tracks", limit=PAGE, **query)
    except RefusedError as error:
        if error.status != 400:
            raise UserError(f"Spotify refuses even a search ({error}). {ALTERNATIVES}") from None
        page, why["page"] = SMALL_PAGE, "a development app made since February 2026"
        response = client.get("search", "tracks", limit=SMALL_PAGE, **query)
    tracks = [item for item in response["tracks"]["items"] if item]
    if not tracks:
        hint = f"; the stand-in has {', '.join(genres)}" if genres else ""
        raise UserError(
            f"collect.genre: Spotify has no track of the genre {genre!r}; check the spelling{hint}"
        )
    popularity = any(item.get("popularity") is not None for item in tracks)
    previews = any(item.get("preview_url") for item in tracks)
    if not popularity:
        why["popularity"] = "removed for development apps made since February 2026"
    if not previews:
        why["previews"] = "null since November 2024, except for apps with extended access"
    ids = ",".join(item["id"] for item in tracks[:2])
    batches = _allowed(client, "tracks", "tracks", ids, why, "batches")
    features = _allowed(client, "audio-features", "audio_features", ids, why, "features")
    return Capabilities(page, popularity, previews, batches, features, why)


def _allowed(client, path, need, ids, why, name):
    try:
        client.get(path, need, ids=ids)
        return True
    except RefusedError as error:
        why[name] = f"the service responds {error}"
        return False


# ---------------------------------------------------------------------- the wire format


def artist(item):
    """The fields of an artist object that the catalogue stores."""
    return {
        "artist_id": item["id"],
        "name": item["name"],
        "genres": item.get("genres") or [],
        "popularity": item.get("popularity"),
        "followers": (item.get("followers") or {}).get("total"),
    }


def album(item):
    """The columns of the catalogue that a simplified or full album object gives."""
    return {
        "album_id": item["id"],
        "album_name": item["name"],
        "album_type": item["album_type"],
        "release_date": item.get("release_date"),
        "release_date_precision": item.get("release_date_precision"),
    }


def track(item, track_id=None):
    """The catalogue's row for a full track object.

    Parameters
    ----------
    item : dict or None
        None for a track that the service no longer has.
    track_id : str, optional
        The id that was requested, if it is not the track's own: relinking returns another copy.
    """
    if item is None:
        return {"track_id": track_id}
    artists = [credit for credit in item["artists"] if credit.get("id")]
    return {
        "track_id": track_id or item["id"],
        "name": item["name"],
        "artist_ids": [credit["id"] for credit in artists],
        "artist_names": [credit["name"] for credit in artists],
        **album(item["album"]),
        "duration_ms": item["duration_ms"],
        "explicit": int(bool(item.get("explicit"))),
        "isrc": (item.get("external_ids") or {}).get("isrc"),
        "preview_url": item.get("preview_url"),
        "popularity": item.get("popularity"),
    }


def playable(item):
    """Whether a list's entry is a track with an id: not null, not a local file, not an episode."""
    return bool(item and item.get("id") and item.get("type", "track") == "track" and not item.get("is_local"))


def page(body, offset, size, items):
    """A page of a list; `next` may be null too early, and `total` may change between pages.

    Parameters
    ----------
    body : dict
        The paging object.
    offset, size : int
        As requested.
    items : list
        What the catalogue keeps of its entries.

    Returns
    -------
    hitsong.collect.catalog.Page
    """
    following = offset + size
    more = body.get("next") or following < (body.get("total") or 0)
    return Page(items, following if more else None, body.get("total"))
