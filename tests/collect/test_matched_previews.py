"""Sound from Deezer for the stand-in's Spotify catalogue: what is matched, what is requested, what a run leaves."""

import json
import multiprocessing
import random
import sqlite3
import subprocess
import sys

import pandas as pd
import pytest
import requests

from hitsong.collect import deduplicate, deezer, matched_previews, matching, sources, throttle
from hitsong.collect.catalog import Catalog
from hitsong.collect.connection import Connection
from hitsong.config import Config
from hitsong.errors import ComeBackLater
from standin import serve
from standin.world import World
from tests.conftest import script

FAULTS = ["rate_limit", "rate_limit_text", "server_error", "empty_body", "not_json", "dropped"]


def config(recordings=40, faults=(), **download):
    return Config.model_validate(
        {
            "collect": {"genre": "mandopop"},
            "standin": {
                "artists": max(4, recordings // 5), "recordings": recordings, "seconds": 1.0, "profile": "dev_old",
                "faults": list(faults),
            },
            "download": {"min_seconds": 0.5, "previews": ["source", "deezer"], **download},
        }
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_S", 0.001)
    monkeypatch.setattr(deezer, "QUOTA_PAUSE_S", 0.001)


def catalogue(settings):
    """The stand-in's Spotify tracks as 01 leaves them, one per recording, without previews; and its world."""
    world = World(settings.standin, "mandopop")
    rows = [
        {
            "track_id": copies[0].id, "name": recording.name, "artist_name": recording.artists[0].name,
            "artist_id": recording.artists[0].id, "duration_ms": recording.duration_ms, "isrc": recording.isrc,
            "album_name": copies[0].album.name, "popularity": float(recording.popularity),
            "popularity_source": "synthetic spotify popularity",
        }
        for recording, copies in world.copies.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=deduplicate.SCHEMA.names), world


def match(tracks, settings, path):
    """Look tracks up with a stand-in of its own: tracks, unmatched, and how many requests were sent."""
    tracks, downloads = matched_previews.choose_sources(tracks, settings)
    with (
        sources.open_previews(settings, matching=True) as (_, client),
        Catalog(path, client.scope) as stored,
    ):
        return *matched_previews.add_matches(tracks, downloads, client, stored), client.throttle.requests


def confusion(matched, world):
    """By kind of decoy: recordings that Deezer has with a preview, those matched rightly, and wrongly."""
    recordings = {track.id: track.recording for track in world.tracks.values()}
    rows = []
    for track in matched.itertuples():
        recording = recordings[track.track_id]
        right = {f"deezer:{serial}" for serial in world.decoys.right[recording] if recording.preview}
        result = pd.notna(track.matched_id)
        rows.append(
            {
                "kind": world.decoys.kinds[recording],
                "there": bool(right),
                "right": result and track.matched_id in right,
                "wrong": result and track.matched_id not in right,
            }
        )
    table = pd.DataFrame(rows).groupby("kind").sum()
    table.loc["all"] = table.sum()
    return table


def precision_and_recall(table):
    right, wrong, there = table.loc["all", ["right", "wrong", "there"]]
    return right / (right + wrong), right / there


# ---------------------------------------------------------------------- right and wrong matches


@pytest.mark.long
def test_matches_are_precise_and_miss_few(tmp_path):
    settings = config(450)
    tracks, world = catalogue(settings)
    assert set(world.decoys.kinds.values()) >= {
        "version",
        "cover",
        "namesake",
        "missing",
        "shared isrc",
        "respelled",
    }
    by_isrc, unmatched, _ = match(tracks, settings, tmp_path / "catalog.sqlite")
    precision, recall = precision_and_recall(confusion(by_isrc, world))
    assert precision >= 0.99
    assert recall >= 0.95
    assert len(unmatched) == by_isrc["matched_id"].isna().sum()
    by_words, *_ = match(tracks.assign(isrc=None), settings, tmp_path / "catalog.sqlite")
    assert precision_and_recall(confusion(by_words, world))[0] >= 0.98
    assert set(by_words["matched_by"].dropna()) == {"words"}


def test_a_few_tracks_with_every_kind_of_reason(tmp_path):
    settings = config(90)
    tracks, world = catalogue(settings)
    matched, unmatched, _ = match(tracks, settings, tmp_path / "catalog.sqlite")
    precision, recall = precision_and_recall(confusion(matched, world))
    assert (precision, recall) == (1.0, 1.0)
    assert set(matched["matched_by"].dropna()) == {"isrc", "words"}
    assert (matched["preview_source"].dropna() == "deezer").all()
    assert (matched["matcher"].dropna() == matching.VERSION).all()
    assert unmatched["reason"].str.contains("another version").any()
    assert unmatched["reason"].eq("another duration").any()
    near = unmatched[unmatched["reason"] == "another duration"].iloc[0]
    assert abs(near["candidate_duration_ms"] - near["duration_ms"]) > 3000
    assert matched["match_score"].dropna().between(0.5, 1).all()


# ---------------------------------------------------------------------- requests


def test_nothing_is_requested_twice(tmp_path):
    settings = config()
    tracks, _ = catalogue(settings)
    first, _, requests_sent = match(tracks, settings, tmp_path / "catalog.sqlite")
    assert requests_sent <= 3 * len(tracks)
    again, _, more = match(tracks, settings, tmp_path / "catalog.sqlite")
    assert more == 0
    pd.testing.assert_frame_equal(first, again)


def test_misses_are_requested_again_when_they_have_expired(tmp_path):
    settings = config()
    tracks, _ = catalogue(settings)
    first, unmatched, _ = match(tracks, settings, tmp_path / "catalog.sqlite")
    stored = sqlite3.connect(tmp_path / "catalog.sqlite")
    with stored:
        stored.execute("UPDATE lookups SET sent_at = '2020-01-01T00:00:00+00:00'")
    stored.close()
    again, _, sent = match(tracks, settings, tmp_path / "catalog.sqlite")
    assert 0 < sent <= 3 * len(unmatched)
    pd.testing.assert_frame_equal(first, again)
    assert match(tracks, settings, tmp_path / "catalog.sqlite")[2] == 0


def test_other_settings_of_the_standin_are_another_deezer(tmp_path):
    settings = config()
    tracks, _ = catalogue(settings)
    match(tracks, settings, tmp_path / "catalog.sqlite")
    other = settings.model_copy(update={"standin": settings.standin.model_copy(update={"seed": 2})})
    assert match(tracks, other, tmp_path / "catalog.sqlite")[2] > 0


def test_real_tracks_are_never_looked_up_at_the_standin(tmp_path):
    settings = config()
    tracks, _ = catalogue(settings)
    real = tracks.assign(popularity_source="spotify popularity")
    assert not matched_previews.choose_sources(real, settings)[1].any()


def test_the_order_of_the_sources_decides():
    tracks = pd.DataFrame({"track_id": ["a", "b"], "preview_url": ["https://cdn/a", None]}).reindex(
        columns=deduplicate.SCHEMA.names
    )
    tracks["popularity_source"] = "synthetic"
    expected = {
        tuple(order): matched_previews.choose_sources(tracks, config(previews=list(order)))[1].tolist()
        for order in (["source"], ["source", "deezer"], ["deezer", "source"], ["deezer"])
    }
    assert expected == {
        ("source",): [False, False], ("source", "deezer"): [False, True], ("deezer", "source"): [True, True],
        ("deezer",): [True, True],
    }  # fmt: skip
    only = matched_previews.choose_sources(tracks, config(previews=["deezer"]))[0]
    assert only["preview_url"].isna().all()


def test_a_real_answer_to_an_isrc(shared, tmp_path):
    body = json.loads((shared / "api_samples" / "deezer" / "track_isrc_USRC18207933.json").read_text())
    body = body.get("body", body)

    class Client:
        def get(self, path, need, **parameters):
            assert (path, need, parameters) == ("track/isrc:USRC18207933", "id", {})
            return body

    song = matching.Song("Maneater", "Daryl Hall & John Oates", 271.5, isrc="USRC18207933")
    with Catalog(tmp_path / "catalog.sqlite") as stored:
        by, result = matched_previews.Finder(Client(), stored).find(song)
    assert (by, result.reason, result.candidate.id) == ("isrc", None, "deezer:541999")
    assert "hdnea" not in result.candidate.preview


# ---------------------------------------------------------------------- failures and kills


def schedule(chance):
    """A few random faults of the stand-in."""
    return [
        {"kind": chance.choice(FAULTS), "at": chance.randint(1, 25), "times": chance.randint(1, 12)}
        for _ in range(chance.randint(1, 4))
    ]


def undisturbed(tmp_path, settings):
    tracks, _ = catalogue(settings)
    return tracks, match(tracks, settings, tmp_path / "expected.sqlite")[:2]


def run_until_done(tracks, settings, path):
    """Run with the faults of the settings, and where that ends early, once more without."""
    try:
        return match(tracks, settings, path)[:2]
    except ComeBackLater:
        standin = settings.standin.model_copy(update={"faults": []})
        return match(tracks, settings.model_copy(update={"standin": standin}), path)[:2]


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.long)])
def test_failures_change_nothing(tmp_path, count):
    tracks, expected = undisturbed(tmp_path, config(12))
    for number in range(count):
        faults = schedule(random.Random(number))
        result = run_until_done(tracks, config(12, faults), tmp_path / f"{number}.sqlite")
        for frame, other in zip(result, expected, strict=True):
            pd.testing.assert_frame_equal(frame, other)


