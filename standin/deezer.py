"""The synthetic Deezer: endpoints, objects and errors of its public API, which asks for no key.

It shares the worlds of the synthetic Spotify. Its ids are integers, its `rank` rises with the planted popularity,
its errors come with HTTP 200, and its preview addresses expire. The genres are coarse, as the real ones:
mandopop is none of them, and is found by artists' names and in playlists. Facts follow recorded answers.
"""

import hashlib
import re
import time
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from standin.catalogue import catalogue, genre_of
from standin.names import number
from standin.world import GENRES

# Hosts of the service. A request to one of them is answered under /deezer, where direct requests go.
API, PREVIEWS = "api.deezer.test", "cdnt-preview.dzcdn.test"
PREFIX = "/deezer"

COARSE = {
    "pop": (132, "Pop"),
    "hip-hop": (116, "Rap/Hip Hop"),
    "rock": (152, "Rock"),
    "electronic": (106, "Electro"),
    "reggae": (144, "Reggae"),
    "jazz": (129, "Jazz"),
    "country": (84, "Country"),
    "classical": (98, "Classical"),
}
RECORD_TYPES = {"album": "album", "single": "single", "compilation": "compile"}
COUNTRIES = ["AU", "CA", "DE", "HK", "JP", "MY", "SG", "TW", "US"]
LIFETIME = 900  # seconds that a preview address is good for
LARGEST = 100  # items of a page; who asks for more gets as many
CHART = 100  # tracks of a chart, or of an artist's top
GENRE_ARTISTS = 50  # artists that a genre shows

deezer = Blueprint("deezer", __name__, url_prefix=PREFIX)


# ---------------------------------------------------------------------------------------------------
# Failures and parameters


class Refusal(HTTPException):
    """An error in Deezer's form: with HTTP 200."""

    def __init__(self, kind, message, code):
        super().__init__(message, jsonify(error={"type": kind, "message": message, "code": code}))


def lookup(kind, key):
    """The object with an integer id, or the error that there is none."""
    found = catalogue().find_serial(kind, int(key)) if re.fullmatch(r"\d{1,18}", key) else None
    if found is None:
        raise no_data()
    return found


def no_data():
    return Refusal("DataException", "no data", 800)


def integer(name, default):
    """A parameter that is an integer and not negative."""
    value = request.args.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", value):
        raise Refusal("ParameterException", f"Wrong parameter: {name}", 500)
    return int(value)


def words():
    """The query `q`."""
    if not request.args.get("q", "").strip():
        raise Refusal("MissingParameterException", "Missing parameters: q", 501)
    return request.args["q"]


# ---------------------------------------------------------------------------------------------------
# Objects


def home(host=API):
    """Address of a host if the client uses us as its proxy, ours if it asks us directly."""
    return f"http://{host}" if request.host.endswith(".test") else f"http://{request.host}{PREFIX}"


def page(items, shape, default=25, **others):
    """The list that the request asks for; the last one has no `next`."""
    limit, index = min(integer("limit", default), LARGEST), integer("index", 0)
    answer = {"data": [shape(item) for item in items[index : index + limit]], "total": len(items), **others}
    if limit > 0 and index + limit < len(items):
        query = urlencode(request.args.to_dict() | {"index": index + limit}, quote_via=quote)
        answer["next"] = f"{home()}{request.path.removeprefix(PREFIX)}?{query}"
    return jsonify(answer)


def address(kind, key):
    return f"http://www.deezer.test/{kind}/{key}"


def shared(kind, key):
    return {"link": address(kind, key), "share": f"{address(kind, key)}?utm_source=deezer"}


def pictures(kind, key, name="picture"):
    sides = {"small": 56, "medium": 250, "big": 500, "xl": 1000}
    sizes = {
        f"{name}_{size}": f"http://cdn-images.dzcdn.test/{kind}/{key}/{n}.jpg" for size, n in sides.items()
    }
    return {name: f"{home()}/{kind}/{key}/image", **sizes}


def artist_name(artist):
    tracklist = f"{home()}/artist/{artist.serial}/top?limit=50"
    return {"id": artist.serial, "name": artist.name, "tracklist": tracklist, "type": "artist"}


def artist_tile(artist):
    return {**artist_name(artist), **pictures("artist", artist.serial)}


def contributor(artist, role="Main"):
    return {**artist_tile(artist), **shared("artist", artist.serial), "radio": True, "role": role}


def full_artist(artist):
    count = sum(len(albums) for group, albums in artist.releases.items() if group != "appears_on")
    full = {**contributor(artist), "nb_album": count, "nb_fan": artist.followers}
    del full["role"]
    return full


def found_artist(artist):
    found = full_artist(artist)
    del found["share"]
    return found


def album_tile(album):
    covers = pictures("album", album.serial, "cover")
    tracklist = f"{home()}/album/{album.serial}/tracks"
    return {"id": album.serial, "title": album.name, **covers, "tracklist": tracklist, "type": "album"}


