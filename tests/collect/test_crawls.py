"""Crawls in any order, interrupted anywhere, with any filters, end in what one fresh crawl would export."""

import itertools
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import standin.spotify
from hitsong.collect import deduplicate, deezer, sources, spotify, spotify_api, throttle
from hitsong.collect.catalog import Catalog
from hitsong.collect.connection import connect
from hitsong.config import Config
from standin import planted, playlist_ids
from standin.world import World

TINY = {"artists": 5, "recordings": 24, "seconds": 1.0}


def config(**collect):
    return Config.model_validate({"standin": TINY, "collect": collect})


STANDIN = config().standin


class Interrupted(BaseException):
    """Ctrl-C, at a request."""


def crawl(path, chosen, connection=None, stop_after=None):
    """Collect into a catalogue, perhaps interrupted at a request; (tracks, requests)."""
    crawler = deezer.Deezer if chosen.collect.source == "deezer" else spotify.Spotify
    if connection is None:
        with connect(chosen) as connection:
            return crawl(path, chosen, connection, stop_after)
    with Catalog(path, crawler.scope(connection, chosen.collect)) as catalog:
        source = crawler(connection, chosen, catalog)
        send = source.client._request

        def counted(*arguments):
            if stop_after is not None and source.requests > stop_after:
                raise Interrupted
            return send(*arguments)

        source.client._request = counted
        return source.collect(), source.requests


def same(found, expected):
    pd.testing.assert_frame_equal(
        found.drop(columns="fetched_at"), expected.drop(columns="fetched_at"), check_dtype=False
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def _small_pages(monkeypatch):
    """A service that shows the first 20 results of a search, in pages of 10."""
    monkeypatch.setattr(spotify_api, "PAGE", 10)
    monkeypatch.setattr(spotify, "CEILING", 20)
    monkeypatch.setattr(standin.spotify, "DEEPEST", 20)


# ---------------------------------------------------------------------- any order, any interruption

FILES = Path(tempfile.mkdtemp(prefix="hitsong-crawls-"))


def _file(name, lines):
    path = FILES / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def _choices():
    """Crawls to draw from: sources, strategies, genres, caps and filters."""
    pop, jazz = (World(STANDIN, genre) for genre in ("pop", "jazz"))
    artists = _file("artists.txt", [pop.artists[0].name.upper(), jazz.artists[1].name, jazz.artists[2].id])
    ids = _file("ids.txt", [*list(pop.tracks)[::3], *list(jazz.tracks)[::5], "0" * 22])
    genres = ["pop", "jazz", ["jazz", "pop"], ["pop", "jazz"]]
    filters = {
        "years": st.sampled_from([None, "2012-2018", "2004"]),
        "artists_file": st.sampled_from([None, artists]),
    }
    types = {
        "album_types": st.sampled_from([["album", "single"], ["album"], ["single", "compilation", "album"]])
    }
    genre = {"genre": st.sampled_from(genres)}

    def of(**fixed):
        return st.fixed_dictionaries(
            {name: v if isinstance(v, st.SearchStrategy) else st.just(v) for name, v in fixed.items()}
        )

    return st.one_of(
        of(strategy="artists", **genre, **filters, **types),
        of(strategy="search", **genre, **filters, per_genre=st.sampled_from([None, 7])),
        of(strategy="ids", ids_file=ids, **filters),
        of(strategy="playlist", playlist=st.sampled_from(playlist_ids(STANDIN, "jazz")), **filters,
           market=st.sampled_from([None, "US"])),
        of(source="deezer", genre=st.sampled_from(["Jazz", ["Pop", "Jazz"], ["Jazz", "Pop"]]), **filters, **types),
        of(source="deezer", strategy="playlist", playlist=st.sampled_from(["pop", "best of", "jazz"]), **filters),
    )  # fmt: skip


def _passes(tracks, collect):
    """The filters once more, written differently."""
    years, listed = collect.get("years"), collect.get("artists_file")
    if years:
        first, last = (years.split("-") * 2)[:2]
        tracks = tracks[tracks["release_date"].str[:4].between(first, last)]
    if listed:
        lines = {deduplicate.normalised(line) for line in Path(listed).read_text().split("\n")}
        lines |= set(Path(listed).read_text().split("\n"))
        names = tracks["artist_names"].map(
            lambda names: any(deduplicate.normalised(n) in lines for n in names)
        )
        tracks = tracks[names | tracks["artist_ids"].map(lambda ids: bool(set(ids) & lines))]
    return tracks


@pytest.fixture(scope="module")
def service():
    """One stand-in for all sequences."""
    with connect(config()) as connection:
        yield connection


@pytest.fixture(scope="module")
def fresh(service, tmp_path_factory):
    """What a fresh, undisturbed crawl exports; each configuration once."""
    known = {}

    def export(collect):
        key = repr(sorted(collect.items()))
        if key not in known:
            path = tmp_path_factory.mktemp("fresh") / "catalog.sqlite"
            known[key] = crawl(path, config(**collect), service)[0]
        return known[key]

    return export


@pytest.mark.long
@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(_choices(), st.integers(0, 60)), min_size=2, max_size=5))
def test_any_sequence_of_crawls_exports_the_same_as_fresh_crawls_filtered(service, fresh, sequence):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(throttle, "BACKOFF_S", 0.001)
        path = Path(folder) / "catalog.sqlite"
        for collect, stop_after in sequence:
            chosen = config(**collect)
            if stop_after < 50:  # interrupted; the next crawl comes before this one is complete
                try:
                    crawl(path, chosen, service, stop_after)
                except Interrupted:
                    continue
            same(crawl(path, chosen, service)[0], fresh(collect))
        for collect, _ in sequence:
            exported, _ = crawl(path, config(**collect), service)
            same(exported, fresh(collect))
            again, requests = crawl(path, config(**collect), service)
            assert requests == 0
            same(again, exported)
            plain = {name: value for name, value in collect.items() if name not in ("years", "artists_file")}
            by_track = (
                plain.get("strategy", "artists") in ("ids", "playlist") or plain.get("strategy") == "search"
            )
            if by_track and not collect.get("per_genre"):
                same(exported, _passes(fresh(plain), collect).reset_index(drop=True))


