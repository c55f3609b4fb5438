"""The synthetic MusicBrainz (WS/2, JSON) and ListenBrainz: what a crawl uses, with limits and errors."""

import re
import uuid

from starlette.responses import JSONResponse, Response

from standin import web
from standin.catalogue import catalogue
from standin.identities import artist_mbid, recording_mbids, release_mbid
from standin.search import fold

MUSICBRAINZ, LISTENBRAINZ = "musicbrainz.test", "api.listenbrainz.test"
MUSICBRAINZ_PREFIX, LISTENBRAINZ_PREFIX = "/musicbrainz", "/listenbrainz"
LARGEST = 100  # items of a page
MOST_MBIDS = 1000  # of a request
FAMOUS = [
    str(uuid.UUID(int=place, version=4)) for place in range(1, 4)
]  # what a search for a famous song finds

musicbrainz = web.Service("musicbrainz", MUSICBRAINZ_PREFIX)
listenbrainz = web.Service("listenbrainz", LISTENBRAINZ_PREFIX)


def rate_limited():
    """MusicBrainz's refusal of more than a request a second."""
    text = (
        "Your requests are exceeding the allowable rate limit. "
        "Please see http://wiki.musicbrainz.org/XMLWebService for more information."
    )
    return JSONResponse({"error": text}, 503)


def disabled():
    """ListenBrainz's refusal to say what is popular."""
    text = "Popularity API currently disabled due to high load on the server. Please try again later."
    return _refused(500, text)


def _refused(status, message):
    return JSONResponse({"code": status, "error": message}, status)


# ---------------------------------------------------------------------- MusicBrainz


def require_contact(view):
    if "(" not in web.request().headers.get("User-Agent", ""):
        text = "Blocked: name your application and a contact in the User-Agent"
        raise web.Refused(Response(text, 403, media_type="text/html"))


musicbrainz.before = require_contact


@musicbrainz.get("/ws/2/artist")
def artists():
    """A search by tag or by name, best hits first as Lucene has them: not by the count of the tag."""
    match = re.fullmatch(r'(tag|artist):"([^"]*)"', web.parameters().get("query", ""))
    if not match:
        return _refused(400, "Invalid query")
    field, text = match.groups()
    hits = []
    for world in catalogue().worlds():
        for artist in world.artists:
            counts = _tags(artist, world)
            if text in counts if field == "tag" else fold(text) == fold(artist.name):
                hits.append((artist, counts))
    hits.sort(key=lambda hit: artist_mbid(hit[0]))
    return _page("artists", [_artist(*hit) for hit in hits])


@musicbrainz.get("/ws/2/recording")
def recordings():
    """An artist's recordings, or a search, which finds what is famous only."""
    if "query" in web.parameters():
        return _page("recordings", [{"id": mbid, "title": "A Famous Song"} for mbid in FAMOUS])
    world, artist = _find_artist(web.parameters().get("artist"))
    if artist is None:
        return _refused(400, "Invalid mbid.")
    items = []
    for recording in world.recordings:
        if artist in recording.artists:
            items += [_recording(world, recording, mbid) for mbid in recording_mbids(world, recording)]
    return _page("recordings", items, count_name="recording-count", offset_name="recording-offset")


def _page(name, items, count_name="count", offset_name="offset"):
    limit = min(int(web.parameters().get("limit", 25)), LARGEST)
    offset = int(web.parameters().get("offset", 0))
    return {count_name: len(items), offset_name: offset, name: items[offset : offset + limit]}


def _tags(artist, world):
    """Tags of an artist with their counts: those found under the genre have it, weak hits with a count of 0."""
    return {world.genre: 3 + artist.popularity // 10 if artist.genres else 0}


def _artist(artist, counts):
    tags = [{"name": name, "count": count} for name, count in counts.items()]
    return {
        "id": artist_mbid(artist),
        "name": artist.name,
        "sort-name": artist.name,
        "score": 100,
        "tags": tags,
    }


def _recording(world, recording, mbid):
    return {
        "id": mbid,
        "title": recording.name,
        "length": recording.duration_ms,
        "video": False,
        "first-release-date": min(copy.album.date for copy in world.copies[recording]),
        "isrcs": _isrcs(world, recording, mbid),
        "tags": [{"name": world.genre, "count": 1}],
    }


def _isrcs(world, recording, mbid):
    """A second entry of a recording has no ISRC: title and duration tell that it is the same."""
    return [recording.isrc] if mbid == recording_mbids(world, recording)[0] else []


def _find_artist(mbid):
    for world in catalogue().worlds():
        for artist in world.artists:
            if artist_mbid(artist) == mbid:
                return world, artist
    return None, None


# ---------------------------------------------------------------------- ListenBrainz


def _requested():
    """The identifiers of a request, or a refusal."""
    body = web.document() or {}
    mbids = body.get("recording_mbids")
    if not isinstance(mbids, list) or not mbids:
        return None, _refused(400, "No recording_mbids provided.")
    if len(mbids) > MOST_MBIDS:
        return None, _refused(400, f"recording_mbids list exceeds {MOST_MBIDS} entries")
    return mbids, None


@listenbrainz.post("/1/metadata/recording/")
def metadata():
    mbids, refusal = _requested()
    if refusal:
        return refusal
    by_mbid = catalogue().by_mbid
    return {mbid: _metadata(*by_mbid[mbid], mbid) for mbid in mbids if mbid in by_mbid}


def _metadata(world, recording, mbid):
    album = min((copy.album for copy in world.copies[recording]), key=lambda album: album.date)
    artists = [
        {
            "name": artist.name,
            "artist_mbid": artist_mbid(artist),
            "type": "Group",
            "join_phrase": "",
            "rels": {},
        }
        for artist in recording.artists
    ]
    name = ", ".join(artist.name for artist in recording.artists)
    return {
        "recording": {
            "name": recording.name,
            "length": recording.duration_ms,
            "first_release_date": album.date,
            "isrcs": _isrcs(world, recording, mbid),
            "rels": [],
        },
        "artist": {"name": name, "artist_credit_id": recording.artists[0].serial, "artists": artists},
        "tag": {"recording": [{"tag": world.genre, "count": 1}], "artist": [], "release_group": []},
        "release": {"name": album.name, "mbid": release_mbid(album), "year": album.year},
    }


@listenbrainz.post("/1/popularity/recording")
def popularity():
    mbids, refusal = _requested()
    if refusal:
        return refusal
    return [_count(mbid, catalogue().by_mbid) for mbid in mbids]


def _count(mbid, by_mbid):
    listens = users = None
    if mbid in by_mbid:
        world, recording = by_mbid[mbid]
        users = max(1, round(world.users(recording) / len(recording_mbids(world, recording))))
        listens = 3 * users
    elif mbid in FAMOUS:
        users, listens = 5000, 90_000
    return {"recording_mbid": mbid, "total_listen_count": listens, "total_user_count": users}


@listenbrainz.get("/1/popularity/top-recordings-for-artist/{_}")
def top_recordings(_):
    text = (
        "Due to bad actors and AI scrapers causing undue traffic on our sites, you need to provide an Auth token for "
        "this endpoint. Sorry for this mess."
    )
    return _refused(401, text)


listenbrainz.headers = {"X-RateLimit-Limit": "30", "X-RateLimit-Remaining": "29", "X-RateLimit-Reset-In": "1"}
