"""The synthetic Deezer, through real HTTP, beside recorded answers of the real one."""

import json
import re
import time
from functools import partial

import pytest

from standin import GENRES, deezer
from standin.world import World
from tests.conftest import SHARED

from .test_standin import SMALL, client_of, compare

SAMPLES = SHARED / "api_samples" / "deezer"
HOME = "http://api.deezer.test/"
NO_DATA = {"type": "DataException", "message": "no data", "code": 800}


@pytest.fixture(scope="module")
def client():
    with client_of(SMALL) as client:
        del client.session.headers["Authorization"]  # it asks for no key
        yield client


@pytest.fixture(scope="module")
def get(client):
    return lambda path, **parameters: client.get(HOME + path, **parameters)


@pytest.fixture(scope="module")
def world():
    return World(SMALL, "mandopop")


def pages(get, path, **parameters):
    """All items of a list."""
    page = get(path, **parameters)
    items = page["data"]
    while "next" in page:
        assert page["next"].startswith(HOME)
        page = get(page["next"].removeprefix(HOME))
        items = items + page["data"]
    assert len(items) == page["total"]
    return items


@pytest.fixture(scope="module")
def tracks(get, world):
    """Every track of the genre, each read on its own."""
    return [get(f"track/{track.serial}") for track in world.tracks.values()]


# ---------------------------------------------------------------------------------------------------
# The catalogue


def test_ids_are_integers_of_one_kind_and_genre():
    worlds = [World(SMALL, genre) for genre in GENRES]
    serials = [track.serial for world in worlds for track in world.tracks.values()]
    assert len(set(serials)) == len(serials)
    assert serials == [t.serial for genre in GENRES for t in World(SMALL, genre).tracks.values()]
    other = World(SMALL.model_copy(update={"seed": 2}), "mandopop")
    assert not set(serials) & {track.serial for track in other.tracks.values()}
    for world in worlds:
        for kind in ("people", "albums", "tracks", "playlists"):
            for thing in getattr(world, kind).values():
                assert world.numbered(kind, thing.serial) is thing


def test_rank_is_the_planted_order(tracks, world):
    ranks = [track["rank"] for track in tracks]
    assert len(set(ranks)) == len(ranks)
    assert 0 <= min(ranks) < max(ranks) <= 1_000_000
    known = {track.serial: track for track in world.tracks.values()}
    popularity = [known[track["id"]].popularity for track in sorted(tracks, key=lambda track: track["rank"])]
    assert popularity == sorted(popularity)
    best = {}
    for track in tracks:
        best[track["isrc"]] = max(track["rank"], best.get(track["isrc"], 0))
    latent = world.effects.sum(axis=1).to_numpy()
    by_latent = [world.recordings[i].isrc for i in latent.argsort()]
    assert by_latent == sorted(best, key=best.get)


def test_genres_are_coarse(get, world):
    names = {item["name"]: item["id"] for item in get("genre")["data"]}
    assert {"All", "Rap/Hip Hop", "Rock", "Jazz"} < set(names)
    assert not any("mando" in name.lower() for name in names)
    artists = get(f"genre/{names['Rock']}/artists")["data"]
    rock = World(SMALL, "rock")
    assert [item["id"] for item in artists] == [
        artist.serial
        for artist in sorted(rock.artists, key=lambda artist: (-artist.popularity, artist.serial))
    ]
    albums = get(f"artist/{world.artists[0].serial}/albums")["data"]
    assert {album["genre_id"] for album in albums} == {-1}


def test_mandopop_is_found_by_names_and_in_playlists(get, world):
    for artist in world.artists:
        results = pages(get, "search/artist", q=artist.name)
        assert artist.serial in {item["id"] for item in results}
    playlists = pages(get, "search/playlist", q="mandopop")
    assert len(playlists) == 2
    known = {track.serial for track in world.tracks.values()}
    for playlist in playlists:
        ids = [item["id"] for item in pages(get, f"playlist/{playlist['id']}/tracks")]
        assert len(ids) == playlist["nb_tracks"]
        assert set(ids) <= known


def test_a_crawl_by_artists_finds_every_recording(get, world):
    isrcs = set()
    for artist in world.artists:
        for album in pages(get, f"artist/{artist.serial}/albums", limit=10):
            isrcs |= {track["isrc"] for track in pages(get, f"album/{album['id']}/tracks")}
    assert isrcs == {recording.isrc for recording in world.recordings}


