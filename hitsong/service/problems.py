"""Errors as clients receive them: `application/problem+json`, RFC 9457."""

import json
from http import HTTPStatus

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
