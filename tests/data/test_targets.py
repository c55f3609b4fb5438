import json

import numpy as np
import pandas as pd
import pytest

from hitsong import config
from hitsong.data import targets
from hitsong.errors import UserError


def fit(train, **settings):
    return targets.fit_target(config.Target(**settings), train)


def test_popularity_passes_through():
    target = fit([3, 50, 0], kind="popularity", threshold=20.0)
    encoded = target.encode([7, 0, 100])
    assert encoded.dtype == np.float32
    assert list(encoded) == [7, 0, 100]
    assert target.threshold is None


def test_median_of_train_decides():
    target = fit([0, 0, 10, 20, 90], kind="popular")
    assert target.threshold == 10
    assert target.encode([9, 10, 11, 0]).tolist() == [0, 1, 1, 0]
    assert target.encode([9]).dtype == np.float32


def test_fixed_threshold():
    target = fit([10, 39, 80], kind="popular", threshold=39.0)
    assert target.encode([38.9, 39]).tolist() == [0, 1]
    assert str(target) == "popular (popularity >= 39)"


def test_description_survives_json():
    for settings in [
        {"kind": "popularity"}, {"kind": "popularity", "transform": "percentile"}, {"kind": "popular"},
        {"kind": "buckets"}, {"kind": "audio_features"},
    ]:  # fmt: skip
        target = fit([0, 1, 2], **settings)
        assert targets.Target(**json.loads(json.dumps(target.description()))) == target


@pytest.mark.parametrize("train", [[0, 0, 0, 5], [4, 4]])
def test_median_with_one_class(train):
    # A median at the minimum: every track reaches it.
    with pytest.raises(UserError, match="target.threshold median: all . training tracks"):
        fit(train, kind="popular")


def test_threshold_nobody_reaches():
    with pytest.raises(UserError, match="set target.threshold above 1 and up to 50"):
        fit([1, 50], kind="popular", threshold=60.0)


def test_missing_popularity_is_refused():
    with pytest.raises(ValueError, match="must not be missing"):
        fit([1, np.nan], kind="popular")
    with pytest.raises(ValueError, match="must not be missing"):
        targets.Target("popular", threshold=5.0).encode([np.nan])
    with pytest.raises(ValueError, match="at least one"):
        fit([], kind="popularity")


def test_quantile_of_train_decides():
    target = fit(np.arange(101), kind="popular", quantile=0.75)
    assert target.threshold == 75
    with pytest.raises(UserError, match="target.quantile 0.75: all 3"):
        fit([4, 4, 4], kind="popular", quantile=0.75)


class TestBuckets:
    def test_shares_of_study_3(self):
        train = np.random.default_rng(0).permutation(1000)
        target = fit(train, kind="buckets")
        assert target.names == ("low", "medium", "high")
        assert np.bincount(target.encode(train).astype(int)).tolist() == [168, 467, 365]
        assert str(target) == "buckets of popularity (low, medium from 168, high from 635)"

    def test_given_edges(self):
        target = fit(np.arange(10), kind="buckets", labels=["quiet", "loud"], edges=[4.5])
        assert target.encode([0, 4.4, 4.5, 99]).tolist() == [0, 0, 1, 1]

    def test_ties_go_together_and_every_bucket_gets_some(self):
        # Half have none at all: the lowest bucket cannot be a sixth.
        target = fit([0] * 6 + [1, 2, 3, 4, 5, 6], kind="buckets")
        assert target.edges == (1.0, 3.0)
        assert fit([0] * 20 + [1, 2], kind="buckets").edges == (1.0, 2.0)

    def test_what_cannot_be_divided_is_refused(self):
        with pytest.raises(UserError, match="3 buckets cannot be made of 2 different values"):
            fit([0, 0, 5], kind="buckets")
        with pytest.raises(UserError, match="none of 3 training tracks is high"):
            fit([1, 20, 3], kind="buckets", edges=[10.0, 50.0])


class TestTransforms:
    def test_logarithm(self):
        target = fit([0, 10], transform="log1p")
        np.testing.assert_allclose(target.encode([0, np.e - 1]), [0, 1], rtol=1e-6)
        assert str(target) == "log1p of popularity"
        with pytest.raises(UserError, match="goes down to -3"):
            fit([-3, 1], transform="log1p")

    def test_percentile_among_train(self):
        target = fit([0, 0, 10, 20], transform="percentile")
        np.testing.assert_allclose(target.encode([-5, 0, 10, 15, 20, 99]), [25, 25, 62.5, 75, 87.5, 87.5])

    def test_percentile_of_very_many_values_is_thinned(self, rng):
        train = rng.lognormal(5, 2, 20_000)
        target = fit(train, transform="percentile")
        assert len(target.knots) == 1001
        expected = 100 * (np.argsort(np.argsort(train)) + 0.5) / len(train)
        np.testing.assert_allclose(target.encode(train), expected, atol=0.1)

    def test_belongs_to_popularity(self):
        with pytest.raises(ValueError, match="transform log1p belongs to kind popularity"):
            config.Target(kind="popular", transform="log1p")


