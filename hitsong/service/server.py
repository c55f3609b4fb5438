"""The HTTP server: waitress, with stricter limits.

Waitress receives requests in one thread, spools bodies beyond half a megabyte to unnamed files, passes complete
requests to its threads, and limits the size of headers and bodies. Added here: a request that its headers forbid is
refused before its body is received; its own errors as problem+json; limits on the time in which a request must arrive,
and on the lines around chunks, whose parsing time grows with their square; a few seconds in which a client that is
still sending can read why it was refused; notice of clients that disconnect while their request is in work; and a stop
that finishes the requests in flight.
"""

import contextlib
import copy
import logging
import socket
import time
from http import HTTPStatus

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import BadRequest

from hitsong.errors import UserError
from hitsong.service.access import SECURITY_HEADERS
from hitsong.service.problems import MEDIA_TYPE, Problem

HEADER_BYTES = 16_384
CHUNK_LINE_BYTES = 4096  # of a chunk's size and extensions, and of the trailer
HEADER_SECONDS = 20.0
IDLE_SECONDS = 60
LINGER_SECONDS = 3.0
GRACE_SECONDS = 60.0  # to finish the requests in flight
CONNECTIONS = 200
SPARE_THREADS = 8  # beyond those in work, for refusals and quick requests

REASONS = {
    400: ("bad_request", "this is no valid HTTP request"),
    431: ("headers_too_large", f"the headers have more than {HEADER_BYTES} bytes"),
    500: ("internal", "an internal error; the service's log has the details"),
    501: ("not_implemented", "this transfer encoding is not supported"),
}


class _Problem(ErrorTask):
    """An error that is found before the app is called, as problem+json."""

    def execute(self):
        problem = self._problem(self.request.error, self.request.adj)
        body = problem.body()
        self.status = f"{problem.status} {HTTPStatus(problem.status).phrase}"
        headers = [*problem.headers.items(), *SECURITY_HEADERS.items()]
        self.response_headers = [("Content-Type", MEDIA_TYPE), *headers]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.refused = True
        self.write(body)

    @staticmethod
    def _problem(error, adj):
        """An error of waitress, or of the check of the headers, as `Problem`."""
        if isinstance(error, Problem):
            return error
        if error.code == 413:
            megabytes = (adj.max_request_body_size - 1) / 1e6
            return Problem(413, "too_large", f"the request's body has more than {megabytes:.3g} MB")
        return Problem(error.code, *REASONS[error.code])


class _Parser(HTTPRequestParser):
    """A request as it arrives."""

    path = ""  # of an invalid request; waitress names it in its log

    def __init__(self, adj):
        super().__init__(adj)
        self.started = time.monotonic()

    def parse_header(self, header_plus):
        super().parse_header(header_plus)
        if self.path != "/rank":
            self.adj = self.adj.one_file
        try:
            self.adj.check_headers(self.command, self.path, self.headers)
        except Problem as problem:
            self.error = problem

    def received(self, data):
        consumed = super().received(data)
        if self.error is not None:
            self.completed = True
        if self.chunked and self.error is None:
            receiver = self.body_rcv
            if len(receiver.control_line) > CHUNK_LINE_BYTES or len(receiver.trailer) > CHUNK_LINE_BYTES:
                self.error, self.completed = BadRequest("chunk"), True
        if self.error is not None:
            self.expect_continue = False  # do not invite a refused body
        return consumed

    def overdue(self, now, receive_seconds):
        """Whether it should have arrived by now."""
        return now - self.started > (receive_seconds if self.headers_finished else HEADER_SECONDS)


class _Channel(HTTPChannel):
    """A connection."""

    parser_class, error_task_class = _Parser, _Problem
    refused = False  # by waitress, perhaps while the client still sends
    lingers_until = None  # when to close the connection of such a client

    def received(self, data):
        return False if self.lingers_until else super().received(data)

    def readable(self):
        return bool(self.lingers_until) or super().readable()

    def handle_close(self):
        """Close; after a refusal only once the client has closed, or a few seconds later.

        Closing a socket with unread data resets the connection, and the client may lose the response.
        """
        response_sent = self.refused and self.connected and not self.total_outbufs_len
        if not response_sent or self.lingers_until:
            super().handle_close()
            return
        self.lingers_until, self.will_close = time.monotonic() + LINGER_SECONDS, False
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    @property
    def busy(self):
        """Whether a request is arriving, in work, or its response being sent."""
        return bool(self.requests or self.request is not None or self.total_outbufs_len)

    def overdue(self, now, receive_seconds):
        """Whether the client has used all of its time."""
        if self.lingers_until:
            return self.lingers_until < now
        return self.request is not None and self.request.overdue(now, receive_seconds)


class Server(TcpWSGIServer):
    """The server; it listens once made, and responds once it runs.

    Parameters
    ----------
    app : callable
        WSGI.
    host : str
    port : int
        0 takes any free port.
    limits : hitsong.service.limits.Limits
    check_headers : callable
        Raises `Problem` for a method, a path, and headers by names like `CONTENT_TYPE`.

    Attributes
    ----------
    url : str

    Raises
    ------
    UserError
        If it cannot listen there.
    """

    channel_class = _Channel

    def __init__(self, app, host, port, limits, check_headers):
        try:
            adjustments = Adjustments(
                host=host,
                port=port,
                threads=limits.in_flight + SPARE_THREADS,
                ident="hitsong",
                recv_bytes=1 << 16,
                connection_limit=CONNECTIONS,
                cleanup_interval=1,
                channel_timeout=IDLE_SECONDS,
                log_socket_errors=False,
                max_request_header_size=HEADER_BYTES,
                max_request_body_size=limits.rank_bytes + 1,
                asyncore_use_poll=True,
                channel_request_lookahead=1,  # read on while a request is in work, to notice a closed connection
            )
            adjustments.check_headers = check_headers
            adjustments.one_file = copy.copy(adjustments)
            adjustments.one_file.max_request_body_size = limits.predict_bytes + 1
            super().__init__(app, {}, adj=adjustments)
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot listen on {host}:{port}: {error}; choose another --port or --host"
            ) from None
        logging.getLogger("waitress.queue").setLevel(
            logging.ERROR
        )  # no warnings about a queue: the service limits it itself
        self._receive_seconds, self._stopping = limits.receive_seconds, False
        name = f"[{self.effective_host}]" if ":" in self.effective_host else self.effective_host
        self.url = f"http://{name}:{self.effective_port}"

    def maintenance(self, now):
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.overdue(time.monotonic(), self._receive_seconds):
                channel.will_close = True

    def run(self):
        """Serve until `stop` is called, then finish the requests in flight."""
        while not self._stopping:
            self._run_once()
        wasyncore.dispatcher.close(self)  # accepts no more connections
        last = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < last and any(
            channel.busy for channel in list(self.active_channels.values())
        ):
            self.maintenance(time.time())
            self._run_once()
        self.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def stop(self, *_):
        """Stop, from another thread or as the handler of a signal; a second call stops at once."""
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        self.pull_trigger()

    def _run_once(self):
        wasyncore.loop(timeout=1, use_poll=True, map=self._map, count=1)
