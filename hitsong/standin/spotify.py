"""The synthetic Spotify: its endpoints, its objects and its failure bodies, for an app of class `extended`.

Facts follow the Web API's reference and recorded answers of 2024 and 2025. Everything it sends is invented.
"""

import base64
import os
import re
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from hitsong.standin.composer import compose, encode_mp3
from hitsong.standin.world import GENRES, World

CLIENT_ID = "synthetic-client-id"
CLIENT_SECRET = "synthetic-client-secret"
TOKEN = "synthetic-token"

# Hosts of the services; .test is a top-level domain reserved for tests.
API, ACCOUNTS, PREVIEWS = "api.spotify.test", "accounts.spotify.test", "p.scdn.test"

MARKETS = ["AU", "CA", "DE", "HK", "JP", "MY", "SG", "TW", "US"]
GROUPS = ("album", "single", "compilation", "appears_on")
DEEPEST = 1000  # results of a search beyond this cannot be had

spotify = Blueprint("spotify", __name__)


class Catalogue:
    """Every genre's world, each made when it is first asked for.

    Parameters
    ----------
    settings : hitsong.config.Standin
    """

    def __init__(self, settings):
        self.settings = settings
        self._worlds = {}
        self._lock = threading.Lock()
        # As many songs at once as there are cores, always in the same threads: memory stays flat.
        self._studio = ThreadPoolExecutor(os.cpu_count(), "studio")

    def world(self, genre):
        """The world of a genre."""
        with self._lock:
            if genre not in self._worlds:
                self._worlds[genre] = World(self.settings, genre)
            return self._worlds[genre]

    def worlds(self):
        """Every world, one after the other."""
        return map(self.world, GENRES)

    def find(self, kind, key):
        """An object by its id: `kind` is people, albums, tracks or previews; None if nothing has it."""
        return next((found[key] for world in self.worlds() if key in (found := getattr(world, kind))), None)

    def render(self, recording):
        """The MP3 of a recording, composed anew at every call."""
        try:
            return self._studio.submit(_produce, recording, self.settings.seconds).result()
        except CancelledError:
            abort(503)  # the stand-in is closing

    def close(self):
        """Finish the songs begun and drop those waiting."""
        self._studio.shutdown(cancel_futures=True)


def _produce(recording, seconds):
    return encode_mp3(compose(recording.traits, seconds, recording.seed))


def catalogue():
    """The catalogue of the running app."""
    return current_app.extensions["catalogue"]


# ---------------------------------------------------------------------------------------------------
# Access and failures


class Failure(HTTPException):
    """A failure in the Web API's form."""

    def __init__(self, status, message):
        body = jsonify({"error": {"status": status, "message": message}})
        body.status_code = status
        super().__init__(message, body)


@spotify.post("/api/token")
def token():
    """Client credentials against a bearer token."""
    expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    if request.headers.get("Authorization") != f"Basic {expected}":
        return jsonify({"error": "invalid_client", "error_description": "Invalid client"}), 400
    if request.form.get("grant_type") != "client_credentials":
        message = "grant_type must be client_credentials, authorization_code or refresh_token"
        return jsonify({"error": "unsupported_grant_type", "error_description": message}), 400
    return jsonify({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})


@spotify.before_request
def check_token():
    """Refuse requests to the Web API that carry no valid token."""
    if request.path.startswith("/v1/"):
        given = request.headers.get("Authorization")
        if given is None:
            raise Failure(401, "No token provided")
        if given != f"Bearer {TOKEN}":
            raise Failure(401, "The access token expired")


# ---------------------------------------------------------------------------------------------------
# Parameters


def integer(name, default, low, high):
    """An integer parameter, or the failure that names it."""
    value = request.args.get(name, str(default))
    if not re.fullmatch(r"-?\d{1,9}", value) or not low <= int(value) <= high:
        raise Failure(400, f"Invalid {name}")
    return int(value)


def lookup(kind, key):
    """The object with an id, or the failure that says why there is none."""
    check_id(key)
    found = catalogue().find(kind, key)
    if found is None:
        raise Failure(404, "Resource not found")
    return found


def batch(kind, most):
    """The objects of parameter `ids`, None where nothing has the id."""
    keys = [key for key in request.args.get("ids", "").split(",") if key]
    if len(keys) > most:
        raise Failure(400, "too many ids requested")
    for key in keys or [""]:
        check_id(key)
    return [catalogue().find(kind, key) for key in keys]


def check_id(key):
    if not re.fullmatch("[0-9A-Za-z]{22}", key):
        raise Failure(400, "Invalid base62 id")


# ---------------------------------------------------------------------------------------------------
# Objects


def home(host):
    """Address of a service: its host if the client uses us as its proxy, ours if it asks us directly."""
    return f"http://{host if request.host.endswith('.test') else request.host}"