def _child(tracks, proxies, address, settings, path):
    """Look tracks up at the parent's stand-in."""
    with requests.Session() as session:
        session.trust_env, session.proxies = False, proxies
        connection = Connection(session, name="standin", deezer=address, planted=lambda ids: None)
        client = deezer.Client(connection, settings.collect)
        chosen, downloads = matched_previews.choose_sources(tracks, settings)
        with Catalog(path, client.scope) as stored:
            return matched_previews.add_matches(chosen, downloads, client, stored)


@pytest.mark.long
def test_thirty_kills_change_nothing(tmp_path):
    settings = config(60)
    tracks, _ = catalogue(settings)
    context, chance, kills = multiprocessing.get_context("forkserver"), random.Random(1), 0
    context.set_forkserver_preload(["tests.collect.test_matched_previews"])
    with serve(settings.standin) as standin:
        arguments = tracks, standin.proxies, standin.deezer, settings
        expected = _child(*arguments, tmp_path / "expected.sqlite")
        path, begun = tmp_path / "0.sqlite", 0
        while kills < 30:
            child = context.Process(target=_child, args=(*arguments, path))
            child.start()
            child.join(chance.uniform(0.05, 0.6))
            if child.is_alive():
                child.kill()
                kills += 1
            else:
                assert child.exitcode == 0
                begun += 1
                path = tmp_path / f"{begun}.sqlite"
            child.join()
        result = _child(*arguments, path)
    for frame, other in zip(result, expected, strict=True):
        pd.testing.assert_frame_equal(frame, other)


