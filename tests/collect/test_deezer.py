"""The Deezer crawler against the stand-in, and real answers through the same parsers."""

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hitsong.collect import deduplicate, deezer, sources, throttle
from hitsong.collect.catalog import Catalog
from hitsong.collect.connection import connected
from hitsong.collect.previews import Downloader, table
from hitsong.collect.throttle import Trouble
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


def crawl(path, wanted):
    with Catalog(path) as catalog, sources.opened(wanted) as source:
        requests = source.collect(catalog)
        return requests, deduplicate.table(catalog, source.track_ids(catalog))


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
    assert tracks["popularity_source"].unique().tolist() == ["synthetic deezer rank percentile"]
    assert tracks["track_id"].str.fullmatch(r"deezer:\d+").all()
    assert tracks["artist_ids"].map(len).max() > 1
    assert tracks["popularity"].between(1, 1_000_000).all()
    assert tracks["release_date"].notna().all()
    assert not tracks["preview_url"].dropna().str.contains(r"\?").any()
    found, copies = deduplicate.deduplicate(tracks)
    assert (copies["step"] == "preview").any()
    truth = (
        planted(config().standin, "jazz").groupby("isrc")[["artist_effect", "audio_effect", "noise"]].first()
    )
    latent = truth.sum(axis=1).loc[found["isrc"]]
    assert spearmanr(latent, found["popularity"]).statistic > 0.95


def test_rank_becomes_a_percentile_and_stays_beside_it(crawled):
    _, _, tracks = crawled
    found = deduplicate.percentile(deduplicate.deduplicate(tracks)[0])
    assert found["popularity"].min() == 0
    assert found["popularity"].max() == 100
    assert (found["popularity"].rank() == found["popularity_raw"].rank()).all()
    ties = deduplicate.percentile(pd.DataFrame({"popularity": [5, 5, 1, 9]}))
    assert ties["popularity"].tolist() == [50, 50, 0, 100]


def test_a_second_crawl_asks_nothing(crawled):
    path, _, tracks = crawled
    requests, again = crawl(path, config())
    assert requests == 0
    pd.testing.assert_frame_equal(again, tracks)


def test_artists_from_a_file_and_filters(crawled, tmp_path, capsys):
    _, _, tracks = crawled
    names = tracks["artist_name"].value_counts().index[:2].tolist()
    listed = tmp_path / "artists.txt"
    listed.write_text("\n".join([*names, "Nobody at All"]))
    _, found = crawl(tmp_path / "catalog.sqlite", config(artists_file=str(listed), genre="whatever"))
    assert "Nobody at All: Deezer knows no artist of this name" in capsys.readouterr().out
    assert set(names) <= set(found["artist_name"])
    wanted = config(artists_file=str(listed), years="2010-2025", album_types=["single"])
    requests, singles = crawl(tmp_path / "catalog.sqlite", wanted)
    assert requests == 0
    assert set(singles["album_type"]) <= {"single"}
    assert (singles["release_date"] >= "2010").all()


def test_playlists_lead_to_a_genre_that_deezer_has_not(tmp_path):
    wanted = config(genre="mandopop")
    with pytest.raises(UserError, match=r"no genre 'mandopop'.*Jazz.*artists_file.*playlist"):
        crawl(tmp_path / "catalog.sqlite", wanted)
    wanted = config(strategy="playlist", playlist="mandopop")
    _, found = crawl(tmp_path / "catalog.sqlite", wanted)
    assert len(found) > 5
    assert set(found["isrc"]) <= set(planted(config().standin, "mandopop")["isrc"])
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


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCHEDULES)
def test_whatever_goes_wrong_the_catalogue_is_the_same(crawled, tmp_path_factory, faults):
    _, _, tracks = crawled
    path = tmp_path_factory.mktemp("faults") / "catalog.sqlite"
    with connected(config(faults)) as connection, Catalog(path) as catalog:
        source = deezer.Deezer(connection, config().collect)
        source.collect(catalog)
        found = deduplicate.table(catalog, source.track_ids(catalog))
    pd.testing.assert_frame_equal(found.drop(columns="fetched_at"), tracks.drop(columns="fetched_at"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "Exception", "message": "Quota limit exceeded", "code": 4}, Trouble),
        ({"type": "Exception", "message": "Service busy", "code": 700}, Trouble),
        ({"type": "DataException", "message": "no data", "code": 800}, deezer.Refused),
        ({"type": "ParameterException", "message": "Wrong parameter", "code": 500}, deezer.Refused),
        ("a string", Trouble),
        (["a", "list"], Trouble),
    ],
)
def test_errors_inside_good_answers(error, kind):
    assert isinstance(deezer._error(error), kind)


