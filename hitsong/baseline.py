"""The linear baseline: how far Spotify's own audio features get, and the rows every result is read against.

Study 1's recipe: ridge regression on ten standardised audio features, its penalty chosen by an inner
5-fold cross-validation, judged by 5-fold cross-validation. For the target kind "popular" a logistic
regression takes ridge's place, with the same features and penalties. Missing features are filled with the
median. Whatever has a parameter is fitted on training rows only.

Reference rows
    mean
        The training mean for every track: for "popular" the base rate, the probability form of the
        majority class.
    shuffled
        The same model fitted on permuted targets, averaged over permutations. It must rank like
        chance; a single permutation need not, since the features are real and a random weighting of
        them may happen to point the right way.
    artist_mean
        An oracle that knows the popularity of the artist's other tracks, wherever they lie.
"""

import numpy as np
import pandas as pd
from sklearn import metrics as sk
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hitsong import metrics
from hitsong.config import AUDIO_FEATURES
from hitsong.errors import UserError

MODEL = {"popularity": "ridge", "popular": "logistic"}
CV_METRICS = {"popularity": ["mse", "spearman"], "popular": ["roc_auc", "accuracy"]}
PERMUTATIONS = 20
_INNER_FOLDS = 5
_HELD_OUT = 0.2
_CURVE_POINTS = 10


def available(tracks, names):
    """Choose the features that at least one of the tracks has; a source may give none of them.

    Raises
    ------
    UserError
        If nothing is left.
    """
    found = [name for name in names if tracks[name].notna().any()]
    if not found:
        raise UserError(f"baseline.features: these tracks have none of {', '.join(names)}")
    return found


def features(tracks, names):
    """Pick the audio features of tracks, as they are: scaling and filling belong to the fit.

    Parameters
    ----------
    tracks : pd.DataFrame
        With `track_id` and the named columns.
    names : list of str

    Returns
    -------
    X : pd.DataFrame [shape=(n, len(names)), dtype=float64]
        Indexed by track_id, NaN where a feature is missing.
    n_without : int
        Tracks without a single audio feature (`duration_ms`, which every track has, aside). They stay,
        with medians in their place.
    """
    X = tracks.set_index("track_id")[list(names)]
    X = pd.DataFrame(X.to_numpy(float, na_value=np.nan), index=X.index, columns=X.columns)
    audio = [name for name in names if name in AUDIO_FEATURES] or list(names)
    return X, int(X[audio].isna().all(axis=1).sum())


def fit(X, y, kind, settings, seed):
    """Fit the baseline, its penalty chosen by inner cross-validation.

    Parameters
    ----------
    X : pd.DataFrame [shape=(n, n_features)]
        Training rows, NaN where missing.
    y : array-like [shape=(n,)]
        Their encoded targets.
    kind : str
        "popularity" (ridge, penalty by squared error) or "popular" (logistic, by log loss).
    settings : config.Baseline
        The penalties to choose from, `alphas`; logistic regression takes C = 1 / alpha.
    seed : int

    Returns
    -------
    sklearn.pipeline.Pipeline
        Fitted on all rows; see `predict`, `alpha` and `coefficients`.

    Raises
    ------
    UserError
        If the rows are too few, or for "popular" all of one class.
    """
    y = np.asarray(y, dtype=float)
    if kind == "popular":
        if len(np.unique(y)) < 2:
            raise UserError(f"baseline: all {len(y)} tracks to fit on are of one class; collect more artists")
        # The smaller class must reach every fold; with a single member it cannot be held out.
        folds = min(_INNER_FOLDS, int(min(y.sum(), len(y) - y.sum())))
        inner = StratifiedKFold(folds, shuffle=True, random_state=seed) if folds > 1 else None
        grid = {"logisticregression__C": [1 / alpha for alpha in settings.alphas]}
        # Newton's steps: few and exact, the right solver for many tracks and few features.
        last = LogisticRegression(C=1 / max(settings.alphas), solver="newton-cholesky")
        scoring = "neg_log_loss"
    else:
        if len(y) < 2:
            raise UserError(f"baseline: {len(y)} track is too few to fit on; collect more artists")
        inner = KFold(min(_INNER_FOLDS, len(y)), shuffle=True, random_state=seed)
        grid = {"ridge__alpha": list(settings.alphas)}
        last, scoring = Ridge(), "neg_mean_squared_error"
    # A feature that no training track has counts as 0 rather than vanish.
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    pipeline = make_pipeline(filled, StandardScaler(), last)
    if inner is None:
        return pipeline.fit(X, y)
    return GridSearchCV(pipeline, grid, cv=inner, scoring=scoring).fit(X, y).best_estimator_


