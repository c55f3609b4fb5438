"""The stand-in's server: a Flask app on loopback, in threads of this process."""

import threading
from collections import Counter
from contextlib import contextmanager

from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

from standin import deezer, faults
from standin.catalogue import Catalogue
from standin.shapes import ACCOUNTS, API, CLIENT_ID
from standin.spotify import CLIENT_SECRET, Tokens, spotify

POLL = 0.02  # seconds between two looks at whether to stop


class Standin:
    """A running stand-in, as its clients need to know it.

    Attributes
    ----------
    url : str
        Where it listens, `http://127.0.0.1:PORT`.
    proxies : dict
        For requests: makes the stand-in the proxy, so that the addresses below, and those in its answers,
        reach it.
    api, token_url : str
        Addresses of the synthetic Spotify; the same in every run, whatever the port.
    client_id, client_secret : str
        The credentials that it accepts.
    deezer : str
        Address of the synthetic Deezer; the same in every run, too.
    planted : callable
        From track ids of either service to a table of what was planted in them.
    endpoints : collections.Counter
        Requests answered so far, by endpoint; the names of Deezer's begin with `deezer.`.
    """

    api = f"http://{API}/v1/"
    token_url = f"http://{ACCOUNTS}/api/token"
    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET
    deezer = f"http://{deezer.API}/"

    def __init__(self, url, endpoints, catalogue):
        self.url = url
        self.planted = catalogue.planted
        self.proxies = {"http": url}
        self.endpoints = endpoints

    @property
    def requests(self):
        """Number of requests answered so far."""
        return self.endpoints.total()


@contextmanager
def serve(settings, port=0):
    """Run the stand-in in the background for the length of a `with` block.

    Parameters
    ----------
    settings : hitsong.config.Standin
    port : int
        0 takes any free port.

    Yields
    ------
    Standin
    """
    endpoints = Counter()
    app = create_app(settings, endpoints)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, args=(POLL,), name="standin", daemon=True)
    thread.start()
    try:
        yield Standin(f"http://127.0.0.1:{server.port}", endpoints, app.extensions["catalogue"])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        app.extensions["catalogue"].close()


def create_app(settings, endpoints):
    """The Flask app: one blueprint for each service, and what they have in common.

    Parameters
    ----------
    settings : hitsong.config.Standin
    endpoints : collections.Counter
        Counts the requests answered.
    """
    app = Flask(__name__, static_folder=None)
    app.extensions["catalogue"] = Catalogue(settings)
    app.extensions["tokens"] = Tokens()
    app.register_blueprint(spotify)
    app.register_blueprint(deezer.deezer)
    app.wsgi_app = _by_host(app.wsgi_app)
    faults.install(app, settings.faults)
    counting = threading.Lock()

    @app.after_request
    def count(response):
        with counting:
            endpoints[(request.endpoint or "unknown").removeprefix("spotify.")] += 1
        return response

    return app


def _by_host(app):
    """Answer requests to the hosts of the synthetic Deezer under its prefix."""

    def answer(environ, start_response):
        if environ.get("HTTP_HOST") in (deezer.API, deezer.PREVIEWS):
            environ["PATH_INFO"] = deezer.PREFIX + environ["PATH_INFO"]
        return app(environ, start_response)

    return answer


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as real services do, and does not write a line for each request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: with Nagle each answer waits 40 ms

    def log_request(self, *args):
        pass