# ---------------------------------------------------------------------- searches with too many results


@pytest.mark.usefixtures("_small_pages")
def test_a_divided_search_reaches_every_artist_and_track(path):
    truth = set(planted(STANDIN, "mandopop")["track_id"])
    tracks, _ = crawl(path, config(strategy="search", genre="mandopop"))
    assert set(tracks["track_id"]) == truth
    again, requests = crawl(path, config(strategy="search", genre="mandopop"))
    assert requests == 0
    same(again, tracks)


@pytest.mark.long
@pytest.mark.usefixtures("_small_pages")
def test_titles_in_other_scripts_are_reached(path, monkeypatch):
    words = (
        "月亮,夜雨,思念,远方,城市,时光,眼泪,秋天,海洋,回忆,天空,微笑,流星,雪花,故乡,星空,梦境,蝴蝶,窗外,清晨"
    )
    monkeypatch.setattr("standin.world.SONGS", (words, "之歌,的你,的我,再见,无声,之间,以后,如果"))
    large = config(strategy="search", genre="mandopop", years="2000-2025").model_copy(
        update={"standin": STANDIN.model_copy(update={"recordings": 300, "artists": 40})}
    )
    largest_year = max(map(len, World(large.standin, "mandopop").tracks_by_year.values()))
    assert largest_year > 20  # more than a search for one year shows
    tracks, _ = crawl(path, large)
    reached = len(tracks) / len(World(large.standin, "mandopop").tracks)
    assert reached > 0.95
    # Without what results give rise to, no more than the first page of each year is found.
    monkeypatch.setattr(spotify.Narrowing, "see", lambda self, item: None)
    latin, _ = crawl(path.with_name("latin.sqlite"), large)
    assert len(latin) < 0.8 * len(tracks)