# ---------------------------------------------------------------------- the scripts

OPTIONS = [
    "--set", "standin.profile=dev_old", "--set", "standin.artists=8", "--set", "standin.recordings=24", "--set",
    "standin.seconds=1", "--set", "download.min_seconds=0.5", "--set", "study=dev",
]  # fmt: skip


@pytest.mark.long
def test_an_older_app_gets_its_sound_from_deezer(tmp_path):
    options = [*OPTIONS, "--set", f"data={tmp_path}"]
    script("01_collect.py", *options)
    output = script("02_download.py", *options).stdout
    assert "sound from Deezer: " in output
    downloads = pd.read_parquet(tmp_path / "dev" / "downloads.parquet")
    clips = downloads[downloads["status"] == "ok"]
    assert len(clips) >= 12
    assert set(clips["preview_source"]) == {"deezer"}
    assert clips[["matched_by", "match_score", "matched_id", "matched_title"]].notna().all(axis=None)
    unmatched = pd.read_csv(tmp_path / "dev" / "unmatched.csv")
    assert len(unmatched) + len(downloads) == len(pd.read_parquet(tmp_path / "dev" / "tracks.parquet"))
    assert " 0 new clips" in script("02_download.py", *options).stdout
    # Another choice of sources is refused until 02 has followed it; then no clip of a match is left.
    changed = [*options, "--set", "download.previews=[source]"]
    refused = script("03_features.py", *changed, check=False)
    assert refused.returncode == 2
    assert "download.previews" in refused.stderr
    assert "02_download.py" in refused.stderr
    assert "nothing to do" in script("02_download.py", *changed).stdout
    assert pd.read_parquet(tmp_path / "dev" / "downloads.parquet").empty


@pytest.mark.long
def test_a_table_without_audio_gets_its_sound_from_deezer(tmp_path):
    songs = tmp_path / "songs.csv"
    settings = tmp_path / "standin.yaml"
    settings.write_text("standin: {artists: 8, recordings: 24, seconds: 1}\n")
    subprocess.run([sys.executable, "-m", "standin", "--table", songs, "--config", settings], check=True)
    options = [
        "--config", "configs/table_deezer.yaml", *OPTIONS, "--set", f"data={tmp_path}", "--set", "collect.api=standin",
        "--set", f"collect.table.path={songs}", "--set", "collect.table.popularity_source=synthetic spotify",
    ]  # fmt: skip
    script("01_collect.py", *options)
    assert "by title, artist and duration" in script("02_download.py", *options).stdout
    downloads = pd.read_parquet(tmp_path / "dev" / "downloads.parquet")
    assert set(downloads["matched_by"]) == {"words"}
