"""Who may ask: checks of a request's headers, before anything of its body is looked at.

There are no cookies, so a page of another site can borrow no one's rights; what it could still do is to reach a service
on this machine through its user's browser. `Sec-Fetch-Site` and `Origin` give away requests that another site
has caused, and the `Host` header those that were led here under a foreign name (DNS rebinding).
"""

import hmac
import ipaddress
from urllib.parse import urlsplit

from hitsong.service.problems import Problem

# Whatever is sent is only what it says it is, loads nothing from elsewhere, and is shown in no one's frame.
HEADERS = {
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


class Guard:
    """Refuses requests by their headers.

    Parameters
    ----------
    host : str
        Where the service listens. On loopback it answers to the names of loopback alone.
    token : str or None
        What `Authorization: Bearer` must carry, if anything.
    """

    def __init__(self, host, token=None):
        self.local = is_loopback(host)
        self._token = None if token is None else token.encode()

    def check(self, method, headers, public):
        """Let a request pass, or raise `Problem`.

        Parameters
        ----------
        method : str
        headers : mapping
            Of the request, by case-insensitive name.
        public : bool
            What is asked for needs no token.
        """
        host = headers.get("Host", "")
        if self.local and not is_loopback(_split(f"//{host}").hostname or ""):
            raise Problem(421, "wrong_host", "this service answers to localhost only")
        if method not in ("GET", "HEAD", "OPTIONS"):
            _same_site(host, headers)
        if self._token is not None and not public:
            self._authorised(headers.get("Authorization", ""))

    def _authorised(self, authorization):
        scheme, _, given = authorization.partition(" ")
        # Header bytes arrive as Latin-1.
        known = hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._token)
        if scheme.lower() != "bearer" or not known:
            raise Problem(
                401, "no_token", "send the access token: Authorization: Bearer ...",
                {"WWW-Authenticate": "Bearer"},
            )  # fmt: skip


def _same_site(host, headers):
    """Refuse what a page of another site has sent; clients that are no browsers send neither header."""
    site, origin = headers.get("Sec-Fetch-Site", "none"), headers.get("Origin")
    foreign = origin is not None and _split(origin).netloc.lower() != host.lower()
    if foreign or site not in ("same-origin", "none"):
        raise Problem(
            403, "cross_site", "files are taken from this service's own page and from programs only"
        )


def _split(url):
    """The parts of an address; of none at all, if it is no address."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
