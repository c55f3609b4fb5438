"""Access control by a request's headers, before its body is read.

There are no cookies, so a page of another site cannot use anybody's rights; it could still reach a service on this
machine through its user's browser. `Sec-Fetch-Site` and `Origin` show that another site caused a request, the `Host`
header that a foreign name leads here (DNS rebinding).
"""

import hmac
import ipaddress
import re
from urllib.parse import urlsplit

from hitsong.service.problems import Problem

PUBLIC = re.compile(r"/|/page/.*|/docs(/.*)?|/openapi\.json|/health/(live|ready)")  # paths without token

# Responses load nothing from elsewhere, are never shown in another site's frame, and keep their declared type.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_loopback(host):
    """Whether an address, or the name `localhost`, can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class AccessControl:
    """Refuses requests by their headers.

    Parameters
    ----------
    host : str
        The address that the service listens on. On loopback, `Host` must be a name of loopback.
    token : str or None
        The token that `Authorization: Bearer` must carry; None if anybody may use the service.
    origins : sequence of str
        Other sites whose pages may use the service, as browsers name them in `Origin`.
    """

    def __init__(self, host, token=None, origins=()):
        self.local = is_loopback(host)
        self.origins = tuple(origins)
        self._token = None if token is None else token.encode()

    def check(self, method, path, headers):
        """Raise `Problem` unless a request is allowed.

        Parameters
        ----------
        method, path : str
        headers : mapping
            Of the request, by case-insensitive name.
        """
        host = headers.get("Host", "")
        if self.local and not is_loopback(_split(f"//{host}").hostname or ""):
            raise Problem(421, "wrong_host", "this service can be used as localhost only")
        if method == "OPTIONS":
            return  # tells methods only; browsers send it without a token
        if method != "GET" and headers.get("Origin") not in self.origins:
            _require_same_site(host, headers)
        if self._token is not None and not PUBLIC.fullmatch(path):
            self._require_token(headers.get("Authorization", ""))

    def _require_token(self, authorization):
        scheme, _, token = authorization.partition(" ")
        # Header bytes arrive as Latin-1.
        correct = hmac.compare_digest(token.strip().encode("latin-1", "replace"), self._token)
        if scheme.lower() != "bearer" or not correct:
            raise Problem(
                401, "no_token", "send the access token: Authorization: Bearer ...",
                {"WWW-Authenticate": "Bearer"},
            )  # fmt: skip


def _require_same_site(host, headers):
    """Refuse requests caused by other sites; clients that are no browsers send neither header."""
    site, origin = headers.get("Sec-Fetch-Site", "none"), headers.get("Origin")
    foreign = origin is not None and _split(origin).netloc.lower() != host.lower()
    if foreign or site not in ("same-origin", "none"):
        raise Problem(
            403, "cross_site", "requests are accepted from this service's own page and from programs only"
        )


def _split(url):
    """The parts of an address; empty ones if it is invalid."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
