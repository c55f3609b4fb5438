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

import asyncio
import json

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from standin import musicbrainz, web
from standin.deezer import Refusal, access_denied
from standin.spotify import Failure

SLOW = 3.0  # seconds
PREVIEWS = ("spotify.preview", "deezer.preview")
PAGE = (
    "<!DOCTYPE html><html><head><title>Oops</title></head><body><h1>Something went wrong</h1></body></html>"
)


class Faults:
    """The faults (`hitsong.config.Fault`) of a running stand-in."""

    def __init__(self, faults):
        self._faults = faults
        self._counts = [0] * len(faults)

    def due(self, endpoint):
        """Count the request: the kind of fault that hits it, and how often it has by now; or (None, 0)."""
        due = []
        for i, fault in enumerate(self._faults):
            if fault.path in web.path() and _concerns(fault, endpoint):
                self._counts[i] += 1
                if 0 <= self._counts[i] - fault.at < fault.times:
                    due.append((fault.kind, self._counts[i] - fault.at + 1))
        return due[0] if due else (None, 0)


def _concerns(fault, endpoint):
    """Whether the request to an endpoint, as `spotify.search`, is of the kind that a fault counts."""
    if fault.kind in ("truncated_audio", "html_audio", "expired_preview"):
        return endpoint in PREVIEWS
    if web.path() == "/api/token":
        return bool(fault.path) and fault.kind not in ("expired_token", "null_items")
    if fault.kind in ("expired_token", "quota"):
        return web.path().startswith("/v1/")
    if fault.kind.startswith("popularity"):
        return endpoint == "listenbrainz.popularity"
    if fault.kind == "null_items":
        return endpoint in ("spotify.search", "spotify.playlist_tracks")
    return fault.kind != "not_json" or endpoint not in PREVIEWS


# ---------------------------------------------------------------------- instead of a response


def rate_limit(_, endpoint):
    """At Deezer, with HTTP 200; at MusicBrainz, with 503."""
    service = endpoint.partition(".")[0]
    if service == "musicbrainz":
        return musicbrainz.rate_limited()
    if service == "deezer" and endpoint not in PREVIEWS:
        raise Refusal("Exception", "Quota limit exceeded", 4)
    return _limited(1, "API rate limit exceeded")


def rate_limit_text(*_):
    return PlainTextResponse("Too many requests", 429, {"Retry-After": "0"})


def rate_limit_long(*_):
    return _limited(763, "API rate limit exceeded")


def quota(*_):
    return _limited(48925, "Too many requests", reason="QUOTA_EXCEEDED")


def _limited(wait, message, **others):
    body = {"error": {"status": 429, "message": message, **others}}
    return JSONResponse(body, 429, {"Retry-After": str(wait)})


def server_error(nth, _):
    return HTMLResponse(PAGE, (500, 502, 503)[(nth - 1) % 3])


def empty_body(nth, _):
    """With the status of a failure the first time, of a success the second, and so on."""
    return Response(b"", 503 if nth % 2 else 200, media_type="application/json")


def not_json(*_):
    return Response(PAGE, 200, media_type="application/json")


def expired_token(*_):
    web.request().app.state.tokens.expire()
    raise Failure(401, "The access token expired")


def popularity_disabled(*_):
    return musicbrainz.disabled()


def html_audio(*_):
    return HTMLResponse(PAGE)


def expired_preview(*_):
    return access_denied()


# ---------------------------------------------------------------------- of a response


class _Begun(Response):
    """Sends the beginning of a response and closes the connection.

    Parameters
    ----------
    response : starlette.responses.Response
    share : float
        Of the body that is sent.
    """

    def __init__(self, response, share):
        self._response, self._share = response, share

    async def __call__(self, scope, receive, send):
        async def send_share(message):
            if body := message.get("body"):
                message = {**message, "body": body[: int(len(body) * self._share)], "more_body": True}
            await send(message)

        await self._response(scope, receive, send_share)
        await _hang_up(scope, receive)


class _Raw(Response):
    """Sends some bytes and closes the connection."""

    def __init__(self, beginning):
        self._beginning = beginning

    async def __call__(self, scope, receive, send):
        scope["transport"].write(self._beginning)
        await _hang_up(scope, receive)


async def _hang_up(scope, receive):
    """Close the connection once everything is sent."""
    scope["transport"].close()
    while (await receive())["type"] != "http.disconnect":
        pass


def dropped(response, nth):
    """Close the connection before the response, then in the middle of the headers, then of the body, and so on.

    Many clients take the second for an empty response of status 200.
    """
    if nth % 3 == 0:
        return truncated(response)
    return _Raw(b"HTTP/1.1 200 OK\r\nContent-Ty" if nth % 3 == 2 else b"")


async def slow(response, _):
    """The usual response, but late."""
    await asyncio.sleep(SLOW)
    return response


def truncated(response, _=None):
    """Send half of the body that the headers announce."""
    return _Begun(response, 0.5)


def null_items(response, _):
    """Put nulls among the items of a search or of a playlist: the page is larger than requested.

    They come in addition to the real items, so that a client that skips them misses nothing.
    """
    if response.status_code != 200:
        return response
    body = json.loads(response.body)
    pages = [body] if "items" in body else [page for page in body.values() if page]
    for page in pages:
        for place in (0, len(page["items"]) // 2 + 1):
            page["items"].insert(place, None)
    return JSONResponse(body)


def popularity_null(response, _):
    """Nothing is known of any recording."""
    counts = json.loads(response.body)
    return JSONResponse([item | {"total_listen_count": None, "total_user_count": None} for item in counts])


INSTEAD = {
    f.__name__: f
    for f in (
        rate_limit, rate_limit_text, rate_limit_long, quota, server_error, empty_body, not_json,
        expired_token, html_audio, expired_preview, popularity_disabled,
    )
}  # fmt: skip
UPON = {
    "dropped": dropped,
    "slow": slow,
    "truncated_audio": truncated,
    "null_items": null_items,
    "popularity_null": popularity_null,
}
