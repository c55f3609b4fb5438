"""The Spotify crawler against the stand-in: strategies, app classes, traps, faults, kill -9; and real answers."""

import json
import logging
import multiprocessing
import random
import time
from base64 import b64encode
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hitsong.collect import deduplicate, sources, spotify, spotify_api, throttle
from hitsong.collect.catalog import Catalog, Page
from hitsong.collect.connection import connect
from hitsong.config import Config
from hitsong.errors import ComeBackLater, UserError
from standin import planted, playlist_ids

SMALL = {"artists": 10, "recordings": 80, "seconds": 1.0}


def config(profile="extended", faults=(), **collect):
    standin = {**SMALL, "profile": profile, "faults": list(faults)}
    return Config.model_validate({"standin": standin, "collect": collect})


def crawl(path, settings=None):
    """Collect into a catalogue; the requests sent and the tracks."""
    with sources.open_source(settings or config(), path) as source:
        tracks = source.collect()
        return source.requests, tracks


def stored(path, sql):
    """The first column of a query on a catalogue."""
    with Catalog(path) as catalog:
        return catalog.column(sql)


def same(found, expected):
    pd.testing.assert_frame_equal(found.drop(columns="fetched_at"), expected.drop(columns="fetched_at"))


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    path = tmp_path_factory.mktemp("crawl") / "catalog.sqlite"
    return path, *crawl(path)


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_S", 0.001)


# ---------------------------------------------------------------------- strategy artists


def test_every_planted_recording_is_found_with_its_popularity(crawled):
    _, _, tracks = crawled
    assert tracks["popularity_source"].unique().tolist() == ["synthetic"]
    assert tracks["genre"].unique().tolist() == ["mandopop"]
    recordings, _ = deduplicate.deduplicate(tracks)
    assert len(recordings) == SMALL["recordings"]
    truth = planted(config().standin, "mandopop").set_index("track_id").loc[recordings["track_id"]]
    latent = truth["artist_effect"] + truth["audio_effect"] + truth["noise"]
    assert (
        spearmanr(latent, recordings["popularity"]).statistic > 0.95
    )  # apart from the many zeros, the same order