def listed_album(album):
    """An album in the list of its artist's."""
    return {
        **album_tile(album),
        "link": address("album", album.serial),
        "genre_id": coarse(album)[0],
        "fans": album.artists[0].followers // 10,
        "release_date": day(album),
        "record_type": RECORD_TYPES[album.type],
        "explicit_lyrics": any(track.recording.explicit for track in album.tracks),
    }


def full_album(album):
    key, name = coarse(album)
    genre = [{"id": key, "name": name, "picture": f"{home()}/genre/{key}/image", "type": "genre"}]
    return {
        **listed_album(album),
        **shared("album", album.serial),
        "upc": album.upc,
        "genres": {"data": genre if name else []},
        "label": "Nowhere Records (synthetic)",
        "nb_tracks": len(album.tracks),
        "duration": sum(seconds(track) for track in album.tracks),
        "rating": 0,
        "available": True,
        **explicitness(False),
        "explicit_lyrics": any(track.recording.explicit for track in album.tracks),
        "contributors": [contributor(artist) for artist in album.artists],
        "artist": artist_tile(album.artists[0]),
        "tracks": {"data": [bare_track(track) for track in album.tracks]},
    }


def bare_track(track):
    """What every list says about a track."""
    return {
        "id": track.serial,
        "readable": True,
        "title": track.recording.name,
        "title_short": track.recording.name,
        "title_version": "",
        "link": address("track", track.serial),
        "duration": seconds(track),
        "rank": track.rank,
        **explicitness(track.recording.explicit),
        "preview": preview_address(track.recording),
        "artist": artist_name(track.recording.artists[0]),
        "type": "track",
    }


def listed_track(track):
    """A track in a search or a playlist."""
    artist, image = (
        track.recording.artists[0],
        {"md5_image": f"{number('image', track.album.id) % 2**128:032x}"},
    )
    return {
        **bare_track(track),
        **image,
        "artist": {**artist_tile(artist), "link": address("artist", artist.serial)},
        "album": {**album_tile(track.album), **image},
    }


def top_track(track):
    """A track in an artist's top."""
    return {
        **bare_track(track),
        "contributors": contributors(track),
        "album": album_tile(track.album),
    }


def album_track(track):
    """A track in the list of its album's: the only list with ISRCs."""
    return {**bare_track(track), **placed(track)}


def full_track(track):
    artist, album = track.recording.artists[0], track.album
    measured = track.recording.features or {"tempo": 0, "loudness": 0}  # 0: unknown
    return {
        **bare_track(track),
        **placed(track),
        "share": shared("track", track.serial)["share"],
        "release_date": day(album),
        "bpm": round(measured["tempo"], 1),
        "gain": round(measured["loudness"], 1),
        "available_countries": COUNTRIES,
        "contributors": contributors(track),
        "artist": {**artist_tile(artist), **shared("artist", artist.serial), "radio": True},
        "album": {**album_tile(album), "link": address("album", album.serial), "release_date": day(album)},
    }


def placed(track):
    return {"isrc": track.recording.isrc, "track_position": track.number, "disk_number": 1}


def contributors(track):
    main, *guests = track.recording.artists
    return [contributor(main), *(contributor(guest, "Featured") for guest in guests)]


def explicitness(explicit):
    return {
        "explicit_lyrics": explicit,
        "explicit_content_lyrics": int(explicit),
        "explicit_content_cover": 2,  # unknown
    }


def listed_playlist(playlist):
    digest = f"{number('playlist', playlist.id) % 2**128:032x}"
    user = {"id": playlist.serial, "name": "A synthetic listener", "type": "user"}
    return {
        "id": playlist.serial,
        "title": playlist.name,
        "public": True,
        "nb_tracks": len(playlist.tracks),
        "link": address("playlist", playlist.serial),
        **pictures("playlist", playlist.serial),
        "checksum": digest,
        "tracklist": f"{home()}/playlist/{playlist.serial}/tracks",
        "creation_date": "2024-05-01 12:00:00",
        "md5_image": digest,
        "picture_type": "playlist",
        "user": {**user, "tracklist": f"{home()}/user/{playlist.serial}/flow"},
        "type": "playlist",
    }


def coarse(album):
    """Id and name of an album's genre; -1 where no coarse genre fits."""
    return COARSE.get(genre_of(album.serial), (-1, ""))


def day(album):
    """A date that is known to the month or the year only becomes its first day: Deezer knows no precision."""
    return (album.date + "-01-01")[:10]


def seconds(track):
    return round(track.recording.duration_ms / 1000)


# ---------------------------------------------------------------------------------------------------
# Previews


def preview_address(recording):
    """The address of a preview for the next fifteen minutes; "" where there is none."""
    key = recording.preview
    if key is None:
        return ""
    path, expires = f"/api/1/1/{key[0]}/{key[1]}/{key[2]}/0/{key}.mp3", int(time.time()) + LIFETIME
    return f"{home(PREVIEWS)}{path}?hdnea=exp={expires}~acl={path}*~data=user_id=0~hmac={seal(key, expires)}"


