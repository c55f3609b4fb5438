"""The synthetic Spotify: its endpoints and its error responses, for each class of app.

It follows the Web API's reference, responses recorded in 2024 and 2025, and the notices of 2024-11-27 and 2026-02-11
that took endpoints and fields from apps in development mode. Everything it sends is invented.
"""

import base64
import re
import threading

from starlette.responses import JSONResponse, PlainTextResponse

from standin import web
from standin.catalogue import catalogue
from standin.spotify_objects import (
    CLIENT_ID,
    audio_features,
    full_album,
    full_artist,
    full_track,
    page,
    playlist_entries,
    playlist_entry,
    profile,
    simple_album,
    simple_track,
)

CLIENT_SECRET = "synthetic-client-secret"
TOKEN = "synthetic-token"

GROUPS = ("album", "single", "compilation", "appears_on")
DEEPEST = 1000  # results of a search beyond this cannot be had

spotify = web.Service("spotify")


class Tokens:
    """The bearer token in force: valid from the start and until it is made to expire."""

    def __init__(self):
        self.current = TOKEN
        self._issued = 1
        self._lock = threading.Lock()

    def issue(self):
        """The valid token, a new one if there is none."""
        with self._lock:
            if self.current is None:
                self._issued += 1
                self.current = f"{TOKEN}-{self._issued}"
            return self.current

    def expire(self):
        """From now on the token is refused."""
        self.current = None


# ---------------------------------------------------------------------- access and failures


class Failure(web.Refused):
    """A failure in the Web API's form."""

    def __init__(self, status, message=None):
        body = {"error": {"status": status} | ({"message": message} if message else {})}
        super().__init__(JSONResponse(body, status))


@spotify.post("/api/token")
def token():
    """Issue a bearer token for client credentials."""
    expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    if web.request().headers.get("Authorization") != f"Basic {expected}":
        return JSONResponse({"error": "invalid_client", "error_description": "Invalid client"}, 400)
    if web.form().get("grant_type") != "client_credentials":
        message = "grant_type must be client_credentials, authorization_code or refresh_token"
        return JSONResponse({"error": "unsupported_grant_type", "error_description": message}, 400)
    access_token = web.request().app.state.tokens.issue()
    return {"access_token": access_token, "token_type": "Bearer", "expires_in": 3600}


def check_access(view):
    """Refuse requests to the Web API that carry no valid token, or ask for what the app is not granted."""
    if not web.path().startswith("/v1/"):
        return
    given = web.request().headers.get("Authorization")
    if given is None:
        raise Failure(401, "No token provided")
    if given != f"Bearer {web.request().app.state.tokens.current}":
        raise Failure(401, "The access token expired")
    granted = profile()
    if not granted.premium:
        message = (
            "Active premium subscription required for the owner of the app. Upgrade the owner's account."
        )
        raise web.Refused(PlainTextResponse(message, 403))
    if view.endswith("audio_features") and not granted.audio_features:
        raise Failure(403)
    if view in ("albums", "tracks", "playlist_tracks") and not granted.batches:
        raise Failure(403, "Forbidden")


spotify.before = check_access


# ---------------------------------------------------------------------- parameters


def integer(name, default, low, high):
    """An integer parameter, or the failure that names it."""
    value = web.parameters().get(name, str(default))
    if not re.fullmatch(r"-?\d{1,9}", value) or not low <= int(value) <= high:
        raise Failure(400, f"Invalid {name}")
    return int(value)


def lookup(kind, key):
    """The object with an id, or the failure that there is none."""
    check_id(key)
    item = catalogue().find(kind, key)
    if item is None:
        raise Failure(404, "Resource not found")
    return item


def batch(kind, most):
    """The objects of parameter `ids`, None where nothing has the id."""
    keys = [key for key in web.parameters().get("ids", "").split(",") if key]
    if len(keys) > most:
        raise Failure(400, "too many ids requested")
    for key in keys or [""]:
        check_id(key)
    return [catalogue().find(kind, key) for key in keys]


def check_id(key):
    if not re.fullmatch("[0-9A-Za-z]{22}", key):
        raise Failure(400, "Invalid base62 id")


def requested_page(items, describe, most=50, default=20, **others):
    """The page that the request asks for, at the request's own path."""
    # As at the real service, `q` comes back as `query`, and either is understood.
    query = {"query" if key == "q" else key: value for key, value in web.parameters().items()}
    query = {key: value for key, value in query.items() if key not in ("limit", "offset")}
    limit, offset = integer("limit", min(default, most), 1, most), integer("offset", 0, 0, 10**6)
    return page(items, describe, web.path().rstrip("/"), limit=limit, offset=offset, query=query, **others)


# ---------------------------------------------------------------------- endpoints


@spotify.get("/v1/artists/{key}/albums")
def artist_albums(key):
    by_group = lookup("people", key).releases
    groups = web.parameters().get("include_groups", ",".join(GROUPS)).split(",")
    if not set(groups) <= set(GROUPS):
        raise Failure(400, "Invalid album type")
    releases = [(group, album) for group in GROUPS if group in groups for album in by_group[group]]
    return requested_page(
        releases,
        lambda release: {**simple_album(release[1]), "album_group": release[0]},
        most=profile().largest,
    )


@spotify.get("/v1/albums")
def albums():
    return {"albums": [album and full_album(album) for album in batch("albums", 20)]}


@spotify.get("/v1/albums/{key}")
def album(key):
    return full_album(lookup("albums", key))


@spotify.get("/v1/albums/{key}/tracks")
def album_tracks(key):
    return requested_page(lookup("albums", key).tracks, simple_track)


@spotify.get("/v1/tracks")
def tracks():
    return {"tracks": [track and full_track(track) for track in batch("tracks", 50)]}


@spotify.get("/v1/tracks/{key}")
def track(key):
    return full_track(lookup("tracks", key))


@spotify.get("/v1/audio-features")
def many_audio_features():
    return {"audio_features": [track and audio_features(track) for track in batch("tracks", 100)]}


@spotify.get("/v1/search")
def search():
    query = web.parameters().get("q", web.parameters().get("query", "")).strip()
    kinds = web.parameters().get("type", "").split(",")
    if not query:
        raise Failure(400, "No search query")
    describe = {"artist": full_artist, "track": full_track}
    if not set(kinds) <= set(describe):
        raise Failure(400, f"Bad search type field {','.join(kinds)}")
    most = profile().largest
    if integer("offset", 0, 0, 10**6) + integer("limit", min(20, most), 1, most) > DEEPEST:
        raise Failure(400, "Bad request.")
    return {
        f"{kind}s": requested_page(catalogue().search(kind, query), describe[kind], most=most, end=DEEPEST)
        for kind in kinds
    }


@spotify.get("/v1/playlists/{key}/tracks")
def playlist_tracks(key):
    playlist = lookup("playlists", key)
    entries = playlist_entries(playlist)
    return requested_page(entries, lambda entry: playlist_entry(playlist, entry), most=100, default=100)


@spotify.get("/v1/{_:path}")
def unknown_path(_):
    raise Failure(404, "Service not found")


@spotify.get("/mp3-preview/{key}")
async def preview(key):
    return await catalogue().mp3(catalogue().find("previews", key))
