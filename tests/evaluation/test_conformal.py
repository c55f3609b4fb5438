"""Calibration on simulated data: coverage within what chance allows, and what must hold for any data."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hitsong.data.targets import Target
from hitsong.errors import UserError
from hitsong.evaluation import conformal

POPULARITY = Target("popularity")
POPULAR = Target("popular", threshold=30.0)
BUCKETS = Target("buckets", ("low", "medium", "high"), edges=(27.0, 33.0))
FEATURES = Target("audio_features", ("energy", "tempo"))


def drawn(target, n, rng):
    """Truth and prediction of exchangeable tracks; the errors are skewed, and the model is overconfident."""
    if target.classes:
        classes = max(2, len(target.names))
        odds = rng.normal(size=(n, classes))
        truth = (odds + rng.gumbel(size=(n, classes))).argmax(axis=1)
        p = np.exp(3 * odds)
        p /= p.sum(axis=1, keepdims=True)
        return truth.astype(float), p if target.kind == "buckets" else p[:, 1]
    p = rng.normal(30, 5, (n, 2) if target.kind == "audio_features" else n)
    return p + rng.exponential(4, p.shape) * [1, 10][: p.ndim][-1] - 3, p


@pytest.mark.parametrize("target", [POPULARITY, POPULAR, BUCKETS, FEATURES], ids=lambda target: target.kind)
def test_coverage_of_exchangeable_tracks_is_the_level_within_chance(target):
    """With 99 tracks to calibrate on, coverage of new ones has a Beta distribution, for continuous scores."""
    rng, rounds, new = np.random.default_rng(0), 300, 40
    covered = {f"{level:g}": [] for level in conformal.LEVELS}
    for _ in range(rounds):
        calibration = conformal.calibrate(target, *drawn(target, 99, rng))
        for level, covered_share in conformal.coverage(target, calibration, *drawn(target, new, rng)).items():
            covered[level].append(covered_share["coverage"])
    for level in conformal.LEVELS:
        rank = math.ceil(100 * level)
        expected = rank / 100
        beta = stats.beta(rank, 100 - rank)
        spread = np.sqrt((beta.var() + expected * (1 - expected) / new) / rounds)
        assert np.mean(covered[f"{level:g}"]) == pytest.approx(expected, abs=4 * spread)


@pytest.mark.parametrize(
    ("n", "unbounded"), [(2, ["0.8", "0.9", "0.95"]), (9, ["0.95"]), (18, ["0.95"]), (19, [])]
)
def test_too_few_tracks_for_a_level_are_said_and_give_infinite_intervals(n, unbounded):
    calibration = conformal.calibrate(POPULARITY, np.arange(n, dtype=float), np.zeros(n))
    assert calibration["tracks"] == n
    assert calibration["unbounded"] == unbounded
    for level in unbounded:
        low, high = conformal.interval(calibration, np.array([5.0]), float(level))
        assert (low, high) == (-np.inf, np.inf)
        covered_share = conformal.coverage(POPULARITY, calibration, np.zeros(3), np.ones(3))[level]
        assert covered_share == {"coverage": 1.0, "width": None}
    chosen = conformal.calibrate(BUCKETS, np.arange(n) % 3, np.full((n, 3), 1 / 3))
    for level in unbounded:
        assert conformal.sets(chosen, np.eye(3), float(level)).all()


def test_quantiles_are_the_ranks_of_the_finite_sample():
    calibration = conformal.calibrate(POPULARITY, np.arange(19, dtype=float), np.zeros(19))
    # Errors 0..18; ranks ceil(20 * level) are 10, 16, 18 and 19.
    assert calibration["quantiles"] == {"0.5": [9.0], "0.8": [15.0], "0.9": [17.0], "0.95": [18.0]}
    low, high = conformal.interval(calibration, np.array([-3.0, 99.0]), 0.9)
    np.testing.assert_array_equal([low, high], [[-20, 82], [14, 116]])  # not cut to 0-100


@pytest.mark.parametrize(("artists", "tolerance"), [(9, 0.02), (60, 0.01)])
@pytest.mark.parametrize("shared", [0.2, 0.7])
def test_tracks_of_new_artists_are_covered_although_artists_differ(artists, tolerance, shared):
    """Errors of an artist's tracks resemble each other, and artists have unequally many tracks."""

    def tracks(artists, rng):
        groups = np.repeat(np.arange(artists), np.maximum(1, rng.lognormal(1.5, 0.8, artists)).astype(int))
        errors = np.sqrt(shared) * rng.normal(size=artists)[groups] + np.sqrt(1 - shared) * rng.normal(
            size=len(groups)
        )
        return groups, 50 + 10 * errors, np.full(len(groups), 50.0)

    covered, rng = [], np.random.default_rng(0)
    for _ in range(600):
        groups, y, p = tracks(artists, rng)
        calibration = conformal.calibrate(POPULARITY, y, p, groups)
        assert calibration["groups"] == artists
        covered.append(conformal.coverage(POPULARITY, calibration, *tracks(40, rng)[1:])["0.9"]["coverage"])
    assert np.mean(covered) == pytest.approx(0.9, abs=tolerance + 0.005)


