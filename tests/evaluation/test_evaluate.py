import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from hitsong.data.targets import Target
from hitsong.evaluation import evaluate

POPULARITY = Target("popularity")


@pytest.fixture
def measured(rng):
    ids = pd.Index([f"t{n:03}" for n in range(200)], name="track_id")
    y = pd.Series(rng.gamma(1, 10, 200), index=ids)
    groups = pd.Series(rng.integers(0, 40, 200).astype(str), index=ids)
    predictions = {
        "good": y + rng.normal(0, 10, 200),
        "flat": pd.Series(10.0, index=ids),
        "mean": pd.Series(y.mean(), index=ids),
        "shuffled": [pd.Series(rng.permutation(y), index=ids) for _ in range(20)],
        "planted": y.rank() * 1000,
    }
    # Joined by name: the order in which a prediction comes does not matter.
    predictions["good"] = predictions["good"].sample(frac=1, random_state=1)
    result = evaluate.measure(
        POPULARITY,
        y,
        predictions,
        groups,
        {"good": evaluate.Validated(0.6), "flat": evaluate.Validated(0.0)},
        200,
        seed=1,
    )
    return y, predictions, result


def test_rows_agree_with_scipy_and_are_named(measured):
    y, predictions, result = measured
    expected = spearmanr(y, predictions["good"].reindex(y.index)).statistic
    assert result["rows"]["good"]["metrics"]["spearman"] == pytest.approx(expected)
    low, high = result["rows"]["good"]["intervals"]["spearman"]
    assert low < expected < high
    assert result["rows"]["planted"]["metrics"] == {"spearman": pytest.approx(1.0)}
    assert abs(result["rows"]["shuffled"]["metrics"]["spearman"]) < 0.05


def test_validation_chooses_and_a_collapsed_model_is_flagged(measured):
    _, _, result = measured
    assert result["best"] == "good"
    assert result["flags"] == ["flat has collapsed: it predicts nearly the same for every track"]
    assert result["rows"]["mean"]["collapsed"] is False  # a constant is what it is meant to be
    assert result["paired"]["flat"]["spearman"]["low"] > 0
    assert set(result["paired"]) == {"flat", "mean"}


def test_shuffled_labels_that_rank_are_flagged(rng):
    y = pd.Series(np.arange(50.0), index=[f"t{n}" for n in range(50)])
    leaking = [y + rng.normal(0, 20, 50) for _ in range(20)]
    groups = pd.Series(np.arange(50) // 2, index=y.index)
    result = evaluate.measure(POPULARITY, y, {"shuffled": leaking}, groups, {}, 100, seed=1)
    assert any("leaks" in flag for flag in result["flags"])


def test_the_long_table_holds_every_prediction_once(measured):
    y, predictions, _ = measured
    table = evaluate.table(POPULARITY, y, predictions)
    assert sorted(table["model"].unique()) == ["flat", "good", "mean", "planted"]
    good = table[table["model"] == "good"].set_index("track_id")
    pd.testing.assert_series_equal(
        good["prediction"], predictions["good"].reindex(y.index), check_names=False
    )


def test_the_simplest_within_one_standard_error_is_chosen():
    small, large = evaluate.Validated(0.30, 0.1, size=1), evaluate.Validated(0.35, 0.1, size=1000)
    poor = evaluate.Validated(0.1, 0.1, size=0)
    best, choice = evaluate.choose({"large": large, "small": small, "poor": poor})
    assert best == "small"
    assert choice == {"highest": "large", "standard_error": 0.1, "within": ["small", "large"]}
    assert evaluate.choose({"large": evaluate.Validated(0.35, 0.01, 1000), "small": small})[0] == "large"
    twin = evaluate.Validated(0.31, 0.1, size=1)  # as simple: then the better one
    assert evaluate.choose({"large": large, "small": small, "twin": twin})[0] == "twin"
    assert evaluate.choose({"large": large, "twin": twin, "small": small})[0] == "twin"


def test_seeds_are_averaged_and_compared_as_a_whole(rng):
    ids = pd.Index([f"t{n:03}" for n in range(200)], name="track_id")
    y = pd.Series(rng.gamma(1, 10, 200), index=ids)
    groups = pd.Series(np.arange(200) // 5, index=ids)
    seeds = [y + rng.normal(0, noise, 200) for noise in (5, 10, 20)]
    other = y + rng.normal(0, 40, 200)
    predictions = {"network": seeds, "probe": other}
    validated = {"network": evaluate.Validated(0.5), "probe": evaluate.Validated(0.1)}
    metrics = evaluate.measure(POPULARITY, y, predictions, groups, validated, 200, 1)
    row = metrics["rows"]["network"]
    each = [spearmanr(y, seed).statistic for seed in seeds]
    assert row["repetitions"] == 3
    assert row["metrics"]["spearman"] == pytest.approx(np.mean(each))
    assert row["standard_error"] == pytest.approx(np.std(each, ddof=1) / np.sqrt(3))
    apart = metrics["paired"]["probe"]["spearman"]
    assert apart["difference"] == pytest.approx(np.mean(each) - spearmanr(y, other).statistic)
    assert apart["low"] < apart["difference"] < apart["high"]
    table = evaluate.table(POPULARITY, y, predictions)
    np.testing.assert_allclose(table.loc[table["model"] == "network", "prediction"], seeds[0])
