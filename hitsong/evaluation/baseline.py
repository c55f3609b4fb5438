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
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hitsong.errors import UserError

CONTROLS = {
    "age": "a control, never served: the time since release alone",
    "artist": "a control, never served: the artist's mean over the training tracks, without any sound",
    "first_weeks": "a control, never served: what was read of the first months after release alone",
    "sound_first_weeks": "a control, never served: the first input, and what was read of the first months",
}
PERMUTATIONS = 20
THREADS_FROM = 1_000_000  # cells of a table from which fits use several threads
LARGE = 100_000  # tracks from which trees take larger and fewer steps
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
    names = {"ridge": "logistic" if target.classes else "ridge", "trees": "trees"}
    served_candidates = [
        Candidate(f"{names[model]}-{name}", model, name)
        for name in inputs
        if name not in CONTROLS
        for model in settings.models
    ]
    first = settings.models[0]
    controls = {
        "age": settings.models[-1], "artist": "artist", "first_weeks": first, "sound_first_weeks": first,
    }  # fmt: skip
    return served_candidates + [
        Candidate(name, controls[name], name, True) for name in inputs if name in CONTROLS
    ]


def fit(X, y, target, settings, seed, model="ridge", groups=None):
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
    groups : array-like [shape=(n,)], optional
        Groups of artists, which stay together where rows are held out to choose a penalty or to stop the trees.
        Without them every row is a group.

    Returns
    -------
    estimator
        Fitted on all rows (trees: apart from those that stop them); see `predict`, `alpha` and `coefficients`.

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
    groups = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    with threads_for(X.size):
        return (_trees if model == "trees" else _linear)(X, y, groups, target, settings, seed)


def threads_for(cells):
    """Limit libraries to one thread while a table of so few cells is fitted: a context.

    Threads that wait for each other on a busy machine cost more than they save on small tables.
    """
    return threadpool_limits(1 if cells < THREADS_FROM else None)


def _linear(X, y, groups, target, settings, seed):
    """Ridge or logistic regression, its penalty by inner cross-validation (squared error, log loss)."""
    if target.classes:
        grid = {"logisticregression__C": [1 / alpha for alpha in settings.alphas]}
        # Newton's steps: few and exact, the right solver for many tracks and few features.
        last = LogisticRegression(C=1 / max(settings.alphas), solver="newton-cholesky")
        scoring = _log_likelihood
    else:
        grid = {"ridge__alpha": list(settings.alphas)}
        last, scoring = Ridge(), "neg_mean_squared_error"
    pipeline = make_pipeline(MedianImputer(), StandardScaler(), last)
    inner = _inner_folds(y, groups, target, seed)
    if not inner:
        return pipeline.fit(X, y)
    return GridSearchCV(pipeline, grid, cv=inner, scoring=scoring).fit(X, y).best_estimator_


def _inner_folds(y, groups, target, seed):
    """Folds of whole groups, those left out whose training part lacks a class."""
    count = min(_INNER_FOLDS, len(np.unique(groups)))
    if target.classes:
        count = min(count, int(np.unique(y, return_counts=True)[1].min()))
    if count < 2:
        return []
    splitter = StratifiedGroupKFold if target.classes else GroupKFold
    folds = splitter(count, shuffle=True, random_state=seed).split(y, y, groups)
    classes = len(np.unique(y)) if target.classes else 0
    return [
        (train, test)
        for train, test in folds
        if len(test) and (not classes or len(np.unique(y[train])) == classes)
    ]


def _log_likelihood(estimator, X, y):
    """Mean log probability of the true classes, also where a fold lacks some of them."""
    columns = np.searchsorted(estimator.classes_, y)
    return np.log(estimator.predict_proba(X)[np.arange(len(y)), columns].clip(1e-15)).mean()


def _trees(X, y, groups, target, settings, seed):
    """Boosted trees; with too few tracks to hold some out, fifty of them rather than as many as help."""
    large = len(y) >= LARGE
    model = HistGradientBoostingClassifier if target.classes else HistGradientBoostingRegressor
    held = hold_out(y, groups, target, seed, 0.05 if len(y) >= 4000 else 0.15, fewest=200, fewest_of_class=40)
    rounds = (200 if large else 400) if held is not None else 50
    shared = {
        "learning_rate": 0.1 if large else 0.06, "max_iter": rounds, "l2_regularization": 1.0,
        "min_samples_leaf": max(2, min(20, len(y) // 20)), "early_stopping": held is not None,
        "n_iter_no_change": 20, "random_state": seed,
    }  # fmt: skip

    def fitted(values):
        if held is None:
            return model(**shared).fit(X, values)
        return model(**shared).fit(X[~held], values[~held], X_val=X[held], y_val=values[held])

    return fitted(y) if y.ndim == 1 else ByColumn([fitted(column) for column in y.T])


def hold_out(y, groups, target, seed, share, fewest, fewest_of_class):
    """Choose whole groups of training rows that stop a fit.

    Parameters
    ----------
    y : np.ndarray [shape=(n,) or (n, k)]
    groups : np.ndarray [shape=(n,)]
    target : hitsong.data.targets.Target
    seed : int
    share : float
        Of the rows, at most, but one group at least.
    fewest, fewest_of_class : int
        Rows, in all and of each class, below which nothing is held out.

    Returns
    -------
    np.ndarray [shape=(n,), dtype=bool] or None
        None where too little would be left on either side.
    """
    rarest = np.unique(y, return_counts=True)[1].min() if target.classes else len(y)
    if len(y) < fewest or rarest < fewest_of_class or len(np.unique(groups)) < 2:
        return None
    names, size = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    count = max(1, np.searchsorted(size[order].cumsum(), share * len(y), side="right"))
    held = np.isin(groups, names[order[:count]])
    fits = held.mean() <= 0.5 and (
        not target.classes or len(np.unique(y[~held])) == len(np.unique(y[held])) == len(np.unique(y))
    )
    return held if fits else None


class MedianImputer(TransformerMixin, BaseEstimator):
    """Medians of the training rows in place of missing values, and 0 where no training row has one.

    As scikit-learn's SimpleImputer, which sorts a copy of the table for each penalty and fold: a third of the time of
    04 on a million tracks.
    """

    def fit(self, X, y=None):
        """Learn the medians of a table of numbers."""
        self.feature_names_in_ = X.columns.to_numpy(object)
        self.medians_ = X.median().fillna(0.0)
        return self

    def transform(self, X):
        """The table without missing values."""
        return X.fillna(self.medians_)


@dataclass(frozen=True)
class ByColumn:
    """An estimator for each of several numbers."""

    estimators: list

    def predict(self, X):
        return np.column_stack([estimator.predict(X) for estimator in self.estimators])


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
        means = self.means_.reindex(X.iloc[:, 0]).to_numpy()
        return np.where(np.isnan(means), self.overall_, means)


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


def reference_predictions(
    X, y, artists, train, test, target, settings, seed, permutations=PERMUTATIONS, groups=None
):
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
    target, settings, seed, groups
        As for `fit`; the groups of all tracks, in the order of `X`.
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
    inner = None if groups is None else np.asarray(groups)[train]
    linear = fit(X.iloc[train], y[train], target, settings, seed, groups=inner)
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
