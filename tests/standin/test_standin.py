"""The stand-in, through real HTTP: what it plants, what it sends, and how its songs sound."""

import io
import json
import re
import subprocess
import sys
from argparse import ArgumentTypeError
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import librosa
import numpy as np
import pandas as pd
import pytest
import requests
import soundfile
import spotipy
from scipy.stats import spearmanr
from spotipy.oauth2 import SpotifyClientCredentials

from hitsong.config import AUDIO_FEATURES, Shares
from hitsong.config import Standin as Settings
from standin import GENRES, planted, playlist_ids, serve
from standin.__main__ import fault as read_fault
from standin.composer import RATE, Traits, compose, encode_mp3
from standin.world import World
from tests.conftest import SHARED

SAMPLES = SHARED / "api_samples" / "spotify"
TINY = Settings(artists=4, recordings=12, seconds=1)
SMALL = Settings(artists=12, recordings=90, seconds=2)


class Client:
    """Asks a stand-in as its proxy, with a token where it has one: `get(path)` is JSON, `ask(path)` the answer."""

    def __init__(self, standin, session):
        self.standin, self.session = standin, session

    def log_in(self):
        """Get a token, and carry it from now on."""
        answer = self.session.post(
            self.standin.token_url,
            data={"grant_type": "client_credentials"},
            auth=(self.standin.client_id, self.standin.client_secret),
            timeout=30,
        )
        assert answer.json()["token_type"] == "Bearer"
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def ask(self, path, **parameters):
        address = path if path.startswith("http") else self.standin.api + path
        return self.session.get(address, params=parameters, timeout=30)

    def get(self, path, status=200, **parameters):
        """A path below /v1/ (or an address of the stand-in) as JSON; checks the status."""
        answer = self.ask(path, **parameters)
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json()


@contextmanager
def client_of(settings, **changes):
    """A client, logged in at a stand-in of its own."""
    settings = settings.model_copy(update=changes)
    with serve(settings) as standin, requests.Session() as session:
        session.trust_env = False
        session.proxies = standin.proxies
        client = Client(standin, session)
        client.log_in()
        yield client


@pytest.fixture(scope="module")
def client():
    with client_of(SMALL) as client:
        yield client


@pytest.fixture(scope="module")
def standin(client):
    return client.standin


@pytest.fixture(scope="module")
def session(client):
    return client.session


@pytest.fixture(scope="module")
def get(client):
    return client.get


@pytest.fixture(scope="module")
def world():
    return World(SMALL, "mandopop")


def pages(get, page):
    """All items of a paging object and its successors."""
    items = page["items"]
    while page["next"]:
        page = get(page["next"])
        page = page.get("artists") or page.get("tracks") or page  # a search wraps its pages
        items = items + page["items"]
    assert len(items) == page["total"]
    return items


@pytest.fixture(scope="module")
def crawl(get):
    """Study 1's crawl: the genre's artists, their albums and singles, the tracks on those, in full."""
    artists = pages(get, get("search", q="genre:mandopop", type="artist", limit=50)["artists"])
    albums = {}
    for artist in artists:
        results = get(f"artists/{artist['id']}/albums", include_groups="album,single", limit=50)
        albums |= {album["id"]: album for album in pages(get, results)}
    tracks = []
    for key in albums:
        keys = [track["id"] for track in pages(get, get(f"albums/{key}")["tracks"])]
        for start in range(0, len(keys), 50):
            tracks += get("tracks", ids=",".join(keys[start : start + 50]))["tracks"]
    return artists, list(albums.values()), tracks


# ---------------------------------------------------------------------------------------------------
# The planted truth


@pytest.mark.parametrize(
    "shares",
    [Shares(), Shares(artist=0, audio=1, noise=0), Shares(artist=0.6, audio=0, noise=0.4)],
    ids=["default", "audio only", "no audio"],
)
def test_shares_come_out_as_asked(shares):
    world = World(Settings(shares=shares), "mandopop")
    effects = world.effects
    assert effects.mean().abs().max() < 1e-9
    np.testing.assert_allclose(
        effects.cov(ddof=0), np.diag([shares.artist, shares.audio, shares.noise]), atol=1e-9
    )


def test_artist_effect_is_one_number_per_artist(world):
    owners = [recording.artists[0].id for recording in world.recordings]
    assert world.effects.artist_effect.groupby(owners).nunique().max() == 1