def test_previews_are_resolved_right_before_the_download(crawled, tmp_path):
    _, _, tracks = crawled
    found, _ = deduplicate.deduplicate(tracks)
    faults = [
        {"kind": "expired_preview", "at": 3, "times": 2, "path": "mp3"},
        {"kind": "html_audio", "at": 9, "path": "mp3"},
        {"kind": "truncated_audio", "at": 12, "path": "mp3"},
    ]
    wanted = config(faults)
    with sources.previews(wanted) as (session, resolve), Catalog(tmp_path / "catalog.sqlite") as catalog:
        counts = Downloader(catalog, tmp_path, session, wanted.download, resolve).run(found)
        rows = table(catalog, found).set_index("track_id")
    named = found[found["preview_url"].notna()]
    assert counts["without"] == len(found) - len(named)
    assert sorted(rows.loc[rows["status"] != "ok", "error"]) == ["text, not audio", "the service answers 404"]
    assert counts["done"] == len(named) - 2


def test_a_quota_at_download_is_waited_for(crawled, tmp_path):
    _, _, tracks = crawled
    few = deduplicate.deduplicate(tracks)[0].head(4)
    wanted = config([{"kind": "rate_limit", "at": 2, "times": 2, "path": "deezer/track"}])
    with sources.previews(wanted) as (session, resolve), Catalog(tmp_path / "catalog.sqlite") as catalog:
        assert Downloader(catalog, tmp_path, session, wanted.download, resolve).run(few)["failed"] <= 2


def test_a_service_out_of_order_is_to_come_back_to(tmp_path):
    wanted = config([{"kind": "server_error", "at": 5, "times": 500}])
    with pytest.raises(ComeBackLater, match="no good answer"):
        crawl(tmp_path / "catalog.sqlite", wanted)


# ---------------------------------------------------------------------- real answers


@pytest.fixture
def sample(shared):
    return lambda name: json.loads((shared / "api_samples" / "deezer" / f"{name}.json").read_text())["body"]


def test_a_real_track(sample):
    row, artists, album = deezer.track(sample("track"))
    assert row["name"] == "Harder Better Faster Stronger"
    assert (row["popularity"], row["isrc"], row["duration_ms"]) == (760033, "GBDUW0000059", 224_000)
    assert row["preview_url"].endswith("c-deda7fa9316d9e9e880d2c6207e92260-5.mp3")
    assert [credit["name"] for credit in artists] == ["Daft Punk"]
    assert album["name"] == "Discovery"


def test_real_lists(sample):
    albums = [deezer.album(item) for item in sample("artist_albums_1")["data"]]
    assert albums[0]["name"] == "Random Access Memories"
    assert (albums[0]["album_type"], albums[0]["release_date"]) == ("album", "2013-05-17")
    for name in ("album_tracks_1", "search_simple", "playlist_tracks", "artist_top_1"):
        for item in sample(name)["data"]:
            row, artists, _ = deezer.track(item)
            assert row["popularity"] >= 0
            assert artists[0]["artist_id"].startswith("deezer:")
    assert [deezer.artist(item)["name"] for item in sample("genre_artists_1")["data"]][0] == "Major Lazer"
