"""MusicBrainz's web service (WS/2): artists of a tag or a name, and their recordings.

One request a second, with a User-Agent that names this program. Core data are CC0; tags are CC BY-NC-SA 3.0, so a list
of artists made from them is for non-commercial use.
"""

import requests

from hitsong.collect.catalog import Page
from hitsong.collect.matching import fold
from hitsong.collect.throttle import RefusedError, RetryableError, Throttle, retry_after

GAP_S = 1.0
BUSY_S = 2.0  # pause after a 503, which comes without Retry-After
PAGE = 100
TIMEOUT_S = 30
AGENT = "hitsong/0.1 (research pipeline; see its README)"


class Api:
    """A JSON service through requests.

    Parameters
    ----------
    service : str
        Its name, for messages.
    session : requests.Session
    address : str
    throttle : hitsong.collect.throttle.Throttle
    """

    def __init__(self, service, session, address, throttle):
        self.service, self.session, self.address, self.throttle = service, session, address, throttle

    def get(self, path, need, **parameters):
        """Request a path; `need` is a key of a valid response. Raises RefusedError, ComeBackLater."""
        return self._send("GET", path, need, params=parameters)

    def post(self, path, body, need=None):
        """Send JSON; `need`, if set, is a key of a valid response. Raises RefusedError, ComeBackLater."""
        return self._send("POST", path, need, json=body)

    def _send(self, method, path, need, **content):
        return self.throttle.send(lambda: self._request(method, path, need, content))

    def _request(self, method, path, need, content):
        try:
            response = self.session.request(
                method, self.address + path, headers={"User-Agent": AGENT}, timeout=TIMEOUT_S, **content
            )
        except requests.RequestException as error:
            raise RetryableError(f"no response: {type(error).__name__}") from None
        message, status = _message(response), response.status_code
        if status == 429 or (status == 503 and "rate limit" in message):
            pause = retry_after(response.headers, retry_after({"Retry-After": _reset(response)}, BUSY_S))
            raise RetryableError(message or str(status), pause)
        if status == 500 and "disabled" in message:
            raise RefusedError(f"{self.service}: {message}", status)
        if status >= 500:
            raise RetryableError(message or str(status))
        if status >= 400:
            raise RefusedError(f"{self.service} refuses the request ({status}): {message}", status)
        try:
            body = response.json()
        except ValueError:
            raise RetryableError("a response that is not JSON") from None
        if not isinstance(body, dict | list) or (need and need not in body):
            raise RetryableError("an incomplete response")
        return body


def _reset(response):
    return response.headers.get("X-RateLimit-Reset-In", BUSY_S)


def _message(response):
    """The reason that the service gives for an error, on one line."""
    try:
        body = response.json()
    except ValueError:
        return ""
    text = body.get("error", "") if isinstance(body, dict) else ""
    return " ".join(str(text).split())


def connect(connection, settings):
    """MusicBrainz as a connection reaches it."""
    throttle = Throttle("MusicBrainz", 0.0 if connection.synthetic else GAP_S, settings.longest_wait_s)
    return Api("MusicBrainz", connection.session, connection.musicbrainz, throttle)


# ---------------------------------------------------------------------- lists


def artists_of_tag(items, api, tag):
    """The artists who have a tag, those with the highest count of it first.

    Parameters
    ----------
    items : callable
        `Crawl.items`.
    api : Api
    tag : str

    Returns
    -------
    list of dict
        `id`, `name`, `count`. Hits whose own count of the tag is 0 are left out.
    """

    def shape(item):
        counts = {entry["name"]: entry.get("count") or 0 for entry in item.get("tags") or []}
        return {"id": item["id"], "name": item["name"], "count": counts.get(tag.lower(), 0)}

    hits = _list(items, api, "artist", "artists", shape, query=f'tag:"{tag}"')
    unique = {item["id"]: item for item in hits if item["count"] > 0}
    return sorted(unique.values(), key=lambda item: (-item["count"], item["id"]))


def artists_of_name(items, api, name):
    """The artists of exactly this name, spelling apart: a list of dicts with `id` and `name`."""
    text = name.replace('"', " ")
    hits = _list(
        items,
        api,
        "artist",
        "artists",
        lambda i: {"id": i["id"], "name": i["name"]},
        query=f'artist:"{text}"',
    )
    return [item for item in hits if fold(item["name"]) == fold(name)]


def recordings_of(items, api, artist):
    """The MBIDs of an artist's recordings, videos left out."""
    hits = _list(
        items, api, "recording", "recordings", lambda item: {"id": item["id"], "video": bool(item.get("video"))},
        artist=artist, inc="isrcs+tags",
    )  # fmt: skip
    return [item["id"] for item in hits if not item["video"]]


def search_recordings(items, api, title, artist):
    """The MBIDs of the first hits of a title and an artist."""
    query = f'recording:"{title}" AND artist:"{artist}"'
    return list(_list(items, api, "recording", "recordings", lambda item: item["id"], pages=1, query=query))


def _list(items, api, path, key, shape, pages=None, **parameters):
    """Yield the items of a list, page by page; each page is requested once."""

    def request(offset):
        body = api.get(path, key, fmt="json", limit=PAGE, offset=offset, **parameters)
        count = body.get("count", body.get(f"{path}-count")) or 0
        following = offset + PAGE
        more = following < count and body[key] and (pages is None or following < pages * PAGE)
        return Page([shape(item) for item in body[key]], following if more else None, count), ()

    query = "".join(f" {name}={value}" for name, value in parameters.items())
    return items(f"musicbrainz {path}{query} by {PAGE}", request)
