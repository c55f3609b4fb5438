"""The audit passes where nothing leaks, and fails where something does."""

import numpy as np
import pandas as pd
import pytest

from hitsong import config
from hitsong.data.tracks import with_target
from hitsong.evaluation.divisions import Division
from hitsong.training import audit


@pytest.fixture
def settings():
    return config.Config(baseline=config.Baseline(alphas=[1.0, 100.0], models=["ridge"]))


@pytest.fixture
def tracks(rng):
    """240 tracks by 60 artists, on sides that keep artists apart; sound and age both matter a little."""
    n = np.arange(240)
    sound, age = rng.normal(size=(2, 240))
    return pd.DataFrame({
        "track_id": [f"t{i:03}" for i in n], "artist_id": [f"a{i // 4}" for i in n],
        "artist_ids": [[f"a{i // 4}"] for i in n], "artist_name": [f"A {i // 4}" for i in n],
        "name": [f"song {i}" for i in n], "duration_ms": 180_000 + 10_000 * n, "group": [f"a{i // 4}" for i in n],
        "popularity": 50 + 10 * (sound + 0.2 * age + rng.normal(size=240)), "sound": sound, "age": age,
        "popularity_source": "invented",
        "side": np.repeat(["train", "validation", "test"], [140, 20, 80]),
    })  # fmt: skip


def shuffles(tracks, settings, rng):
    return [audit._shuffled(tracks, settings, rng) for _ in range(audit.SHUFFLES)]


@pytest.mark.long
def test_shuffled_labels_are_at_chance_and_a_planted_leak_is_found(tracks, settings, rng):
    X = tracks[["sound", "age"]]
    divisions = shuffles(tracks, settings, rng)
    assert sorted(divisions[0].tracks["popularity"]) == sorted(tracks["popularity"])
    assert not (divisions[0].tracks["popularity"] == tracks["popularity"]).all()
    pairs = [audit._fit_baseline(X, division, settings, "ridge") for division in divisions]
    check = audit.at_chance("shuffled", "popularity", pairs, rng)
    assert check.passed
    assert str(check).startswith("pass  shuffled: spearman ")
    assert audit.planted_leak(X, divisions, settings, rng).passed


def test_predictions_that_follow_shuffled_labels_fail(tracks, settings, rng):
    division = shuffles(tracks, settings, rng)[0]
    leaking = division.tracks[["sound"]].assign(leak=division.tracks["popularity"])
    pairs = [audit._fit_baseline(leaking, division, settings, "ridge")]
    check = audit.at_chance("leaking", "popularity", pairs, rng)
    assert not check.passed
    assert str(check).startswith("FAIL  leaking")


def test_a_planted_copy_is_found(tracks):
    assert audit.planted_copy(tracks).passed
    assert not audit.planted_copy(tracks.assign(artist_ids=[[] for _ in range(240)])).passed


def test_artists_and_age_alone(tracks, settings, rng):
    division = Division("side", *with_target(tracks, tracks["side"] == "train", settings))
    tables = {"descriptors": tracks[["sound"]], "age": tracks[["age"]], "artist": tracks[["artist_id"]]}
    assert audit.artists_alone(tables, division, settings, rng).passed
    assert audit.age_alone(tables, division, settings).passed
    swapped = {"descriptors": tracks[["age"]], "age": tracks[["sound"]]}
    assert not audit.age_alone(swapped, division, settings).passed
    without = {"descriptors": tracks[["sound"]]}
    assert audit.age_alone(without, division, settings).passed is None
    assert str(audit.artists_alone(without, division, settings, rng)).startswith("----")
    at_random = config.Config(split=config.Split(scheme="random"))
    assert audit.artists_alone(tables, division, at_random, rng).passed is None
