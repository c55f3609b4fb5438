"""What the services share of HTTP: the request in work, routes, and responses given up for another one."""

import json
from contextvars import ContextVar
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, Response

_current = ContextVar("request")


def request():
    """The request in work, of Starlette; `state.body` is its body."""
    return _current.get()


def begin(new_request):
    """Make a request the one in work, in this task."""
    _current.set(new_request)


def parameters():
    """The parameters of the request's address, by name."""
    return request().query_params


def host():
    """The host that the request names."""
    return request().headers["host"]


def path():
    """The path of the request's address, behind the prefix of its service."""
    return request().scope["path"]


def form():
    """The fields of the request's form."""
    return dict(parse_qsl(request().state.body.decode()))


def document():
    """The request's body as JSON; None if it is none."""
    try:
        return json.loads(request().state.body)
    except ValueError:
        return None


class Refused(Exception):
    """A request that gets this response instead of its view's."""

    def __init__(self, response):
        super().__init__(response.status_code)
        self.response = response


class Service:
    """The routes of a service.

    Parameters
    ----------
    name : str
    prefix : str
        Of its paths where clients do not use the stand-in as a proxy.

    Attributes
    ----------
    routes : list of (str, list of str, callable)
        Path in Starlette's form, methods, view. A view takes the path's parameters, and returns a response, or what
        becomes JSON.
    before : callable
        Called before each view; may raise `Refused`.
    headers : dict of str to str
        Of each response.
    """

    def __init__(self, name, prefix=""):
        self.name, self.prefix = name, prefix
        self.routes, self.before, self.headers = [], lambda view: None, {}

    def get(self, path):
        return self._route(path, ["GET"])

    def post(self, path):
        return self._route(path, ["POST"])

    def _route(self, path, methods):
        def add(view):
            self.routes.append((self.prefix + path, methods, view))
            return view

        return add


def response(result):
    """What a view returned as a response."""
    return result if isinstance(result, Response) else JSONResponse(result)
