"""Faults: what goes wrong at the stand-in, and when.

A fault hits requests `at` to `at + times - 1` of those that it counts: those whose path contains its `path` (the
synthetic Deezer's paths begin with /deezer) and that are of its kind:

- truncated_audio, html_audio, expired_preview: previews, of either service
- quota, expired_token: Spotify's Web API
- null_items: Spotify's searches and playlists, the lists in which real ones have nulls
- popularity_disabled, popularity_null (null for every recording): ListenBrainz's popularity route
- not_json: everything but previews
- all others: everything, but token requests only where the fault names their path

If several are due at once, the first in the settings is used.
"""

import threading
import time

from flask import Response, current_app, g, jsonify, request

from standin import musicbrainz
from standin.deezer import Refusal, access_denied
from standin.spotify import Failure

SLOW = 3.0  # seconds
PAGE = (
    "<!DOCTYPE html><html><head><title>Oops</title></head><body><h1>Something went wrong</h1></body></html>"
)


class Faults:
    """The faults (`hitsong.config.Fault`) of a running stand-in."""

    def __init__(self, faults):
        self._faults = faults
        self._counts = [0] * len(faults)
        self._lock = threading.Lock()

    def due(self):
        """Count the request: the kind of fault that hits it, and how often it has by now; or None."""
        due = []
        with self._lock:
            for i, fault in enumerate(self._faults):
                if fault.path in request.path and _concerns(fault):
                    self._counts[i] += 1
                    if 0 <= self._counts[i] - fault.at < fault.times:
                        due.append((fault.kind, self._counts[i] - fault.at + 1))
        return due[0] if due else None


def install(app, faults):
    """Apply faults to the requests to an app."""
    schedule = Faults(faults)

    @app.before_request
    def before():
        g.fault = schedule.due()
        if g.fault and g.fault[0] in INSTEAD:
            kind, nth = g.fault
            return INSTEAD[kind](nth)
        return None

    @app.after_request
    def after(response):
        if g.get("fault") and g.fault[0] in UPON:
            kind, nth = g.fault
            return UPON[kind](response, nth)
        return response


def _concerns(fault):
    """Whether the request is of the kind that a fault counts."""
    if fault.kind in ("truncated_audio", "html_audio", "expired_preview"):
        return _is_audio()
    if request.path == "/api/token":
        return bool(fault.path) and fault.kind not in ("expired_token", "null_items")
    if fault.kind in ("expired_token", "quota"):
        return request.path.startswith("/v1/")
    if fault.kind.startswith("popularity"):
        return request.endpoint == "listenbrainz.popularity"
    if fault.kind == "null_items":
        return request.endpoint in ("spotify.search", "spotify.playlist_tracks")
    return fault.kind != "not_json" or not _is_audio()


def _is_audio():
    return request.endpoint in ("spotify.preview", "deezer.preview")


# ---------------------------------------------------------------------- instead of a response, by how often


def rate_limit(_):
    """At Deezer, with HTTP 200; at MusicBrainz, with 503."""
    if request.blueprint == "musicbrainz":
        return musicbrainz.rate_limited()
    if request.blueprint == "deezer" and not _is_audio():
        raise Refusal("Exception", "Quota limit exceeded", 4)
    return _limited(1, "API rate limit exceeded")


def rate_limit_text(_):
    return Response("Too many requests", 429, {"Retry-After": "0"}, mimetype="text/plain")


def rate_limit_long(_):
    return _limited(763, "API rate limit exceeded")


def quota(_):
    return _limited(48925, "Too many requests", reason="QUOTA_EXCEEDED")


def _limited(wait, message, **others):
    response = jsonify(error={"status": 429, "message": message, **others})
    response.status_code = 429
    response.headers["Retry-After"] = str(wait)
    return response


def server_error(nth):
    status = (500, 502, 503)[(nth - 1) % 3]
    return Response(PAGE, status, mimetype="text/html")


def empty_body(nth):
    """With the status of a failure the first time, of a success the second, and so on."""
    return Response(b"", 503 if nth % 2 else 200, mimetype="application/json")


def not_json(_):
    return Response(PAGE, 200, content_type="application/json")


def expired_token(_):
    current_app.extensions["tokens"].expire()
    raise Failure(401, "The access token expired")


def popularity_disabled(_):
    return musicbrainz.disabled()


def slow(_):
    """The usual response, but late."""
    time.sleep(SLOW)


def html_audio(_):
    return Response(PAGE, 200, mimetype="text/html")


def expired_preview(_):
    return access_denied()


# ---------------------------------------------------------------------- of a response


def dropped(response, nth):
    """Close the connection before the response, then in the middle of the headers, then of the body, and so on.

    Many clients take the second for an empty response of status 200.
    """
    if nth % 3 == 0:
        return truncated(response)
    connection = request.environ["werkzeug.socket"]
    if nth % 3 == 2:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Ty")
    _hang_up(connection)
    return response


def truncated(response, _=None):
    """Send half of the body that the headers announce."""
    body = response.get_data()
    length, connection = len(body), request.environ["werkzeug.socket"]

    def half():
        yield body[: length // 2]
        _hang_up(connection)

    response.response = half()
    response.headers["Content-Length"] = str(length)
    return response


def null_items(response, _):
    """Put nulls among the items of a search or of a playlist: the page is larger than requested.

    They come in addition to the real items, so that a client that skips them misses nothing.
    """
    body = response.get_json(silent=True)
    if response.status_code == 200 and body:
        pages = [body] if "items" in body else [page for page in body.values() if page]
        for page in pages:
            for place in (0, len(page["items"]) // 2 + 1):
                page["items"].insert(place, None)
        response.set_data(jsonify(body).get_data())
    return response


def popularity_null(response, _):
    """Nothing is known of any recording."""
    counts = [item | {"total_listen_count": None, "total_user_count": None} for item in response.get_json()]
    response.set_data(jsonify(counts).get_data())
    return response


def _hang_up(connection):
    """Close a connection in both directions; what is written to it later goes nowhere."""
    connection.shutdown(2)


INSTEAD = {
    f.__name__: f
    for f in (
        rate_limit, rate_limit_text, rate_limit_long, quota, server_error, empty_body, not_json,
        expired_token, slow, html_audio, expired_preview, popularity_disabled,
    )
}  # fmt: skip
UPON = {
    "dropped": dropped,
    "truncated_audio": truncated,
    "null_items": null_items,
    "popularity_null": popularity_null,
}
