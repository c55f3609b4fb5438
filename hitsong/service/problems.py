"""Errors as clients receive them: `application/problem+json`, RFC 9457."""

import json
import re
from http import HTTPStatus

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An error response.

    Parameters
    ----------
    status : int
        Of HTTP.
    code : str
        For programs.
    detail : str
        What is wrong and what to do, for people.
    headers : dict of str to str, optional
        Added to the response.
    """

    def __init__(self, status, code, detail, headers=None):
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}

    def body(self):
        """The response's body: bytes of JSON."""
        content = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        return json.dumps(content, ensure_ascii=False).encode() + b"\n"

    def response(self):
        """The response, for Starlette."""
        return Response(self.body(), self.status, self.headers, MEDIA_TYPE)


RETRY_AFTER = 2  # seconds

INTERNAL = Problem(500, "internal", "an internal error; the service's log has the details")


def busy(detail):
    """The problem of a service that has too much to do; the same request may succeed in a moment."""
    return Problem(503, "busy", f"{detail}; try again in a moment", {"Retry-After": str(RETRY_AFTER)})


# Handlers of exceptions, for FastAPI.


async def respond_with_problem(request, problem):
    return problem.response()


async def respond_to_routing_error(request, error):
    """No such page, or no such method: to `OPTIONS`, the methods that there are."""
    headers = {name: value for name, value in (error.headers or {}).items() if name == "Allow"}
    if error.status_code == 405 and request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    phrase = HTTPStatus(error.status_code).phrase
    detail = {404: "there is no such page", 405: f"use {headers.get('Allow', 'another method')} here"}
    code = re.sub(r"\W+", "_", phrase.lower())
    return Problem(error.status_code, code, detail.get(error.status_code, phrase), headers).response()


async def respond_to_invalid_parameter(request, invalid):
    """A parameter that does not fit its description."""
    error = invalid.errors()[0]
    name = ".".join(str(part) for part in error["loc"][1:])
    return Problem(422, "invalid_parameter", f"{name}: {error['msg']}").response()
