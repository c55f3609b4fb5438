"""The synthetic Deezer's objects, in the form of its responses."""

import hashlib
import time

from standin.catalogue import genre_of
from standin.names import number
from standin.web import host as requested_host

# Hosts of the service. A request to one of them is handled under /deezer, where direct requests go.
API, PREVIEWS = "api.deezer.test", "cdnt-preview.dzcdn.test"
PREFIX = "/deezer"

GENRES = {
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
LIFETIME = 900  # seconds for which a preview address is valid


def home(host=API):
    """Address of a host for clients that use the stand-in as a proxy; its own address for direct requests."""
    requested = requested_host()
    return f"http://{host}" if requested.endswith(".test") else f"http://{requested}{PREFIX}"


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


def genre(key, name):
    return {"id": key, "name": name, **pictures("genre", key), "type": "genre"}


# ---------------------------------------------------------------------- artists


def artist_name(artist):
    tracklist = f"{home()}/artist/{artist.serial}/top?limit=50"
    return {"id": artist.serial, "name": artist.name, "tracklist": tracklist, "type": "artist"}


def artist_tile(artist):
    return {**artist_name(artist), **pictures("artist", artist.serial)}


def genre_artist(artist):
    """An artist in the list of a genre."""
    return {**artist_tile(artist), "radio": True}


def searched_artist(artist):
    """An artist in a search."""
    count = sum(len(albums) for group, albums in artist.releases.items() if group != "appears_on")
    link = {"link": address("artist", artist.serial)}
    return {**genre_artist(artist), **link, "nb_album": count, "nb_fan": artist.followers}


def contributors(track):
    return [
        {**genre_artist(artist), **shared("artist", artist.serial), "role": "Featured" if place else "Main"}
        for place, artist in enumerate(track.recording.artists)
    ]


# ---------------------------------------------------------------------- albums


def album_tile(album):
    covers = pictures("album", album.serial, "cover")
    tracklist = f"{home()}/album/{album.serial}/tracks"
    return {"id": album.serial, "title": album.name, **covers, "tracklist": tracklist, "type": "album"}


def artist_album(album):
    """An album in the list of its artist's; its genre is -1 where no coarse genre fits."""
    return {
        **album_tile(album),
        "link": address("album", album.serial),
        "genre_id": GENRES.get(genre_of(album.serial), (-1, ""))[0],
        "fans": album.artists[0].followers // 10,
        "release_date": release_day(album),
        "record_type": RECORD_TYPES[album.type],
        "explicit_lyrics": any(track.recording.explicit for track in album.tracks),
    }


def release_day(album):
    """A date that is known to the month or the year only becomes its first day: Deezer has no precision."""
    return (album.date + "-01-01")[:10]


# ---------------------------------------------------------------------- tracks


def bare_track(track):
    """The fields of a track that all lists share."""
    return {
        "id": track.serial,
        "readable": True,
        "title": track.recording.name,
        "title_short": track.recording.name,
        "title_version": "",
        "link": address("track", track.serial),
        "duration": round(track.recording.duration_ms / 1000),
        "rank": track.rank,
        "explicit_lyrics": track.recording.explicit,
        "explicit_content_lyrics": int(track.recording.explicit),
        "explicit_content_cover": 2,  # unknown
        "preview": preview_address(track.recording),
        "artist": artist_name(track.recording.artists[0]),
        "type": "track",
    }


def listed_track(track):
    """A track in a search or a playlist."""
    artist = track.recording.artists[0]
    image = {"md5_image": f"{number('image', track.album.id) % 2**128:032x}"}
    return {
        **bare_track(track),
        **image,
        "artist": {**artist_tile(artist), "link": address("artist", artist.serial)},
        "album": {**album_tile(track.album), **image},
    }


def album_track(track):
    """A track in the list of its album's: the only list with ISRCs."""
    position = {"track_position": track.number, "disk_number": 1}
    return {**bare_track(track), "isrc": track.recording.isrc, **position}


def full_track(track):
    artist, album = track.recording.artists[0], track.album
    measured = track.recording.features or {"tempo": 0, "loudness": 0}  # 0: unknown
    return {
        **album_track(track),
        "share": shared("track", track.serial)["share"],
        "release_date": release_day(album),
        "bpm": round(measured["tempo"], 1),
        "gain": round(measured["loudness"], 1),
        "available_countries": COUNTRIES,
        "contributors": contributors(track),
        "artist": {**genre_artist(artist), **shared("artist", artist.serial)},
        "album": {
            **album_tile(album),
            "link": address("album", album.serial),
            "release_date": release_day(album),
        },
    }


def preview_address(recording):
    """The address of a preview for the next fifteen minutes; "" where there is none."""
    key = recording.preview
    if key is None:
        return ""
    path, expires = f"/api/1/1/{key[0]}/{key[1]}/{key[2]}/0/{key}.mp3", int(time.time()) + LIFETIME
    query = f"hdnea=exp={expires}~acl={path}*~data=user_id=0~hmac={signature(key, expires)}"
    return f"{home(PREVIEWS)}{path}?{query}"


def signature(key, expires):
    """Shows that the service itself granted access to a preview until a time."""
    return hashlib.sha256(f"synthetic/{key}/{expires}".encode()).hexdigest()


# ---------------------------------------------------------------------- playlists


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
