"""The synthetic Deezer: endpoints and errors of its public API, which needs no key.

It shares the worlds of the synthetic Spotify. Its ids are integers, its `rank` rises with the planted popularity, its
errors come with HTTP 200, and its preview addresses expire. Its genres are coarse, as the real ones: mandopop is not
among them, and is reached by artists' names and in playlists. It follows recorded responses.
"""

import re
import time
from urllib.parse import quote, urlencode

from starlette.responses import HTMLResponse, JSONResponse

from standin import deezer_objects as objects
from standin import web
from standin.catalogue import catalogue
from standin.world import GENRES

LARGEST = 100  # items of a page, also where a request asks for more
GENRE_ARTISTS = 50  # artists that a genre shows

deezer = web.Service("deezer", objects.PREFIX)


# ---------------------------------------------------------------------- errors and parameters


class Refusal(web.Refused):
    """An error in Deezer's form: with HTTP 200."""

    def __init__(self, kind, message, code):
        super().__init__(JSONResponse({"error": {"type": kind, "message": message, "code": code}}))


def lookup(kind, key):
    """The object with an integer id, or the error that there is none."""
    item = catalogue().find_serial(kind, int(key)) if re.fullmatch(r"\d{1,18}", key) else None
    if item is None:
        raise no_data()
    return item


def no_data():
    return Refusal("DataException", "no data", 800)


def integer(name, default):
    """A parameter that is an integer and not negative."""
    value = web.parameters().get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", value):
        raise Refusal("ParameterException", f"Wrong parameter: {name}", 500)
    return int(value)


def query():
    """The parameter `q`."""
    if not web.parameters().get("q", "").strip():
        raise Refusal("MissingParameterException", "Missing parameters: q", 501)
    return web.parameters()["q"]


def page(items, describe, **others):
    """The page of a list that the request asks for; the last page has no `next`."""
    limit, index = min(integer("limit", 25), LARGEST), integer("index", 0)
    body = {"data": [describe(item) for item in items[index : index + limit]], "total": len(items), **others}
    if limit > 0 and index + limit < len(items):
        parameters = urlencode(dict(web.parameters()) | {"index": index + limit}, quote_via=quote)
        body["next"] = f"{objects.home()}{web.path().removeprefix(objects.PREFIX)}?{parameters}"
    return body


# ---------------------------------------------------------------------- previews


@deezer.get("/api/1/1/{_:path}/{key}.mp3")
async def preview(_, key):
    grant = re.search(r"hdnea=exp=(\d{1,12})~.*hmac=(\w+)", web.request().url.query)
    expires = int(grant[1]) if grant else 0
    if expires < time.time() or grant[2] != objects.signature(key, expires):
        return access_denied()
    return await catalogue().mp3(catalogue().find("previews", key) or catalogue().decoy_preview(key))


def access_denied():
    """The response to an expired address."""
    body = "<html><head><title>Access Denied</title></head><body><h1>Access Denied</h1></body></html>"
    return HTMLResponse(body, 403)


# ---------------------------------------------------------------------- endpoints


@deezer.get("/search")
@deezer.get("/search/track")
def search():
    return page(catalogue().search("deezer track", query(), "rank"), objects.listed_track)


@deezer.get("/search/artist")
def search_artist():
    return page(catalogue().search("artist", query()), objects.searched_artist)


@deezer.get("/search/playlist")
def search_playlist():
    words = query().lower().replace('"', " ").split()
    playlists = [
        playlist
        for world in catalogue().worlds()
        for playlist in world.playlists.values()
        if all(word in playlist.name.lower() for word in words)
    ]
    return page(playlists, objects.listed_playlist)


@deezer.get("/genre")
def genres():
    return {"data": [objects.genre(*genre) for genre in [(0, "All"), *objects.GENRES.values()]]}


@deezer.get("/genre/{key}/artists")
def genre_artists(key):
    names = list(GENRES) if key == "0" else [g for g, (n, _) in objects.GENRES.items() if str(n) == key]
    if not names:
        raise no_data()
    artists = [artist for name in names for artist in catalogue().world(name).artists]
    artists.sort(key=lambda artist: (-artist.popularity, artist.serial))
    return {"data": [objects.genre_artist(artist) for artist in artists[:GENRE_ARTISTS]]}


@deezer.get("/artist/{key}/albums")
def artist_albums(key):
    releases = lookup("people", key).releases
    albums = [album for group in objects.RECORD_TYPES for album in releases[group]]
    return page(sorted(albums, key=objects.release_day, reverse=True), objects.artist_album)


@deezer.get("/album/{key}/tracks")
def album_tracks(key):
    return page(lookup("albums", key).tracks, objects.album_track)


@deezer.get("/playlist/{key}/tracks")
def playlist_tracks(key):
    playlist = lookup("playlists", key)
    return page(
        playlist.tracks,
        lambda track: {**objects.listed_track(track), "time_add": 1714564800},
        checksum=objects.listed_playlist(playlist)["checksum"],
    )


@deezer.get("/track/isrc:{isrc}")
def track_by_isrc(isrc):
    for world in catalogue().worlds():
        if decoy := world.decoys.by_isrc.get(isrc):
            return objects.full_track(decoy)
        recording = world.by_isrc.get(isrc)
        if recording and recording not in world.decoys.hidden:
            return objects.full_track(max(world.copies[recording], key=lambda track: track.rank))
    raise no_data()


@deezer.get("/track/{key}")
def track(key):
    decoy = catalogue().decoy(int(key)) if re.fullmatch(r"\d{1,18}", key) else None
    return objects.full_track(decoy or lookup("tracks", key))


@deezer.get("/")
@deezer.get("/{path:path}")
def unknown_path(path=""):
    raise Refusal("InvalidQueryException", f"Unknown path components : /{path}", 600)