def reference(kind, key):
    """What every object says about itself."""
    return {
        "external_urls": {"spotify": f"http://open.spotify.test/{kind}/{key}"},
        "href": f"{home(API)}/v1/{kind}s/{key}",
        "id": key,
        "type": kind,
        "uri": f"spotify:{kind}:{key}",
    }


def images(key):
    return [
        {"url": f"http://i.scdn.test/image/{key}-{side}", "height": side, "width": side}
        for side in (640, 300, 64)
    ]


def availability():
    """With a market, a track says whether it plays there; without, where it plays."""
    return {"is_playable": True} if "market" in request.args else {"available_markets": MARKETS}


def simple_artist(artist):
    return {**reference("artist", artist.id), "name": artist.name}


def full_artist(artist):
    return {
        **simple_artist(artist),
        "followers": {"href": None, "total": artist.followers},
        "genres": artist.genres,
        "images": images(artist.id),
        "popularity": artist.popularity,
    }


def simple_album(album):
    markets = {} if "market" in request.args else {"available_markets": MARKETS}
    return {
        **reference("album", album.id),
        **markets,
        "album_type": album.type,
        "artists": [simple_artist(artist) for artist in album.artists],
        "images": images(album.id),
        "name": album.name,
        "release_date": album.date,
        "release_date_precision": album.precision,
        "total_tracks": len(album.tracks),
    }


def full_album(album):
    label = "Nowhere Records (synthetic)"
    return {
        **simple_album(album),
        "copyrights": [{"text": f"{sign} {album.year} {label}", "type": sign} for sign in "CP"],
        "external_ids": {"upc": album.upc},
        "genres": [],
        "label": label,
        "popularity": max(track.popularity for track in album.tracks),
        "tracks": page(
            album.tracks, simple_track, f"/v1/albums/{album.id}/tracks", limit=50, offset=0, query={}
        ),
    }


def simple_track(track):
    recording = track.recording
    # Real previews carry the app's id in their query, too.
    preview = recording.preview and f"{home(PREVIEWS)}/mp3-preview/{recording.preview}?cid={CLIENT_ID}"
    return {
        **reference("track", track.id),
        **availability(),
        "artists": [simple_artist(artist) for artist in recording.artists],
        "disc_number": 1,
        "duration_ms": recording.duration_ms,
        "explicit": recording.explicit,
        "is_local": False,
        "name": recording.name,
        "preview_url": preview,
        "track_number": track.number,
    }


def full_track(track):
    return {
        **simple_track(track),
        "album": simple_album(track.album),
        "external_ids": {"isrc": track.recording.isrc},
        "popularity": track.popularity,
    }


def audio_features(track):
    """None where the service never analysed the recording."""
    return track.recording.features and {
        **track.recording.features,
        "analysis_url": f"{home(API)}/v1/audio-analysis/{track.id}",
        "duration_ms": track.recording.duration_ms,
        "id": track.id,
        "track_href": f"{home(API)}/v1/tracks/{track.id}",
        "type": "audio_features",
        "uri": f"spotify:track:{track.id}",
    }


def page(items, shape, path, *, limit, offset, query, end=float("inf")):
    """A paging object; `query` holds the other parameters of its neighbours, which never go past `end`."""

    def address(start):
        return f"{home(API)}{path}?{urlencode({'offset': start, 'limit': limit, **query})}"

    following = offset + limit
    return {
        "href": address(offset),
        "items": [shape(item) for item in items[offset:following]],
        "limit": limit,
        "next": address(following) if following < len(items) and following + limit <= end else None,
        "offset": offset,
        "previous": address(max(0, offset - limit)) if offset else None,
        "total": len(items),
    }


def requested_page(items, shape, **others):
    """The page that the request asks for, at the request's own path."""
    # As at the real service, `q` comes back as `query`, and either is understood.
    query = {"query" if key == "q" else key: value for key, value in request.args.items()}
    query = {key: value for key, value in query.items() if key not in ("limit", "offset")}
    limit, offset = integer("limit", 20, 1, 50), integer("offset", 0, 0, 10**6)
    return page(items, shape, request.path.rstrip("/"), limit=limit, offset=offset, query=query, **others)


# ---------------------------------------------------------------------------------------------------
# Endpoints


@spotify.get("/v1/artists", strict_slashes=False)
def artists():
    return jsonify(artists=[found and full_artist(found) for found in batch("people", 50)])


@spotify.get("/v1/artists/<key>", strict_slashes=False)
def artist(key):
    return jsonify(full_artist(lookup("people", key)))