def test_requests_stay_near_the_least_that_the_batches_allow(crawled):
    path, requests, tracks = crawled
    pages = {
        kind: stored(path, f"SELECT count(*) FROM pages WHERE list LIKE '{kind}%' AND {first}")[0]
        for kind, first in [("search", 1), ("albums of", 1), ("tracks of", "offset > 0")]
    }
    albums = stored(path, "SELECT count(*) FROM pages WHERE list LIKE 'tracks of%' AND offset = 0")[0]
    least = sum(pages.values()) + -(-albums // 20) + -(-len(tracks) // 50) + -(-len(tracks) // 100)
    assert requests == least + 3  # the probe


def test_a_second_crawl_sends_no_request(crawled):
    path, _, tracks = crawled
    requests, again = crawl(path)
    assert requests == 0
    pd.testing.assert_frame_equal(again, tracks)


def test_another_genre_shares_the_catalogue_but_not_the_export(crawled):
    path, _, tracks = crawled
    requests, other = crawl(path, config(genre="hip-hop"))
    assert requests > 0
    assert not set(other["track_id"]) & set(tracks["track_id"])
    combined = crawl(path, config(genre=["mandopop", "hip-hop"]))
    assert combined[0] == 0
    assert set(combined[1]["track_id"]) == set(other["track_id"]) | set(tracks["track_id"])


@pytest.mark.parametrize("stop_after", [1, 3, 4, 6, 9, 14, 17, 20])
def test_a_crawl_that_stops_anywhere_goes_on_there(crawled, tmp_path, monkeypatch, stop_after):
    _, requests, tracks = crawled
    path = tmp_path / "catalog.sqlite"
    send = spotify.Client._request

    def stop(self, *arguments):
        if self.throttle.requests > stop_after:
            raise KeyboardInterrupt
        return send(self, *arguments)

    monkeypatch.setattr(spotify.Client, "_request", stop)
    with pytest.raises(KeyboardInterrupt):
        crawl(path)
    monkeypatch.setattr(spotify.Client, "_request", send)
    rest, crawled_tracks = crawl(path)
    probed = 3 if stop_after < 3 else 0  # a probe that was cut off is made again
    assert rest == requests - stop_after + (stop_after if probed else 0)  # nothing else is asked twice
    same(crawled_tracks, tracks)


def test_album_types_and_years_choose_what_is_crawled(crawled, tmp_path):
    _, _, tracks = crawled
    assert set(tracks["album_type"]) == {"album", "single"}
    _, singles = crawl(tmp_path / "singles.sqlite", config(album_types=["single"]))
    assert set(singles["track_id"]) == set(tracks.loc[tracks["album_type"] == "single", "track_id"])
    _, all_types = crawl(tmp_path / "all.sqlite", config(album_types=["album", "single", "compilation"]))
    assert set(all_types["track_id"]) > set(tracks["track_id"])
    _, recent = crawl(tmp_path / "recent.sqlite", config(years="2012-2018"))
    year = tracks["release_date"].str[:4].astype(int)
    assert set(recent["track_id"]) == set(tracks.loc[year.between(2012, 2018), "track_id"])


def test_a_whitelist_of_artists_by_name_or_id(crawled, tmp_path):
    _, _, tracks = crawled
    main = tracks.drop_duplicates("artist_id")[["artist_id", "artist_name"]].to_numpy()
    listed = tmp_path / "artists.txt"
    listed.write_text(f"{main[0][0]}\n\n  {main[1][1].upper()} \n")
    requests, crawled_tracks = crawl(tmp_path / "catalog.sqlite", config(artists_file=str(listed)))
    assert {main[0][0], main[1][0]} <= set(crawled_tracks["artist_ids"].explode())
    assert set(crawled_tracks["track_id"]) < set(tracks["track_id"])
    listed.write_text("Nobody at All\n")
    with pytest.raises(UserError, match="none of these artists"):
        crawl(tmp_path / "catalog.sqlite", config(artists_file=str(listed)))


# ---------------------------------------------------------------------- the other strategies


def test_search_finds_every_track_of_the_years(crawled, tmp_path):
    _, _, tracks = crawled
    settings = config(strategy="search", years="2010-2014")
    requests, crawled_tracks = crawl(tmp_path / "whole.sqlite", settings)
    expected = planted(config().standin, "mandopop")
    assert set(crawled_tracks["release_date"].str[:4].astype(int)) <= set(range(2010, 2015))
    assert set(crawled_tracks["track_id"]) <= set(expected["track_id"])
    in_crawl = tracks[tracks["release_date"].str[:4].astype(int).between(2010, 2014)]
    assert set(in_crawl["track_id"]) <= set(crawled_tracks["track_id"])
    assert crawled_tracks["popularity"].notna().all()
    assert crawled_tracks["tempo"].notna().mean() > 0.9


def test_several_genres_with_a_cap_each(tmp_path):
    settings = config(strategy="search", genre=["pop", "rock", "jazz"], per_genre=15)
    _, tracks = crawl(tmp_path / "catalog.sqlite", settings)
    assert tracks["genre"].value_counts().to_dict() == {"pop": 15, "rock": 15, "jazz": 15}
    assert crawl(tmp_path / "catalog.sqlite", settings)[0] == 0


def test_a_file_of_ids_in_any_form(crawled, tmp_path):
    _, _, tracks = crawled
    a, b, c = tracks["track_id"].iloc[[0, 40, 70]]
    listed = tmp_path / "ids.csv"
    gone = "0" * 21 + "x"
    listed.write_text(
        f"id,name\n{a},Song\nspotify:track:{b}\nhttps://open.spotify.com/track/{c}?si=1\n{a}\n{gone}\n"
    )
    settings = config(strategy="ids", ids_file=str(listed))
    _, crawled_tracks = crawl(tmp_path / "catalog.sqlite", settings)
    assert set(crawled_tracks["track_id"]) == {a, b, c}  # the unknown one is left out
    expected = tracks.set_index("track_id").loc[crawled_tracks["track_id"]]
    for name in ("popularity", "isrc", "artist_name", "album_name", "release_date", "tempo"):
        pd.testing.assert_series_equal(crawled_tracks.set_index("track_id")[name], expected[name])
    assert crawl(tmp_path / "catalog.sqlite", settings)[0] == 0
    listed.write_text("nothing here")
    with pytest.raises(UserError, match="no track id"):
        crawl(tmp_path / "catalog.sqlite", settings)


@pytest.mark.parametrize("market", [None, "US"], ids=["no market", "relinked"])
def test_a_playlist_with_null_local_and_relinked_entries(tmp_path, market):
    playlist = playlist_ids(config().standin, "mandopop")[0]
    settings = config(
        strategy="playlist", playlist=f"https://open.spotify.com/playlist/{playlist}", market=market
    )
    _, tracks = crawl(tmp_path / "catalog.sqlite", settings)
    known = set(planted(config().standin, "mandopop")["track_id"])
    assert len(tracks) > 5
    assert tracks["track_id"].isin(known).mean() > 0.5
    assert tracks["popularity"].notna().all()
    assert crawl(tmp_path / "catalog.sqlite", settings)[0] == 0


def test_a_playlist_that_is_not_shown(tmp_path):
    with pytest.raises(UserError, match="does not show"):
        crawl(tmp_path / "catalog.sqlite", config(strategy="playlist", playlist="0" * 22))


# ---------------------------------------------------------------------- classes of app


def test_an_older_development_app_gets_the_catalogue_without_previews_and_features(crawled, tmp_path, capsys):
    _, _, tracks = crawled
    _, crawled_tracks = crawl(tmp_path / "catalog.sqlite", config(profile="dev_old"))
    printed = capsys.readouterr().out
    assert "preview URLs    no   null since November 2024" in printed
    assert "audio features  no   the service responds 403" in printed
    assert "the run goes on without" in printed
    assert crawled_tracks["preview_url"].isna().all()
    assert crawled_tracks["tempo"].isna().all()
    # Null previews do not merge everything: the ISRC takes over.
    assert len(deduplicate.deduplicate(crawled_tracks)[0]) == SMALL["recordings"]
    same(
        crawled_tracks.drop(columns=["preview_url", *deduplicate.AUDIO_FEATURES]),
        tracks.drop(columns=["preview_url", *deduplicate.AUDIO_FEATURES]),
    )
    assert crawl(tmp_path / "catalog.sqlite", config(profile="dev_old"))[0] == 0


def test_a_newer_development_app_is_stopped_before_any_crawling(tmp_path, capsys):
    path = tmp_path / "catalog.sqlite"
    with pytest.raises(UserError, match="no popularity.*deezer, fma or table") as error:
        crawl(path, config(profile="dev_new"))
    assert error.value.exit_code == 2
    assert "largest page    10" in capsys.readouterr().out
    assert stored(path, "SELECT count(*) FROM pages") == [0]
    assert stored(path, "SELECT count(*) FROM capabilities") == [1]  # and known the next time


def test_an_owner_without_premium_is_told_so(tmp_path):
    with pytest.raises(UserError, match="Premium"):
        crawl(tmp_path / "catalog.sqlite", config(profile="no_premium"))


def test_without_batch_reads_tracks_are_read_one_by_one_within_a_budget(crawled, tmp_path, monkeypatch):
    _, _, tracks = crawled
    probe = spotify_api.probe
    monkeypatch.setattr(
        spotify_api, "probe", lambda *arguments: replace(probe(*arguments), batches=False, page=10)
    )
    with pytest.raises(UserError, match=r"collect\.request_budget \(20\)"):
        crawl(tmp_path / "poor.sqlite", config(request_budget=20))
    requests, crawled_tracks = crawl(tmp_path / "catalog.sqlite")
    assert requests > len(tracks)
    same(crawled_tracks, tracks)


def test_an_unknown_genre_is_an_error_that_names_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="mandopop"):
        crawl(tmp_path / "catalog.sqlite", config(genre="mandopp"))


