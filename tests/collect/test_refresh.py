"""Popularity read again: every reading is kept, the tracks and the split stay, and any interruption ends the same."""

import importlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitsong.collect import deduplicate, deezer, history, musicbrainz, recordings, spotify_api, throttle
from hitsong.collect.catalog import Catalog
from hitsong.collect.connection import connect
from hitsong.collect.deezer import Deezer
from hitsong.collect.listenbrainz import ListenBrainz
from hitsong.collect.spotify import Spotify
from hitsong.config import Config
from hitsong.data.tracks import load_tracks
from hitsong.errors import ComeBackLater, UserError
from hitsong.study import Study, problem
from standin.dump import draw_listens, write_parquet
from standin.world import World
from tests.conftest import ROOT, script

CLOCKS = ["2026-11-01", "2027-03-01", "2027-07-01"]
TINY = {"artists": 6, "recordings": 30, "seconds": 1.0}
SOURCES = {
    "spotify": {"genre": "pop"},
    "deezer": {"source": "deezer", "genre": "Pop"},
    "listenbrainz": {"source": "listenbrainz", "genre": "pop"},
}
CRAWLS = {"spotify": Spotify, "deezer": Deezer, "listenbrainz": ListenBrainz}
collect_script = importlib.import_module("01_collect")


def config(clock=CLOCKS[0], data="unused", **collect):
    content = {"data": str(data), "study": "small", "standin": {**TINY, "clock": clock}, "collect": collect}
    return Config.model_validate(content)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_S", 0.001)
    monkeypatch.setattr(musicbrainz, "BUSY_S", 0.001)


class Interrupted(BaseException):
    """The end of the process, at a request."""


@contextmanager
def stopped_after(count):
    """Let `count` requests pass, and end at the next; None lets all pass."""
    send, n_sent = throttle.Throttle.send, 0

    def counted(*arguments):
        nonlocal n_sent
        if count is not None and n_sent >= count:
            raise Interrupted
        n_sent += 1
        return send(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throttle.Throttle, "send", counted)
        yield


# ---------------------------------------------------------------------- as a user runs it


def run(monkeypatch, folder, *options):
    """Run 01 in this process, in a study of its own."""
    words = [word for option in options for word in option.split(" ", 1)]
    arguments = ["01_collect.py", "--config", str(folder / "config.yaml"), *words]
    monkeypatch.setattr(sys, "argv", arguments)
    collect_script.main()


def written(folder, **collect):
    """A folder with a config; the settings of its study."""
    folder.mkdir(exist_ok=True)
    chosen = config(data=folder / "data", **collect)
    (folder / "config.yaml").write_text(json.dumps(chosen.model_dump(mode="json", exclude_unset=True)))
    return chosen


@pytest.mark.long
@pytest.mark.parametrize("name", SOURCES)
def test_a_study_collected_three_times(tmp_path, monkeypatch, capsys, name):
    chosen = written(tmp_path, **SOURCES[name])
    study = Study.of(chosen)
    run(monkeypatch, tmp_path)
    before = study.tracks.read_bytes()
    tracks, *_ = load_tracks(study, chosen)
    splits = study.splits.read_bytes()
    for clock in CLOCKS[1:]:
        run(monkeypatch, tmp_path, "--refresh", f"--set standin.clock={clock}")
    assert "3 readings of each track (2026-11-01 to 2027-07-01)" in capsys.readouterr().out
    assert study.tracks.read_bytes() == before
    readings = history.read(study.history)
    assert (readings.groupby("track_id").size() == 3).all()
    assert set(readings["track_id"]) == set(deduplicate.read(study.tracks)["track_id"])
    assert readings["source"].unique().tolist() == [name]
    quantity = {"spotify": "popularity", "deezer": "rank", "listenbrainz": "users"}[name]
    assert readings["quantity"].unique().tolist() == [quantity]
    assert sorted(set(readings["read_at"].dt.strftime("%Y-%m-%d"))) == CLOCKS
    # The first reading is the popularity of tracks.parquet, the others are those of the day.
    first = readings.drop_duplicates("track_id").set_index("track_id")["value"]
    table = deduplicate.read(study.tracks).set_index("track_id")
    assert first.to_dict() == table["popularity"].to_dict()
    assert (table["fetched_at"].str[:10] == CLOCKS[0]).all()
    # One split, and no earlier stage that a refresh would make stale.
    again, *_ = load_tracks(study, chosen)
    pd.testing.assert_frame_equal(again, tracks)
    assert study.splits.read_bytes() == splits
    assert problem(study, "collect", chosen) is None
    # 01 without --refresh asks nothing and keeps every reading.
    run(monkeypatch, tmp_path, f"--set standin.clock={CLOCKS[2]}")
    assert study.tracks.read_bytes() == before
    pd.testing.assert_frame_equal(history.read(study.history), readings)


