"""Baselines: how far numbers about a track get, and the rows every result is read against.

Models
    ridge
        Study 1's recipe: ridge regression on standardised features, its penalty chosen by an inner 5-fold
        cross-validation. For classes a logistic regression (multinomial for buckets) takes its place.
        Missing values are filled with the median.
    trees
        Gradient-boosted trees (scikit-learn's histogram form), which find interactions and optima that a
        line cannot; some of the training tracks stop them. Missing values are a branch of their own.
    artist
        A control: the artist's mean over the training tracks, shrunk by one track towards the mean of all.
        It knows nothing of the music; what it scores is what recognising artists is worth.

Reference rows
    mean
        The training mean for every track: for classes the base rates, whose answer is the majority class.
    shuffled
        The linear baseline fitted on permuted targets, averaged over permutations. It must rank like
        chance; a single permutation need not, since the features are real and a random weighting of
        them may happen to point the right way.
    artist_mean
        An oracle that knows the target of the artist's other tracks, wherever they lie.

Whatever has a parameter is fitted on training rows only.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hitsong.errors import UserError

CONTROLS = {
    "age": "a control, never served: the time since release alone",
    "artist": "a control, never served: the artist's mean over the training tracks, not a note heard",
}
PERMUTATIONS = 20
_INNER_FOLDS = 5


@dataclass(frozen=True)
class Candidate:
    """A model on an input: `name` is what tables call it, `input` a key of the inputs; a `control` is not served."""

    name: str
    model: str
    input: str
    control: bool = False


def candidates(inputs, settings, target):
    """Each model on each input, then the controls.

    Parameters
    ----------
    inputs : dict of str to pd.DataFrame
        From `hitsong.data.tables.baseline_tables`.
    settings : config.Baseline
    target : hitsong.data.targets.Target

    Returns
    -------
    list of Candidate
        A linear model on the first input comes first, if there are linear models.
    """
    called = {"ridge": "logistic" if target.classes else "ridge", "trees": "trees"}
    served = [
        Candidate(f"{called[model]}-{name}", model, name)
        for name in inputs
        if name not in CONTROLS
        for model in settings.models
    ]
    controls = {"age": settings.models[-1], "artist": "artist"}
    return served + [Candidate(name, controls[name], name, True) for name in inputs if name in CONTROLS]


def fit(X, y, target, settings, seed, model="ridge"):
    """Fit a baseline.

    Parameters
    ----------
    X : pd.DataFrame [shape=(n, n_features)]
        Training rows, NaN where missing; for "artist" one column of names.
    y : array-like [shape=(n,) or (n, k)]
        Their encoded targets.
    target : hitsong.data.targets.Target
    settings : config.Baseline
        The penalties to choose from, `alphas`; logistic regression takes C = 1 / alpha.
    seed : int
    model : str
        "ridge", "trees" or "artist".

    Returns
    -------
    estimator
        Fitted on all rows; see `predict`, `alpha` and `coefficients`.

    Raises
    ------
    UserError
        If the rows are too few, or all of one class.
    """
    y = np.asarray(y, dtype=float)
    if target.classes and len(np.unique(y)) < 2:
        raise UserError(f"baseline: all {len(y)} tracks to fit on are of one class; collect more artists")
    if len(y) < 2:
        raise UserError(f"baseline: {len(y)} track is too few to fit on; collect more artists")
    if model == "artist":
        return ArtistMean().fit(X, matrix(y, target))
    # One thread: the tables are small, and threads that wait for each other on a busy machine cost more.
    with threadpool_limits(1):
        return (_trees if model == "trees" else _linear)(X, y, target, settings, seed)


def _linear(X, y, target, settings, seed):
    """Ridge or logistic regression, its penalty by inner cross-validation (squared error, log loss)."""
    if target.classes:
        # The smallest class must reach every fold; with a single member it cannot be held out.
        folds = min(_INNER_FOLDS, int(np.unique(y, return_counts=True)[1].min()))
        inner = StratifiedKFold(folds, shuffle=True, random_state=seed) if folds > 1 else None
        grid = {"logisticregression__C": [1 / alpha for alpha in settings.alphas]}
        # Newton's steps: few and exact, the right solver for many tracks and few features.
        last = LogisticRegression(C=1 / max(settings.alphas), solver="newton-cholesky")
        scoring = "neg_log_loss"
    else:
        inner = KFold(min(_INNER_FOLDS, len(y)), shuffle=True, random_state=seed)
        grid = {"ridge__alpha": list(settings.alphas)}
        last, scoring = Ridge(), "neg_mean_squared_error"
    # A feature that no training track has counts as 0 rather than vanish.
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    pipeline = make_pipeline(filled, StandardScaler(), last)
    if inner is None:
        return pipeline.fit(X, y)
    return GridSearchCV(pipeline, grid, cv=inner, scoring=scoring).fit(X, y).best_estimator_


def _trees(X, y, target, settings, seed):
    """Boosted trees; with too few tracks to hold some out, fifty of them rather than as many as help."""
    rarest = np.unique(y, return_counts=True)[1].min() if target.classes else len(y)
    stopped = len(y) >= 200 and rarest >= 40
    shared = {
        "learning_rate": 0.06, "max_iter": 400 if stopped else 50, "l2_regularization": 1.0,
        "min_samples_leaf": max(2, min(20, len(y) // 20)), "early_stopping": stopped,
        "validation_fraction": 0.05 if len(y) >= 4000 else 0.15, "n_iter_no_change": 20, "random_state": seed,
    }  # fmt: skip
    if target.classes:
        return HistGradientBoostingClassifier(**shared).fit(X, y)
    one = HistGradientBoostingRegressor(**shared)
    return (one if y.ndim == 1 else MultiOutputRegressor(one)).fit(X, y)


class ArtistMean:
    """The mean of an artist's training tracks, shrunk by one track towards the mean of all."""

    def fit(self, X, Y):
        """Learn from names (n, 1) and targets (n, k)."""
        self.overall_ = Y.mean(axis=0)
        by_artist = pd.DataFrame(Y).groupby(X.iloc[:, 0].to_numpy())
        self.means_ = (by_artist.sum() + self.overall_).div(by_artist.size() + 1, axis=0)
        return self

    def predict(self, X):
        """Means by name, that of all for a name never seen: (n, k)."""
        known = self.means_.reindex(X.iloc[:, 0]).to_numpy()
        return np.where(np.isnan(known), self.overall_, known)


