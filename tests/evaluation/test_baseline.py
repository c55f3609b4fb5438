import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold

from hitsong import config
from hitsong.data.targets import Target
from hitsong.errors import UserError
from hitsong.evaluation import baseline, crossvalidation, kinds

TARGETS = {
    "popularity": Target("popularity"),
    "popular": Target("popular", threshold=30.0),
    "buckets": Target("buckets", ("low", "medium", "high"), edges=(27.0, 33.0)),
    "audio_features": Target("audio_features", ("valence", "energy")),
}
POPULARITY, POPULAR = TARGETS["popularity"], TARGETS["popular"]

SETTINGS = config.Baseline()
QUICK = config.Baseline(alphas=[1.0, 100.0], models=["ridge"])
NAMES = ["danceability", "energy", "loudness", "tempo"]
SIGNAL = np.array([6.0, 0.0, -3.0, 0.0])


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def planted(n=300, artists=60, noise=3.0, seed=0, kind="popularity"):
    """Features of very different scales, and a target that is linear in them but for the noise."""
    rng = np.random.default_rng(seed)
    standard = rng.normal(size=(n, len(NAMES)))
    ids = [f"t{i:03d}" for i in range(n)]
    X = pd.DataFrame(standard * [0.1, 0.2, 6, 30] + [0.5, 0.6, -9, 120], columns=NAMES, index=ids)
    y = 30 + standard @ SIGNAL + rng.normal(0, noise, n)
    if kind == "popular":
        y = (y >= 30).astype(np.float32)
    if kind == "buckets":
        y = np.digitize(y, [27, 33]).astype(np.float32)
    if kind == "audio_features":
        y = pd.DataFrame({"valence": y, "energy": 100 - 3 * y + rng.normal(0, noise, n)})
        return X, y.set_axis(ids), np.array([f"a{i}" for i in rng.integers(0, artists, n)])
    return X, pd.Series(y, index=ids), np.array([f"a{i}" for i in rng.integers(0, artists, n)])


def cross_validated(X, y, groups, target, settings, seed):
    return crossvalidation.cross_validate({"spotify": X}, y, groups, target, settings, seed)[0]