def test_the_readings_are_those_of_the_service_on_each_day(tmp_path, monkeypatch):
    chosen = written(tmp_path, **SOURCES["spotify"])
    run(monkeypatch, tmp_path)
    run(monkeypatch, tmp_path, "--refresh", f"--set standin.clock={CLOCKS[1]}")
    readings = history.read(Study.of(chosen).history)
    for clock in CLOCKS[:2]:
        world = World(config(clock).standin, "pop")
        of_day = readings[readings["read_at"] == pd.Timestamp(clock, tz="UTC")]
        truth = {key: world.tracks[key].popularity for key in of_day["track_id"]}
        assert dict(zip(of_day["track_id"], of_day["value"], strict=True)) == truth
    planted = pd.read_parquet(Study.of(chosen).planted)
    assert {"growth_artist_effect", "growth_effect", "growth_noise"} < set(planted)


@pytest.mark.long
def test_a_dump_of_later_months_adds_to_the_history(tmp_path, monkeypatch, capsys):
    chosen = written(tmp_path, source="listenbrainz", genre="pop", listens=str(tmp_path / "first"))
    for folder, clock in {"first": CLOCKS[0], "second": "2027-03-11"}.items():
        world = World(config(clock).standin, "pop")
        write_parquet(tmp_path / folder, draw_listens(world, np.random.default_rng(1)))
    study = Study.of(chosen)
    run(monkeypatch, tmp_path)
    before, months = study.tracks.read_bytes(), history.read(study.history)
    run(monkeypatch, tmp_path, "--refresh", f"--set collect.listens={tmp_path / 'second'}")
    assert study.tracks.read_bytes() == before
    out = capsys.readouterr().out
    listens = draw_listens(World(config("2027-03-11").standin, "pop"), np.random.default_rng(1))
    last = pd.to_datetime(listens["listened_at"].max(), unit="s", utc=True)
    assert (
        f"2 readings of each track (2026-10-31 to {last:%Y-%m-%d}), counts by month (2015-01 to 2027-03)"
        in out
    )
    assert "in months that were counted before" not in out
    readings = history.read(study.history)
    merged = months.merge(readings, on=[*history.KEY, "value"])
    assert len(merged) == len(months)  # nothing was overwritten
    levels = readings[readings["start"].isna()]
    assert (levels.groupby("track_id").size() == 2).all()
    assert (levels.groupby("track_id")["value"].diff().dropna() >= 0).all()  # listens accumulate
    counts = readings[readings["start"].notna() & (readings["quantity"] == "listens")]
    counts = counts.drop_duplicates(
        ["track_id", "start"], keep="last"
    )  # a month that was not complete at first
    complete = counts[counts["start"] < "2027-03-01"]
    whole_month = complete["start"] + pd.offsets.MonthBegin(1)
    october = complete["start"] == pd.Timestamp("2026-10-01", tz="UTC")
    assert (complete["read_at"] == whole_month)[~october].all()
    assert counts["read_at"].max() == levels["read_at"].max()
    # A month is the number of its listens.
    total = listens["recording_mbid"].notna() & (listens["listened_at"] < pd.Timestamp(CLOCKS[0]).timestamp())
    assert counts.loc[counts["start"] < CLOCKS[0], "value"].sum() <= total.sum()
    # 01 without --refresh: the tracks as they were counted first, and every reading.
    run(monkeypatch, tmp_path, f"--set collect.listens={tmp_path / 'second'}")
    assert study.tracks.read_bytes() == before
    pd.testing.assert_frame_equal(history.read(study.history), readings)
    # Another dump with other counts of the same months changes none of them, and that is said.
    half = draw_listens(World(config("2027-05-01").standin, "pop"), np.random.default_rng(1)).iloc[::2]
    write_parquet(tmp_path / "half", half)
    run(monkeypatch, tmp_path, "--refresh", f"--set collect.listens={tmp_path / 'half'}")
    assert "% listens in months that were counted before" in capsys.readouterr().out
    again = history.read(study.history)
    assert len(readings.merge(again, on=[*history.KEY, "value"])) == len(readings)
    # A dump that no refresh has read is counted anew.
    world = World(config("2027-06-01").standin, "pop")
    write_parquet(tmp_path / "third", draw_listens(world, np.random.default_rng(1)))
    run(monkeypatch, tmp_path, f"--set collect.listens={tmp_path / 'third'}")
    assert (deduplicate.read(study.tracks)["fetched_at"].str[:7] == "2027-05").all()


