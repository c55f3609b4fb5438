import warnings

import numpy as np
import pytest

from hitsong.evaluation import metrics

KINDS = ["popularity", "popular", "buckets", "audio_features"]


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
    if kind == "buckets":
        near = np.exp(-np.abs(p[:, None] / 4 - [0, 1, 2]))
        return np.digitize(y, [4, 8]).astype(float), near / near.sum(axis=1, keepdims=True)
    if kind == "audio_features":
        return np.column_stack([y, rng.integers(0, 3, n)]), np.column_stack([p, rng.integers(0, 3, n)])
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

    def test_ordered_classes(self):
        # Answers 0, 2, 2, 1 for 0, 1, 2, 2: squared distances sum to 2, by chance to 22 / 4.
        found = metrics.ordered([0, 1, 2, 2], np.eye(3)[[0, 2, 2, 1]])
        assert found["quadratic_kappa"] == pytest.approx(1 - 2 / 5.5)
        assert found["accuracy"] == 0.5
        assert found["macro_f1"] == pytest.approx((1 + 0 + 0.5) / 3)
        assert found["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 1, 1]]

    def test_several_numbers(self):
        # Anscombe (1973): the first and the fourth of his quartet, both with correlation 0.816.
        x = [[10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5], [8] * 7 + [19] + [8] * 3]
        y = [
            [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68],
            [6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.5, 5.56, 7.91, 6.89],
        ]
        found = metrics.several(np.transpose(y), np.transpose(x), ("first", "fourth"))
        assert found["features"]["first"]["pearson"] == pytest.approx(0.816, abs=1e-3)
        assert found["features"]["fourth"]["pearson"] == pytest.approx(0.817, abs=1e-3)
        assert found["pearson"] == pytest.approx(0.8165, abs=1e-3)
        one = metrics.several([[3], [-0.5], [2], [7]], [[2.5], [0], [2], [8]])  # as test_errors
        assert (one["mse"], one["mae"]) == (0.375, 0.5)
        assert one["r2"] == pytest.approx(0.9486, abs=1e-4)


class TestExtremes:
    def test_ordered_perfect_inverted_and_constant(self):
        y = np.array([0, 0, 1, 1, 2, 2])
        assert metrics.ordered(y, np.eye(3)[y]) == {
            "accuracy": 1, "macro_f1": 1, "quadratic_kappa": 1, "confusion": [[2, 0, 0], [0, 2, 0], [0, 0, 2]],
        }  # fmt: skip
        inverted = metrics.ordered(y, np.eye(3)[2 - y])
        assert inverted["quadratic_kappa"] == pytest.approx(-1)
        assert inverted["accuracy"] == pytest.approx(1 / 3)
        majority = metrics.ordered([1, 1, 1, 0], np.tile([0.2, 0.5, 0.3], (4, 1)))
        assert majority["accuracy"] == 0.75
        assert majority["quadratic_kappa"] == 0
        assert majority["macro_f1"] == pytest.approx((6 / 7) / 2)  # over the two classes that occur
        assert metrics.ordered([1, 1], np.tile([0.0, 1.0], (2, 1)))["quadratic_kappa"] == 0

    def test_several_perfect_inverted_and_constant(self, rng):
        y = rng.normal(size=(30, 2))
        perfect = metrics.several(y, y)
        assert perfect["pearson"] == pytest.approx(1)
        assert (perfect["mse"], perfect["r2"]) == (0, 1)
        assert metrics.several(y, -y)["pearson"] == pytest.approx(-1)
        mean = metrics.several(y, np.tile(y.mean(axis=0), (30, 1)))
        assert mean["pearson"] == 0
        assert mean["r2"] == pytest.approx(0)

    def test_one_collapsed_column_is_enough(self, rng):
        y = rng.normal(size=(100, 2))
        assert not metrics.collapsed(y, y)
        assert metrics.collapsed(y, y * [1, 0])
        classes = rng.integers(0, 3, 100)
        assert metrics.collapsed(classes, np.tile([0.2, 0.5, 0.3], (100, 1)))
        assert not metrics.collapsed(classes, rng.dirichlet([1, 1, 1], 100))

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
    for call in [metrics.regression, metrics.binary]:
        with pytest.raises(ValueError, match=message):
            call(y, p)


def test_shapes_that_do_not_fit_a_kind_are_refused():
    with pytest.raises(ValueError, match="classes"):
        metrics.ordered([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="features"):
        metrics.several([[1, 2], [3, 4]], [[1], [2]])
    with pytest.raises(ValueError, match="0 or 1 or 2"):
        metrics.ordered([0, 3], [[1, 0, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match="probabilities"):
        metrics.ordered([0, 1], [[2, 0], [0, 1]])


def test_binary_wants_classes_and_probabilities():
    with pytest.raises(ValueError, match="0 or 1"):
        metrics.binary([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="probabilities"):
        metrics.binary([0, 1], [-0.1, 0.2])


def test_every_metric_has_a_direction():
    for kind in KINDS:
        y, p = sample(kind, np.random.default_rng(0))
        named = set(metrics.evaluate(kind, y, p)) - {"confusion", "features"}
        assert named <= set(metrics.HIGHER_IS_BETTER)
        assert metrics.MAIN[kind] in named
        assert set(metrics.COMPARED[kind]) <= named