def closed_form(X, y, penalty):
    """Ridge regression by its normal equations: coefficients of the standardised features, mean."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    return np.linalg.solve(Z.T @ Z + penalty * np.eye(Z.shape[1]), Z.T @ (y - y.mean())), y.mean()


class TestFit:
    @pytest.mark.parametrize("penalty", [0.1, 1000.0])
    def test_ridge_equals_its_closed_form(self, penalty):
        X, y, _ = planted()
        pipeline = baseline.fit(X, y, POPULARITY, config.Baseline(alphas=[penalty]), seed=1)
        slope, mean = closed_form(X.to_numpy(), y.to_numpy(), penalty)
        table = baseline.coefficients(pipeline, POPULARITY).set_index("feature")["coefficient"]
        np.testing.assert_allclose(table[NAMES], slope)
        new = planted(seed=1)[0]
        expected = mean + ((new - X.mean()) / X.std(ddof=0)).to_numpy() @ slope
        np.testing.assert_allclose(baseline.predict(pipeline, new, POPULARITY), expected)

    def test_planted_coefficients_are_found(self):
        X, y, _ = planted()
        table = baseline.coefficients(baseline.fit(X, y, POPULARITY, SETTINGS, seed=1), POPULARITY)
        assert list(table["feature"][:2]) == ["danceability", "loudness"]
        np.testing.assert_allclose(table.set_index("feature")["coefficient"][NAMES], SIGNAL, atol=0.7)

    @pytest.mark.parametrize(("noise", "chosen"), [(0.1, 0.1), (1000.0, 1000.0)])
    def test_inner_cross_validation_chooses_the_penalty(self, noise, chosen):
        X, y, _ = planted(noise=noise)
        pipeline = baseline.fit(X, y, POPULARITY, SETTINGS, seed=1)
        errors = []
        for candidate in SETTINGS.alphas:
            error = 0
            for train, test in KFold(5, shuffle=True, random_state=1).split(X):
                Z, Y = X.to_numpy(), y.to_numpy()
                slope, mean = closed_form(Z[train], Y[train], candidate)
                p = mean + (Z[test] - Z[train].mean(axis=0)) / Z[train].std(axis=0) @ slope
                error += np.mean((p - Y[test]) ** 2)
            errors.append(error)
        assert baseline.alpha(pipeline) == SETTINGS.alphas[int(np.argmin(errors))] == chosen

    def test_logistic_equals_scikit_learn_by_hand(self):
        X, y, _ = planted(kind="popular")
        pipeline = baseline.fit(X, y, POPULAR, config.Baseline(alphas=[10.0]), seed=1)
        Z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
        by_hand = LogisticRegression(C=0.1, tol=1e-8).fit(Z, y)
        np.testing.assert_allclose(
            baseline.predict(pipeline, X, POPULAR), by_hand.predict_proba(Z)[:, 1], atol=1e-4
        )
        assert baseline.alpha(pipeline) == pytest.approx(10)
        assert set(baseline.coefficients(pipeline, POPULAR)["feature"][:2]) == {"danceability", "loudness"}

    @pytest.mark.parametrize("kind", ["popularity", "popular"])
    def test_missing_features_are_filled_with_the_train_median(self, kind):
        X, y, _ = planted(kind=kind)
        pipeline = baseline.fit(X, y, TARGETS[kind], SETTINGS, seed=1)
        blank = X.iloc[:1] * np.nan
        median = X.median().to_frame().T
        np.testing.assert_allclose(
            baseline.predict(pipeline, blank, TARGETS[kind]),
            baseline.predict(pipeline, median, TARGETS[kind]),
        )

    def test_a_feature_nobody_has_does_not_matter(self):
        X, y, _ = planted()
        without = baseline.predict(baseline.fit(X, y, POPULARITY, SETTINGS, seed=1), X, POPULARITY)
        X["valence"] = np.nan
        pipeline = baseline.fit(X, y, POPULARITY, SETTINGS, seed=1)
        np.testing.assert_allclose(baseline.predict(pipeline, X, POPULARITY), without)
        assert baseline.coefficients(pipeline, POPULARITY).set_index("feature")["coefficient"]["valence"] == 0

    def test_few_tracks(self):
        X, y, _ = planted(3)
        assert np.isfinite(
            baseline.predict(baseline.fit(X, y, POPULARITY, SETTINGS, seed=1), X, POPULARITY)
        ).all()
        one_popular = pd.Series([0, 0, 1], index=X.index)
        pipeline = baseline.fit(X, one_popular, POPULAR, SETTINGS, seed=1)
        assert np.isfinite(baseline.predict(pipeline, X, POPULAR)).all()
        with pytest.raises(UserError, match="of one class"):
            baseline.fit(X, one_popular * 0, POPULAR, SETTINGS, seed=1)
        with pytest.raises(UserError, match="too few"):
            baseline.fit(X[:1], y[:1], POPULARITY, SETTINGS, seed=1)


@pytest.fixture(scope="module")
def table():
    return cross_validated(*planted(), POPULARITY, QUICK, seed=1)


class TestCrossValidate:
    def test_table(self, table):
        assert list(table.columns) == [
            "model", "scheme", "fold", "n_folds", "n_train", "n_test", "spearman", "r2", "mse", "alpha",
        ]  # fmt: skip
        assert len(table) == 3 * 2 * 5
        assert (table["n_train"] + table["n_test"] == 300).all()
        assert (table.groupby(["model", "scheme"])["n_test"].sum() == 300).all()

    def test_same_seed_same_table(self, table):
        again = cross_validated(*planted(), POPULARITY, QUICK, seed=1)
        pd.testing.assert_frame_equal(table, again)

    def test_planted_signal_is_found_and_references_are_not(self, table):
        mean = table.groupby(["scheme", "model"])[["mse", "spearman"]].mean()
        for scheme in ["plain", "artist"]:
            assert mean.loc[scheme, "ridge-spotify"]["mse"] == pytest.approx(
                9, rel=0.15
            )  # the noise's variance
            assert mean.loc[scheme, "ridge-spotify"]["spearman"] > 0.85
            assert mean.loc[scheme, "mean"]["mse"] == pytest.approx(54, rel=0.15)  # and the signal's, 36 + 9
            assert mean.loc[scheme, "mean"]["spearman"] == 0
            # With four features a random direction points far right or far wrong: the mean varies.
            assert abs(mean.loc[scheme, "shuffled"]["spearman"]) < 0.25
            assert mean.loc[scheme, "shuffled"]["mse"] >= mean.loc[scheme, "mean"]["mse"] * 0.98

    @pytest.mark.long
    def test_popular(self):
        X, y, groups = planted(kind="popular")
        table = cross_validated(X, y, groups, POPULAR, QUICK, seed=1)
        assert list(table.columns[-4:]) == ["roc_auc", "accuracy", "brier", "alpha"]
        mean = table.groupby("model")[["roc_auc", "accuracy"]].mean()
        assert mean["roc_auc"]["logistic-spotify"] > 0.93
        assert mean["roc_auc"]["mean"] == 0.5
        assert mean["accuracy"]["mean"] == pytest.approx(max(y.mean(), 1 - y.mean()), abs=0.02)

    def test_a_fold_by_hand(self):
        X, y, groups = planted()
        table = cross_validated(
            X, y, groups, POPULARITY, config.Baseline(alphas=[1.0], models=["ridge"]), seed=4
        )
        row = table.query("model == 'ridge-spotify' and scheme == 'artist' and fold == 3").iloc[0]
        train, test = list(GroupKFold(5, shuffle=True, random_state=4).split(X, y, groups))[2]
        assert not set(groups[train]) & set(groups[test])
        Z, Y = X.to_numpy(), y.to_numpy()
        slope, mean = closed_form(Z[train], Y[train], 1.0)
        p = mean + (Z[test] - Z[train].mean(axis=0)) / Z[train].std(axis=0) @ slope
        assert row["mse"] == pytest.approx(np.mean((p - Y[test]) ** 2))
        assert row["spearman"] == pytest.approx(stats.spearmanr(p, Y[test]).statistic)

    @pytest.mark.long
    def test_features_that_name_the_artist_help_only_where_artists_are_shared(self):
        # Each artist has his own popularity and his own corner of feature space, unrelated to each other.
        rng = np.random.default_rng(0)
        artist = np.repeat(np.arange(8), 25)
        X = pd.DataFrame(rng.normal(size=(8, 40))[artist] + rng.normal(0, 0.1, (200, 40))).add_prefix("f")
        y = rng.normal(0, 10, 8)[artist] + rng.normal(size=200)
        table = cross_validated(X, y, artist, POPULARITY, QUICK, seed=1)
        mse = table.groupby(["model", "scheme"])["mse"].mean()
        assert mse["ridge-spotify", "plain"] < 0.1 * mse["mean", "plain"]
        assert mse["ridge-spotify", "artist"] > 0.5 * mse["mean", "artist"]

    def test_fewer_groups_than_folds(self):
        X, y, _ = planted(30)
        table = cross_validated(X, y, np.arange(30) % 3, POPULARITY, QUICK, seed=1)
        assert set(zip(table["scheme"], table["n_folds"], strict=True)) == {("artist", 3), ("plain", 5)}
        with pytest.raises(UserError, match="in one group of artists"):
            cross_validated(X, y, np.zeros(30), POPULARITY, QUICK, seed=1)

    def test_few_tracks(self):
        X, y, _ = planted(4)
        table = cross_validated(X, y, np.arange(4), POPULARITY, QUICK, seed=1)
        assert (table["n_test"] == 1).all()
        assert table["mse"].isna().all()


class TestLearningCurve:
    @pytest.mark.long
    @pytest.mark.parametrize("kind", ["popularity", "popular"])
    def test_errors_approach_each_other(self, kind):
        X, y, groups = planted(600, kind=kind)
        curve = crossvalidation.learning_curve(X, y, groups, TARGETS[kind], QUICK, seed=1)
        assert list(curve.columns) == ["n_train", "train_error", "test_error"]
        assert len(curve) == 6
        assert curve["n_train"].is_monotonic_increasing
        assert 0.7 * 600 < curve["n_train"].iloc[-1] < 0.9 * 600
        gap = curve["test_error"] - curve["train_error"]
        assert abs(gap.iloc[-1]) < max(abs(gap.iloc[0]), 0.2 * curve["test_error"].iloc[-1])
        if kind == "popularity":
            assert curve["test_error"].iloc[-1] == pytest.approx(9, rel=0.2)

    def test_few_tracks(self):
        X, y, _ = planted(10)
        curve = crossvalidation.learning_curve(X, y, np.arange(10), POPULARITY, QUICK, seed=1)
        assert list(curve["n_train"]) == [8]
        with pytest.raises(UserError, match="in one group of artists"):
            crossvalidation.learning_curve(X, y, np.zeros(10), POPULARITY, QUICK, seed=1)

    def test_reading(self):
        def curve(train, test):
            return pd.DataFrame({"n_train": [100, 200, 400], "train_error": train, "test_error": test})

        verdict, sentence = crossvalidation.read_curve(curve([1, 2, 3], [9, 8, 7]))
        assert verdict == "variance"
        assert "training error is 3 and the test error 7" in sentence
        assert "lowered it by 12.5%" in sentence
        assert crossvalidation.read_curve(curve([9.0, 9.1, 9.2], [9.6, 9.5, 9.5]))[0] == "bias"
        assert crossvalidation.read_curve(curve([8.0, 8.1, 8.2], [9.6, 9.3, 9.0]))[0] == "neither"
        assert crossvalidation.read_curve(curve([0.0] * 3, [0.0] * 3))[0] == "bias"

    def test_a_reading_does_not_contradict_itself(self):
        rising = pd.DataFrame({"n_train": [100, 200, 400], "train_error": [1, 2, 3], "test_error": [7, 8, 9]})
        verdict, sentence = crossvalidation.read_curve(rising)
        assert verdict == "variance"
        assert "did not lower it" in sentence
        assert "-" not in sentence
        assert "more tracks hardly" in sentence
        for short in (rising[:1], rising[-1:], rising[:0], rising.assign(n_train=[300, 350, 400])):
            assert crossvalidation.read_curve(short)[0] == "unknown"


class TestReferencePredictions:
    def test_mean_and_artist_mean_by_hand(self):
        X = pd.DataFrame({"energy": np.linspace(0, 1, 7)}, index=list("abcdefg"))
        y = pd.Series([1.0, 3, 5, 10, 20, 60, 7], index=X.index)
        artists = ["P", "P", "Q", "Q", "Q", "Q", "R"]
        predictions = baseline.reference_predictions(
            X, y, artists, ["a", "b", "c"], ["g", "e", "d"], POPULARITY, QUICK, seed=1, permutations=4
        )
        assert predictions["mean"].to_dict() == {"g": 3, "e": 3, "d": 3}
        # R has no other track: the mean of train. Q's others, wherever they lie, test tracks included.
        assert predictions["artist_mean"].to_dict() == {"g": 3, "e": 25, "d": pytest.approx(85 / 3)}
        assert [list(item.index) for item in predictions["shuffled"]] == [["g", "e", "d"]] * 4

    def test_classes_are_their_shares(self):
        X = pd.DataFrame({"energy": np.linspace(0, 1, 6)}, index=list("abcdef"))
        y, artists = np.array([0, 1, 2, 2, 1, 0]), list("PQPQQP")
        predictions = baseline.reference_predictions(
            X, y, artists, list("abcd"), list("ef"), TARGETS["buckets"], QUICK, seed=1, permutations=2
        )
        assert predictions["mean"].loc["e"].to_dict() == {"low": 0.25, "medium": 0.25, "high": 0.5}
        assert predictions["artist_mean"].loc["e"].to_dict() == {"low": 0, "medium": 0.5, "high": 0.5}
        assert predictions["artist_mean"].loc["f"].to_dict() == {"low": 0.5, "medium": 0, "high": 0.5}

    @pytest.mark.long
    @pytest.mark.parametrize("kind", TARGETS)
    def test_shuffled_targets_teach_nothing(self, kind):
        X, y, groups = planted(kind=kind)
        rest = {
            "train": X.index[:200], "test": X.index[200:], "target": TARGETS[kind], "settings": QUICK,
            "seed": 1, "permutations": 60,
        }  # fmt: skip
        shuffled = baseline.reference_predictions(X, y, groups, **rest)["shuffled"]
        truth = np.asarray(y, float)[200:]
        scores = [kinds.evaluate(kind, truth, p.to_numpy()) for p in shuffled]
        main = kinds.main(kind)
        assert abs(np.mean([score[main] for score in scores]) - kinds.chance(kind)) < 0.15
        again = baseline.reference_predictions(X, y, groups, **rest)["shuffled"]
        assert all(a.equals(b) for a, b in zip(again, shuffled, strict=True))


class TestEveryTarget:
    """Each model fits each kind of target, and answers in its shape."""

    @pytest.mark.parametrize("model", ["ridge", "trees", "artist"])
    @pytest.mark.parametrize("kind", TARGETS)
    def test_models_find_what_is_planted(self, kind, model):
        X, y, artists = planted(400, noise=1.0, kind=kind)
        target, y = TARGETS[kind], np.asarray(y, float)
        if model == "artist":
            X = pd.DataFrame({"artist_id": artists})
        fitted = baseline.fit(X[:300], y[:300], target, QUICK, seed=1, model=model)
        p = baseline.predict(fitted, X[300:], target)
        kinds.validate(kind, y[300:], p)
        if kind == "buckets":
            np.testing.assert_allclose(p.sum(axis=1), 1)
        score = kinds.evaluate(kind, y[300:], p)[kinds.main(kind)]
        assert score > 0.7 if model != "artist" else abs(score - kinds.chance(kind)) < 0.25

    def test_a_class_that_no_training_track_has_gets_no_probability(self):
        X, y, _ = planted(kind="buckets")
        rows = (y != 1).to_numpy()
        for model in ["ridge", "trees"]:
            fitted = baseline.fit(X[rows], y[rows], TARGETS["buckets"], QUICK, seed=1, model=model)
            p = baseline.predict(fitted, X, TARGETS["buckets"])
            assert p.shape == (300, 3)
            assert (p[:, 1] == 0).all()

    def test_ridge_of_several_targets_equals_one_by_one(self):
        X, y, _ = planted(kind="audio_features")
        settings = config.Baseline(alphas=[1.0])
        combined = baseline.fit(X, y, TARGETS["audio_features"], settings, seed=1)
        predictions = baseline.predict(combined, X, TARGETS["audio_features"])
        for column, name in enumerate(["valence", "energy"]):
            item = baseline.fit(X, y[name], POPULARITY, settings, seed=1)
            np.testing.assert_allclose(predictions[:, column], baseline.predict(item, X, POPULARITY))
        named = baseline.coefficients(combined, TARGETS["audio_features"])
        assert set(named["output"]) == {"valence", "energy"}
        assert len(named) == 8

    def test_trees_find_an_optimum_that_a_line_cannot(self):
        rng = np.random.default_rng(0)
        X = pd.DataFrame({"tempo": rng.uniform(60, 180, 600)})
        y = -(((X["tempo"] - 120) / 20) ** 2) + rng.normal(0, 0.5, 600)
        score = {}
        for model in ["ridge", "trees"]:
            fitted = baseline.fit(X[:400], y[:400], POPULARITY, QUICK, seed=1, model=model)
            p = baseline.predict(fitted, X[400:], POPULARITY)
            score[model] = kinds.evaluate("popularity", y[400:], p)["spearman"]
        assert score["trees"] > 0.9
        assert abs(score["ridge"]) < 0.3

    def test_the_artist_control_by_hand(self):
        X = pd.DataFrame({"artist_id": ["P", "P", "Q"]})
        fitted = baseline.fit(X, [10.0, 20.0, 60.0], POPULARITY, QUICK, seed=1, model="artist")
        new = pd.DataFrame({"artist_id": ["Q", "R", "P"]})
        assert baseline.predict(fitted, new, POPULARITY).tolist() == [
            45,
            30,
            20,
        ]  # the mean counts as one track


class TestCandidates:
    def test_models_by_inputs_then_controls(self):
        inputs = {"spotify": None, "tags": None, "age": None, "artist": None}
        names = [c.name for c in baseline.candidates(inputs, SETTINGS, POPULARITY)]
        assert names == ["ridge-spotify", "trees-spotify", "ridge-tags", "trees-tags", "age", "artist"]
        popular = baseline.candidates(inputs, QUICK, POPULAR)
        assert [c.name for c in popular] == ["logistic-spotify", "logistic-tags", "age", "artist"]
        assert [c.control for c in popular] == [False, False, True, True]

    def test_summary_has_intervals_for_candidates_only(self):
        X, y, groups = planted()
        table, pooled = crossvalidation.cross_validate({"spotify": X}, y, groups, POPULARITY, QUICK, 1)
        metrics = crossvalidation.summary(table, pooled, y, groups, POPULARITY, 100, 1).set_index(
            ["model", "scheme"]
        )
        row = metrics.loc[("ridge-spotify", "artist")]
        assert row["mse_low"] < row["mse"] < row["mse_high"]
        assert np.isnan(metrics.loc[("mean", "artist"), "mse_low"])
        assert "ridge-spotify" in crossvalidation.text(metrics.reset_index(), POPULARITY)


def test_missing_values_are_filled_as_by_scikit_learn(rng):
    X = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("abcd"))
    X = X.mask(rng.uniform(size=X.shape) < 0.3)
    X["d"] = np.nan
    expected = SimpleImputer(strategy="median", keep_empty_features=True).fit(X[:40]).transform(X)
    np.testing.assert_array_equal(baseline.MedianImputer().fit(X[:40]).transform(X), expected)
