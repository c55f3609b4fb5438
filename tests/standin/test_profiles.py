"""What each class of app gets from the synthetic Spotify."""

import pytest

from standin import playlist_ids
from standin.world import World

from .test_standin import SMALL, client_of

FORBIDDEN = {"error": {"status": 403, "message": "Forbidden"}}
NO_GRANT = {"error": {"status": 403}}
PLAYLIST = playlist_ids(SMALL, "mandopop")[0]


@pytest.fixture(scope="module")
def world():
    return World(SMALL, "mandopop")


@pytest.fixture(scope="module")
def dev_old():
    with client_of(SMALL, profile="dev_old") as client:
        yield client.get


@pytest.fixture(scope="module")
def dev_new():
    with client_of(SMALL, profile="dev_new") as client:
        yield client.get


def objects(get, limit):
    """A track, an album, an artist and a track of an album, each as found in single reads and in searches."""
    tracks = get("search", q="genre:mandopop", type="track", limit=limit)["tracks"]["items"]
    artists = get("search", q="genre:mandopop", type="artist", limit=limit)["artists"]["items"]
    track = get(f"tracks/{tracks[0]['id']}")
    album = get(f"albums/{track['album']['id']}")
    return [track, *tracks], [album], artists, album["tracks"]["items"]


def test_older_development_apps_lack_previews_and_audio_features(dev_old, world):
    tracks, albums, artists, parts = objects(dev_old, limit=50)
    assert all(track["preview_url"] is None for track in tracks + parts)
    assert all("popularity" in item for item in tracks + albums + artists)
    assert all(isinstance(track["popularity"], int) for track in tracks)
    ids = ",".join(list(world.tracks)[:50])
    assert len(dev_old("tracks", ids=ids)["tracks"]) == 50
    assert dev_old("audio-features", 403, ids=ids) == NO_GRANT
    assert dev_old(f"playlists/{PLAYLIST}/tracks")["total"] > 10


def test_newer_development_apps_lack_popularity_and_previews(dev_new):
    tracks, albums, artists, parts = objects(dev_new, limit=10)
    assert all(track["preview_url"] is None for track in tracks + parts)
    assert not any("popularity" in item for item in tracks + albums + artists + parts)
    assert not any("label" in album for album in albums)
    assert all(track["external_ids"]["isrc"].startswith("ZZ") for track in tracks)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tracks?ids={track}", FORBIDDEN),
        ("albums?ids={track}", FORBIDDEN),
        (f"playlists/{PLAYLIST}/tracks", FORBIDDEN),
        ("audio-features?ids={track}", NO_GRANT),
    ],
)
def test_newer_development_apps_are_refused(dev_new, world, path, body):
    assert dev_new(path.format(track=next(iter(world.tracks))), 403) == body


def test_newer_development_apps_read_small_pages(dev_new, world):
    invalid = {"error": {"status": 400, "message": "Invalid limit"}}
    artist = world.artists[0].id
    album = max(world.albums.values(), key=lambda album: len(album.tracks)).id
    assert dev_new("search", 400, q="a", type="artist", limit=11) == invalid
    assert dev_new(f"artists/{artist}/albums", 400, limit=20) == invalid
    assert dev_new("search", q="genre:mandopop", type="track", limit=10)["tracks"]["limit"] == 10
    assert dev_new(f"artists/{artist}/albums", limit=10)["limit"] == 10
    assert dev_new(f"albums/{album}/tracks", limit=50)["limit"] == 50
    assert len(dev_new(f"albums/{album}")["tracks"]["items"]) == 50


def test_nothing_works_without_premium(world):
    with client_of(SMALL, profile="no_premium") as client:
        for path in ("search?q=a&type=artist", f"tracks/{next(iter(world.tracks))}", "nowhere"):
            answer = client.ask(path)
            assert answer.status_code == 403
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert answer.text.startswith("Active premium subscription required for the owner of the app.")


def test_the_catalogue_is_the_same_for_every_class(dev_old, dev_new, world):
    for get in (dev_old, dev_new):
        tracks = get("search", q="genre:mandopop", type="track", limit=10)["tracks"]["items"]
        assert all(world.tracks[track["id"]].recording.name == track["name"] for track in tracks)