def test_live_without_credentials_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("SPOTIPY_CLIENT_ID", raising=False)
    with pytest.raises(UserError, match="SPOTIPY_CLIENT_ID"):
        crawl(tmp_path / "catalog.sqlite", config(api="live"))


def test_refused_credentials_are_an_error_of_the_user(tmp_path):
    with connect(config()) as connection, Catalog(tmp_path / "catalog.sqlite") as catalog:
        source = spotify.Spotify(replace(connection, client_secret="wrong"), config(), catalog)
        with pytest.raises(UserError, match="refused the credentials"):
            source.collect()


@pytest.mark.usefixtures("_quick")
def test_no_secret_reaches_catalogue_or_log(tmp_path, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    faults = [
        {"kind": kind, "at": at} for at, kind in enumerate(["expired_token", "server_error", "not_json"], 5)
    ]
    settings = config(faults=faults)
    crawl(tmp_path / "catalog.sqlite", settings)
    with connect(settings) as connection:
        secret = connection.client_secret
        basic = b64encode(f"{connection.client_id}:{secret}".encode()).decode()
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir()).decode("latin1")
    output = capsys.readouterr()
    for text in (written, caplog.text, output.out, output.err):
        for hidden in (secret, basic, "Bearer"):
            assert hidden not in text


