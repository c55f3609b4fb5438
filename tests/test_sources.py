import json

import pandas as pd
import pytest
from scipy.stats import spearmanr

from hitsong import recordings, sources
from hitsong.catalog import Catalog
from hitsong.config import Config
from hitsong.errors import UserError
from hitsong.sources import spotify
from hitsong.sources.connection import connected
from hitsong.sources.fma import Fma, read_metadata
from hitsong.standin import planted

SMALL = {"artists": 10, "recordings": 80, "seconds": 1.0}


def config(**collect):
    return Config.model_validate({"standin": SMALL, "collect": collect})


def crawl(path, settings=None):
    """Collect into a catalogue; the requests made and the recordings found."""
    settings = settings or config()
    with Catalog(path) as catalog, sources.opened(settings) as source:
        requests = source.collect(catalog)
        return requests, recordings.table(catalog, source.track_ids(catalog))


# ---------------------------------------------------------------------- spotify, against the stand-in


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    path = tmp_path_factory.mktemp("crawl") / "catalog.sqlite"
    return path, *crawl(path)


def test_every_planted_track_is_found_with_its_popularity(crawled):
    _, _, tracks = crawled
    assert tracks["popularity_source"].unique().tolist() == ["synthetic"]
    found, _ = recordings.deduplicate(tracks)
    assert len(found) == SMALL["recordings"]
    truth = planted(config().standin, "mandopop").set_index("track_id").loc[found["track_id"]]
    latent = truth["artist_effect"] + truth["audio_effect"] + truth["noise"]
    assert (
        spearmanr(latent, found["popularity"]).statistic > 0.95
    )  # apart from the many zeros, the same order


def test_album_types_choose_what_is_crawled(crawled, tmp_path):
    _, _, tracks = crawled
    assert set(tracks["album_type"]) == {"album", "single"}
    _, singles = crawl(tmp_path / "singles.sqlite", config(album_types=["single"]))
    assert set(singles["track_id"]) == set(tracks.loc[tracks["album_type"] == "single", "track_id"])
    _, all_types = crawl(tmp_path / "all.sqlite", config(album_types=["album", "single", "compilation"]))
    assert set(all_types["track_id"]) > set(tracks["track_id"])


def test_batches_are_as_large_as_the_api_allows(crawled):
    path, requests, tracks = crawled
    with Catalog(path) as catalog:
        artists = catalog.column("SELECT count(*) FROM members")[0]
        pages_of_albums = catalog.column(
            "SELECT sum((n + 49) / 50) FROM (SELECT count(*) n FROM artist_albums GROUP BY artist_id)"
        )[0]
        albums = catalog.column("SELECT count(DISTINCT album_id) FROM artist_albums")[0]
        long_albums = catalog.column("SELECT coalesce(sum((total_tracks - 1) / 50), 0) FROM albums")[0]
    minimum = (
        -(-artists // 50)
        + pages_of_albums
        + -(-albums // 20)
        + long_albums
        + -(-len(tracks) // 50)
        + -(-len(tracks) // 100)
    )
    assert requests == minimum


def test_a_second_crawl_asks_nothing(crawled):
    path, _, tracks = crawled
    requests, again = crawl(path)
    assert requests == 0
    pd.testing.assert_frame_equal(again, tracks)


def test_another_genre_shares_the_catalogue_but_not_the_export(crawled, tmp_path):
    path, _, tracks = crawled
    requests, other = crawl(path, config(genre="hip-hop"))
    assert requests > 0
    assert not set(other["track_id"]) & set(tracks["track_id"])
    assert crawl(path)[0] == 0  # and back, without asking


def test_an_unknown_genre_is_an_error_that_names_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="mandopop"):
        crawl(tmp_path / "catalog.sqlite", config(genre="mandopp"))


@pytest.mark.parametrize("stop_after", [1, 2, 5, 9, 14, 17])
def test_a_crawl_that_stops_anywhere_goes_on_there(crawled, tmp_path, monkeypatch, stop_after):
    _, requests, tracks = crawled
    path = tmp_path / "catalog.sqlite"
    call = spotify.Client._call

    def stopping(self, *arguments, **options):
        if self.requests == stop_after:
            raise KeyboardInterrupt
        return call(self, *arguments, **options)

    monkeypatch.setattr(spotify.Client, "_call", stopping)
    with pytest.raises(KeyboardInterrupt):
        crawl(path)
    monkeypatch.setattr(spotify.Client, "_call", call)
    rest, found = crawl(path)
    assert rest == requests - stop_after  # nothing is asked twice
    pd.testing.assert_frame_equal(found.drop(columns="fetched_at"), tracks.drop(columns="fetched_at"))


def test_live_without_credentials_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("SPOTIPY_CLIENT_ID", raising=False)
    with pytest.raises(UserError, match="SPOTIPY_CLIENT_ID"):
        crawl(tmp_path / "catalog.sqlite", config(api="live"))


def test_refused_credentials_are_an_error_of_the_user(tmp_path):
    from dataclasses import replace

    with connected(config()) as connection, Catalog(tmp_path / "catalog.sqlite") as catalog:
        source = spotify.Spotify(replace(connection, client_secret="wrong"), config().collect)
        with pytest.raises(UserError, match="refused the credentials"):
            source.collect(catalog)


def test_no_secret_reaches_the_catalogue(crawled):
    path, _, _ = crawled
    with connected(config()) as connection:
        secret = connection.client_secret
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert secret.encode() not in content
    assert b"Bearer" not in content


# ---------------------------------------------------------------------- real answers through the same parsers


def test_a_real_track(shared):
    body = json.loads(
        (shared / "api_samples" / "spotify" / "tracks_ids_2plbrEY59IikOBgBGLjaoe.json").read_text()
    )
    row, artists = spotify.track(body["tracks"][0])
    assert row["name"] == "Die With A Smile"
    assert [artist["name"] for artist in artists] == ["Lady Gaga", "Bruno Mars"]
    assert spotify.full_track(body["tracks"][0])["isrc"] == "USUM72409273"


def test_a_real_album_over_50_tracks(shared):
    body = json.loads(
        (shared / "api_samples" / "spotify" / "albums_32nryzA6XBCX9ZUspVc1yz_.json").read_text()
    )
    row = spotify.album(body)
    assert (row["album_type"], row["total_tracks"], row["release_date"]) == ("compilation", 55, "2023-01-07")
    assert len([spotify.track(item) for item in body["tracks"]["items"]]) == 50
    assert body["tracks"]["next"]


# ---------------------------------------------------------------------- fma


def test_fma_is_read_in_its_own_layout(shared, tmp_path):
    settings = config(source="fma", root=str(shared / "fma_mini"))
    _, tracks = crawl(tmp_path / "catalog.sqlite", settings)
    assert len(tracks) == 36
    food = tracks.set_index("track_id").loc["000002"]
    assert (food["name"], food["artist_name"], food["popularity"], food["split"]) == (
        "Food",
        "AWOL",
        1293.0,
        "training",
    )
    assert (food["genre"], food["release_date"], food["duration_ms"]) == ("Hip-Hop", "2009-01-05", 168_000)
    assert tracks["popularity_source"].unique().tolist() == ["fma listens"]
    assert crawl(tmp_path / "catalog.sqlite", settings)[1].equals(tracks)


def test_a_folder_that_is_not_fma_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="fma_metadata"):
        Fma(config(source="fma", root=str(tmp_path)).collect)


def test_another_table_is_not_fma(tmp_path):
    path = tmp_path / "tracks.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(UserError, match="not FMA"):
        read_metadata(path)