def predict(pipeline, X):
    """Predict popularity, or the probability of "popular": (n,)."""
    if hasattr(pipeline, "predict_proba"):
        return pipeline.predict_proba(X)[:, 1]
    return pipeline.predict(X)


def alpha(pipeline):
    """The penalty of a fitted baseline (1 / C for logistic regression)."""
    last = pipeline[-1]
    return float(last.alpha if isinstance(last, Ridge) else 1 / last.C)


def coefficients(pipeline):
    """What each feature adds to the prediction per standard deviation.

    Returns
    -------
    pd.DataFrame
        Columns `feature` and `coefficient` (points of popularity, or log odds), strongest first.
    """
    table = pd.DataFrame({
        "feature": pipeline.feature_names_in_, "coefficient": np.ravel(pipeline[-1].coef_),
    })  # fmt: skip
    return table.sort_values("coefficient", key=np.abs, ascending=False, ignore_index=True)


def cross_validate(X, y, groups, kind, settings, seed):
    """Cross-validate baseline and reference rows, with and without artists in common.

    Parameters
    ----------
    X : pd.DataFrame [shape=(n, n_features)]
        In a fixed order (say, by track_id): the folds depend on it.
    y : array-like [shape=(n,)]
        Encoded targets of these rows.
    groups : array-like [shape=(n,)]
        Their artist groups (`splits.components`).
    kind : str
    settings : config.Baseline
        `alphas` and `folds`.
    seed : int

    Returns
    -------
    pd.DataFrame
        One row per `model` (ridge or logistic, mean, shuffled), `scheme` (plain: tracks are dealt into
        folds; artist: whole groups are) and `fold` (from 1); `n_folds`, which is smaller than asked where
        groups (or tracks of a class) are too few; `n_train`, `n_test`; the metrics of `CV_METRICS`;
        and `alpha`, NaN for the mean.

    Raises
    ------
    UserError
        If there are fewer than two groups.
    """
    y, groups = np.asarray(y, dtype=float), np.asarray(groups)
    rng = np.random.default_rng(seed)
    rows = []
    for scheme, folds in _folds(X, y, groups, kind, settings.folds, seed).items():
        for number, (train, test) in enumerate(folds, start=1):
            X_train, X_test, y_train, y_test = X.iloc[train], X.iloc[test], y[train], y[test]
            pipeline = fit(X_train, y_train, kind, settings, seed)
            shuffled = [_score(kind, y_test, p) for p in _permuted(pipeline, X_train, y_train, X_test, rng)]
            scores = {
                MODEL[kind]: _score(kind, y_test, predict(pipeline, X_test)),
                "mean": _score(kind, y_test, np.full(len(test), y_train.mean())),
                "shuffled": pd.DataFrame(shuffled).mean().to_dict(),
            }
            for model, score in scores.items():
                rows.append({
                    "model": model, "scheme": scheme, "fold": number, "n_folds": len(folds),
                    "n_train": len(train), "n_test": len(test), **score,
                    "alpha": np.nan if model == "mean" else alpha(pipeline),
                })  # fmt: skip
    return pd.DataFrame(rows)


