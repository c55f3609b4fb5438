import warnings

import numpy as np
import pytest
from scipy import stats

from hitsong import metrics

KINDS = ["popularity", "popular"]


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def sample(kind, rng, n=60):
    """A truth and an uncertain prediction of it, both with ties."""
    y = rng.integers(0, 12, n).astype(float)
    p = np.round(y + rng.normal(0, 4, n))
    if kind == "popular":
        return (y > 6).astype(float), np.round(1 / (1 + np.exp(3 - p / 2)), 1)
    return y, p


class TestPublishedValues:
    def test_errors(self):
        # The example of scikit-learn's guide.
        found = metrics.regression([3, -0.5, 2, 7], [2.5, 0, 2, 8])
        assert found["mse"] == 0.375
        assert found["rmse"] == pytest.approx(0.612, abs=1e-3)
        assert found["mae"] == 0.5
        assert found["r2"] == pytest.approx(0.9486, abs=1e-4)

    def test_spearman(self):
        # IQ and hours of television per week: -29/165 (Wikipedia, "Spearman's rank correlation coefficient").
        iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
        hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
        assert metrics.regression(iq, hours)["spearman"] == pytest.approx(-29 / 165)

    def test_kendall_with_ties(self):
        # Of 10 pairs 2 concord and 6 disagree; 2 pairs tie in x, 1 in y, and that one in both.
        found = metrics.regression([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])["kendall"]
        assert found == pytest.approx(-4 / np.sqrt(8 * 9))

    def test_ndcg(self):
        found = metrics.regression([10, 0, 0, 1, 5], [0.1, 0.2, 0.3, 4, 70])["ndcg@100"]
        gained = 5 + 1 / np.log2(3) + 10 / np.log2(6)
        assert found == pytest.approx(gained / (10 + 5 / np.log2(3) + 1 / np.log2(4)))

    def test_ndcg_sees_the_top_hundred_only(self, rng):
        y = np.r_[np.zeros(100), np.ones(50)]
        assert metrics.regression(y, -np.arange(150.0))["ndcg@100"] == 0
        assert metrics.regression(y, np.arange(150.0))["ndcg@100"] == pytest.approx(1)

    def test_binary(self):
        found = metrics.binary([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        assert found["roc_auc"] == 0.75
        assert found["pr_auc"] == pytest.approx(5 / 6)
        assert found["accuracy"] == 0.75
        assert found["confusion"] == [[2, 0], [1, 1]]
        assert found["brier"] == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)

    def test_balanced_accuracy(self):
        assert metrics.binary([0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1])["balanced_accuracy"] == 0.625

    def test_threshold_belongs_to_popular(self):
        assert metrics.binary([0, 1], [0.3, 0.5])["accuracy"] == 1
        assert metrics.binary([0, 1], [0.3, 0.5], threshold=0.3)["confusion"] == [[0, 1], [0, 1]]


class TestExtremes:
    def test_perfect(self, rng):
        y = rng.integers(0, 100, 50)
        assert metrics.regression(y, y) == pytest.approx(
            {"mse": 0, "rmse": 0, "mae": 0, "r2": 1, "spearman": 1, "kendall": 1, "ndcg@100": 1}
        )
        y = y % 2
        assert metrics.binary(y, y) == {
            "roc_auc": 1, "pr_auc": 1, "accuracy": 1, "balanced_accuracy": 1, "brier": 0,
            "confusion": [[int((y == 0).sum()), 0], [0, int(y.sum())]],
        }  # fmt: skip

    def test_inverted(self):
        y = np.arange(10.0)
        found = metrics.regression(y, y[::-1])
        assert found["spearman"] == pytest.approx(-1)
        assert found["kendall"] == pytest.approx(-1)
        assert found["r2"] == pytest.approx(-3)
        y = np.array([0, 0, 0, 1])
        found = metrics.binary(y, 1 - y)
        assert found["roc_auc"] == found["accuracy"] == found["balanced_accuracy"] == 0
        assert found["brier"] == 1
        assert found["pr_auc"] == 0.25

    def test_constant_prediction(self):
        found = metrics.regression([0, 1, 2, 3], [1.5] * 4)
        assert (found["spearman"], found["kendall"], found["r2"]) == (0, 0, 0)
        found = metrics.binary([0, 0, 1], [0.2] * 3)
        assert (found["roc_auc"], found["balanced_accuracy"]) == (0.5, 0.5)
        assert found["pr_auc"] == pytest.approx(1 / 3)

    def test_constant_truth(self):
        found = metrics.regression([5, 5, 5], [1, 2, 3])
        assert (found["spearman"], found["kendall"], found["r2"]) == (0, 0, 0)
        assert metrics.regression([0, 0], [1, 2])["ndcg@100"] == 0
        found = metrics.binary([0, 0], [0.1, 0.9])
        assert found["brier"] == pytest.approx(0.41)
        assert {**found, "brier": None} == {
            "roc_auc": 0.5, "pr_auc": 0, "accuracy": 0.5, "balanced_accuracy": 0.5, "brier": None,
            "confusion": [[1, 1], [0, 0]],
        }  # fmt: skip

    def test_negative_targets(self):
        assert metrics.regression([-3, -2, -1], [0, 1, 2])["ndcg@100"] == 1

    def test_collapsed(self, rng):
        y = rng.normal(20, 10, 1000)
        assert metrics.collapsed(y, np.full(1000, 20.0))
        assert metrics.collapsed(y, 20 + rng.normal(0, 0.05, 1000))
        assert metrics.collapsed(y, np.where(y > 20, 30.0, 10.0))
        assert not metrics.collapsed(y, 20 + rng.normal(0, 0.5, 1000))


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([1, 2], [1, 2, 3], "equally long"),
        ([[1, 2]], [[1, 2]], "one-dimensional"),
        ([1], [1], "at least 2 rows"),
        ([1, np.nan], [1, 2], "finite"),
        ([1, 2], [1, np.inf], "finite"),
    ],
)
def test_bad_input_is_refused(y, p, message):
    for call in [metrics.regression, metrics.binary, metrics.collapsed]:
        with pytest.raises(ValueError, match=message):
            call(y, p)


