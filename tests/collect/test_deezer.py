"""The Deezer crawler against the stand-in, and real answers through the same parsers."""

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hitsong.collect import deduplicate, deezer, sources, throttle
from hitsong.collect.catalog import Catalog
from hitsong.collect.connection import connect
from hitsong.collect.matched_previews import choose_sources
from hitsong.collect.previews import Downloader
from hitsong.collect.throttle import RefusedError, RetryableError
from hitsong.config import Config
from hitsong.errors import ComeBackLater, UserError
from standin import planted

SMALL = {"artists": 8, "recordings": 40, "seconds": 2.0}


def config(faults=(), **collect):
    return Config.model_validate(
        {
            "standin": {**SMALL, "faults": list(faults)},
            "collect": {"source": "deezer", "genre": "Jazz", **collect},
            "download": {"min_seconds": 1.0, "workers": 1, "attempts": 5},
        }
    )


def crawl(path, settings):
    """Collect into a catalogue; the requests sent and the tracks."""
    with sources.open_source(settings, path) as source:
        tracks = source.collect()
        return source.requests, tracks


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_S", 0.001)
    monkeypatch.setattr(deezer, "QUOTA_PAUSE_S", 0.01)


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    path = tmp_path_factory.mktemp("deezer") / "catalog.sqlite"
    return path, *crawl(path, config())


def test_a_genre_is_crawled_with_guests_rank_and_dates(crawled):
    _, requests, tracks = crawled
    assert requests > len(tracks)  # each track on its own: only there are the guests
    assert tracks["popularity_source"].unique().tolist() == ["synthetic deezer rank"]
    assert tracks["track_id"].str.fullmatch(r"deezer:\d+").all()
    assert tracks["artist_ids"].map(len).max() > 1
    assert tracks["popularity"].between(1, 1_000_000).all()
    assert tracks["release_date"].notna().all()
    assert not tracks["preview_url"].dropna().str.contains(r"\?").any()
    recordings, copies = deduplicate.deduplicate(tracks)
    assert (copies["step"] == "preview").any()
    truth = (
        planted(config().standin, "jazz").groupby("isrc")[["artist_effect", "audio_effect", "noise"]].first()
    )
    latent = truth.sum(axis=1).loc[recordings["isrc"]]
    assert spearmanr(latent, recordings["popularity"]).statistic > 0.95


def test_a_second_crawl_sends_no_request(crawled):
    path, _, tracks = crawled
    requests, again = crawl(path, config())
    assert requests == 0
    pd.testing.assert_frame_equal(again, tracks)


def test_artists_from_a_file_and_filters(crawled, tmp_path, capsys):
    _, _, tracks = crawled
    names = tracks["artist_name"].value_counts().index[:2].tolist()
    listed = tmp_path / "artists.txt"
    listed.write_text("\n".join([*names, "Nobody at All"]))
    _, crawled_tracks = crawl(tmp_path / "catalog.sqlite", config(artists_file=str(listed), genre="whatever"))
    assert "Nobody at All: Deezer has no artist of this name" in capsys.readouterr().out
    assert set(names) <= set(crawled_tracks["artist_name"])
    settings = config(artists_file=str(listed), years="2010-2025", album_types=["single"])
    requests, singles = crawl(tmp_path / "catalog.sqlite", settings)
    assert requests == 0
    assert set(singles["album_type"]) <= {"single"}
    assert (singles["release_date"] >= "2010").all()


def test_playlists_lead_to_a_genre_that_deezer_has_not(tmp_path):
    settings = config(genre="mandopop")
    with pytest.raises(UserError, match=r"no genre 'mandopop'.*Jazz.*artists_file.*playlist"):
        crawl(tmp_path / "catalog.sqlite", settings)
    settings = config(strategy="playlist", playlist="mandopop")
    _, tracks = crawl(tmp_path / "catalog.sqlite", settings)
    assert len(tracks) > 5
    assert set(tracks["isrc"]) <= set(planted(config().standin, "mandopop")["isrc"])
    with pytest.raises(UserError, match="no playlist"):
        crawl(tmp_path / "catalog.sqlite", config(strategy="playlist", playlist="qqqqqqqq"))


def test_spotifys_strategies_are_refused(tmp_path):
    with pytest.raises(UserError, match="Spotify's"):
        crawl(tmp_path / "catalog.sqlite", config(strategy="search"))


