"""The stand-in's server: a Starlette app on loopback, in a thread of this process."""

import asyncio
import inspect
import socket
import threading
from collections import Counter
from contextlib import contextmanager
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from standin import deezer, deezer_objects, faults, web
from standin import musicbrainz as open_services
from standin.catalogue import Catalogue
from standin.spotify import CLIENT_SECRET, Tokens, spotify
from standin.spotify_objects import ACCOUNTS, API, CLIENT_ID

SERVICES = (spotify, deezer.deezer, open_services.musicbrainz, open_services.listenbrainz)
PREFIXES = {
    deezer_objects.API: deezer_objects.PREFIX,
    deezer_objects.PREVIEWS: deezer_objects.PREFIX,
    open_services.MUSICBRAINZ: open_services.MUSICBRAINZ_PREFIX,
    open_services.LISTENBRAINZ: open_services.LISTENBRAINZ_PREFIX,
}
GRACE_SECONDS = 5  # to finish the requests in work


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
    listener = socket.create_server(("127.0.0.1", port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio leaves it out on a given socket
    server = _Server(
        uvicorn.Config(
            _by_host(app), http=_Connection, ws="none", loop="asyncio", lifespan="off", log_config=None,
            access_log=False, proxy_headers=False, timeout_keep_alive=60,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )  # fmt: skip
    thread = threading.Thread(target=server.run, args=([listener],), name="standin", daemon=True)
    thread.start()
    try:
        yield Standin(f"http://127.0.0.1:{listener.getsockname()[1]}", endpoints, app.state.catalogue)
    finally:
        app.state.catalogue.close()
        server.stop()
        thread.join()


def create_app(settings, endpoints):
    """The Starlette app, with the routes of each service; `endpoints` counts the requests."""
    routes = []
    for service in SERVICES:
        for path, methods, view in service.routes:
            name = f"{service.name}.{view.__name__}"
            respond = partial(_respond, service, name, view)
            routes.append(Route(path, _asgi(respond), methods=methods))
            if service is spotify and path.startswith("/v1/"):  # its clients end some paths with a slash
                routes.append(Route(f"{path}/", _asgi(respond), methods=methods))
    unknown = partial(_respond, web.Service("unknown"), "unknown", _not_found)
    routes.append(Route("/{path:path}", _asgi(unknown), methods=["GET", "POST"]))
    app = Starlette(routes=routes)
    app.state.catalogue, app.state.tokens = Catalogue(settings), Tokens()
    app.state.faults, app.state.endpoints = faults.Faults(settings.faults), endpoints
    return app


def _asgi(respond):
    """Starlette takes a function of a request, but no `partial`."""

    async def endpoint(request):
        return await respond(request)

    return endpoint


async def _respond(service, name, view, request):
    """The response of a view, or a fault's."""
    web.begin(request)
    request.state.body = await request.body()
    state = request.app.state
    kind, nth = state.faults.due(name)
    try:
        if kind in faults.INSTEAD:
            result = faults.INSTEAD[kind](nth, name)
        else:
            service.before(view.__name__)
            result = view(**request.path_params)
            if inspect.isawaitable(result):
                result = await result
    except web.Refused as refused:
        result = refused.response
    response = web.response(result)
    response.headers.update(service.headers)
    state.endpoints[name.removeprefix("spotify.")] += 1
    if kind in faults.UPON:
        response = faults.UPON[kind](response, nth)
        if inspect.isawaitable(response):
            response = await response
    return response


def _not_found(path):
    return PlainTextResponse("Not Found", 404)


def _by_host(app):
    """Route requests to the hosts of each service to its prefix; Spotify has none."""

    async def route(scope, receive, send):
        path = scope["path"]
        if path.startswith("http://"):  # the stand-in is used as a proxy
            path = "/" + path.split("/", 3)[3]
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode()
        await app({**scope, "path": PREFIXES.get(host, "") + path}, receive, send)

    return route


class _Connection(H11Protocol):
    """A connection that the app may close: `scope["transport"]`."""

    def connection_made(self, transport):
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope, receive, send):
            await app({**scope, "transport": transport}, receive, send)

        self.app = with_transport


class _Server(uvicorn.Server):
    """A server that stops at once when it is told to, in place of a look ten times a second."""

    async def main_loop(self):
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        if not self.should_exit:
            await self._stopped.wait()

    def stop(self):
        """Stop, from another thread."""
        self.should_exit = True
        if hasattr(self, "_loop"):
            self._loop.call_soon_threadsafe(self._stopped.set)