# ---------------------------------------------------------------------- traps


def test_genre_search_returns_artists_without_the_genre(crawled):
    path, _, _ = crawled
    pages = stored(path, "SELECT items FROM pages WHERE list LIKE 'search artist%mandopop%'")
    artists = [item for page in pages for item in json.loads(page)]
    assert [] in [artist["genres"] for artist in artists]  # found, and kept


def test_copies_have_their_own_popularity_and_the_best_one_survives(crawled):
    _, _, tracks = crawled
    recordings, copies = deduplicate.deduplicate(tracks)
    survivors = recordings.set_index("track_id")["popularity"]
    popularity = tracks.set_index("track_id")["popularity"]
    assert (copies["kept"].map(survivors) >= copies["track_id"].map(popularity)).all()
    assert (copies["popularity"] == 0).any()  # popularity 0 also means a stale copy
    assert (copies["step"] == "preview").any()


def test_appears_on_is_not_requested(crawled):
    path, _, tracks = crawled
    pages = stored(path, "SELECT items FROM pages WHERE list LIKE 'albums of%'")
    assert {album["album_type"] for page in pages for album in json.loads(page)} <= {"album", "single"}
    pages = stored(path, "SELECT items FROM pages WHERE list LIKE 'search artist%mandopop%'")
    artists = {item["artist_id"] for page in pages for item in json.loads(page)}
    assert tracks["artist_ids"].map(lambda ids: bool(set(ids) & artists)).all()


def test_albums_over_50_tracks_and_artists_over_a_page_of_albums(crawled):
    path, _, tracks = crawled
    assert tracks["album_id"].value_counts().max() > 50
    assert stored(path, "SELECT max(offset) FROM pages WHERE list LIKE 'albums of%'") == [50]


def test_lists_end_where_they_end():
    def more(body, offset, size):
        return spotify_api.page(body, offset, size, []).next_offset

    assert more({"next": "x", "total": 200}, 0, 50) == 50
    assert more({"next": None, "total": 200}, 0, 50) == 50  # next is null too early
    assert more({"next": None, "total": 50}, 0, 50) is None
    assert more({"next": "x", "total": 10}, 0, 50) == 50  # total became smaller between two pages
    assert more({"next": None, "total": None}, 0, 50) is None


def test_null_batch_entries_are_gone_tracks_whatever_their_place(crawled, tmp_path, monkeypatch):
    _, _, tracks = crawled
    gone = tracks["track_id"].iloc[7]
    send = spotify.Client._request

    def lose(self, path, need, parameters):
        body = send(self, path, need, parameters)
        if path == "tracks":
            body = {"tracks": [item if item["id"] != gone else None for item in body["tracks"]]}
        return body

    monkeypatch.setattr(spotify.Client, "_request", lose)
    _, crawled_tracks = crawl(tmp_path / "catalog.sqlite")
    same(crawled_tracks, tracks[tracks["track_id"] != gone].reset_index(drop=True))
    assert crawl(tmp_path / "catalog.sqlite")[0] == 0  # gone is known, too