SCHEDULES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["rate_limit", "server_error", "empty_body", "not_json", "dropped"]),
            "at": st.integers(1, 150),
            "times": st.integers(1, 3),
        }
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.long
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(SCHEDULES)
def test_whatever_goes_wrong_the_catalogue_is_the_same(crawled, tmp_path_factory, faults):
    _, _, tracks = crawled
    path = tmp_path_factory.mktemp("faults") / "catalog.sqlite"
    with connect(config(faults)) as connection, Catalog(path) as catalog:
        collected_tracks = deezer.Deezer(connection, config(), catalog).collect()
    pd.testing.assert_frame_equal(
        collected_tracks.drop(columns="fetched_at"), tracks.drop(columns="fetched_at")
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "Exception", "message": "Quota limit exceeded", "code": 4}, RetryableError),
        ({"type": "Exception", "message": "Service busy", "code": 700}, RetryableError),
        ({"type": "DataException", "message": "no data", "code": 800}, RefusedError),
        ({"type": "ParameterException", "message": "Wrong parameter", "code": 500}, RefusedError),
        ("a string", RetryableError),
        (["a", "list"], RetryableError),
    ],
)
def test_errors_inside_good_answers(error, kind):
    assert isinstance(deezer._error(error), kind)


def test_previews_are_resolved_right_before_the_download(crawled, tmp_path):
    _, _, tracks = crawled
    recordings, _ = choose_sources(deduplicate.deduplicate(tracks)[0], config())
    faults = [
        {"kind": "expired_preview", "at": 3, "times": 2, "path": "mp3"},
        {"kind": "html_audio", "at": 9, "path": "mp3"},
        {"kind": "truncated_audio", "at": 12, "path": "mp3"},
    ]
    settings = config(faults)
    with (
        sources.open_previews(settings) as (session, client),
        Catalog(tmp_path / "catalog.sqlite") as catalog,
    ):
        downloader = Downloader(catalog, tmp_path, session, settings.download, client)
        counts = downloader.run(recordings)
        rows = downloader.outcomes(recordings).set_index("track_id")
    named = recordings[recordings["preview_url"].notna()]
    assert counts["without"] == len(recordings) - len(named)
    assert sorted(rows.loc[rows["status"] != "ok", "error"]) == ["text, not audio", "the service answers 404"]
    assert counts["done"] == len(named) - 2


def test_a_quota_at_download_is_waited_for(crawled, tmp_path):
    _, _, tracks = crawled
    few = choose_sources(deduplicate.deduplicate(tracks)[0], config())[0].head(4)
    settings = config([{"kind": "rate_limit", "at": 2, "times": 2, "path": "deezer/track"}])
    with (
        sources.open_previews(settings) as (session, client),
        Catalog(tmp_path / "catalog.sqlite") as catalog,
    ):
        assert Downloader(catalog, tmp_path, session, settings.download, client).run(few)["failed"] <= 2


def test_an_unavailable_service_is_named(tmp_path):
    settings = config([{"kind": "server_error", "at": 5, "times": 500}])
    with pytest.raises(ComeBackLater, match="no valid response"):
        crawl(tmp_path / "catalog.sqlite", settings)


# ---------------------------------------------------------------------- real answers


@pytest.fixture
def sample(shared):
    return lambda name: json.loads((shared / "api_samples" / "deezer" / f"{name}.json").read_text())["body"]


def test_a_real_track(sample):
    row = deezer.track(sample("track"))
    assert row["name"] == "Harder Better Faster Stronger"
    assert (row["popularity"], row["isrc"], row["duration_ms"]) == (760033, "GBDUW0000059", 224_000)
    assert row["preview_url"].endswith("c-deda7fa9316d9e9e880d2c6207e92260-5.mp3")
    assert row["artist_names"] == ["Daft Punk"]
    assert row["album_name"] == "Discovery"


def test_real_lists(sample):
    albums = [deezer.album(item) for item in sample("artist_albums_1")["data"]]
    assert albums[0]["album_name"] == "Random Access Memories"
    assert (albums[0]["album_type"], albums[0]["release_date"]) == ("album", "2013-05-17")
    for name in ("album_tracks_1", "search_simple", "playlist_tracks", "artist_top_1"):
        for item in sample(name)["data"]:
            row = deezer.track(item)
            assert row["popularity"] >= 0
            assert row["artist_ids"][0].startswith("deezer:")
    assert [deezer.artist(item)["name"] for item in sample("genre_artists_1")["data"]][0] == "Major Lazer"
