"""MusicBrainz and ListenBrainz: real bodies through the parsers, crawls of the stand-in, errors as one line."""

import json
import random

import numpy as np
import pandas as pd
import pytest
import requests

from hitsong.collect import musicbrainz, sources, throttle
from hitsong.collect import recordings as wire
from hitsong.collect.catalog import Catalog
from hitsong.collect.throttle import RefusedError, RetryableError, Throttle
from hitsong.config import Config
from hitsong.errors import ComeBackLater, UserError
from standin import dump as synthetic
from standin.identities import recording_mbids
from standin.world import World

FAULTS = ["rate_limit", "server_error", "empty_body", "not_json", "dropped"]
SMALL = {"artists": 8, "recordings": 40, "seconds": 1.0}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_S", 0.001)
    monkeypatch.setattr(musicbrainz, "BUSY_S", 0.001)


def config(folder, faults=(), **collect):
    return Config.model_validate(
        {
            "data": str(folder),
            "study": "open",
            "standin": {**SMALL, "faults": list(faults)},
            "collect": {"source": "listenbrainz", "genre": "mandopop", "longest_wait_s": 5.0, **collect},
        }
    )


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A dump of the stand-in's listens; the folder and the listens."""
    folder = tmp_path_factory.mktemp("dump")
    world = World(config(folder).standin, "mandopop")
    listens = synthetic.draw_listens(world, np.random.default_rng(1))
    synthetic.write_parquet(folder, listens)
    return folder, listens, world


def crawl(settings, folder):
    (folder / "open").mkdir(exist_ok=True, parents=True)
    with sources.open_source(settings, folder / "open" / "catalog.sqlite") as source:
        return source.collect(), source.requests


# ---------------------------------------------------------------------- crawls of the stand-in


def test_users_are_counted_per_song_from_a_dump(dump, tmp_path, capsys):
    folder, listens, world = dump
    settings = config(tmp_path, listens=str(folder))
    tracks, sent = crawl(settings, tmp_path)
    assert sent < 40
    assert "% of" in capsys.readouterr().out
    tagged = {artist for artist in world.artists if artist.genres}
    expected = [recording for recording in world.recordings if tagged & set(recording.artists)]
    assert len(tracks) == len(expected)
    users = {
        min(recording_mbids(world, recording)): listens.loc[
            listens["recording_mbid"].isin(recording_mbids(world, recording)), "user_id"
        ].nunique()
        for recording in expected
    }
    assert dict(zip(tracks["track_id"], tracks["popularity"], strict=True)) == users
    assert tracks["popularity_source"].unique().tolist() == ["synthetic listenbrainz dump, users"]
    assert tracks["isrc"].notna().all()
    assert settings.target.transform == "percentile"
    months = pd.read_parquet(tmp_path / "open" / "listens.parquet")
    assert set(months["track_id"]) == set(tracks["track_id"])
    again, more = crawl(settings, tmp_path)
    assert more == 0
    pd.testing.assert_frame_equal(tracks, again)


def test_recordings_of_the_dump_above_a_number_of_users(dump, tmp_path):
    folder, listens, world = dump
    tracks, _ = crawl(config(tmp_path, listens=str(folder), strategy="listened", min_users=20), tmp_path)
    assert 0 < len(tracks) < len(world.recordings)
    assert tracks["popularity"].min() >= 20


def test_artists_by_name(dump, tmp_path):
    folder, _, world = dump
    (tmp_path / "artists.txt").write_text(f"{world.artists[0].name}\nNobody at All\n", encoding="utf-8")
    tracks, _ = crawl(
        config(tmp_path, listens=str(folder), artists_file=str(tmp_path / "artists.txt")), tmp_path
    )
    assert set(tracks["artist_name"]) >= {world.artists[0].name}
    assert len(tracks) < len(world.recordings)