def seal(key, expires):
    """What proves that the service itself allowed a preview until then."""
    return hashlib.sha256(f"synthetic/{key}/{expires}".encode()).hexdigest()


@deezer.get("/api/1/1/<path:_>/<key>.mp3")
def preview(_, key):
    grant = re.search(r"hdnea=exp=(\d{1,12})~.*hmac=(\w+)", request.query_string.decode())
    if not grant or int(grant[1]) < time.time() or grant[2] != seal(key, int(grant[1])):
        return denied()
    return catalogue().mp3(catalogue().find("previews", key))


def denied():
    """What an expired address answers."""
    page = "<html><head><title>Access Denied</title></head><body><h1>Access Denied</h1></body></html>"
    return Response(page, 403, mimetype="text/html")


# ---------------------------------------------------------------------------------------------------
# Endpoints


@deezer.get("/search")
@deezer.get("/search/track")
def search():
    return page(catalogue().search("track", words(), "rank"), listed_track)


@deezer.get("/search/artist")
def search_artist():
    return page(catalogue().search("artist", words()), found_artist)


@deezer.get("/search/playlist")
def search_playlist():
    wanted = words().lower().replace('"', " ").split()
    found = [
        playlist
        for world in catalogue().worlds()
        for playlist in world.playlists.values()
        if all(word in playlist.name.lower() for word in wanted)
    ]
    return page(found, listed_playlist)


@deezer.get("/genre")
def genres():
    return jsonify(data=[genre_tile(*genre) for genre in [(0, "All"), *COARSE.values()]])


@deezer.get("/genre/<key>")
def genre(key):
    return jsonify(genre_tile(*next(((n, name) for n, name in COARSE.values() if str(n) == key), (0, "All"))))


@deezer.get("/genre/<key>/artists")
def genre_artists(key):
    found = [artist for world in coarse_worlds(key) for artist in world.artists]
    found = sorted(found, key=lambda artist: (-artist.popularity, artist.serial))[:GENRE_ARTISTS]
    return jsonify(data=[{**artist_tile(artist), "radio": True} for artist in found])


@deezer.get("/chart/<key>/tracks")
def chart_tracks(key):
    found = by_rank(track for world in coarse_worlds(key) for track in world.by_rank[:CHART])[:CHART]
    places = {track: place for place, track in enumerate(found, 1)}
    return page(found, lambda track: {**listed_track(track), "position": places[track]}, default=10)


@deezer.get("/artist/<key>")
def artist(key):
    return jsonify(full_artist(lookup("people", key)))


@deezer.get("/artist/<key>/top")
def artist_top(key):
    found = lookup("people", key)
    albums = [album for albums in found.releases.values() for album in albums]
    tracks = [track for album in albums for track in album.tracks if found in track.recording.artists]
    return page(by_rank(tracks)[:CHART], top_track, default=5)


@deezer.get("/artist/<key>/albums")
def artist_albums(key):
    releases = lookup("people", key).releases
    albums = [album for group in RECORD_TYPES for album in releases[group]]
    return page(sorted(albums, key=day, reverse=True), listed_album)


@deezer.get("/album/<key>")
def album(key):
    return jsonify(full_album(lookup("albums", key)))


@deezer.get("/album/<key>/tracks")
def album_tracks(key):
    return page(lookup("albums", key).tracks, album_track)


@deezer.get("/playlist/<key>")
def playlist(key):
    found = lookup("playlists", key)
    tracks = [listed_track(track) for track in found.tracks]
    return jsonify({**listed_playlist(found), "tracks": {"data": tracks}})


@deezer.get("/playlist/<key>/tracks")
def playlist_tracks(key):
    found = lookup("playlists", key)
    return page(
        found.tracks,
        lambda track: {**listed_track(track), "time_add": 1714564800},
        checksum=listed_playlist(found)["checksum"],
    )


@deezer.get("/track/<key>")
def track(key):
    return jsonify(full_track(lookup("tracks", key)))


@deezer.get("/track/isrc:<isrc>")
def track_by_isrc(isrc):
    for world in catalogue().worlds():
        if recording := world.by_isrc.get(isrc):
            return jsonify(full_track(by_rank(world.copies[recording])[0]))
    raise no_data()


@deezer.get("/")
@deezer.get("/<path:path>")
def nothing(path=""):
    raise Refusal("InvalidQueryException", f"Unknown path components : /{path}", 600)


def genre_tile(key, name):
    return {"id": key, "name": name, **pictures("genre", key), "type": "genre"}


def coarse_worlds(key):
    """The worlds of a coarse genre; 0 is every one."""
    genres = list(GENRES) if key == "0" else [g for g, (n, _) in COARSE.items() if str(n) == key]
    if not genres:
        raise no_data()
    return [catalogue().world(genre) for genre in genres]


def by_rank(tracks):
    return sorted(tracks, key=lambda track: -track.rank)