def test_popularity_is_skewed_like_a_real_catalogue():
    world = World(Settings(), "mandopop")
    popularity = np.array([recording.popularity for recording in world.recordings])
    assert 0.2 < np.mean(popularity == 0) < 0.42
    assert 5 < popularity.mean() < 12
    assert 35 < popularity.max() <= 100
    assert np.median(popularity) < popularity.mean()


def test_default_catalogue_holds_what_real_ones_hold():
    settings = Settings()
    world = World(settings, "mandopop")
    recordings = world.recordings
    assert (len(world.artists), len(recordings)) == (settings.artists, settings.recordings)
    assert len({recording.isrc for recording in recordings}) == len(recordings)
    assert len({recording.name for recording in recordings}) == len(recordings)
    owned = np.unique([recording.artists[0].name for recording in recordings], return_counts=True)[1]
    assert owned.sum() == len(recordings)
    assert owned.max() <= 0.08 * len(recordings)
    assert owned.max() > 3 * np.median(owned)
    assert max(len(album.tracks) for album in world.albums.values()) > 50
    assert max(len(artist.releases["album"] + artist.releases["single"]) for artist in world.artists) > 50
    assert np.mean([len(recording.artists) > 1 for recording in recordings]) == pytest.approx(0.15, abs=0.01)
    assert np.mean([recording.preview is None for recording in recordings]) == pytest.approx(0.03, abs=0.01)
    assert np.mean([recording.features is None for recording in recordings]) == pytest.approx(0.02, abs=0.01)
    assert {album.type for album in world.albums.values()} == {"album", "single", "compilation"}
    assert {album.precision for album in world.albums.values()} == {"day", "month", "year"}
    years = [album.year for album in world.albums.values()]
    assert (min(years), max(years)) == (2000, 2025)


@pytest.mark.parametrize("genre", GENRES)
@pytest.mark.parametrize("settings", [TINY, Settings(artists=60, recordings=12, seed=7)])
def test_smallest_catalogues_keep_the_edge_cases(settings, genre):
    world = World(settings, genre)
    assert len(world.recordings) == 12
    assert sorted(str(r.fault) for r in world.recordings if r.fault) == ["missing", "not audio"]
    assert any(len(recording.artists) > 1 for recording in world.recordings)
    assert min(len(copies) for copies in world.copies.values()) >= 1
    assert max(len(copies) for copies in world.copies.values()) >= 2


def test_worlds_depend_on_seed_and_genre_only():
    table = planted(TINY, "rock")
    assert table.equals(planted(TINY, "rock"))
    other = planted(TINY.model_copy(update={"seed": 2}), "rock")
    assert not set(table.track_id) & set(other.track_id)
    assert not set(table.track_id) & set(planted(TINY, "jazz").track_id)


def test_popularity_on_the_wire_is_the_planted_one(crawl):
    _, _, tracks = crawl
    truth = planted(SMALL, "mandopop").set_index("track_id")
    result = truth.join(pd.Series({track["id"]: track["popularity"] for track in tracks}, name="popularity"))
    top = result.groupby("isrc").max()
    latent = result.groupby("isrc")[["artist_effect", "audio_effect", "noise"]].first().sum(axis=1)
    assert len(top) == SMALL.recordings
    assert top.popularity[latent.sort_values().index].is_monotonic_increasing
    assert top.popularity.nunique() > 15


# ---------------------------------------------------------------------------------------------------
# The wire


