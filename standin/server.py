"""The stand-in's server: a Flask app on loopback, in threads of this process."""

import threading
from collections import Counter
from contextlib import contextmanager

from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

from standin import deezer, deezer_objects, faults
from standin import musicbrainz as open_services
from standin.catalogue import Catalogue
from standin.spotify import CLIENT_SECRET, Tokens, spotify
from standin.spotify_objects import ACCOUNTS, API, CLIENT_ID

POLL = 0.02  # seconds between two checks whether to stop


class Standin:
    """A running stand-in.

    Attributes
    ----------
    url : str
        Where it listens, `http://127.0.0.1:PORT`.
    proxies : dict
        For requests: makes the stand-in the proxy, so that the addresses below, and those in its responses, reach
        it.
    api, token_url : str
        Addresses of the synthetic Spotify; the same in every run, whatever the port.
    client_id, client_secret : str
        The credentials that are accepted.
    deezer, musicbrainz, listenbrainz : str
        Addresses of the other synthetic services; the same in every run, too.
    planted : callable
        From track ids of either service to a table of their planted effects.
    endpoints : collections.Counter
        Requests so far, by endpoint; the names of Deezer's begin with `deezer.`.
    """

    api = f"http://{API}/v1/"
    token_url = f"http://{ACCOUNTS}/api/token"
    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET
    deezer = f"http://{deezer_objects.API}/"
    musicbrainz = f"http://{open_services.MUSICBRAINZ}/ws/2/"
    listenbrainz = f"http://{open_services.LISTENBRAINZ}/"

    def __init__(self, url, endpoints, catalogue):
        self.url = url
        self.planted = catalogue.planted
        self.proxies = {"http": url}
        self.endpoints = endpoints

    @property
    def requests(self):
        """Number of requests so far."""
        return self.endpoints.total()


@contextmanager
def serve(settings, port=0):
    """Run a `Standin` in the background for the length of a `with` block; port 0 takes any free port."""
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
    """The Flask app, with a blueprint for each service; `endpoints` counts the requests."""
    app = Flask(__name__, static_folder=None)
    app.extensions["catalogue"] = Catalogue(settings)
    app.extensions["tokens"] = Tokens()
    app.register_blueprint(spotify)
    app.register_blueprint(deezer.deezer)
    app.register_blueprint(open_services.musicbrainz)
    app.register_blueprint(open_services.listenbrainz)
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
    """Route requests to the hosts of each service to its prefix; Spotify has none."""
    prefixes = {
        deezer_objects.API: deezer_objects.PREFIX,
        deezer_objects.PREVIEWS: deezer_objects.PREFIX,
        open_services.MUSICBRAINZ: open_services.MUSICBRAINZ_PREFIX,
        open_services.LISTENBRAINZ: open_services.LISTENBRAINZ_PREFIX,
    }

    def route(environ, start_response):
        environ["PATH_INFO"] = prefixes.get(environ.get("HTTP_HOST"), "") + environ["PATH_INFO"]
        return app(environ, start_response)

    return route


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as real services do, and does not write a line for each request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: with Nagle each response waits 40 ms

    def log_request(self, *args):
        pass