def test_widths_are_those_of_intervals_within_the_range_of_the_target():
    target, y, p = Target("popularity", lowest=0.0), np.linspace(0, 100, 50), np.full(50, 2.0)
    calibration = conformal.calibrate(target, y, p)
    (half,) = calibration["quantiles"]["0.9"]
    assert conformal.coverage(target, calibration, y, p)["0.9"]["width"] == pytest.approx(2 + half)


def test_each_feature_has_its_own_interval():
    rng = np.random.default_rng(0)
    y, p = drawn(FEATURES, 50, rng)
    y[:, 1] = p[:, 1] + 100 * (y[:, 1] - p[:, 1])
    calibration = conformal.calibrate(FEATURES, y, p)
    for column in range(2):
        alone = conformal.calibrate(POPULARITY, y[:, column], p[:, column])
        for level in conformal.LEVELS:
            whole = np.array(conformal.interval(calibration, p, level))[:, :, column]
            np.testing.assert_array_equal(whole, conformal.interval(alone, p[:, column], level))
        covered_share = conformal.coverage(FEATURES, calibration, y, p)["0.9"]["features"][
            FEATURES.names[column]
        ]
        assert covered_share == conformal.coverage(POPULARITY, alone, y[:, column], p[:, column])["0.9"]


def test_sets_hold_the_classes_that_are_probable_enough():
    y = np.repeat([0.0, 1.0], 10)
    p = np.linspace(
        0.05, 1, 20
    )  # of being popular: errors 0.05 ... 0.525 for the zeros, 0.475 ... 0 for the ones
    calibration = conformal.calibrate(POPULAR, y, p)
    (quantile,) = calibration["quantiles"]["0.8"]
    errors = np.sort(np.where(y == 1, 1 - p, p))
    assert quantile == pytest.approx(errors[math.ceil(21 * 0.8) - 1])
    chosen = conformal.sets(calibration, np.array([0.01, 0.5, 0.99]), 0.8)
    np.testing.assert_array_equal(chosen, [[True, False], [quantile >= 0.5] * 2, [False, True]])


def test_an_interval_of_classes_and_a_level_not_calibrated_are_refused():
    numbers = conformal.calibrate(POPULARITY, np.arange(9.0), np.zeros(9))
    classes = conformal.calibrate(POPULAR, np.arange(8.0) % 2, np.full(8, 0.5))
    with pytest.raises(UserError, match="predicts classes: there is no interval"):
        conformal.interval(classes, np.zeros(3))
    with pytest.raises(UserError, match="predicts numbers: there is no set"):
        conformal.sets(numbers, np.zeros(3))
    with pytest.raises(UserError, match=r"level 0.7 was not calibrated; choose 0.5, 0.8, 0.9, 0.95"):
        conformal.interval(numbers, np.zeros(3), 0.7)


@settings(max_examples=40)
@given(
    errors=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60),
    shift=st.floats(-100, 100),
    kind=st.sampled_from(["popularity", "audio_features"]),
)
def test_whatever_the_errors_intervals_nest_and_cover_their_own_tracks(errors, shift, kind):
    target = {"popularity": POPULARITY, "audio_features": FEATURES}[kind]
    p = np.full(len(errors), shift)
    y = p + errors
    if kind == "audio_features":
        y, p = np.column_stack([y, -2 * y]), np.column_stack([p, p])
    calibration = conformal.calibrate(target, y, p)
    calibration = json.loads(json.dumps(calibration))  # as a bundle keeps it
    outer = 0.0
    for level in conformal.LEVELS:
        low, high = conformal.interval(calibration, p, level)
        assert low.shape == high.shape == p.shape
        assert (high - low >= outer).all()
        outer = high - low
        tolerance = 1e-9 * (1 + np.abs(y) + np.abs(p))
        inside = ((low - tolerance <= y) & (y <= high + tolerance)).mean(axis=0)
        assert (inside >= level - 1e-9).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 60))
def test_whatever_the_probabilities_sets_nest_and_cover_their_own_tracks(seed, n):
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet([0.3] * 3, n), rng.integers(0, 3, n).astype(float)
    calibration = json.loads(json.dumps(conformal.calibrate(BUCKETS, y, p)))
    inner = np.zeros((n, 3), bool)
    for level, covered_share in conformal.coverage(BUCKETS, calibration, y, p).items():
        chosen = conformal.sets(calibration, p, float(level))
        assert (chosen >= inner).all()
        inner = chosen
        assert covered_share["coverage"] >= float(level) - 1e-9
        assert covered_share["width"] == pytest.approx(chosen.sum() / n)
