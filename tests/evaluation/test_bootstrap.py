"""Bootstrap intervals: the weighted forms against the metrics, and whether intervals cover what they should."""

import dataclasses
import warnings

import numpy as np
import pytest
from scipy import stats

from hitsong.evaluation import bootstrap, kinds

from .test_metrics import KINDS, regression, sample


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class TestWeightedForms:
    """Whole-number weights mean the same as rows repeated."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("n", [60, 400])
    def test_equal_the_metric_on_repeated_rows(self, kind, n, rng):
        y, p = sample(kind, rng, n)
        w = rng.poisson(1, (8, n)).astype(float)
        w[0] = 1
        first = p if p.ndim == 1 else p[:, 0]
        truth = y if y.ndim == 1 else y[:, 0]
        w[1] = 2.0 * (truth == truth.max())  # draws in which the truth, or the prediction, is constant
        w[2] = 2.0 * (first == first.max())
        w[3] = 2.0 * (truth == 0)
        for draw in range(len(w)):
            rows = np.repeat(np.arange(n), w[draw].astype(int))
            expected = kinds.evaluate(kind, y[rows], p[rows])
            for name, form in bootstrap.resampled_metrics(kind).items():
                result = np.mean(form(y, p)(w)[draw])  # over features, where there are several
                assert result == pytest.approx(expected[name], abs=1e-9), (name, draw)

    def test_a_metric_without_one_is_measured_draw_by_draw(self, rng, monkeypatch):
        y, p = sample("popularity", rng)
        fast = bootstrap.intervals("popularity", y, p, np.arange(60) // 3, 100, seed=1, only=["spearman"])
        plain = [
            dataclasses.replace(metric, resampled=None) if metric.name == "spearman" else metric
            for metric in kinds.METRICS
        ]
        monkeypatch.setattr(kinds, "METRICS", plain)
        slow = bootstrap.intervals("popularity", y, p, np.arange(60) // 3, 100, seed=1, only=["spearman"])
        assert slow["spearman"] == pytest.approx(fast["spearman"])


class TestIntervals:
    @pytest.mark.parametrize("kind", KINDS)
    def test_contain_the_estimate_and_repeat(self, kind, rng):
        y, p = sample(kind, rng, 200)
        groups = [f"artist {i}" for i in rng.integers(0, 40, 200)]
        bounds = bootstrap.intervals(kind, y, p, groups, 300, seed=1)
        assert bounds == bootstrap.intervals(kind, y, p, groups, 300, seed=1)
        values = kinds.evaluate(kind, y, p)
        narrower = bootstrap.intervals(kind, y, p, groups, 300, seed=1, level=0.5)
        if kind == "audio_features":
            features = bounds.pop("features")
            assert all(
                low < values["features"]["1"][name] < high for name, (low, high) in features["1"].items()
            )
        assert all(low < values[name] < high for name, (low, high) in bounds.items())
        assert all(np.ptp(narrower[name]) < np.ptp(bounds[name]) for name in bounds)

    def test_whole_groups_are_drawn(self, rng):
        # Ten rows of each artist say the same: not 300 independent facts, but 30.
        y, p = (np.repeat(values, 10) for values in rng.normal(size=(2, 30)))
        artist = np.repeat(np.arange(30), 10)
        by_artist = bootstrap.intervals("popularity", y, p, artist, 500, seed=1)
        by_row = bootstrap.intervals("popularity", y, p, np.arange(300), 500, seed=1)
        assert np.ptp(by_artist["spearman"]) > 2.5 * np.ptp(by_row["spearman"])

    def test_chunks_do_not_matter(self, rng, monkeypatch):
        y, p = sample("popularity", rng)
        whole = bootstrap.intervals("popularity", y, p, np.arange(60), 100, seed=1)
        monkeypatch.setattr(bootstrap, "_CELLS", 7 * 60)
        parts = bootstrap.intervals("popularity", y, p, np.arange(60), 100, seed=1)
        for name in whole:
            assert parts[name] == pytest.approx(whole[name])

    def test_one_group_is_refused(self):
        with pytest.raises(ValueError, match="at least 2"):
            bootstrap.intervals("popularity", [1, 2, 3], [1, 2, 2], ["a"] * 3, 100, seed=1)
        with pytest.raises(ValueError, match="equally long"):
            bootstrap.intervals("popularity", [1, 2, 3], [1, 2, 2], ["a", "b"], 100, seed=1)

    def test_the_mean_over_folds(self, rng):
        # Two folds whose models rank well, on scales of their own: together they seem not to.
        y = rng.normal(size=200)
        folds, groups = np.repeat([1, 2], 100), np.arange(200) // 4
        p = y + 0.3 * rng.normal(size=200) + 100 * (folds == 2)
        inside = bootstrap.intervals("popularity", y, p, groups, 200, 1, only=["spearman"], folds=folds)
        mean = np.mean([regression(y[folds == f], p[folds == f])["spearman"] for f in (1, 2)])
        low, high = inside["spearman"]
        assert 0.9 < low < mean < high

    @pytest.mark.parametrize("kind", KINDS)
    def test_nominal_coverage(self, kind, rng):
        # Artists share an effect in both truth and prediction, so that tracks are far from independent. The
        # true values follow from the normal distribution: Pearson r, Spearman 6/pi asin(r/2), ROC-AUC
        # Phi(d/sqrt 2), and as many right answers as are asked for.
        r, shift, right, simulations, artists, tracks = 0.4, 0.8, 0.6, 400, 60, 3
        groups = np.repeat(np.arange(artists), tracks)
        number = {"spearman": 6 / np.pi * np.arcsin(r / 2), "mse": 2 - 2 * r}
        truth = {
            "popularity": number,
            "growth": number,
            "popular": {"roc_auc": stats.norm.cdf(shift / np.sqrt(2))},
            "buckets": {"accuracy": right},
            "audio_features": {"pearson": r},
        }[kind]
        covered = dict.fromkeys(truth, 0)
        for simulation in range(simulations):
            effect, own = rng.normal(size=(2, artists)), rng.normal(size=(2, len(groups)))
            a, b = np.sqrt(0.5) * effect[:, groups] + np.sqrt(0.5) * own
            y, p = a, r * a + np.sqrt(1 - r**2) * b
            if kind == "popular":
                y = np.repeat(rng.integers(0, 2, artists), tracks)
                p = stats.norm.cdf(b + shift * y)
            elif kind == "buckets":
                y = rng.integers(0, 3, len(groups))
                p = np.eye(3)[np.where(b < stats.norm.ppf(right), y, (y + 1) % 3)]
            elif kind == "audio_features":
                y, p = y[:, None], p[:, None]
            bounds = bootstrap.intervals(kind, y, p, groups, 500, seed=simulation, only=list(truth))
            for name, value in truth.items():
                low, high = bounds[name]
                covered[name] += low <= value <= high
        for name, count in covered.items():
            assert 0.92 <= count / simulations <= 0.98, name

    @pytest.mark.parametrize(("kind", "name"), [("popularity", "mse"), ("popular", "roc_auc")])
    def test_coverage_with_eight_groups_of_unequal_size(self, kind, name, rng):
        covered, simulations = 0, 400
        truth = {"mse": 2 - 2 * 0.4, "roc_auc": stats.norm.cdf(0.8 / np.sqrt(2))}[name]
        for simulation in range(simulations):
            groups = np.repeat(
                np.arange(8), np.maximum(1, np.round(5 * np.exp(0.8 * rng.normal(size=8)))).astype(int)
            )
            y, own = np.sqrt(0.5) * rng.normal(size=(2, 8))[:, groups] + np.sqrt(0.5) * rng.normal(
                size=(2, len(groups))
            )
            p = 0.4 * y + np.sqrt(1 - 0.4**2) * own
            if kind == "popular":
                y = rng.integers(0, 2, 8)[groups]
                p = stats.norm.cdf(own + 0.8 * y)
            low, high = bootstrap.intervals(kind, y, p, groups, 300, simulation, only=[name])[name]
            covered += low <= truth <= high
        assert 0.91 <= covered / simulations <= 0.99

    @pytest.mark.parametrize(("of_groups", "of_seeds"), [(0.02, 0), (0, 0.02), (0.02, 0.02)])
    def test_small_effects_of_groups_and_seeds_have_the_classical_standard_error(
        self, of_groups, of_seeds, rng
    ):
        groups, seeds = of_groups * rng.normal(size=12), of_seeds * rng.normal(size=6)
        y = rng.normal(size=48)
        predictions = [y + 1 + groups.repeat(4) + seed for seed in seeds]
        resampling = bootstrap.Resampling(np.arange(48) // 4, 20_000, seed=1)
        measured = resampling.measure("popularity", y, predictions, only=["mae"])
        # The factor that makes good for drawing few groups widens what seeds add, too.
        variance = groups.var(ddof=1) / 12 + seeds.var(ddof=1) / 6 * 12 / 11
        assert measured.standard_error("mae") == pytest.approx(np.sqrt(variance), rel=0.02)
        low, high = measured.intervals()["mae"]
        half = stats.t.ppf(0.975, (12 - 1) / 1.5) * np.sqrt(variance)  # errors: fewer degrees of freedom
        assert (high - low) / 2 == pytest.approx(half, rel=0.04)

    def test_an_interval_contains_a_perfect_result(self):
        y = np.arange(40.0)
        bounds = bootstrap.intervals("popularity", y, y, np.arange(40) // 4, 100, seed=1)
        values = regression(y, y)
        assert all(low <= values[name] <= high for name, (low, high) in bounds.items())

    def test_draws_without_any_error(self, rng):
        groups, y = np.arange(60) // 3, rng.normal(size=60)
        nothing = bootstrap.intervals("popularity", y, y, groups, 200, 1, only=["mse", "mae"])
        assert nothing == {"mse": (0, 0), "mae": (0, 0)}
        p = y + (np.arange(60) < 3)  # a single group is off: a third of the draws miss it
        low, high = bootstrap.intervals("popularity", y, p, groups, 200, 1, only=["mse"])["mse"]
        assert low == 0
        assert 0.05 < high < 0.3

    def test_few_groups_are_named(self):
        assert bootstrap.equal_groups(np.repeat(np.arange(7), 3)) == pytest.approx(7)
        assert bootstrap.equal_groups([0] * 8 + [1, 1]) == pytest.approx(100 / 68)
        assert bootstrap.remark_on_groups(np.arange(60) // 3) == []
        (line,) = bootstrap.remark_on_groups(np.repeat(np.arange(8), [20, 9, 6, 6, 5, 5, 4, 3]))
        assert line.startswith(
            "the intervals come from 8 groups of artists, which tell as much as 5.4 of equal size"
        )
        (line,) = bootstrap.remark_on_groups(np.repeat(np.arange(8), [50, 1, 1, 1, 1, 1, 1, 1]))
        assert "do not rely" in line


class TestPaired:
    def test_the_better_model_is_told_apart(self, rng):
        groups = np.repeat(np.arange(100), 3)
        y = rng.normal(size=300)
        shared = rng.normal(size=300)  # what both get wrong cancels
        a, b = y + shared, y + shared + 0.7 * rng.normal(size=300)
        differences = bootstrap.paired("popularity", y, a, b, groups, 500, seed=1)
        assert list(differences) == ["spearman", "r2", "mse"]
        values = [regression(y, p) for p in (a, b)]
        for name, row in differences.items():
            assert row["difference"] == pytest.approx(values[0][name] - values[1][name])
            assert row["low"] < row["difference"] < row["high"]
        assert differences["spearman"]["low"] > 0
        assert differences["mse"]["high"] < 0

    def test_a_model_equals_itself(self, rng):
        y, p = sample("popular", rng)
        differences = bootstrap.paired("popular", y, p, p, np.arange(60), 100, seed=1)
        nothing = {"difference": 0, "low": 0, "high": 0}
        assert differences == {"roc_auc": nothing, "accuracy": nothing, "brier": nothing}

    def test_bad_input_is_refused(self):
        with pytest.raises(ValueError, match="equally long"):
            bootstrap.paired("popularity", [1, 2], [1, 2], [1, 2, 3], [0, 1], 100, seed=1)
