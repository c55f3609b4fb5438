"""The synthetic Spotify's objects, in the form of its responses; what an app is not granted is missing or null."""

from urllib.parse import urlencode

from standin.catalogue import catalogue
from standin.profiles import PROFILES
from standin.web import host as requested_host
from standin.web import parameters

CLIENT_ID = "synthetic-client-id"

# Hosts of the service; .test is a top-level domain reserved for tests.
API, ACCOUNTS, PREVIEWS = "api.spotify.test", "accounts.spotify.test", "p.scdn.test"

MARKETS = ["AU", "CA", "DE", "HK", "JP", "MY", "SG", "TW", "US"]


def profile():
    """What the requesting app is granted."""
    return PROFILES[catalogue().settings.profile]


def home(host):
    """Address of a host for clients that use the stand-in as a proxy; its own address for direct requests."""
    requested = requested_host()
    return f"http://{host if requested.endswith('.test') else requested}"


def reference(kind, key):
    """The fields that every object has."""
    return {
        "external_urls": {"spotify": f"http://open.spotify.test/{kind}/{key}"},
        "href": f"{home(API)}/v1/{kind}s/{key}",
        "id": key,
        "type": kind,
        "uri": f"spotify:{kind}:{key}",
    }


def images(key):
    return [
        {"url": f"http://i.scdn.test/image/{key}-{side}", "height": side, "width": side}
        for side in (640, 300, 64)
    ]


def availability():
    """With a market, whether a track plays there; without, where it plays."""
    return {"is_playable": True} if "market" in parameters() else {"available_markets": MARKETS}


def granted(value):
    """Popularity, or the label, where the app may see it: the key is absent otherwise."""
    return value if profile().popularity else {}


def simple_artist(artist):
    return {**reference("artist", artist.id), "name": artist.name}


def full_artist(artist):
    return {
        **simple_artist(artist),
        "followers": {"href": None, "total": artist.followers},
        "genres": artist.genres,
        "images": images(artist.id),
        **granted({"popularity": artist.popularity}),
    }


def simple_album(album):
    markets = {} if "market" in parameters() else {"available_markets": MARKETS}
    return {
        **reference("album", album.id),
        **markets,
        "album_type": album.type,
        "artists": [simple_artist(artist) for artist in album.artists],
        "images": images(album.id),
        "name": album.name,
        "release_date": album.date,
        "release_date_precision": album.precision,
        "total_tracks": len(album.tracks),
    }


def full_album(album):
    label = "Nowhere Records (synthetic)"
    return {
        **simple_album(album),
        "copyrights": [{"text": f"{sign} {album.year} {label}", "type": sign} for sign in "CP"],
        "external_ids": {"upc": album.upc},
        "genres": [],
        **granted({"label": label, "popularity": max(track.popularity for track in album.tracks)}),
        "tracks": page(
            album.tracks, simple_track, f"/v1/albums/{album.id}/tracks", limit=50, offset=0, query={}
        ),
    }


def simple_track(track):
    recording = track.recording
    preview = None
    if recording.preview and profile().previews:  # real ones carry the app's id in their query, too
        preview = f"{home(PREVIEWS)}/mp3-preview/{recording.preview}?cid={CLIENT_ID}"
    return {
        **reference("track", track.id),
        **availability(),
        "artists": [simple_artist(artist) for artist in recording.artists],
        "disc_number": 1,
        "duration_ms": recording.duration_ms,
        "explicit": recording.explicit,
        "is_local": False,
        "name": recording.name,
        "preview_url": preview,
        "track_number": track.number,
    }


def full_track(track):
    return {
        **simple_track(track),
        "album": simple_album(track.album),
        "external_ids": {"isrc": track.recording.isrc},
        **granted({"popularity": track.popularity}),
    }


def local_track(playlist):
    """A file of the listener's own, of which the service has only what the listener's player sent."""
    unknown = {"external_urls": {}, "href": None, "id": None}
    album = {"album_type": None, "artists": [], "available_markets": [], "images": [], "name": "Tapes"}
    return {
        **unknown,
        "album": {**unknown, **album, "release_date": None, "release_date_precision": None, "type": "album"},
        "artists": [{**unknown, "name": "The Cellar Band", "type": "artist", "uri": None}],
        "available_markets": [],
        "disc_number": 0,
        "duration_ms": 187_000,
        "explicit": False,
        "external_ids": {},
        "is_local": True,
        "name": f"Rehearsal for {playlist.name}",
        "popularity": 0,
        "preview_url": None,
        "track_number": 0,
        "type": "track",
        "uri": "spotify:local:The+Cellar+Band:Tapes:Rehearsal:187",
    }


def relinked(track):
    """A playlist's track as it plays in the market asked for: the popular copy in place of a lesser one."""
    best = max(catalogue().copies(track), key=lambda copy: (copy.popularity, copy is track))
    if "market" not in parameters() or best is track:
        return full_track(track)
    return {**full_track(best), "linked_from": reference("track", track.id)}


def playlist_entries(playlist):
    """A playlist's tracks with gaps as in real ones: removed tracks, and a file of the listener's own."""
    entries = [*playlist.tracks]
    entries.insert(1, None)
    entries.insert(3, "local")
    return [*entries, None]


def playlist_entry(playlist, entry):
    local = entry == "local"
    return {
        "added_at": "2024-05-01T12:00:00Z",
        "added_by": reference("user", "synthetic-listener"),
        "is_local": local,
        "primary_color": None,
        "video_thumbnail": {"url": None},
        "track": entry and (local_track(playlist) if local else relinked(entry)),
    }


def audio_features(track):
    """None where the service never analysed the recording."""
    return track.recording.features and {
        **track.recording.features,
        "analysis_url": f"{home(API)}/v1/audio-analysis/{track.id}",
        "duration_ms": track.recording.duration_ms,
        "id": track.id,
        "track_href": f"{home(API)}/v1/tracks/{track.id}",
        "type": "audio_features",
        "uri": f"spotify:track:{track.id}",
    }


def page(items, describe, path, *, limit, offset, query, end=float("inf")):
    """A paging object; `query` holds the other parameters of its neighbours, which never go past `end`."""

    def address(start):
        return f"{home(API)}{path}?{urlencode({'offset': start, 'limit': limit, **query})}"

    following = offset + limit
    return {
        "href": address(offset),
        "items": [describe(item) for item in items[offset:following]],
        "limit": limit,
        "next": address(following) if following < len(items) and following + limit <= end else None,
        "offset": offset,
        "previous": address(max(0, offset - limit)) if offset else None,
        "total": len(items),
    }
