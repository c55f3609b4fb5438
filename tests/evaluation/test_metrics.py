import warnings

import numpy as np
import pytest

from hitsong.evaluation import kinds, metrics
from hitsong.evaluation.kinds import evaluate

KINDS = list(kinds.KINDS)


def regression(y, p):
    return evaluate("popularity", y, p)


def binary(y, p):
    return evaluate("popular", y, p)


def ordered(y, p):
    return evaluate("buckets", y, p)


def several(y, p, names=()):
    return evaluate("audio_features", y, p, names)


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
        result = regression([3, -0.5, 2, 7], [2.5, 0, 2, 8])
        assert result["mse"] == 0.375
        assert result["rmse"] == pytest.approx(0.612, abs=1e-3)
        assert result["mae"] == 0.5
        assert result["r2"] == pytest.approx(0.9486, abs=1e-4)

    def test_spearman(self):
        # IQ and hours of television per week: -29/165 (Wikipedia, "Spearman's rank correlation coefficient").
        iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
        hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
        assert regression(iq, hours)["spearman"] == pytest.approx(-29 / 165)

    def test_kendall_with_ties(self):
        # Of 10 pairs 2 concord and 6 disagree; 2 pairs tie in x, 1 in y, and that one in both.
        result = regression([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])["kendall"]
        assert result == pytest.approx(-4 / np.sqrt(8 * 9))

    def test_ndcg(self):
        y, p = [10, 0, 0, 1, 5] + [0] * 20, [0.1, 0.2, 0.3, 4, 70, *range(-20, 0)]
        gained = 5 + 1 / np.log2(3)  # 3 of 25 tracks: 5, 1 and 0
        assert regression(y, p)["ndcg@10%"] == pytest.approx(gained / (10 + 5 / np.log2(3) + 1 / np.log2(4)))

    def test_ndcg_sees_the_top_tenth_only(self, rng):
        y = np.r_[np.zeros(100), np.ones(50)]
        assert regression(y, -np.arange(150.0))["ndcg@10%"] == 0
        assert regression(y, np.arange(150.0))["ndcg@10%"] == pytest.approx(1)
        assert [metrics.places(count) for count in (2, 10, 11, 30, 88, 1000)] == [1, 1, 2, 3, 9, 100]

    @pytest.mark.long
    def test_ndcg_of_a_constant_is_chance(self, rng):
        y = rng.gamma(1, 10, 60)
        random = [regression(y, rng.random(60))["ndcg@10%"] for _ in range(2000)]
        assert regression(y, np.ones(60))["ndcg@10%"] == pytest.approx(np.mean(random), abs=0.02)

    def test_binary(self):
        result = binary([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        assert result["roc_auc"] == 0.75
        assert result["pr_auc"] == pytest.approx(5 / 6)
        assert result["accuracy"] == 0.75
        assert result["confusion"] == [[2, 0], [1, 1]]
        assert result["brier"] == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)

    def test_balanced_accuracy(self):
        assert binary([0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1])["balanced_accuracy"] == 0.625

    def test_threshold_belongs_to_popular(self):
        assert binary([0, 1], [0.3, 0.5])["accuracy"] == 1

    def test_ordered_classes(self):
        # Answers 0, 2, 2, 1 for 0, 1, 2, 2: squared distances sum to 2, by chance to 22 / 4.
        result = ordered([0, 1, 2, 2], np.eye(3)[[0, 2, 2, 1]])
        assert result["quadratic_kappa"] == pytest.approx(1 - 2 / 5.5)
        assert result["accuracy"] == 0.5
        assert result["macro_f1"] == pytest.approx((1 + 0 + 0.5) / 3)
        assert result["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 1, 1]]

    def test_several_numbers(self):
        # Anscombe (1973): the first and the fourth of his quartet, both with correlation 0.816.
        x = [[10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5], [8] * 7 + [19] + [8] * 3]
        y = [
            [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68],
            [6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.5, 5.56, 7.91, 6.89],
        ]
        result = several(np.transpose(y), np.transpose(x), ("first", "fourth"))
        assert result["features"]["first"]["pearson"] == pytest.approx(0.816, abs=1e-3)
        assert result["features"]["fourth"]["pearson"] == pytest.approx(0.817, abs=1e-3)
        assert result["pearson"] == pytest.approx(0.8165, abs=1e-3)
        item = several([[3], [-0.5], [2], [7]], [[2.5], [0], [2], [8]])  # as test_errors
        assert (item["mse"], item["mae"]) == (0.375, 0.5)
        assert item["r2"] == pytest.approx(0.9486, abs=1e-4)


class TestExtremes:
    def test_ordered_perfect_inverted_and_constant(self):
        y = np.array([0, 0, 1, 1, 2, 2])
        assert ordered(y, np.eye(3)[y]) == {
            "accuracy": 1, "macro_f1": 1, "quadratic_kappa": 1, "confusion": [[2, 0, 0], [0, 2, 0], [0, 0, 2]],
        }  # fmt: skip
        inverted = ordered(y, np.eye(3)[2 - y])
        assert inverted["quadratic_kappa"] == pytest.approx(-1)
        assert inverted["accuracy"] == pytest.approx(1 / 3)
        majority = ordered([1, 1, 1, 0], np.tile([0.2, 0.5, 0.3], (4, 1)))
        assert majority["accuracy"] == 0.75
        assert majority["quadratic_kappa"] == 0
        assert majority["macro_f1"] == pytest.approx((6 / 7) / 2)  # over the two classes that occur
        assert ordered([1, 1], np.tile([0.0, 1.0], (2, 1)))["quadratic_kappa"] == 0

    def test_several_perfect_inverted_and_constant(self, rng):
        y = rng.normal(size=(30, 2))
        perfect = several(y, y)
        assert perfect["pearson"] == pytest.approx(1)
        assert (perfect["mse"], perfect["r2"]) == (0, 1)
        assert several(y, -y)["pearson"] == pytest.approx(-1)
        mean = several(y, np.tile(y.mean(axis=0), (30, 1)))
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
        assert regression(y, y) == pytest.approx(
            {"mse": 0, "rmse": 0, "mae": 0, "r2": 1, "spearman": 1, "kendall": 1, "ndcg@10%": 1}
        )
        y = y % 2
        assert binary(y, y) == {
            "roc_auc": 1, "pr_auc": 1, "accuracy": 1, "balanced_accuracy": 1, "brier": 0,
            "confusion": [[int((y == 0).sum()), 0], [0, int(y.sum())]],
        }  # fmt: skip

    def test_inverted(self):
        y = np.arange(10.0)
        result = regression(y, y[::-1])
        assert result["spearman"] == pytest.approx(-1)
        assert result["kendall"] == pytest.approx(-1)
        assert result["r2"] == pytest.approx(-3)
        y = np.array([0, 0, 0, 1])
        result = binary(y, 1 - y)
        assert result["roc_auc"] == result["accuracy"] == result["balanced_accuracy"] == 0
        assert result["brier"] == 1
        assert result["pr_auc"] == 0.25

    def test_constant_prediction(self):
        result = regression([0, 1, 2, 3], [1.5] * 4)
        assert (result["spearman"], result["kendall"], result["r2"]) == (0, 0, 0)
        result = binary([0, 0, 1], [0.2] * 3)
        assert (result["roc_auc"], result["balanced_accuracy"]) == (0.5, 0.5)
        assert result["pr_auc"] == pytest.approx(1 / 3)

    def test_constant_truth(self):
        result = regression([5, 5, 5], [1, 2, 3])
        assert (result["spearman"], result["kendall"], result["r2"]) == (0, 0, 0)
        assert regression([0, 0], [1, 2])["ndcg@10%"] == 0
        result = binary([0, 0], [0.1, 0.9])
        assert result["brier"] == pytest.approx(0.41)
        assert {**result, "brier": None} == {
            "roc_auc": 0.5, "pr_auc": 0, "accuracy": 0.5, "balanced_accuracy": 0.5, "brier": None,
            "confusion": [[1, 1], [0, 0]],
        }  # fmt: skip

    def test_negative_targets(self):
        assert regression([-3, -2, -1], [0, 1, 2])["ndcg@10%"] == 1

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
    for call in [regression, binary]:
        with pytest.raises(ValueError, match=message):
            call(y, p)


def test_shapes_that_do_not_fit_a_kind_are_refused():
    with pytest.raises(ValueError, match="classes"):
        ordered([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="features"):
        several([[1, 2], [3, 4]], [[1], [2]])
    with pytest.raises(ValueError, match="0 or 1 or 2"):
        ordered([0, 3], [[1, 0, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match="probabilities"):
        ordered([0, 1], [[2, 0], [0, 1]])


def test_binary_wants_classes_and_probabilities():
    with pytest.raises(ValueError, match="0 or 1"):
        binary([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="probabilities"):
        binary([0, 1], [-0.1, 0.2])


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_kinds_and_metrics_fits_together(kind, rng):
    y, p = sample(kind, rng)
    entries = kinds.metrics_of(kind)
    assert list(entries) == list(evaluate(kind, y, p))[: len(entries)]
    assert set(kinds.KINDS[kind].compared) <= set(entries)
    main = entries[kinds.main(kind)]
    assert main.higher_is_better
    assert main.chance is not None
    assert all(entry.kinds and entry.label and entry.heading and entry.meaning for entry in entries.values())


@pytest.mark.parametrize("kind", KINDS)
def test_directions_are_right(kind, rng):
    y, p = sample(kind, rng)
    right = np.eye(3)[y.astype(int)] if kind == "buckets" else y
    better, worse = evaluate(kind, y, right), evaluate(kind, y, p)
    for name, entry in kinds.metrics_of(kind).items():
        assert (better[name] > worse[name]) == entry.higher_is_better, name


def test_predictions_of_less_than_a_twentieth_of_the_spread_have_collapsed(rng):
    y = rng.normal(50, 10, 500)
    assert metrics.collapsed(y, 50 + 0.045 * (y - 50))  # a perfect order, but nearly all the mean
    assert not metrics.collapsed(y, 50 + 0.055 * (y - 50))
    assert metrics.collapsed(y, np.where(y > 50, 60.0, 40.0))  # two values
    assert metrics.collapsed(np.stack([y, y], 1), np.stack([y, 0.045 * y], 1))  # one of several numbers
    assert metrics.collapsed((y > 50).astype(float), np.full(500, 0.48) + 0.001 * y)