def test_credentials_and_tokens_are_checked(standin, session):
    bad = session.post(standin.token_url, auth=("someone", "else"), headers={"Authorization": None})
    assert bad.status_code == 400
    assert bad.json() == {"error": "invalid_client", "error_description": "Invalid client"}
    for header, message in [(None, "No token provided"), ("Bearer old", "The access token expired")]:
        answer = session.get(standin.api + "search", headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.json() == {"error": {"status": 401, "message": message}}


def test_crawl_finds_every_recording_only_if_it_pages(crawl, get):
    artists, albums, tracks = crawl
    assert len(artists) == SMALL.artists
    assert len({track["external_ids"]["isrc"] for track in tracks}) == SMALL.recordings
    # The same crawl that stops at each first page misses some.
    first = []
    for artist in artists:
        for album in get(f"artists/{artist['id']}/albums", include_groups="album,single", limit=50)["items"]:
            first += get(f"albums/{album['id']}")["tracks"]["items"]
    seen = {track["id"] for track in first}
    result = {track["external_ids"]["isrc"] for track in tracks if track["id"] in seen}
    assert len(result) < SMALL.recordings
    assert any(album["total_tracks"] > 50 for album in albums)


def test_copies_share_audio_and_isrc_but_not_id_or_popularity(crawl):
    _, _, tracks = crawl
    groups = {}
    for track in {track["id"]: track for track in tracks}.values():
        groups.setdefault(track["external_ids"]["isrc"], []).append(track)
    repeated = [copies for copies in groups.values() if len(copies) > 1]
    assert repeated
    for copies in repeated:
        assert len({(copy["preview_url"], copy["name"], copy["duration_ms"]) for copy in copies}) == 1
        assert len({copy["album"]["id"] for copy in copies}) > 1
    assert any(len({copy["popularity"] for copy in copies}) > 1 for copies in repeated)


def test_addresses_are_the_same_in_every_run_and_local_when_asked_directly(standin, session, crawl):
    _, _, tracks = crawl
    track = next(track for track in tracks if track["preview_url"])
    assert track["href"] == f"http://api.spotify.test/v1/tracks/{track['id']}"
    assert track["preview_url"].startswith("http://p.scdn.test/mp3-preview/")
    direct = requests.get(
        f"{standin.url}/v1/tracks/{track['id']}", headers=session.headers, timeout=30
    ).json()
    assert direct["href"] == f"{standin.url}/v1/tracks/{track['id']}"
    assert direct["preview_url"].startswith(f"{standin.url}/mp3-preview/")


@pytest.mark.parametrize(
    ("path", "parameters", "status", "message"),
    [
        ("search", {"q": "genre:mandopop", "type": "artist", "limit": 51}, 400, "Invalid limit"),
        ("search", {"q": "genre:mandopop", "type": "artist", "limit": 0}, 400, "Invalid limit"),
        (
            "search",
            {"q": "genre:mandopop", "type": "artist", "limit": 50, "offset": 951},
            400,
            "Bad request.",
        ),
        ("search", {"q": "x", "type": "artist", "offset": -1}, 400, "Invalid offset"),
        ("search", {"type": "artist"}, 400, "No search query"),
        ("search", {"q": "x", "type": "song"}, 400, "Bad search type field song"),
        ("albums", {"ids": ",".join(["0" * 22] * 21)}, 400, "too many ids requested"),
        ("tracks", {"ids": ",".join(["0" * 22] * 51)}, 400, "too many ids requested"),
        ("audio-features", {"ids": ",".join(["0" * 22] * 101)}, 400, "too many ids requested"),
        ("tracks", {"ids": "short"}, 400, "Invalid base62 id"),
        ("tracks", {}, 400, "Invalid base62 id"),
        ("tracks/short", {}, 400, "Invalid base62 id"),
        (f"tracks/{'0' * 22}", {}, 404, "Resource not found"),
        (f"albums/{'0' * 22}/tracks", {}, 404, "Resource not found"),
        (f"artists/{'0' * 22}/albums", {}, 404, "Resource not found"),
        (f"playlists/{'0' * 22}/tracks", {}, 404, "Resource not found"),
        ("audio-books", {}, 404, "Service not found"),
    ],
)
def test_failures_have_the_real_bodies(get, path, parameters, status, message):
    assert get(path, status, **parameters) == {"error": {"status": status, "message": message}}


def test_batches_answer_null_where_nothing_is_known(get, world):
    keys = [next(iter(world.tracks)), "0" * 22]
    for path, kind in [("tracks", "tracks"), ("tracks/", "tracks"), ("audio-features", "audio_features")]:
        items = get(path, ids=",".join(keys))[kind]
        assert [item and item["id"] for item in items] == [keys[0], None]
    assert get("albums", ids=keys[1])["albums"] == [None]


def test_audio_features_lie_in_their_ranges_and_some_are_null(get, world):
    keys = [copies[0].id for copies in world.copies.values()]
    items = get("audio-features", ids=",".join(keys))["audio_features"]
    unmeasured = [key for key, item in zip(keys, items, strict=True) if item is None]
    assert len(unmeasured) == 2
    for item in filter(None, items):
        assert set(AUDIO_FEATURES) < set(item)
        shares = set(AUDIO_FEATURES) - {"key", "loudness", "mode", "tempo", "time_signature"}
        assert all(0 <= item[name] <= 1 for name in shares)
        assert -60 <= item["loudness"] <= 0
        assert item["key"] in range(12)
        assert item["mode"] in (0, 1)


def test_search_understands_fields(get, crawl):
    _, _, tracks = crawl

    def find(query, kind="track"):
        return pages(get, get("search", q=query, type=kind, limit=50)[f"{kind}s"])

    assert find("genre:polka", "artist") == find("genre:polka") == []
    assert (
        find('genre:"hip-hop"', "artist") == find('genre:"hip hop"', "artist") != find("genre:rock", "artist")
    )
    sample = tracks[0]
    year = sample["album"]["release_date"][:4]
    result = find(f'genre:mandopop year:{year} artist:"{sample["artists"][0]["name"]}"')
    assert sample["id"] in {track["id"] for track in result}
    assert {track["album"]["release_date"][:4] for track in result} == {year}
    assert sample["id"] in {track["id"] for track in find(f'track:"{sample["name"]}"')}
    assert sample["id"] in {track["id"] for track in find(sample["name"])}
    before, after = find("genre:mandopop year:1990-2012"), find("genre:mandopop year:2013-2030")
    assert before
    assert len(before) + len(after) == len(find("genre:mandopop"))


def test_artists_are_found_by_year(get, world):
    def find(query):
        return {
            artist["id"] for artist in pages(get, get("search", q=query, type="artist", limit=50)["artists"])
        }

    active_years = {artist.id: world.active[artist] for artist in world.artists}
    for first, last in [(2010, 2010), (2010, 2012), (1990, 1999)]:
        years = str(first) if first == last else f"{first}-{last}"
        expected = {
            key for key, active in active_years.items() if any(first <= year <= last for year in active)
        }
        assert find(f"genre:mandopop year:{years}") == expected
    assert set().union(*(find(f"genre:mandopop year:{year}") for year in range(2000, 2026))) == set(
        active_years
    )
    assert find("genre:mandopop year:sometime") == set()
    assert find("year:2010 genre:mandopop artist:u%") == find("genre:mandopop artist:Ü% year:2010-2010")


@pytest.mark.parametrize(
    ("pattern", "test"),
    [("s%", str.startswith), ("%e", str.endswith), ("%s%", str.__contains__), ("s", str.__contains__)],
)
def test_wildcards_find_the_right_songs(get, world, pattern, test):
    ids = pages(get, get("search", q=f"genre:mandopop track:{pattern}", type="track", limit=50)["tracks"])
    expected = {t.id for t in world.tracks.values() if test(t.recording.name.lower(), pattern.strip("%"))}
    assert expected
    assert {track["id"] for track in ids} == expected


def test_no_search_goes_past_a_thousand_results():
    with client_of(Settings(artists=1100, recordings=1200)) as client:
        query = {"q": "genre:mandopop", "type": "artist", "limit": 50}
        last = client.get("search", offset=950, **query)["artists"]
        assert (len(last["items"]), last["total"], last["next"]) == (50, 1100, None)
        client.get("search", 400, offset=1000, **query)
        ids = {artist["id"] for artist in last["items"]}
        for letter in "abcdefghijklmnopqrstuvwxyz":  # a way past it
            query["q"] = f"genre:mandopop artist:{letter}%"
            ids |= {artist["id"] for artist in pages(client.get, client.get("search", **query)["artists"])}
        assert len(ids) == 1100


def test_playlists_have_holes_a_local_file_and_relinked_tracks(get, world):
    for key, playlist in world.playlists.items():
        entries = pages(get, get(f"playlists/{key}/tracks", limit=10))
        tracks = [entry["track"] for entry in entries]
        assert tracks.count(None) == 2
        local = [track for track in tracks if track and track["is_local"]]
        assert [track["id"] for track in local] == [None]
        ids = [track["id"] for track in tracks if track and track["id"]]
        assert ids == [track.id for track in playlist.tracks]

    assert list(world.playlists) == playlist_ids(SMALL, "mandopop")
    in_market = [entry["track"] for entry in get(f"playlists/{key}/tracks", market="TW")["items"]]
    in_market = [track for track in in_market if track and track["id"]]
    requested = [track.get("linked_from", track)["id"] for track in in_market]
    assert requested == ids
    relinked = [track for track in in_market if "linked_from" in track]
    assert 0 < len(relinked) < len(in_market)
    for track in relinked:
        copy = get(f"tracks/{track['linked_from']['id']}")
        assert copy["external_ids"] == track["external_ids"]
        assert copy["popularity"] <= track["popularity"]


def test_playlist_pages_have_their_own_maxima(get):
    key = playlist_ids(SMALL, "rock")[0]
    assert get(f"playlists/{key}/tracks")["limit"] == 100
    assert get(f"playlists/{key}/tracks", 400, limit=101)["error"]["message"] == "Invalid limit"


def compare(ours, real, but=()):
    """Check that an answer has the real one's keys and types."""
    assert set(ours) == set(real)
    for key, value in real.items():
        if key in but:
            continue
        if isinstance(value, dict):
            compare(ours[key], value, but)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            compare(ours[key][0], value[0], but)
        elif value is not None and ours[key] is not None:
            assert type(ours[key]) is type(value), key


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded answers of the real service are not here")
def test_objects_have_the_real_shapes(get, crawl):
    def sample(name):
        return json.loads((SAMPLES / name).read_text(encoding="utf-8"))

    def check(ours, real):
        compare(ours, real, but=("external_ids", "external_urls", "genres"))

    _, albums, tracks = crawl
    check(get("tracks", ids=tracks[0]["id"]), sample("tracks_ids_2plbrEY59IikOBgBGLjaoe.json"))
    box = next(album["id"] for album in albums if album["total_tracks"] > 50)
    check(get(f"albums/{albums[0]['id']}"), sample("albums_10FLjwfpbxLmW8c25Xyc2N_.json"))
    check(
        get(f"albums/{box}/tracks", offset=50, limit=50),
        sample("albums_32nryzA6XBCX9ZUspVc1yz_tracks_offset_50_limit_50_locale__.json"),
    )


@pytest.mark.filterwarnings("ignore:.*audio_features:DeprecationWarning")
def test_spotipy_is_served(standin, session, world):
    class Credentials(SpotifyClientCredentials):
        OAUTH_TOKEN_URL = standin.token_url

    credentials = Credentials(
        standin.client_id,
        standin.client_secret,
        proxies=standin.proxies,
        cache_handler=spotipy.MemoryCacheHandler(),
    )
    before = standin.requests
    client = spotipy.Spotify(
        requests_session=session, client_credentials_manager=credentials, proxies=standin.proxies
    )
    client.prefix = standin.api
    artists = client.search("genre:mandopop", type="artist", limit=5)["artists"]
    assert client.next(artists)["artists"]["offset"] == 5
    album = max(world.albums.values(), key=lambda album: len(album.tracks))
    tracks = client.album_tracks(album.id, limit=50)
    assert len(tracks["items"] + client.next(tracks)["items"]) == len(album.tracks)
    keys = [track["id"] for track in tracks["items"]]
    assert [track["id"] for track in client.tracks(keys)["tracks"]] == keys
    assert len(client.audio_features(keys)) == len(keys)
    assert client.albums([album.id])["albums"][0]["total_tracks"] == len(album.tracks)
    assert client.artist_albums(album.artists[0].id, include_groups="album,single", limit=50)["items"]
    with pytest.raises(spotipy.SpotifyException, match="Invalid limit"):
        client.search("genre:mandopop", limit=60)
    assert standin.requests >= before + 10
    assert standin.endpoints["search"] >= 3


def test_previews_are_mp3_save_one_missing_and_one_page(standin, session, world):
    statuses = []
    faulty = [recording for recording in world.recordings if recording.fault]
    sound = [recording for recording in world.recordings if recording.preview and not recording.fault][:3]
    for recording in faulty + sound:
        answer = session.get(f"http://p.scdn.test/mp3-preview/{recording.preview}?cid=x", timeout=30)
        statuses.append((answer.status_code, answer.headers["Content-Type"].split(";")[0]))
        assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert sorted(statuses[:2]) == [(200, "text/html"), (404, "text/html")]
    assert statuses[2:] == [(200, "audio/mpeg")] * 3
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate == RATE
    assert samples.shape == (pytest.approx(SMALL.seconds * RATE, abs=2400), 2)
    again = session.get(f"http://p.scdn.test/mp3-preview/{recording.preview}", timeout=30)
    assert again.content == answer.content


def test_closing_does_not_wait_for_songs_nobody_hears():
    settings = SMALL.model_copy(update={"seconds": 20.0})
    keys = list(World(settings, "mandopop").previews)[:30]
    with ThreadPoolExecutor(30) as clients:
        with serve(settings) as standin:
            answers = [
                clients.submit(requests.get, f"{standin.url}/mp3-preview/{key}", timeout=30) for key in keys
            ]
            next(as_completed(answers))
        assert any(answer.result().status_code == 503 for answer in answers if not answer.exception())


def test_runs_by_hand():
    command = [sys.executable, "-m", "standin", "--port", "0"]
    command += ["--profile", "dev_new", "--fault", "server_error@2x2:albums", "--fault", "quota@20"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        lines = list(iter(process.stdout.readline, "\n"))
        url = re.search(r"http://127.0.0.1:\d+", lines[0])[0]
        assert "SYNTHETIC" in lines[0]
        assert "dev_new" in lines[0]
        assert "server_error@2x2:albums, quota@20x1" in lines[1]
        assert requests.get(f"{url}/v1/search", timeout=30).status_code == 401
        examples = list(iter(process.stdout.readline, "\n"))
        for example in examples[1:3] + examples[4:]:
            address = re.search(r'"(http.*)"', example)[1]
            answer = requests.get(address, headers={"Authorization": "Bearer synthetic-token"}, timeout=30)
            assert answer.ok
            assert "error" not in answer.json()
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("fault", "says"),
    [("sever_error", "did you mean 'server_error'"), ("slow@0", "counted from 1"), ("slow@x", "KIND@AT")],
)
def test_faults_on_the_command_line_are_checked(fault, says):
    with pytest.raises(ArgumentTypeError, match=says):
        read_fault(fault)


# ---------------------------------------------------------------------------------------------------
# The songs


@pytest.fixture(scope="module")
def songs():
    """Forty clips of random traits, mono at 22,050 Hz: (traits, samples)."""
    rng = np.random.default_rng(0)
    songs = []
    for seed in range(40):
        traits = Traits(
            rng.uniform(80, 150), int(rng.integers(12)), int(rng.integers(2)), *rng.random(5).tolist()
        )
        songs.append((traits, compose(traits, 6, seed).mean(axis=0)[::2]))
    return songs


def strength_of_beats(samples):
    """Share of the power that is percussive by harmonic-percussive separation."""
    harmonic, percussive = librosa.decompose.hpss(
        np.abs(librosa.stft(samples[: 2 * RATE], n_fft=1024, hop_length=512))
    )
    return (percussive**2).sum() / (percussive**2 + harmonic**2).sum()


@pytest.mark.long
@pytest.mark.parametrize(
    ("trait", "measure"),
    [
        ("brightness", lambda y: librosa.feature.spectral_centroid(y=y, sr=RATE / 2).mean()),
        ("loudness", lambda y: np.sqrt(np.mean(y**2))),
        ("percussion", strength_of_beats),
    ],
)
def test_traits_can_be_heard(songs, trait, measure):
    values = [getattr(traits, trait) for traits, _ in songs]
    assert spearmanr(values, [measure(samples) for _, samples in songs])[0] > 0.7


def test_songs_are_stereo_whole_and_unclipped():
    traits = Traits(120, 0, 1, brightness=1, percussion=1, loudness=1, voice=1, density=1)
    song = compose(traits, 3, seed=1)
    assert song.shape == (2, 3 * RATE)
    assert song.dtype == np.float32
    assert 0.3 < np.abs(song).max() < 1
    assert np.corrcoef(song)[0, 1] < 0.99
    assert np.array_equal(song, compose(traits, 3, seed=1))
    assert not np.array_equal(song, compose(traits, 3, seed=2))
    samples, rate = soundfile.read(io.BytesIO(encode_mp3(song)))
    delay = len(samples) - song.shape[1]
    assert rate == RATE
    assert 0 <= delay <= 2 * 1152  # an encoder's delay, and the rest of the last frame
    starts = range(delay + 1)
    shapes = np.correlate(samples.mean(axis=1), song.mean(axis=0), "valid")
    decoded = samples[starts[shapes.argmax()] :][: song.shape[1]].T
    for left_or_right in (0, 1):
        assert np.corrcoef(decoded[left_or_right], song[left_or_right])[0, 1] > 0.98