@pytest.mark.usefixtures("_small_pages")
def test_what_is_beyond_reach_is_counted(path, monkeypatch, capsys):
    monkeypatch.setattr(spotify.Narrowing, "__iter__", lambda self: iter(()))
    large = config(strategy="search", genre="mandopop").model_copy(
        update={"standin": STANDIN.model_copy(update={"recordings": 300, "artists": 40})}
    )
    tracks, _ = crawl(path, large)
    total = len(World(large.standin, "mandopop").tracks)
    assert len(tracks) < total
    assert f"{len(tracks):,} of {total:,} tracks reached; the others lie beyond" in capsys.readouterr().out


def test_the_first_characters_of_other_scripts():
    first = spotify.Narrowing.__init__.__globals__["first_character"]
    assert [first(name) for name in ["愛", "(Éclair)", "한국", "Ça", "!!!", "日本語", "Ωmega"]] == [
        "愛", "e", "한", "c", None, "日", "ω",
    ]  # fmt: skip


@pytest.mark.usefixtures("_small_pages")
def test_a_cap_takes_all_years_in_turn_by_seed(tmp_path, capsys):
    capped = config(strategy="search", genre="mandopop", per_genre=30)
    tracks, _ = crawl(tmp_path / "a.sqlite", capped)
    assert len(tracks) == 30
    total = len(World(STANDIN, "mandopop").tracks)
    assert f"30 of {total:,} tracks taken, from all years in turn" in capsys.readouterr().out
    every = sorted(World(STANDIN, "mandopop").tracks_by_year)
    years = tracks["release_date"].str[:4].astype(int)
    assert years.nunique() >= 0.8 * min(30, len(every))
    # Not the oldest: as many after the middle year as before it.
    assert 0.25 < (years > every[len(every) // 2]).mean() < 0.75
    other, _ = crawl(tmp_path / "b.sqlite", capped.model_copy(update={"seed": 2}))
    assert set(other["track_id"]) != set(tracks["track_id"])
    # A larger cap reads on from the same pages, and takes the smaller sample with it.
    more, _ = crawl(tmp_path / "a.sqlite", config(strategy="search", genre="mandopop", per_genre=35))
    assert set(more["track_id"]) > set(tracks["track_id"])
    assert len(more) == 35


# ---------------------------------------------------------------------- filters act at the export


@pytest.mark.parametrize("strategy", ["ids", "playlist", "deezer"])
def test_filters_of_lists_of_tracks_leave_what_passes(path, tmp_path, strategy):
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(World(STANDIN, "pop").tracks))
    choice = {
        "ids": {"strategy": "ids", "ids_file": str(ids)},
        "playlist": {"strategy": "playlist", "playlist": playlist_ids(STANDIN, "pop")[0]},
        "deezer": {"source": "deezer", "strategy": "playlist", "playlist": "pop"},
    }[strategy]
    everything, _ = crawl(tmp_path / "all.sqlite", config(**choice))
    middle = everything["release_date"].str[:4].sort_values().iloc[len(everything) // 2]
    years = {"years": middle}
    crawled_tracks, _ = crawl(path, config(**choice, **years))
    assert 0 < len(crawled_tracks) < len(everything)
    same(crawled_tracks, _passes(everything, years).reset_index(drop=True))
    listed = {"artists_file": _file("one.txt", [everything["artist_names"].iat[0][0]])}
    crawled_tracks, _ = crawl(path, config(**choice, **listed))
    assert 0 < len(crawled_tracks) < len(everything)
    same(crawled_tracks, _passes(everything, listed).reset_index(drop=True))


def test_a_list_of_artists_holds_when_the_catalogue_holds_more(path, tmp_path):
    listed = config(genre="pop", artists_file=_file("name.txt", [World(STANDIN, "pop").artists[1].name]))
    alone, _ = crawl(tmp_path / "alone.sqlite", listed)
    everything, _ = crawl(path, config(genre="pop"))
    tracks, requests = crawl(path, listed)
    assert requests == 0
    assert 0 < len(tracks) < len(everything)
    same(tracks, alone)


# ---------------------------------------------------------------------- Deezer


@pytest.mark.long
def test_several_genres_of_deezer_are_complete_wherever_a_crawl_stops(tmp_path):
    chosen = config(source="deezer", genre=["Pop", "Jazz", "Rock"])
    expected, requests = crawl(tmp_path / "whole.sqlite", chosen)
    assert set(expected["genre"]) == {"Pop", "Jazz", "Rock"}
    for stop_after in range(1, 9):
        path = tmp_path / f"{stop_after}.sqlite"
        with pytest.raises(Interrupted):
            crawl(path, chosen, stop_after=stop_after)
        tracks, rest = crawl(path, chosen)
        assert rest == requests - stop_after  # nothing is requested twice
        same(tracks, expected)


def test_a_playlist_that_two_queries_find_is_in_both(path, tmp_path):
    best, jazz = (
        config(source="deezer", strategy="playlist", playlist=query) for query in ("best of", "jazz")
    )
    fresh, _ = crawl(tmp_path / "fresh.sqlite", jazz)
    crawl(path, best)
    tracks, _ = crawl(path, jazz)
    assert len(tracks) > 0
    same(tracks, fresh)


# ---------------------------------------------------------------------- classes of app, markets, services


def test_previews_come_with_extended_access_granted_later(path):
    def of(profile):
        return config(genre="pop").model_copy(
            update={"standin": STANDIN.model_copy(update={"profile": profile})}
        )

    before, _ = crawl(path, of("dev_old"))
    assert before["preview_url"].isna().all()
    with Catalog(path) as catalog:  # a day later
        catalog.connection.execute("UPDATE capabilities SET probed_at = '2020-01-01T00:00:00+00:00'")
    after, _ = crawl(path, of("extended"))
    assert after["preview_url"].notna().any()
    assert after["tempo"].notna().any()


def test_what_was_read_for_one_market_or_service_is_not_taken_for_another(path, tmp_path):
    playlist = {"strategy": "playlist", "playlist": playlist_ids(STANDIN, "jazz")[0]}
    for first, second in itertools.permutations([{"market": "US"}, {}], 2):
        fresh, _ = crawl(tmp_path / f"{second}.sqlite", config(**playlist, **second))
        crawl(path, config(**playlist, **first))
        tracks, _ = crawl(path, config(**playlist, **second))
        same(tracks, fresh)
    other = config(genre="pop").model_copy(update={"standin": STANDIN.model_copy(update={"seed": 9})})
    crawl(path, config(genre="pop"))
    tracks, _ = crawl(path, other)
    same(tracks, crawl(tmp_path / "other.sqlite", other)[0])


def test_a_catalogue_of_an_earlier_version_is_refused(path):
    import sqlite3

    from hitsong.errors import UserError

    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE members (crawl TEXT, id TEXT)")
    with pytest.raises(UserError, match="earlier version"):
        Catalog(path)


# ---------------------------------------------------------------------- what was planted


@pytest.mark.parametrize(
    "collect",
    [
        {"genre": "Hip Hop"},  # as the service, but not the table of genres, spells it
        {"strategy": "playlist", "playlist": playlist_ids(STANDIN, "jazz")[0]},  # collect.genre says mandopop
        {"source": "deezer", "genre": "Rock"},
    ],
)
def test_every_synthetic_track_has_its_planted_row(path, collect):
    with sources.open_source(config(**collect), path) as source:
        tracks = source.collect()
        table = source.planted(tracks["track_id"])
    assert set(table["track_id"]) == set(tracks["track_id"])
    assert table["track_id"].is_unique
    assert dict(zip(table["track_id"], table["isrc"], strict=True)) == dict(
        zip(tracks["track_id"], tracks["isrc"], strict=True)
    )
    assert tracks["popularity_source"].str.startswith("synthetic").all()