def predict(estimator, X, target):
    """Predict the target, or the probability of each class.

    Returns
    -------
    np.ndarray [shape=(n,) or (n, k)]
        (n,) for popularity and for the probability of "popular", else a column for each of `target.names`.
    """
    if isinstance(estimator, ArtistMean):
        return _squeezed(estimator.predict(X), target)
    if not target.classes:
        return estimator.predict(X)
    probabilities = np.zeros((len(X), max(2, len(target.names))))
    probabilities[:, estimator.classes_.astype(int)] = estimator.predict_proba(X)
    return probabilities if target.kind == "buckets" else probabilities[:, 1]


def alpha(estimator):
    """The penalty of a fitted linear baseline (1 / C for logistic regression); NaN for others."""
    if not isinstance(estimator, Pipeline):
        return np.nan
    last = estimator[-1]
    return float(last.alpha if isinstance(last, Ridge) else 1 / last.C)


def coefficients(pipeline, target):
    """What each feature adds to the prediction of a linear baseline per standard deviation.

    Returns
    -------
    pd.DataFrame
        Columns `feature`, `output` and `coefficient` (points of the target, or log odds), strongest first.
    """
    values = np.atleast_2d(pipeline[-1].coef_)  # (outputs, features)
    outputs = target.names
    if target.kind == "buckets":  # two classes have one log odds
        outputs = np.array(outputs)[pipeline[-1].classes_.astype(int)][-len(values) :]
    table = pd.DataFrame(values.T, index=pipeline.feature_names_in_, columns=list(outputs))
    table = (
        table.rename_axis("feature")
        .reset_index()
        .melt("feature", var_name="output", value_name="coefficient")
    )
    return table.sort_values("coefficient", key=np.abs, ascending=False, ignore_index=True)


def reference_predictions(X, y, artists, train, test, target, settings, seed, permutations=PERMUTATIONS):
    """Predict the test tracks as the reference rows do.

    Parameters
    ----------
    X : pd.DataFrame [shape=(n, n_features)]
        All tracks, indexed by track_id.
    y : array-like [shape=(n,) or (n, k)]
        Their encoded targets, in the order of `X`.
    artists : array-like [shape=(n,)]
        Their (first) artists, in the order of `X`.
    train, test : sequence of str
        The track_ids to fit on and to predict.
    target, settings, seed
        As for `fit`.
    permutations : int

    Returns
    -------
    dict
        `mean` and `artist_mean`, each as `named` gives it for the test tracks, and `shuffled`, a list of such.
    """
    index, y = X.index, np.asarray(y, dtype=float)
    place = pd.Series(np.arange(len(index)), index=index)
    train, test = place.loc[list(train)].to_numpy(), place.loc[list(test)].to_numpy()
    Y = matrix(y, target)
    by_artist = pd.DataFrame(Y).groupby(np.asarray(artists))
    others = by_artist.transform("size").to_numpy()[:, None] - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        oracle = np.where(others > 0, (by_artist.transform("sum") - Y) / others, Y[train].mean(axis=0))
    linear = fit(X.iloc[train], y[train], target, settings, seed)
    rng = np.random.default_rng(seed)
    shuffled = permuted(linear, X.iloc[train], y[train], X.iloc[test], target, rng, permutations)
    return {
        "mean": named(mean_of(y[train], len(test), target), index[test], target),
        "artist_mean": named(_squeezed(oracle[test].clip(*_range(target)), target), index[test], target),
        "shuffled": [named(p, index[test], target) for p in shuffled],
    }


def named(values, index, target):
    """A prediction by track_id: a Series, or a DataFrame with a column for each of `target.names`."""
    if np.ndim(values) == 1:
        return pd.Series(values, index=index)
    return pd.DataFrame(values, index=index, columns=list(target.names))


def permuted(pipeline, X_train, y_train, X_test, target, rng, permutations=PERMUTATIONS):
    """Yield the test predictions of the same pipeline, its penalty kept, fitted on permuted targets."""
    prepare, last = pipeline[:-1], clone(pipeline[-1])
    X_train, X_test = prepare.transform(X_train), prepare.transform(X_test)  # knows no targets: fitted once
    for _ in range(permutations):
        yield predict(last.fit(X_train, rng.permutation(y_train)), X_test, target)


def matrix(y, target):
    """Targets as columns: one-hot for buckets, else as they are."""
    return np.eye(len(target.names))[y.astype(int)] if target.kind == "buckets" else y.reshape(len(y), -1)


def _squeezed(Y, target):
    """The inverse, for predictions: (n, 1) -> (n,) where the target is one number."""
    return Y if target.kind in ("buckets", "audio_features") else Y[:, 0]


def _range(target):
    """Where predictions lie: rounding must not make a probability of 1.0000000002."""
    return (0, 1) if target.classes else (-np.inf, np.inf)


def mean_of(y, n, target):
    """Predict the mean of training targets (for classes their shares) for each of n tracks."""
    return _squeezed(np.tile(matrix(y, target).mean(axis=0), (n, 1)), target)