def test_isrc_leads_to_the_best_copy(get, world):
    copies = max(world.copies.values(), key=len)
    track = get(f"track/isrc:{copies[0].recording.isrc}")
    assert track["id"] == max(copies, key=lambda track: track.rank).serial


def test_dates_are_days_and_unknown_tempi_zero(tracks):
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", track["release_date"]) for track in tracks)
    assert any(track["bpm"] == 0 for track in tracks)
    assert sum(track["bpm"] > 50 for track in tracks) > 0.9 * len(tracks)


# ---------------------------------------------------------------------------------------------------
# The wire


def test_lists_end_without_next_and_clamp_their_limit(get):
    first = get("search", q="the", limit=1000)
    assert len(first["data"]) == 100
    assert first["next"] == f"{HOME}search?q=the&limit=1000&index=100"
    everything = pages(get, "search/track", q="the")
    assert len(everything) == first["total"]
    last = get("search", q="the", index=first["total"] - 1)
    assert len(last["data"]) == 1
    assert "next" not in last
    assert get("search", q="the", index=10**6)["data"] == []


def test_addresses_are_local_when_asked_directly(client, world):
    home = f"{client.standin.url}/deezer"
    serial = world.artists[0].serial
    page = client.get(f"{home}/artist/{serial}/albums", limit=1)
    assert page["next"].startswith(f"{home}/artist/{serial}/albums?limit=1&index=1")
    track = next(track for track in client.get(f"{home}/search", q="the")["data"] if track["preview"])
    assert track["preview"].startswith(f"{home}/api/1/1/")
    assert client.ask(track["preview"]).ok


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("track/1", NO_DATA),
        ("track/999999999999", NO_DATA),
        ("artist/nobody/albums", NO_DATA),
        ("track/isrc:ZZ9990000000", NO_DATA),
        ("genre/999/artists", NO_DATA),
        ("search", {"type": "MissingParameterException", "message": "Missing parameters: q", "code": 501}),
        (
            "search?q=a&index=x",
            {"type": "ParameterException", "message": "Wrong parameter: index", "code": 500},
        ),
        (
            "no/where",
            {"type": "InvalidQueryException", "message": "Unknown path components : /no/where", "code": 600},
        ),
    ],
)
def test_errors_come_with_status_200(get, path, error):
    assert get(path) == {"error": error}


def test_previews_expire(client, get, tracks, monkeypatch):
    silent = [track for track in tracks if track["preview"] == ""]
    assert 0 < len(silent) < 0.1 * len(tracks)
    track = next(t for t in tracks if t["preview"] and client.ask(t["preview"]).ok)
    address = track["preview"]
    assert address.startswith("http://cdnt-preview.dzcdn.test/api/1/1/")
    assert "?hdnea=exp=" in address
    assert client.ask(address).headers["Content-Type"] == "audio/mpeg"

    expires = int(re.search(r"exp=(\d+)", address)[1])
    assert expires == pytest.approx(time.time() + 900, abs=60)
    for wrong in (address.replace(str(expires), str(expires + 900)), address.split("?")[0]):
        assert client.ask(wrong).status_code == 403
    monkeypatch.setattr(deezer.time, "time", partial(float, expires + 1))
    refused = client.ask(address)
    assert (refused.status_code, refused.headers["Content-Type"].split(";")[0]) == (403, "text/html")
    again = get(f"track/{track['id']}")["preview"]
    assert again.split("?")[0] == address.split("?")[0]
    assert client.ask(again).ok


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded answers of the real service are not here")
def test_answers_have_the_real_shapes(get, world):
    def check(path, sample, **parameters):
        real = json.loads((SAMPLES / f"{sample}.json").read_text(encoding="utf-8"))["body"]
        compare(get(path, **parameters), real, but=("bpm", "genres"))

    artist = max(world.artists, key=lambda artist: len(artist.releases["single"]))
    album = max(world.albums.values(), key=lambda album: len(album.tracks))
    playlist = max(world.playlists.values(), key=lambda playlist: len(playlist.tracks))
    track = next(track for track in album.tracks if track.recording.preview)
    check(f"track/{track.serial}", "track")
    check(f"artist/{artist.serial}/albums", "artist_albums_1", limit=3)
    check(f"album/{album.serial}/tracks", "album_tracks_1", limit=100)
    check(f"playlist/{playlist.serial}/tracks", "playlist_tracks", limit=3)
    check("search", "search_simple", q="the")
    check("search/playlist", "search_playlists", q="mandopop", limit=1)
    check("genre", "genres")
    check("genre/152/artists", "genre_artists_1")