def test_a_refresh_is_refused_where_there_is_nothing_to_refresh(tmp_path, monkeypatch):
    chosen = written(tmp_path, **SOURCES["spotify"])
    with pytest.raises(UserError, match=r"--refresh: .* holds no results of 01_collect\.py; run: "):
        run(monkeypatch, tmp_path, "--refresh")
    run(monkeypatch, tmp_path)
    with pytest.raises(UserError, match=r"other settings \(collect\.genre pop -> jazz\)"):
        run(monkeypatch, tmp_path, "--refresh", "--set collect.genre=jazz")
    assert problem(Study.of(chosen), "collect", chosen) is None


def test_a_quota_in_the_middle_is_a_reason_to_come_back_and_the_rest_is_read_then(
    tmp_path, monkeypatch, capsys
):
    chosen = written(tmp_path, **SOURCES["deezer"])
    run(monkeypatch, tmp_path)
    count = len(deduplicate.read(Study.of(chosen).tracks))
    later = f"--set standin.clock={CLOCKS[1]}"
    with pytest.raises(ComeBackLater):
        run(
            monkeypatch, tmp_path, "--refresh", later, "--set standin.faults=[{kind: rate_limit_long, at: 6}]"
        )
    assert problem(Study.of(chosen), "collect", chosen) is None
    capsys.readouterr()
    run(monkeypatch, tmp_path, "--refresh", later)
    out = capsys.readouterr().out
    assert f"5 of {count} tracks have been read since {CLOCKS[1]}" in out
    assert f"{count - 5} requests" in out
    assert (history.read(Study.of(chosen).history).groupby("track_id").size() == 2).all()


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: history.write(path, history.read(path).iloc[:3])]
)
def test_a_refresh_that_was_killed_before_its_record_is_done_again(tmp_path, monkeypatch, damage):
    chosen = written(tmp_path, **SOURCES["spotify"])
    study = Study.of(chosen)
    run(monkeypatch, tmp_path)
    run(monkeypatch, tmp_path, "--refresh", f"--set standin.clock={CLOCKS[1]}")
    expected = history.read(study.history)
    damage(study.history)
    assert "history.parquet" in problem(study, "collect", chosen)
    run(monkeypatch, tmp_path, "--refresh", f"--set standin.clock={CLOCKS[1]}")
    pd.testing.assert_frame_equal(history.read(study.history), expected)
    assert problem(study, "collect", chosen) is None