def learning_curve(X, y, groups, kind, settings, seed):
    """Fit on ever more tracks: does the error come from too few tracks, or from too simple a model?

    A fifth of the artist groups is held out once; the rest, in seeded order, gives about ten nested
    training sets. Where both errors meet early and high, more tracks will not help (bias); where a gap
    remains, they may (variance).

    Parameters
    ----------
    X, y, groups, kind, settings, seed
        As for `cross_validate`.

    Returns
    -------
    pd.DataFrame
        `n_train`, `train_mse` and `test_mse` (for "popular" of the probability: the Brier score).

    Raises
    ------
    UserError
        If there are fewer than two groups.
    """
    y, groups = np.asarray(y, dtype=float), np.asarray(groups)
    _need_two(groups)
    holding_out = GroupShuffleSplit(1, test_size=_HELD_OUT, random_state=seed)
    pool, test = next(holding_out.split(X, y, groups))
    pool = np.random.default_rng(seed).permutation(pool)
    # At least two tracks per coefficient: below, the curve shows only the accident of the draw.
    smallest = min(len(pool), max(len(pool) // _CURVE_POINTS, 2 * X.shape[1]))
    rows = []
    for size in np.unique(np.linspace(smallest, len(pool), _CURVE_POINTS).round().astype(int)):
        train = pool[:size]
        if kind == "popular" and len(np.unique(y[train])) < 2:
            continue
        pipeline = fit(X.iloc[train], y[train], kind, settings, seed)
        errors = [np.mean((predict(pipeline, X.iloc[part]) - y[part]) ** 2) for part in (train, test)]
        rows.append({"n_train": len(train), "train_mse": errors[0], "test_mse": errors[1]})
    return pd.DataFrame(rows)


def reference_predictions(X, y, artists, train, test, kind, settings, seed, permutations=PERMUTATIONS):
    """Predict the test tracks as the reference rows do.

    Parameters
    ----------
    X : pd.DataFrame [shape=(n, n_features)]
        All tracks, indexed by track_id.
    y : pd.Series [shape=(n,)]
        Their encoded targets, indexed alike.
    artists : pd.Series [shape=(n,)]
        Their (first) artists, indexed alike.
    train, test : sequence of str
        The track_ids to fit on and to predict.
    kind, settings, seed
        As for `fit`.
    permutations : int

    Returns
    -------
    dict
        `mean` and `artist_mean`, each a pd.Series indexed by the test track_ids, and `shuffled`, a
        pd.DataFrame with a row per permutation and a column per test track.
    """
    train, test = list(train), list(test)
    y_train, X_test = y.loc[train].to_numpy(float), X.loc[test]
    overall = y_train.mean()
    by_artist = y.astype(float).groupby(artists.reindex(y.index))
    others = by_artist.transform("size") - 1
    artist_mean = ((by_artist.transform("sum") - y) / others.where(others > 0)).fillna(overall)
    pipeline = fit(X.loc[train], y_train, kind, settings, seed)
    rng = np.random.default_rng(seed)
    shuffled = list(_permuted(pipeline, X.loc[train], y_train, X_test, rng, permutations))
    return {
        "mean": pd.Series(overall, index=X_test.index),
        "artist_mean": artist_mean.loc[test],
        "shuffled": pd.DataFrame(shuffled, columns=X_test.index),
    }


def _permuted(pipeline, X_train, y_train, X_test, rng, permutations=PERMUTATIONS):
    """Yield the test predictions of the same pipeline, its penalty kept, fitted on permuted targets."""
    prepare, last = pipeline[:-1], clone(pipeline[-1])
    X_train, X_test = prepare.transform(X_train), prepare.transform(X_test)  # knows no targets: fitted once
    for _ in range(permutations):
        yield predict(last.fit(X_train, rng.permutation(y_train)), X_test)


def _score(kind, y, p):
    """The metrics of a fold; NaN for a single track, which cannot be ranked."""
    if len(y) < 2:
        return dict.fromkeys(CV_METRICS[kind], np.nan)
    if kind == "popular":
        auc = sk.roc_auc_score(y, p) if np.ptp(y) > 0 else 0.5
        return {"roc_auc": float(auc), "accuracy": sk.accuracy_score(y, p >= 0.5)}
    values = metrics.regression(y, p)
    return {name: values[name] for name in CV_METRICS[kind]}


def _folds(X, y, groups, kind, wanted, seed):
    """Train and test positions of each fold, per scheme."""
    _need_two(groups)
    n_groups = len(np.unique(groups))
    if kind == "popular":
        wanted = max(2, min(wanted, int(min(y.sum(), len(y) - y.sum()))))
        plain, artist = StratifiedKFold, StratifiedGroupKFold
    else:
        plain, artist = KFold, GroupKFold
    plain = plain(min(wanted, len(y)), shuffle=True, random_state=seed)
    artist = artist(min(wanted, n_groups), shuffle=True, random_state=seed)
    return {"plain": list(plain.split(X, y)), "artist": list(artist.split(X, y, groups))}


def _need_two(groups):
    if len(np.unique(groups)) < 2:
        raise UserError(
            f"baseline: {len(groups)} tracks in one group of artists cannot be tested on other artists; "
            "collect more artists"
        )
