"""The HTTP server: uvicorn, with stricter limits.

Uvicorn passes a request on as soon as its headers are complete, so that the app decides on them before the body, and
limits the size of headers. It has no limits on the time in which a request must arrive (Kludex/uvicorn, issue 157) nor
on idle connections. They are added here, with problem+json for what is no valid HTTP.
"""

import contextlib
import http
import logging
import signal
import socket
import sys
import threading
import time

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hitsong.errors import UserError
from hitsong.service.access import SECURITY_HEADERS
from hitsong.service.limits import HEADER_BYTES
from hitsong.service.middleware import LINGER_SECONDS
from hitsong.service.problems import MEDIA_TYPE, Problem

HEADER_SECONDS = 20.0
IDLE_SECONDS = 60
GRACE_SECONDS = 60.0  # to finish the requests in flight
CONNECTIONS = 500  # beyond them, those that wait for headers are closed, the oldest first
BACKLOG = 1024

REASONS = {
    400: ("bad_request", "this is no valid HTTP request"),
    431: ("headers_too_large", f"the headers have more than {HEADER_BYTES} bytes"),
    501: ("not_implemented", "this transfer encoding is not supported"),
}


class _Connection(H11Protocol):
    """A connection, whose requests must arrive in time."""

    receive_seconds = 300.0  # of a whole request; `Server` sets it
    _deadline = None  # a timer, of the headers or of the whole request
    _refused = False

    def connection_made(self, transport):
        super().connection_made(transport)
        self._begun = time.monotonic()
        if len(self.connections) > CONNECTIONS:
            self._close_oldest()
        self._set_deadline(HEADER_SECONDS)

    def connection_lost(self, exc):
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data):
        if self._refused:
            return
        if self._deadline is None and self.conn.their_state is h11.IDLE:  # of the next request
            self._begun = time.monotonic()
            self._set_deadline(HEADER_SECONDS)
        super().data_received(data)

    def handle_events(self):
        in_headers = self.conn.their_state is h11.IDLE
        super().handle_events()
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            if in_headers:
                self._set_deadline(self.receive_seconds)
        elif state not in (h11.IDLE, h11.ERROR):
            self._cancel_deadline()

    def send_400_response(self, msg):
        """Refuse what is no valid HTTP; close once the client has closed, or a few seconds later."""
        in_body = self.cycle is not None and not self.cycle.response_complete
        status = 400 if in_body else getattr(sys.exception(), "error_status_hint", 400)
        problem = Problem(status, *REASONS.get(status, REASONS[400]))
        self._refused = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = problem.body()
            headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
            reason = http.HTTPStatus(status).phrase
            head = h11.Response(
                status_code=status, headers=[*(headers | SECURITY_HEADERS).items()], reason=reason.encode()
            )
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
        if in_body:  # the app waits for the rest of a body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_reading()
        with contextlib.suppress(OSError, NotImplementedError):
            self.transport.write_eof()
        self._set_deadline(LINGER_SECONDS)

    def _set_deadline(self, seconds):
        self._cancel_deadline()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_deadline(self):
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_oldest(self):
        """Close the connection that has waited longest for a request's headers; this one if no other waits."""
        opened = [item for item in self.connections if not item.transport.is_closing()]
        if len(opened) <= CONNECTIONS:
            return
        waiting = [item for item in opened if item.conn.their_state is h11.IDLE]
        min(waiting, key=lambda item: item._begun).transport.abort()


class Server:
    """The server; it listens once made, and responds once it runs.

    Parameters
    ----------
    app : callable
        ASGI.
    host : str
    port : int
        0 takes any free port.
    limits : hitsong.service.limits.Limits

    Attributes
    ----------
    url : str

    Raises
    ------
    UserError
        If it cannot listen there.
    """

    def __init__(self, app, host, port, limits):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
            # With Nagle, responses of several writes wait 40 ms; asyncio leaves this out on a given socket.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"cannot listen on {host}:{port}: {error}; choose another --port or --host"
            ) from None
        connection = type("Connection", (_Connection,), {"receive_seconds": limits.receive_seconds})
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the app logs its errors itself
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, http=connection, ws="none", loop="asyncio", lifespan="off", log_config=None,
                access_log=False, server_header=False, proxy_headers=False, backlog=BACKLOG,
                h11_max_incomplete_event_size=HEADER_BYTES, timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )  # fmt: skip
        address, port = self._socket.getsockname()[:2]
        self.url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"

    def run(self):
        """Serve until `stop` is called, or until SIGINT or SIGTERM; then finish the requests in flight."""
        if threading.current_thread() is threading.main_thread():
            for name in (signal.SIGINT, signal.SIGTERM):  # uvicorn has its own, and raises the signal again
                signal.signal(name, signal.SIG_IGN)
        self._server.run(sockets=[self._socket])

    def stop(self):
        """Stop, from another thread."""
        self._server.should_exit = True