def test_files_have_one_reading_of_a_day_that_is_not_invented(tmp_path, monkeypatch, shared):
    written(tmp_path, source="fma", root=str(shared / "fma_mini"), subset="small")
    run(monkeypatch, tmp_path)
    study = Study(tmp_path / "data" / "small")
    readings = history.read(study.history)
    assert set(readings["read_at"].dt.strftime("%Y-%m-%d")) == {"2017-04-01"}
    assert readings[["source", "quantity"]].drop_duplicates().to_numpy().tolist() == [["fma", "listens"]]
    with pytest.raises(UserError, match="read once"):
        run(monkeypatch, tmp_path, "--refresh")
    table = "track_id,name,popularity\na,A,1\nb,B,2\n"
    for number, (read_at, day) in enumerate(
        [(None, None), ("2024", None), ("2024-03", None), ("2024-03-05", "2024-03-05")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "table.csv").write_text(table)
        dated = {"read_at": read_at} if read_at else {}
        written(folder, source="table", table={"path": str(folder / "table.csv"), **dated})
        run(monkeypatch, folder)
        readings = history.read(folder / "data" / "small" / "history.parquet")
        assert readings["value"].tolist() == [1, 2]
        days = readings["read_at"].dt.strftime("%Y-%m-%d")
        assert (days == day).all() if day else days.isna().all()
    with pytest.raises(UserError, match="add rows of later days"):
        run(monkeypatch, folder, "--refresh")


def test_a_table_with_rows_of_several_days_is_a_history(tmp_path, monkeypatch, capsys):
    days = ["2024-05-01", "2024-03-01", "2024-04-01", "2024-03-01", None]
    table = pd.DataFrame(
        {
            "track_id": [f"t{number}" for number in range(4) for _ in days],
            "name": [f"Song {number}" for number in range(4) for _ in days],
            "popularity": [value + number for number in range(4) for value in (50, 10, 30, 20, 90)],
            "snapshot_date": days * 4,
        }
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    columns = {"read_at": "snapshot_date"}
    chosen = written(
        tmp_path, source="table", table={"path": str(tmp_path / "table.csv"), "columns": columns}
    )
    run(monkeypatch, tmp_path)
    assert "the row of the first day of each stays (history.parquet holds all)" in capsys.readouterr().out
    tracks = deduplicate.read(Study.of(chosen).tracks)
    assert tracks["popularity"].tolist() == [20, 21, 22, 23]  # the higher of the two of the first day
    assert set(tracks["fetched_at"]) == {"2024-03-01"}
    readings = history.read(Study.of(chosen).history)
    of_first = readings[readings["track_id"] == "t0"]
    assert of_first["value"].tolist() == [90, 20, 30, 50]  # that of no known day first
    assert len(readings) == 16


# ---------------------------------------------------------------------- any interruption


@pytest.fixture(scope="module")
def services():
    """A stand-in for each day."""
    with ExitStack() as stack:
        yield {clock: stack.enter_context(connect(config(clock))) for clock in CLOCKS}


@contextmanager
def opened(services, path, name, clock, **collect):
    """The crawl of a source on a day, with its catalogue."""
    chosen, crawler = config(clock, path.parent, **SOURCES[name], **collect), CRAWLS[name]
    (path.parent / "small").mkdir(exist_ok=True)
    connection = services[clock]
    with Catalog(path, crawler.scope(connection, chosen.collect), connection.now) as catalog:
        yield crawler(connection, chosen, catalog)


@pytest.fixture(scope="module")
def undisturbed(services, tmp_path_factory):
    """For each source: the catalogue after the first collection, the tracks, and the readings of three days."""
    results = {}
    for name in SOURCES:
        path = tmp_path_factory.mktemp(name) / "catalog.sqlite"
        with opened(services, path, name, CLOCKS[0]) as source:
            tracks = source.collect()
        start = path.with_name("start.sqlite")
        shutil.copy(path, start)
        for clock in CLOCKS[1:]:
            with opened(services, path, name, clock) as source:
                source.refresh(tracks["track_id"].tolist())
                readings = source.readings(tracks)
        results[name] = start, tracks, readings
    return results


_ATTEMPTS = st.lists(st.integers(0, 12), max_size=4)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(SOURCES)), _ATTEMPTS, _ATTEMPTS, st.integers(0, 2**16))
def test_any_schedule_of_interruptions_ends_as_undisturbed(services, undisturbed, name, first, second, seed):
    start, tracks, expected = undisturbed[name]
    order = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        shutil.copy(start, path)
        for clock, attempts in zip(CLOCKS[1:], (first, second), strict=True):
            for stop in [*attempts, None]:
                ids = order.sample(tracks["track_id"].tolist(), len(tracks))
                with opened(services, path, name, clock) as source:
                    try:
                        with stopped_after(stop):
                            source.refresh(ids)
                    except Interrupted:
                        assert stop is not None
                    if order.random() < 0.3:  # a crawl comes between: the tracks are what they were
                        pd.testing.assert_frame_equal(source.collect(), tracks)
        with opened(services, path, name, CLOCKS[2]) as source:
            pd.testing.assert_frame_equal(source.collect(), tracks)
            readings = source.readings(tracks)
    key = ["track_id", "read_at", "quantity"]
    pd.testing.assert_frame_equal(
        readings.sort_values(key, ignore_index=True), expected.sort_values(key, ignore_index=True)
    )


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_is_asked_twice_in_a_refresh_and_an_old_one_is_not_continued(
    services, undisturbed, tmp_path, name
):
    start, tracks, _ = undisturbed[name]
    path = tmp_path / "catalog.sqlite"
    shutil.copy(start, path)
    ids = tracks["track_id"].tolist()
    if name == "deezer":
        with opened(services, path, name, CLOCKS[1]) as source, stopped_after(5), pytest.raises(Interrupted):
            source.refresh(ids)
        with opened(services, path, name, CLOCKS[1]) as source:
            source.refresh(ids)
            assert source.requests == len(ids) - 5
        with opened(services, path, name, CLOCKS[2]) as source, stopped_after(5), pytest.raises(Interrupted):
            source.refresh(ids)
    else:
        with opened(services, path, name, CLOCKS[1]) as source:
            source.refresh(ids)
            asked = source.requests
        assert (
            asked <= {"spotify": 4, "listenbrainz": 7}[name]
        )  # a batch, and what finds out whether it may be asked
    with opened(services, path, name, CLOCKS[0]) as source:
        again = source.readings(tracks).groupby("track_id").size()
    assert again.max() <= 3