# ---------------------------------------------------------------------- faults

PASSING = [
    "rate_limit_text", "server_error", "empty_body", "not_json", "expired_token", "dropped", "null_items",
]  # fmt: skip
ENDING = ["rate_limit_long", "quota"]

SCHEDULES = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(PASSING + ENDING), "at": st.integers(1, 45), "times": st.integers(1, 3)},
        optional={
            "path": st.sampled_from(["search", "albums", "tracks", "audio-features", "artists", "token"])
        },
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.long
@pytest.mark.usefixtures("_quick")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(SCHEDULES)
def test_whatever_goes_wrong_the_catalogue_is_the_same(crawled, tmp_path_factory, faults):
    _, _, tracks = crawled
    chosen_settings = config(faults=faults)
    path = tmp_path_factory.mktemp("faults") / "catalog.sqlite"
    with connect(chosen_settings) as connection, Catalog(path, "scope") as catalog:
        for _ in range(20):
            try:
                collected_tracks = spotify.Spotify(connection, chosen_settings, catalog).collect()
                break
            except ComeBackLater:  # and we do
                continue
        else:
            pytest.fail("the crawl never ended")
    same(collected_tracks, tracks)


@pytest.mark.parametrize("kind", ["slow", "rate_limit"])
def test_waits_are_waited_out(crawled, tmp_path, kind):
    started = time.monotonic()
    _, tracks = crawl(tmp_path / "catalog.sqlite", config(faults=[{"kind": kind, "at": 8}]))
    assert time.monotonic() - started >= 1
    same(tracks, crawled[2])


def _child(path):
    """A crawl in a process of its own, to be killed."""
    crawl(path)


def test_thirty_kills_end_in_the_same_catalogue(crawled, tmp_path):
    _, _, tracks = crawled
    path = tmp_path / "catalog.sqlite"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.collect.test_spotify"])
    context.Process(target=time.sleep, args=(0,)).start()  # the server imports while we go on
    chance = random.Random(1)
    kills = 0
    while kills < 30:
        child = context.Process(target=_child, args=(path,))
        child.start()
        child.join(chance.uniform(0.05, 0.45))
        if child.is_alive():
            child.kill()
            kills += 1
        else:  # it came to its end: begin again
            assert child.exitcode == 0
            same(crawl(path)[1], tracks)
            for file in tmp_path.iterdir():
                file.unlink()
        child.join()
    same(crawl(path)[1], tracks)


# ---------------------------------------------------------------------- real answers through the same parsers


def test_a_real_track(shared):
    body = json.loads(
        (shared / "api_samples" / "spotify" / "tracks_ids_2plbrEY59IikOBgBGLjaoe.json").read_text()
    )
    row = spotify_api.track(body["tracks"][0])
    assert row["name"] == "Die With A Smile"
    assert row["artist_names"] == ["Lady Gaga", "Bruno Mars"]
    assert row["isrc"] == "USUM72409273"
    assert row["release_date"] == "2024-08-16"


def test_real_albums(shared):
    folder = shared / "api_samples" / "spotify"
    body = json.loads((folder / "albums_32nryzA6XBCX9ZUspVc1yz_.json").read_text())
    row = spotify_api.album(body)
    assert (row["album_type"], row["release_date"]) == ("compilation", "2023-01-07")
    first = spotify._track_page(body["tracks"], 0)[0]
    assert first.next_offset == 50
    page = json.loads(
        (folder / "albums_32nryzA6XBCX9ZUspVc1yz_tracks_offset_50_limit_50_locale__.json").read_text()
    )
    rest = spotify._track_page(page, 50)[0]
    assert rest.next_offset is None
    assert len({*first.items, *rest.items}) == 55
    single = json.loads((folder / "albums_10FLjwfpbxLmW8c25Xyc2N_.json").read_text())
    assert spotify_api.album(single)["album_name"] == "Die With A Smile"


def test_a_real_empty_search(shared):
    folder = shared / "api_samples" / "spotify"
    body = json.loads((folder / "search_type_album_q_upc_602475093060.json").read_text())["albums"]
    assert spotify_api.page(body, 0, 20, body["items"]) == Page([], None, 0)