def test_binary_wants_classes_and_probabilities():
    with pytest.raises(ValueError, match="0 or 1"):
        metrics.binary([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="probabilities"):
        metrics.binary([0, 1], [-0.1, 0.2])


def test_every_metric_has_a_direction():
    for kind in KINDS:
        y, p = sample(kind, np.random.default_rng(0))
        named = set(metrics.evaluate(kind, y, p)) - {"confusion"}
        assert named <= set(metrics.HIGHER_IS_BETTER)
        assert metrics.MAIN[kind] in named
        assert set(metrics.COMPARED[kind]) <= named


class TestWeightedForms:
    """Whole-number weights mean the same as rows repeated."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("n", [60, 400])
    def test_equal_the_metric_on_repeated_rows(self, kind, n, rng):
        y, p = sample(kind, rng, n)
        w = rng.poisson(1, (n, 8)).astype(float)
        w[:, 0] = 1
        w[:, 1] = 2.0 * (y == y.max())  # draws in which the truth, or the prediction, is constant
        w[:, 2] = 2.0 * (p == p.max())
        w[:, 3] = 2.0 * (y == 0)
        for draw in range(w.shape[1]):
            rows = np.repeat(np.arange(n), w[:, draw].astype(int))
            expected = metrics.evaluate(kind, y[rows], p[rows])
            for name, form in metrics._WEIGHTED[kind].items():
                assert form(y, p, w)[draw] == pytest.approx(expected[name], abs=1e-9), (name, draw)

    def test_all_scalar_metrics_but_kendall(self):
        named = {name for forms in metrics._WEIGHTED.values() for name in forms}
        assert named == set(metrics.HIGHER_IS_BETTER) - {"kendall"}


class TestIntervals:
    @pytest.mark.parametrize("kind", KINDS)
    def test_contain_the_estimate_and_repeat(self, kind, rng):
        y, p = sample(kind, rng, 200)
        groups = [f"artist {i}" for i in rng.integers(0, 40, 200)]
        found = metrics.intervals(kind, y, p, groups, 300, seed=1)
        assert found == metrics.intervals(kind, y, p, groups, 300, seed=1)
        values = metrics.evaluate(kind, y, p)
        assert all(low < values[name] < high for name, (low, high) in found.items())
        narrower = metrics.intervals(kind, y, p, groups, 300, seed=1, level=0.5)
        assert all(np.ptp(narrower[name]) < np.ptp(found[name]) for name in found)

    def test_whole_groups_are_drawn(self, rng):
        # Ten rows of each artist say the same: not 300 independent facts, but 30.
        y, p = (np.repeat(values, 10) for values in rng.normal(size=(2, 30)))
        artist = np.repeat(np.arange(30), 10)
        by_artist = metrics.intervals("popularity", y, p, artist, 500, seed=1)
        by_row = metrics.intervals("popularity", y, p, np.arange(300), 500, seed=1)
        assert np.ptp(by_artist["spearman"]) > 2.5 * np.ptp(by_row["spearman"])

    def test_chunks_do_not_matter(self, rng, monkeypatch):
        y, p = sample("popularity", rng)
        whole = metrics.intervals("popularity", y, p, np.arange(60), 100, seed=1)
        monkeypatch.setattr(metrics, "_CELLS", 7 * 60)
        parts = metrics.intervals("popularity", y, p, np.arange(60), 100, seed=1)
        for name in whole:
            assert parts[name] == pytest.approx(whole[name])

    def test_one_group_is_refused(self):
        with pytest.raises(ValueError, match="at least 2"):
            metrics.intervals("popularity", [1, 2, 3], [1, 2, 2], ["a"] * 3, 100, seed=1)
        with pytest.raises(ValueError, match="equally long"):
            metrics.intervals("popularity", [1, 2, 3], [1, 2, 2], ["a", "b"], 100, seed=1)

    @pytest.mark.parametrize("kind", KINDS)
    def test_nominal_coverage(self, kind, rng):
        # Artists share an effect in both truth and prediction, so that tracks are far from independent. The
        # true values follow from the normal distribution: Spearman 6/pi asin(r/2), ROC-AUC Phi(d/sqrt 2).
        r, shift, simulations, artists, tracks = 0.4, 0.8, 200, 80, 3
        groups = np.repeat(np.arange(artists), tracks)
        if kind == "popularity":
            truth = {"spearman": 6 / np.pi * np.arcsin(r / 2), "mse": 2 - 2 * r}
        else:
            truth = {"roc_auc": stats.norm.cdf(shift / np.sqrt(2))}
        covered = dict.fromkeys(truth, 0)
        for simulation in range(simulations):
            effect, own = rng.normal(size=(2, artists)), rng.normal(size=(2, len(groups)))
            a, b = np.sqrt(0.5) * effect[:, groups] + np.sqrt(0.5) * own
            if kind == "popularity":
                y, p = a, r * a + np.sqrt(1 - r**2) * b
            else:
                y = np.repeat(rng.integers(0, 2, artists), tracks)
                p = stats.norm.cdf(b + shift * y)
            found = metrics.intervals(kind, y, p, groups, 200, seed=simulation)
            for name, value in truth.items():
                low, high = found[name]
                covered[name] += low <= value <= high
        for name, count in covered.items():
            assert 0.90 <= count / simulations <= 0.99, name


class TestPaired:
    def test_the_better_model_is_told_apart(self, rng):
        groups = np.repeat(np.arange(100), 3)
        y = rng.normal(size=300)
        shared = rng.normal(size=300)  # what both get wrong cancels
        a, b = y + shared, y + shared + 0.7 * rng.normal(size=300)
        found = metrics.paired("popularity", y, a, b, groups, 500, seed=1)
        assert list(found) == ["spearman", "mse"]
        values = [metrics.regression(y, p) for p in (a, b)]
        for name, row in found.items():
            assert row["difference"] == pytest.approx(values[0][name] - values[1][name])
            assert row["low"] < row["difference"] < row["high"]
        assert found["spearman"]["low"] > 0
        assert found["mse"]["high"] < 0

    def test_a_model_equals_itself(self, rng):
        y, p = sample("popular", rng)
        found = metrics.paired("popular", y, p, p, np.arange(60), 100, seed=1)
        nothing = {"difference": 0, "low": 0, "high": 0}
        assert found == {"roc_auc": nothing, "brier": nothing}

    def test_bad_input_is_refused(self):
        with pytest.raises(ValueError, match="equally long"):
            metrics.paired("popularity", [1, 2], [1, 2], [1, 2, 3], [0, 1], 100, seed=1)