def test_the_request_budget_holds_for_deezer(services, undisturbed, tmp_path):
    start, tracks, _ = undisturbed["deezer"]
    path = tmp_path / "catalog.sqlite"
    shutil.copy(start, path)
    with opened(services, path, "deezer", CLOCKS[1], request_budget=10) as source:
        with pytest.raises(
            UserError, match=rf"Deezer: .* one by one needs {len(tracks)} requests.*request_budget"
        ):
            source.refresh(tracks["track_id"].tolist())
        assert source.requests == 0


def test_what_is_unknown_has_no_reading(services, undisturbed, tmp_path):
    start, tracks, _ = undisturbed["spotify"]
    path = tmp_path / "catalog.sqlite"
    shutil.copy(start, path)
    with opened(services, path, "spotify", CLOCKS[1]) as source:
        source.refresh([*tracks["track_id"], "0" * 22])  # gone, or never there
        readings = source.catalog.readings.of(["0" * 22])
        assert readings.empty
        assert len(source.collect()) == len(tracks)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SOURCES)
def test_killed_refreshes_end_as_undisturbed_ones(tmp_path, name):
    chosen = written(tmp_path, **SOURCES[name])
    study, chance = Study.of(chosen), random.Random(name)
    script("01_collect.py", "--config", tmp_path / "config.yaml")
    before = study.tracks.read_bytes()
    shutil.copytree(tmp_path / "data", tmp_path / "start")
    refresh = ["--config", str(tmp_path / "config.yaml"), "--refresh"]
    for clock in CLOCKS[1:]:
        script("01_collect.py", *refresh, "--set", f"standin.clock={clock}")
    expected = history.read(study.history)
    shutil.rmtree(tmp_path / "data")
    shutil.move(tmp_path / "start", tmp_path / "data")
    for clock in CLOCKS[1:]:
        command = [sys.executable, str(ROOT / "01_collect.py"), *refresh, "--set", f"standin.clock={clock}"]
        for _ in range(4):
            _kill_at_reading(command, study.catalog, clock, chance.randint(0, 25))
            assert study.tracks.read_bytes() == before
        script("01_collect.py", *refresh, "--set", f"standin.clock={clock}")
    pd.testing.assert_frame_equal(history.read(study.history), expected)
    assert study.tracks.read_bytes() == before
    assert problem(study, "collect", chosen) is None