@spotify.get("/v1/artists/<key>/albums", strict_slashes=False)
def artist_albums(key):
    found = lookup("people", key)
    groups = request.args.get("include_groups", ",".join(GROUPS)).split(",")
    if not set(groups) <= set(GROUPS):
        raise Failure(400, "Invalid album type")
    releases = [(group, album) for group in GROUPS if group in groups for album in found.releases[group]]
    return jsonify(
        requested_page(releases, lambda release: {**simple_album(release[1]), "album_group": release[0]})
    )


@spotify.get("/v1/albums", strict_slashes=False)
def albums():
    return jsonify(albums=[found and full_album(found) for found in batch("albums", 20)])


@spotify.get("/v1/albums/<key>", strict_slashes=False)
def album(key):
    return jsonify(full_album(lookup("albums", key)))


@spotify.get("/v1/albums/<key>/tracks", strict_slashes=False)
def album_tracks(key):
    return jsonify(requested_page(lookup("albums", key).tracks, simple_track))


@spotify.get("/v1/tracks", strict_slashes=False)
def tracks():
    return jsonify(tracks=[found and full_track(found) for found in batch("tracks", 50)])


@spotify.get("/v1/tracks/<key>", strict_slashes=False)
def track(key):
    return jsonify(full_track(lookup("tracks", key)))


@spotify.get("/v1/audio-features", strict_slashes=False)
def many_audio_features():
    return jsonify(audio_features=[found and audio_features(found) for found in batch("tracks", 100)])


@spotify.get("/v1/audio-features/<key>", strict_slashes=False)
def one_audio_features(key):
    found = audio_features(lookup("tracks", key))
    if found is None:
        raise Failure(404, "analysis not found")
    return jsonify(found)


@spotify.get("/v1/search", strict_slashes=False)
def search():
    query = request.args.get("q", request.args.get("query", "")).strip()
    kinds = request.args.get("type", "").split(",")
    if not query:
        raise Failure(400, "No search query")
    searches = {"artist": (search_artists, full_artist), "track": (search_tracks, full_track)}
    if not set(kinds) <= set(searches):
        raise Failure(400, f"Bad search type field {','.join(kinds)}")
    if integer("offset", 0, 0, 10**6) + integer("limit", 20, 1, 50) > DEEPEST:
        raise Failure(400, "Bad request.")
    wanted = Query(query)
    return jsonify(
        {
            f"{kind}s": requested_page(find(wanted), shape, end=DEEPEST)
            for kind, (find, shape) in searches.items()
            if kind in kinds
        }
    )


@spotify.get("/mp3-preview/<key>")
def preview(key):
    recording = catalogue().find("previews", key)
    if recording is None or recording.fault == "missing":
        abort(404)
    if recording.fault == "not audio":
        return Response(
            "<!DOCTYPE html><title>Preview</title><p>This preview is not available.</p>", mimetype="text/html"
        )
    return Response(catalogue().render(recording), mimetype="audio/mpeg")


# ---------------------------------------------------------------------------------------------------
# Search


class Query:
    """A search query: the fields `genre:`, `year:`, `artist:` and `track:`, and plain words."""

    def __init__(self, text):
        fields = dict(re.findall(r'\b(genre|year|artist|track):("[^"]*"|\S+)', text))
        fields = {name: value.strip('"').lower() for name, value in fields.items()}
        self.words = re.sub(r'\b\w+:("[^"]*"|\S+)', " ", text).replace('"', " ").lower().split()
        self.artist = fields.get("artist", "")
        self.track = fields.get("track", "")
        genre = fields.get("genre", "").replace(" ", "-")
        self.worlds = [catalogue().world(name) for name in GENRES if genre in ("", name)]
        first, _, last = fields.get("year", "0-9999").partition("-")
        try:
            self.years = range(int(first), int(last or first) + 1)
        except ValueError:
            self.years = range(0)


def search_artists(wanted):
    """The matching artists, the most popular first."""
    found = [
        artist
        for world in wanted.worlds
        for artist in world.artists
        if wanted.artist in artist.name.lower()
        and all(word in artist.name.lower() for word in wanted.words)
        and any(album.year in wanted.years for albums in artist.releases.values() for album in albums)
    ]
    return sorted(found, key=lambda artist: (-artist.popularity, artist.id))


def search_tracks(wanted):
    """The matching tracks, the most popular first."""
    found = []
    for world in wanted.worlds:
        for track in world.tracks.values():
            names = " / ".join(artist.name.lower() for artist in track.recording.artists)
            title = track.recording.name.lower()
            if (
                track.album.year in wanted.years
                and wanted.artist in names
                and wanted.track in title
                and all(word in f"{title} {names} {track.album.name.lower()}" for word in wanted.words)
            ):
                found.append(track)
    return sorted(found, key=lambda track: (-track.popularity, track.id))