def test_the_popularity_route_and_its_canary(tmp_path, capsys):
    tracks, _ = crawl(config(tmp_path / "works"), tmp_path / "works")
    assert (tracks["popularity"] >= 1).all()
    assert tracks["popularity_source"].str.startswith("synthetic listenbrainz popularity").all()
    for kind in ("popularity_disabled", "popularity_null"):
        with pytest.raises(UserError, match="not available now") as error:
            crawl(config(tmp_path / kind, [{"kind": kind, "times": 99}]), tmp_path / kind)
        assert len(str(error.value).splitlines()) == 1
    assert "disabled due to high load" in capsys.readouterr().out


def test_unknown_is_not_zero(tmp_path):
    settings = config(tmp_path, [{"kind": "popularity_null", "at": 2, "times": 99}])  # after the canary
    tracks, _ = crawl(settings, tmp_path)
    assert tracks.empty


def test_a_dump_of_other_recordings_is_refused(dump, tmp_path):
    folder, _, _ = dump
    other = config(tmp_path, listens=str(folder))
    other = other.model_copy(update={"standin": other.standin.model_copy(update={"seed": 9})})
    with pytest.raises(UserError, match="holds no listen of these"):
        crawl(other, tmp_path)


@pytest.mark.parametrize("count", [5, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_failures_change_nothing(dump, tmp_path, count):
    folder, *_ = dump
    expected, _ = crawl(config(tmp_path / "expected", listens=str(folder)), tmp_path / "expected")
    for number in range(count):
        chance, place = random.Random(number), tmp_path / str(number)
        faults = [
            {"kind": chance.choice(FAULTS), "at": chance.randint(1, 12), "times": chance.randint(1, 10)}
            for _ in range(chance.randint(1, 4))
        ]
        try:
            tracks, _ = crawl(config(place, faults, listens=str(folder)), place)
        except ComeBackLater:
            tracks, _ = crawl(config(place, listens=str(folder)), place)
        pd.testing.assert_frame_equal(tracks, expected)


# ---------------------------------------------------------------------- real bodies


@pytest.fixture
def sample(shared):
    return lambda name: json.loads((shared / "api_samples" / f"{name}.json").read_text())


def test_real_metadata(sample):
    (mbid, item), *_ = sample("listenbrainz/mb_metadata_cache_example").items()
    assert wire.recording(mbid, item) is None  # an example without the recording's name
    named = {**item, "recording": {**item["recording"], "name": "Strangers", "isrcs": None}}
    row = wire.recording(mbid, named)
    assert (row["artist_name"], row["album_name"], row["release_date"]) == ("Portishead", "Dummy", "1994")
    assert (row["release_date_precision"], row["duration_ms"], row["isrcs"]) == ("year", None, [])


def test_real_popularity(sample):
    known, unknown = sample("listenbrainz/popularity_recording_response")
    assert wire.popularity(known) == [1000, 10]
    assert wire.popularity(unknown) is None


def test_a_real_list_of_recordings(sample):
    body = sample("musicbrainz/recording_search_with_isrcs")

    class Service:
        def get(self, path, need, **parameters):
            assert (path, need, parameters["offset"]) == ("recording", "recordings", 0)
            return {**body, "count": 1}

    def items(name, request):
        return request(0)[0].items

    assert musicbrainz.recordings_of(items, Service(), "x") == ["fc2450fd-e8af-4c00-b0c4-de0af3f39c60"]


class Reply:
    def __init__(self, status, body, headers=()):
        self.status_code, self.body, self.headers = status, body, dict(headers)

    def json(self):
        if self.body is None:
            raise ValueError
        return self.body


def failure(status, body, headers=()):
    """What a response of a service raises."""

    class Session:
        def request(self, *_, **__):
            return Reply(status, body, headers)

    api = musicbrainz.Api("Service", Session(), "http://service/", Throttle("Service", 0, 60))
    with pytest.raises((RefusedError, RetryableError)) as error:
        api._request("GET", "x", None, {})
    assert len(str(error.value).splitlines()) == 1
    return error.value


def test_real_errors_become_a_line(sample):
    limited = failure(503, sample("musicbrainz/rate_limited_503"))
    assert isinstance(limited, RetryableError)
    assert limited.retry_after is not None
    token = failure(401, sample("listenbrainz/error_401_no_token"))
    assert isinstance(token, RefusedError)
    assert "Auth token" in str(token)
    disabled = failure(500, sample("listenbrainz/error_500_popularity_disabled"))
    assert isinstance(disabled, RefusedError)
    assert "high load" in str(disabled)
    assert failure(429, None, {"X-RateLimit-Reset-In": "7"}).retry_after == 7
    assert isinstance(failure(500, None), RetryableError)


# ---------------------------------------------------------------------- songs


def recordings(*rows):
    columns = {name: None for name in wire.RECORDING_COLUMNS}
    return pd.DataFrame([{**columns, "artist_id": "a", "isrcs": [], **row} for row in rows])


def test_recordings_of_one_song():
    songs = wire.group_songs(
        recordings(
            {
                "track_id": "1",
                "name": "Rain",
                "duration_ms": 200_000,
                "isrcs": ["X1"],
                "release_date": "2001",
            },
            {"track_id": "2", "name": "Rain!", "duration_ms": 202_900, "release_date": "1999"},
            {"track_id": "3", "name": "Regen", "duration_ms": 100_000, "isrcs": ["X1", "X2"]},
            {"track_id": "4", "name": "Rain (live)", "duration_ms": 200_000},
            {"track_id": "5", "name": "Rain", "duration_ms": 220_000},
            {"track_id": "6", "name": "Rain", "artist_id": "b", "duration_ms": 200_000, "isrcs": ["X1"]},
            {"track_id": "7", "name": "Rain"},
        )
    )
    assert songs.set_index("track_id")["mbids"].to_dict() == {
        "2": ["1", "2", "3"], "4": ["4"], "5": ["5"], "6": ["6"], "7": ["7"],
    }  # fmt: skip
    assert songs.set_index("track_id")["isrc"]["2"] == "X1"


# ---------------------------------------------------------------------- the stand-in's limits


def test_the_standin_refuses_what_the_services_refuse(tmp_path):
    from standin import serve

    with serve(config(tmp_path).standin) as standin, requests.Session() as session:
        session.trust_env, session.proxies = False, standin.proxies
        assert session.get(standin.musicbrainz + "artist", params={"query": 'tag:"x"'}).status_code == 403
        session.headers["User-Agent"] = "test/1 (nobody)"
        page = session.get(standin.musicbrainz + "artist", params={"query": 'tag:"mandopop"', "limit": 1000})
        assert len(page.json()["artists"]) <= 100
        for path in ("1/metadata/recording/", "1/popularity/recording"):
            for mbids, status in ((["x"] * 1001, 400), ([], 400), (["x"], 200)):
                answer = session.post(standin.listenbrainz + path, json={"recording_mbids": mbids})
                assert answer.status_code == status
        assert (
            session.get(standin.listenbrainz + "1/popularity/top-recordings-for-artist/x").status_code == 401
        )


def test_what_is_not_possible_is_refused_with_its_key():
    for wrong in ({"strategy": "listened"}, {"strategy": "ids"}, {"popularity": "listens_per_month"}):
        with pytest.raises(ValueError, match="listen"):
            Config.model_validate({"collect": {"source": "listenbrainz", **wrong}})


def test_a_later_quota_is_a_reason_to_come_back(dump, tmp_path):
    folder, *_ = dump
    with pytest.raises(ComeBackLater):
        crawl(config(tmp_path, [{"kind": "rate_limit_long"}], listens=str(folder)), tmp_path)
    with Catalog(tmp_path / "open" / "catalog.sqlite") as catalog:
        assert catalog.downloads() == []