def _kill_at_reading(command, catalog, clock, count):
    """Start a refresh, and kill it once the catalogue holds more than `count` readings of the day, or all."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        with sqlite3.connect(f"file:{catalog}?mode=ro", uri=True) as connection:
            sql = "SELECT count(*) FROM readings WHERE read_at LIKE ?"
            if connection.execute(sql, (f"{clock}%",)).fetchone()[0] > count:
                break
        time.sleep(0.002)
    process.kill()
    assert process.wait() in (0, -signal.SIGKILL)


# ---------------------------------------------------------------------- the catalogue


def test_the_first_popularity_stays_and_readings_of_a_day_are_one(tmp_path):
    times = iter(
        pd.to_datetime(
            ["2026-01-01", "2026-01-01 12:00", "2026-03-01", "2026-05-01"], utc=True, format="ISO8601"
        )
    )
    row = {"track_id": "a", "name": "A", "artist_ids": ["x"], "artist_names": ["X"], "preview_url": None}
    with Catalog(tmp_path / "catalog.sqlite", now=lambda: next(times).to_pydatetime()) as catalog:
        catalog.store_tracks([{**row, "popularity": 5}], with_previews=False)
        catalog.store_tracks([{**row, "popularity": 6}], with_previews=False)
        catalog.store_tracks([{**row, "popularity": 7, "preview_url": "http://p"}])
        catalog.store_tracks([{"track_id": "a"}])  # gone since
        (track,) = catalog.tracks(["a"]).to_dict("records")
        assert (track["popularity"], track["preview_url"], track["name"]) == (5, "http://p", "A")
        assert track["fetched_at"] == "2026-01-01T00:00:00+00:00"
        assert catalog.readings.of(["a"])["value"].tolist() == [5, 7]


def test_a_catalogue_without_readings_is_upgraded_with_the_popularity_of_its_tracks(tmp_path):
    path = tmp_path / "catalog.sqlite"
    row = {"track_id": "a", "name": "A", "artist_ids": ["x"], "artist_names": ["X"], "popularity": 5}
    with Catalog(path) as catalog:
        catalog.store_tracks([row, {**row, "track_id": "b", "popularity": None}])
        catalog.connection.executescript("DROP TABLE readings; DROP TABLE refreshes; PRAGMA user_version = 2")
    with Catalog(path) as catalog:
        assert catalog.readings.of(["a", "b"])["value"].tolist() == [5]
        assert catalog.connection.execute("PRAGMA user_version").fetchone()[0] == 3


def test_real_responses_become_readings(tmp_path, shared):
    def sample(name):
        return json.loads((shared / "api_samples" / f"{name}.json").read_text())

    body = sample("spotify/tracks_ids_2plbrEY59IikOBgBGLjaoe")
    rows = [spotify_api.track(item) for item in body["tracks"]]
    answers = [sample("deezer/track")["body"], sample("deezer/track_isrc_USRC18207933")]
    rows += [deezer.track(item) for item in answers]
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        catalog.store_tracks(rows)
        known, unknown = map(recordings.popularity, sample("listenbrainz/popularity_recording_response"))
        catalog.readings.store({"users": {"mbid": known[1], "other": unknown}})
        readings = catalog.readings.of([*(row["track_id"] for row in rows), "mbid", "other"])
    values = dict(zip(readings["track_id"], readings["value"], strict=True))
    expected = {row["track_id"]: row["popularity"] for row in rows} | {"mbid": 10}
    assert values == expected
    assert all(value > 0 for value in values.values())


def test_the_clock_of_the_standin_is_the_time_of_a_reading(services):
    assert services[CLOCKS[1]].now() == pd.Timestamp(CLOCKS[1], tz="UTC")
