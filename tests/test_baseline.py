import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold

from hitsong import baseline, config
from hitsong.errors import UserError

SETTINGS = config.Baseline()
QUICK = config.Baseline(alphas=[1.0, 100.0])
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
    return X, pd.Series(y, index=ids), np.array([f"a{i}" for i in rng.integers(0, artists, n)])


def closed_form(X, y, penalty):
    """Ridge regression by its normal equations: coefficients of the standardised features, mean."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    return np.linalg.solve(Z.T @ Z + penalty * np.eye(Z.shape[1]), Z.T @ (y - y.mean())), y.mean()


class TestFeatures:
    def test_missing_values_are_kept_and_counted(self):
        tracks = pd.DataFrame({
            "track_id": ["a", "b", "c"], "energy": [0.5, None, None], "tempo": [120, None, 90],
            "duration_ms": [1, 2, 3], "name": "x",
        }).astype({"tempo": "Int64"})  # fmt: skip
        X, n_without = baseline.features(tracks, ["tempo", "energy", "duration_ms"])
        assert n_without == 1  # b, whatever its duration
        assert list(X.columns) == ["tempo", "energy", "duration_ms"]
        assert list(X.index) == ["a", "b", "c"]
        np.testing.assert_array_equal(X.to_numpy(), [[120, 0.5, 1], [np.nan, np.nan, 2], [90, np.nan, 3]])

    def test_objects_as_a_database_gives_them(self):
        tracks = pd.DataFrame({"track_id": ["a", "b"], "energy": np.array([0.5, None], dtype=object)})
        X, n_without = baseline.features(tracks, ["energy"])
        assert n_without == 1
        assert X["energy"].dtype == float


class TestFit:
    @pytest.mark.parametrize("penalty", [0.1, 1000.0])
    def test_ridge_equals_its_closed_form(self, penalty):
        X, y, _ = planted()
        pipeline = baseline.fit(X, y, "popularity", config.Baseline(alphas=[penalty]), seed=1)
        slope, mean = closed_form(X.to_numpy(), y.to_numpy(), penalty)
        table = baseline.coefficients(pipeline).set_index("feature")["coefficient"]
        np.testing.assert_allclose(table[NAMES], slope)
        new = planted(seed=1)[0]
        expected = mean + ((new - X.mean()) / X.std(ddof=0)).to_numpy() @ slope
        np.testing.assert_allclose(baseline.predict(pipeline, new), expected)

    def test_planted_coefficients_are_found(self):
        X, y, _ = planted()
        table = baseline.coefficients(baseline.fit(X, y, "popularity", SETTINGS, seed=1))
        assert list(table["feature"][:2]) == ["danceability", "loudness"]
        np.testing.assert_allclose(table.set_index("feature")["coefficient"][NAMES], SIGNAL, atol=0.7)

    @pytest.mark.parametrize(("noise", "chosen"), [(0.1, 0.1), (1000.0, 1000.0)])
    def test_inner_cross_validation_chooses_the_penalty(self, noise, chosen):
        X, y, _ = planted(noise=noise)
        pipeline = baseline.fit(X, y, "popularity", SETTINGS, seed=1)
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
        pipeline = baseline.fit(X, y, "popular", config.Baseline(alphas=[10.0]), seed=1)
        Z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
        by_hand = LogisticRegression(C=0.1, tol=1e-8).fit(Z, y)
        np.testing.assert_allclose(baseline.predict(pipeline, X), by_hand.predict_proba(Z)[:, 1], atol=1e-4)
        assert baseline.alpha(pipeline) == pytest.approx(10)
        assert set(baseline.coefficients(pipeline)["feature"][:2]) == {"danceability", "loudness"}

    @pytest.mark.parametrize("kind", ["popularity", "popular"])
    def test_missing_features_are_filled_with_the_train_median(self, kind):
        X, y, _ = planted(kind=kind)
        pipeline = baseline.fit(X, y, kind, SETTINGS, seed=1)
        blank = X.iloc[:1] * np.nan
        median = X.median().to_frame().T
        np.testing.assert_allclose(baseline.predict(pipeline, blank), baseline.predict(pipeline, median))

    def test_a_feature_nobody_has_does_not_matter(self):
        X, y, _ = planted()
        without = baseline.predict(baseline.fit(X, y, "popularity", SETTINGS, seed=1), X)
        X["valence"] = np.nan
        pipeline = baseline.fit(X, y, "popularity", SETTINGS, seed=1)
        np.testing.assert_allclose(baseline.predict(pipeline, X), without)
        assert baseline.coefficients(pipeline).set_index("feature")["coefficient"]["valence"] == 0

    def test_few_tracks(self):
        X, y, _ = planted(3)
        assert np.isfinite(baseline.predict(baseline.fit(X, y, "popularity", SETTINGS, seed=1), X)).all()
        one_popular = pd.Series([0, 0, 1], index=X.index)
        pipeline = baseline.fit(X, one_popular, "popular", SETTINGS, seed=1)
        assert np.isfinite(baseline.predict(pipeline, X)).all()
        with pytest.raises(UserError, match="of one class"):
            baseline.fit(X, one_popular * 0, "popular", SETTINGS, seed=1)
        with pytest.raises(UserError, match="too few"):
            baseline.fit(X[:1], y[:1], "popularity", SETTINGS, seed=1)


@pytest.fixture(scope="module")
def table():
    return baseline.cross_validate(*planted(), "popularity", QUICK, seed=1)


class TestCrossValidate:
    def test_table(self, table):
        assert list(table.columns) == [
            "model", "scheme", "fold", "n_folds", "n_train", "n_test", "mse", "spearman", "alpha",
        ]  # fmt: skip
        assert len(table) == 3 * 2 * 5
        assert (table["n_train"] + table["n_test"] == 300).all()
        assert (table.groupby(["model", "scheme"])["n_test"].sum() == 300).all()

    def test_same_seed_same_table(self, table):
        again = baseline.cross_validate(*planted(), "popularity", QUICK, seed=1)
        pd.testing.assert_frame_equal(table, again)

    def test_planted_signal_is_found_and_references_are_not(self, table):
        mean = table.groupby(["scheme", "model"])[["mse", "spearman"]].mean()
        for scheme in ["plain", "artist"]:
            assert mean.loc[scheme, "ridge"]["mse"] == pytest.approx(9, rel=0.15)  # the noise's variance
            assert mean.loc[scheme, "ridge"]["spearman"] > 0.85
            assert mean.loc[scheme, "mean"]["mse"] == pytest.approx(54, rel=0.15)  # and the signal's, 36 + 9
            assert mean.loc[scheme, "mean"]["spearman"] == 0
            # With four features a random direction points far right or far wrong: the mean varies.
            assert abs(mean.loc[scheme, "shuffled"]["spearman"]) < 0.25
            assert mean.loc[scheme, "shuffled"]["mse"] >= mean.loc[scheme, "mean"]["mse"] * 0.98

    def test_popular(self):
        X, y, groups = planted(kind="popular")
        table = baseline.cross_validate(X, y, groups, "popular", QUICK, seed=1)
        assert list(table.columns[-3:]) == ["roc_auc", "accuracy", "alpha"]
        mean = table.groupby("model")[["roc_auc", "accuracy"]].mean()
        assert mean["roc_auc"]["logistic"] > 0.93
        assert mean["roc_auc"]["mean"] == 0.5
        assert mean["accuracy"]["mean"] == pytest.approx(max(y.mean(), 1 - y.mean()), abs=0.02)

    def test_a_fold_by_hand(self):
        X, y, groups = planted()
        table = baseline.cross_validate(X, y, groups, "popularity", config.Baseline(alphas=[1.0]), seed=4)
        row = table.query("model == 'ridge' and scheme == 'artist' and fold == 3").iloc[0]
        train, test = list(GroupKFold(5, shuffle=True, random_state=4).split(X, y, groups))[2]
        assert not set(groups[train]) & set(groups[test])
        Z, Y = X.to_numpy(), y.to_numpy()
        slope, mean = closed_form(Z[train], Y[train], 1.0)
        p = mean + (Z[test] - Z[train].mean(axis=0)) / Z[train].std(axis=0) @ slope
        assert row["mse"] == pytest.approx(np.mean((p - Y[test]) ** 2))
        assert row["spearman"] == pytest.approx(stats.spearmanr(p, Y[test]).statistic)

    def test_features_that_name_the_artist_help_only_where_artists_are_shared(self):
        # Each artist has his own popularity and his own corner of feature space, unrelated to each other.
        rng = np.random.default_rng(0)
        artist = np.repeat(np.arange(8), 25)
        X = pd.DataFrame(rng.normal(size=(8, 40))[artist] + rng.normal(0, 0.1, (200, 40))).add_prefix("f")
        y = rng.normal(0, 10, 8)[artist] + rng.normal(size=200)
        table = baseline.cross_validate(X, y, artist, "popularity", QUICK, seed=1)
        mse = table.groupby(["model", "scheme"])["mse"].mean()
        assert mse["ridge", "plain"] < 0.1 * mse["mean", "plain"]
        assert mse["ridge", "artist"] > 0.5 * mse["mean", "artist"]

    def test_fewer_groups_than_folds(self):
        X, y, _ = planted(30)
        table = baseline.cross_validate(X, y, np.arange(30) % 3, "popularity", QUICK, seed=1)
        assert set(zip(table["scheme"], table["n_folds"], strict=True)) == {("artist", 3), ("plain", 5)}
        with pytest.raises(UserError, match="in one group of artists"):
            baseline.cross_validate(X, y, np.zeros(30), "popularity", QUICK, seed=1)

    def test_few_tracks(self):
        X, y, _ = planted(4)
        table = baseline.cross_validate(X, y, np.arange(4), "popularity", QUICK, seed=1)
        assert (table["n_test"] == 1).all()
        assert table["mse"].isna().all()


class TestLearningCurve:
    @pytest.mark.parametrize("kind", ["popularity", "popular"])
    def test_errors_approach_each_other(self, kind):
        X, y, groups = planted(600, kind=kind)
        curve = baseline.learning_curve(X, y, groups, kind, QUICK, seed=1)
        assert list(curve.columns) == ["n_train", "train_mse", "test_mse"]
        assert len(curve) == 10
        assert curve["n_train"].is_monotonic_increasing
        assert 0.7 * 600 < curve["n_train"].iloc[-1] < 0.9 * 600
        gap = curve["test_mse"] - curve["train_mse"]
        assert abs(gap.iloc[-1]) < max(abs(gap.iloc[0]), 0.2 * curve["test_mse"].iloc[-1])
        if kind == "popularity":
            assert curve["test_mse"].iloc[-1] == pytest.approx(9, rel=0.2)

    def test_few_tracks(self):
        X, y, _ = planted(10)
        curve = baseline.learning_curve(X, y, np.arange(10), "popularity", QUICK, seed=1)
        assert list(curve["n_train"]) == [8]
        with pytest.raises(UserError, match="in one group of artists"):
            baseline.learning_curve(X, y, np.zeros(10), "popularity", QUICK, seed=1)


class TestReferencePredictions:
    def test_mean_and_artist_mean_by_hand(self):
        X = pd.DataFrame({"energy": np.linspace(0, 1, 7)}, index=list("abcdefg"))
        y = pd.Series([1.0, 3, 5, 10, 20, 60, 7], index=X.index)
        artists = pd.Series(["P", "P", "Q", "Q", "Q", "Q", "R"], index=X.index)
        found = baseline.reference_predictions(
            X, y, artists, ["a", "b", "c"], ["g", "e", "d"], "popularity", QUICK, seed=1, permutations=4
        )
        assert found["mean"].to_dict() == {"g": 3, "e": 3, "d": 3}
        # R has no other track: the mean of train. Q's others, wherever they lie, test tracks included.
        assert found["artist_mean"].to_dict() == {"g": 3, "e": 25, "d": pytest.approx(85 / 3)}
        assert list(found["shuffled"].columns) == ["g", "e", "d"]
        assert found["shuffled"].shape == (4, 3)

    @pytest.mark.parametrize("kind", ["popularity", "popular"])
    def test_shuffled_targets_teach_nothing(self, kind):
        X, y, groups = planted(kind=kind)
        artists = pd.Series(groups, index=X.index)
        rest = {
            "train": X.index[:200], "test": X.index[200:], "kind": kind, "settings": QUICK,
            "seed": 1, "permutations": 100,
        }  # fmt: skip
        found = baseline.reference_predictions(X, y, artists, **rest)
        shuffled = found["shuffled"]
        assert len(shuffled.drop_duplicates()) == 100
        correlations = [stats.spearmanr(row, y[rest["test"]]).statistic for row in shuffled.to_numpy()]
        assert abs(np.mean(correlations)) < 0.15
        assert shuffled.mean(axis=1).mean() == pytest.approx(y[rest["train"]].mean(), rel=0.05)
        again = baseline.reference_predictions(X.sample(frac=1, random_state=0), y, artists[::-1], **rest)
        pd.testing.assert_frame_equal(again["shuffled"], shuffled)
        pd.testing.assert_series_equal(again["artist_mean"], found["artist_mean"])