def test_audio_features_are_columns_by_name():
    tracks = pd.DataFrame({"energy": [0.1, 0.2], "popularity": [1, 2], "valence": [0.3, 0.4]})
    target = targets.fit_target(
        config.Target(kind="audio_features", features=["valence", "energy"]), tracks[["valence", "energy"]]
    )
    written = target.write(tracks)
    assert target.encoded == ["y_valence", "y_energy"]
    np.testing.assert_allclose(target.truth(written), [[0.3, 0.1], [0.4, 0.2]], rtol=1e-6)
    assert "y" not in written


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 3.0, "quantile": 0.5}, "not both"),
        ({"labels": ["a", "b"]}, "shares must be 2"),
        ({"shares": [0.5, 0.2, 0.2]}, "sum to 1"),
        ({"edges": [5.0, 2.0]}, "rising"),
        ({"labels": ["a", "a", "b"]}, "labels must differ"),
        ({"features": ["dancability"]}, "'danceability'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        config.Target(**settings)


def test_numbers_stay_within_the_range_of_the_target():
    counts = fit([0.0, 3.0, 10.0])
    np.testing.assert_array_equal(counts.clip(np.array([-2.9, 4.0, 200.0])), [0, 4, 200])
    percentile = fit([-5.0, 3.0, 10.0], transform="percentile")
    np.testing.assert_array_equal(percentile.clip(np.array([-2.9, 4.0, 200.0])), [0, 4, 100])
    spotify = targets.fit_target(config.Target(), [0.0, 60.0], scale=100.0)
    np.testing.assert_array_equal(spotify.clip(np.array([-2.9, 4.0, 108.0])), [0, 4, 100])
    logarithm = targets.fit_target(config.Target(transform="log1p"), [0.0, 60.0], scale=100.0)
    np.testing.assert_allclose(logarithm.clip(np.array([-1.0, 9.0])), [0, np.log(101)])
    balance = fit([-5.0, 3.0])  # a column of a table may be below 0
    np.testing.assert_array_equal(balance.clip(np.array([-9.0])), [-9])


class TestGrowth:
    TRAIN = np.array([[0.0, 10.0], [10.0, 10.0], [99.0, 0.0]])

    @pytest.mark.parametrize(
        ("transform", "expected"),
        [(None, [10, 0, -99]), ("log_ratio", np.log([11, 1, 0.01])), ("percentile", [250 / 3, 50, 50 / 3])],
    )
    def test_from_early_to_late_values(self, transform, expected):
        target = fit(self.TRAIN, kind="growth", transform=transform)
        np.testing.assert_allclose(target.encode(self.TRAIN), expected, rtol=1e-6)
        assert targets.Target(**json.loads(json.dumps(target.description()))) == target

    def test_says_its_months(self):
        text = str(fit(self.TRAIN, kind="growth", transform="log_ratio", predict_months=[6, 9]))
        assert text == "log ratio of growth from the first 3 months after release to months 6 to 9"

    def test_between_two_days(self):
        target = fit(self.TRAIN, kind="growth", between=["2026-01-01", "2026-07-01"])
        assert str(target) == "growth of popularity from 2026-01-01 to 2026-07-01"
        assert targets.Target(**json.loads(json.dumps(target.description()))) == target

    def test_windows_must_not_overlap(self):
        with pytest.raises(ValueError, match=r"predict_months \[2, 12\] must rise, and begin after the 3"):
            config.Target(kind="growth", predict_months=[2, 12])


class TestRelativeToAge:
    def test_equal_popularity_counts_more_among_less_popular_contemporaries(self):
        rng = np.random.default_rng(0)
        age = rng.uniform(0, 10, 2000)
        popularity = 10 * age + rng.uniform(0, 10, 2000)
        train = np.column_stack([popularity, age])
        target = fit(train, relative_to="age")
        encoded = target.encode(train)
        assert abs(np.corrcoef(encoded, age)[0, 1]) < 0.05
        assert abs(encoded.mean() - 50) < 1
        young, old = target.encode([[55, 4.5], [55, 5.5]])
        assert young > old
        assert targets.Target(**json.loads(json.dumps(target.description()))) == target

    def test_ages_beyond_the_training_tracks_and_equal_ones(self):
        target = fit(np.column_stack([np.arange(200), np.full(200, 3.0)]), relative_to="age")
        np.testing.assert_allclose(target.encode([[100, 0], [100, 99]]), 50, atol=1)

    def test_belongs_to_popularity(self):
        with pytest.raises(ValueError, match="relative_to age is a percentile of popularity"):
            config.Target(kind="popular", relative_to="age")
