"""The HTTP server: waitress, with its gaps closed.

Waitress receives requests in one thread, spools bodies beyond half a megabyte to files without a name, hands whole
requests to its threads, and bounds headers and bodies by count. Added here: its own errors as problems; a bound on
the time that a request may take to arrive, and on the lines around chunks, which cost it time that grows with their
square; a few seconds in which a client that was refused in mid-sentence can still read why; and a stop that
finishes what is in flight.
"""

import contextlib
import copy
import logging
import socket
import time

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import BadRequest

from hitsong.errors import UserError
from hitsong.service.guard import HEADERS
from hitsong.service.problems import MEDIA_TYPE, Problem

HEADER_BYTES = 16_384
CHUNK_LINE_BYTES = 4096  # of a chunk's size and extensions, and of the trailer
HEADER_SECONDS = 20.0
IDLE_SECONDS = 60
LINGER_SECONDS = 3.0
GRACE_SECONDS = 60.0  # to finish what is in flight
CONNECTIONS = 200
SPARE_THREADS = 8  # beyond those at work, for what is refused or quick

REASONS = {
    400: ("bad_request", "this is no HTTP request as it should be"),
    413: ("too_large", "the body is larger than is taken here"),
    431: ("headers_too_large", f"the headers have more than {HEADER_BYTES} bytes"),
    500: ("internal", "something went wrong here; it has been logged"),
    501: ("not_implemented", "this transfer encoding is not known here"),
}


class _Problem(ErrorTask):
    """Answers what waitress itself refuses."""

    def execute(self):
        code, detail = REASONS[self.request.error.code]
        problem = Problem(self.request.error.code, code, detail)
        body = problem.body()
        self.status = f"{problem.status} {self.request.error.reason}"
        self.response_headers = [("Content-Type", MEDIA_TYPE), *HEADERS.items()]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.refused = True
        self.write(body)


class _Parser(HTTPRequestParser):
    """A request as it arrives."""

    path = ""  # of what could not be read; waitress names it in its log

    def __init__(self, adj):
        super().__init__(adj)
        self.began = time.monotonic()

    def parse_header(self, header_plus):
        super().parse_header(header_plus)
        if self.path != "/rank":
            self.adj = self.adj.for_one

    def received(self, data):
        consumed = super().received(data)
        if self.chunked and self.error is None:
            receiver = self.body_rcv
            if len(receiver.control_line) > CHUNK_LINE_BYTES or len(receiver.trailer) > CHUNK_LINE_BYTES:
                self.error, self.completed = BadRequest("chunk"), True
        if self.error is not None:
            self.expect_continue = False  # do not ask for what was refused
        return consumed

    def overdue(self, now, receive_seconds):
        """Whether it should have been here by now."""
        return now - self.began > (receive_seconds if self.headers_finished else HEADER_SECONDS)


class _Channel(HTTPChannel):
    """A connection."""

    parser_class, error_task_class = _Parser, _Problem
    refused = False  # by waitress, perhaps in mid-sentence
    lingers_until = None  # when to hang up on a client that was refused and may still be sending

    def received(self, data):
        return False if self.lingers_until else super().received(data)

    def readable(self):
        return bool(self.lingers_until) or super().readable()

    def handle_close(self):
        """Close; after a refusal only once the client has closed, or a few seconds later.

        A socket that is closed on unread data resets the connection, and the client may lose the answer.
        """
        told = self.refused and self.connected and not self.total_outbufs_len
        if not told or self.lingers_until:
            super().handle_close()
            return
        self.lingers_until, self.will_close = time.monotonic() + LINGER_SECONDS, False
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    @property
    def busy(self):
        """Whether a request is arriving, at work, or being answered."""
        return bool(self.requests or self.request is not None or self.total_outbufs_len)

    def overdue(self, now, receive_seconds):
        """Whether the client has had all the time that it is given."""
        if self.lingers_until:
            return self.lingers_until < now
        return self.request is not None and self.request.overdue(now, receive_seconds)


class Server(TcpWSGIServer):
    """The server; it listens from now on, and answers once it runs.

    Parameters
    ----------
    app : callable
        WSGI.
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

    channel_class = _Channel

    def __init__(self, app, host, port, limits):
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
            )
            adjustments.for_one = copy.copy(adjustments)
            adjustments.for_one.max_request_body_size = limits.predict_bytes + 1
            super().__init__(app, {}, adj=adjustments)
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot listen on {host}:{port}: {error}; choose another --port or --host"
            ) from None
        logging.getLogger("waitress.queue").setLevel(
            logging.ERROR
        )  # a queue is no news: the service sheds load
        self._receive_seconds, self._stopping = limits.receive_seconds, False
        name = f"[{self.effective_host}]" if ":" in self.effective_host else self.effective_host
        self.url = f"http://{name}:{self.effective_port}"

    def maintenance(self, now):
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.overdue(time.monotonic(), self._receive_seconds):
                channel.will_close = True

    def run(self):
        """Serve until `stop` is called, then finish what is in flight."""
        while not self._stopping:
            self._turn()
        wasyncore.dispatcher.close(self)  # takes no one on any more
        last = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < last and any(
            channel.busy for channel in list(self.active_channels.values())
        ):
            self.maintenance(time.time())
            self._turn()
        self.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def stop(self, *_):
        """Ask it to stop, from another thread or as the handler of a signal; asked twice, it stops at once."""
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        self.pull_trigger()

    def _turn(self):
        wasyncore.loop(timeout=1, use_poll=True, map=self._map, count=1)
