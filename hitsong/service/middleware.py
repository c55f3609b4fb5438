"""What all requests share: access by headers, limits of the body, ids, security headers, log lines, measurements."""

import asyncio
import json
import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from hitsong.service.access import SECURITY_HEADERS
from hitsong.service.decoders import ClientDisconnected
from hitsong.service.limits import HEADER_BYTES
from hitsong.service.problems import INTERNAL, Problem, busy

LINGER_SECONDS = 3.0  # in which a client that is still sending can read why it was refused
CLIENT_CLOSED_REQUEST = 499  # in the log and the measurements: the client was gone before the response
REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)

log = logging.getLogger(__name__)
access_log = logging.getLogger("hitsong.access")


def write_access_log():
    """From now on, write a line of JSON for each request to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)
    access_log.propagate = False


class RequestMiddleware:
    """Wraps the app (ASGI).

    Parameters
    ----------
    app : callable
    service : hitsong.service.scoring.ScoringService
    access : hitsong.service.access.AccessControl
    """

    def __init__(self, app, service, access):
        self._app, self._access = app, access
        self._limits, self._metrics = service.limits, service.metrics
        self._held = _Held(service.limits.held_bytes)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":  # the start and end of the server
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._held)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server leaves the body out
        scope = {**scope, "method": method, "request_id": exchange.request_id}
        try:
            await self._respond(scope, exchange)
        except (ClientDisconnect, ClientDisconnected):
            exchange.status = CLIENT_CLOSED_REQUEST
        finally:
            self._held.count -= exchange.bytes_held
            seconds = time.perf_counter() - exchange.started
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.count(route, exchange.status, seconds)
            _write_log(scope, exchange, route, seconds)

    async def _respond(self, scope, exchange):
        try:
            _limit_headers(scope)
            self._access.check(scope["method"], scope["path"], exchange.headers)
            exchange.limit_body(self._limits.body_bytes(scope["path"]))
            await self._app(scope, exchange.receive, exchange.send)
        except (ClientDisconnect, ClientDisconnected):
            raise
        except Problem as problem:
            await problem.response()(scope, exchange.receive, exchange.send)
        except Exception as error:
            log.error("%s %s failed", scope["method"], scope.get("route"), exc_info=error)
            if exchange.responding:
                raise
            await INTERNAL.response()(scope, exchange.receive, exchange.send)


class _Held:
    """Bytes of all bodies that are received or in work.

    Parameters
    ----------
    most : int
    """

    def __init__(self, most):
        self.most, self.count = most, 0


class _Exchange:
    """A request and its response."""

    def __init__(self, scope, receive, send, held):
        self._held, self.bytes_held = held, 0
        self.started, self.status, self.bytes_sent, self.responding = time.perf_counter(), 500, 0, False
        self.headers = Headers(scope=scope)
        given = self.headers.get("X-Request-ID", "")
        self.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self._receive, self._send = receive, send
        self._most_bytes, self.bytes_received = 0, 0
        announced = self.headers.get("Content-Length", "0").strip("0")
        self._unread = bool(announced) or "Transfer-Encoding" in self.headers

    def limit_body(self, most_bytes):
        """Refuse a body of more bytes: now if its length is announced, else while it is received."""
        self._most_bytes = most_bytes
        length = self.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > most_bytes:
            raise self._too_large()

    def _too_large(self):
        megabytes = self._most_bytes / 1e6
        return Problem(413, "too_large", f"the request's body has more than {megabytes:.3g} MB")

    async def receive(self):
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes_received += len(message["body"])
            self._unread = message.get("more_body", False)
            if not self.responding:
                self._hold(len(message["body"]))
        return message

    def _hold(self, count):
        """Count bytes that stay until the response."""
        self.bytes_held += count
        self._held.count += count
        if self.bytes_received > self._most_bytes:
            raise self._too_large()
        if self._held.count > self._held.most:
            raise busy("the service holds too many songs")

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.responding = message["status"], True
            headers = MutableHeaders(scope=message)
            for name, value in (SECURITY_HEADERS | {"Cache-Control": "no-store"}).items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.request_id
            if self._unread:
                headers["Connection"] = "close"
            await self._send(message)
            return
        self.bytes_sent += len(message.get("body", b""))
        if self._unread and not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._discard_body()
            message = {**message, "body": b""}
        await self._send(message)

    async def _discard_body(self):
        """Read on for a while: a connection closed on unread data is reset, and the client may lose the response."""
        if "Expect" in self.headers:
            return  # the body was never invited
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while self._unread and (await self.receive())["type"] == "http.request":
                    pass
        except TimeoutError:
            pass


def _limit_headers(scope):
    """Refuse headers that are too large; the server does that only for those that it does not receive at once."""
    if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > HEADER_BYTES:
        raise Problem(431, "headers_too_large", f"the headers have more than {HEADER_BYTES} bytes")


def _write_log(scope, exchange, route, seconds):
    """Names the route and not the path, in which an id of a song may stand."""
    if not access_log.isEnabledFor(logging.INFO):
        return
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "request_id": exchange.request_id,
        "client": scope["client"][0] if scope.get("client") else None,
        "method": scope["method"],
        "route": route,
        "status": exchange.status,
        "bytes_received": exchange.bytes_received,
        "bytes_sent": exchange.bytes_sent,
        "seconds": round(seconds, 4),
    }
    access_log.info(json.dumps(line))
