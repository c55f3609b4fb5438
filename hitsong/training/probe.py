"""Probes: simple estimators on a table of what a pre-trained network computes from each clip.

K. Choi, G. Fazekas, M. Sandler, K. Cho: "Transfer learning for music classification and regression tasks", ISMIR
2017, arXiv:1703.09179: with few tracks, features learnt on many predict better than a network trained from scratch.
Here that network is musicnn (J. Pons, X. Serra, arXiv:1909.06654): 200 activations from just before it names
tags, with the tags and the descriptors beside them where they are there.

The candidates are the project's linear and tree baselines, and a small multi-layer perceptron; the one that ranks
validation best is kept.
"""

import copy
import warnings
from dataclasses import dataclass

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hitsong.evaluation import baseline, kinds
from hitsong.files import replacing

ESTIMATORS = ("ridge", "trees", "mlp")
_HELD_OUT = 0.15  # of the training rows, to stop the perceptron
_EPOCHS, _PATIENCE = 200, 20  # of the perceptron


def fit(folder, train, validation, target, recipe, estimators=ESTIMATORS):
    """Fit the estimators and keep the best on validation; parameters as for `hitsong.training.fit.fit`.

    Returns
    -------
    predictions : np.ndarray [shape=(n,) or (n, k)]
        For the validation tracks.
    info : dict
        What the bundle says of the fit.
    """
    X_train, X_val = (examples.table(list(train.inputs)) for examples in (train, validation))
    estimator, scores = choose_estimator(
        X_train, train.y, X_val, validation.y, target, recipe.alphas, recipe.seed, estimators, train.groups
    )
    with replacing(folder / "model.joblib") as temporary:
        joblib.dump(estimator, temporary)
    predictions = target.clip(baseline.predict(estimator, X_val, target))
    return predictions, {"form": "estimator", "candidates": scores}


def choose_estimator(
    X_train, y_train, X_val, y_val, target, alphas, seed, estimators=ESTIMATORS, groups=None
):
    """Fit the candidates on the training tracks, and choose by the validation tracks.

    Parameters
    ----------
    X_train, X_val : pd.DataFrame
        A row for each track; columns such as "embedding:embedding_000" or "tags:rock". NaN where missing.
    y_train, y_val : array-like [shape=(n,) or (n, k)]
        Their encoded targets.
    target : hitsong.data.targets.Target
    alphas : sequence of float
        The penalties that ridge chooses from.
    seed : int
    estimators : sequence of str
        Of "ridge" (logistic regression for classes), "trees" and "mlp".
    groups : array-like [shape=(n,)], optional
        The artists' group of each training track: groups stay together where tracks are held out to choose a penalty
        or to stop a fit. Without them every track is a group.

    Returns
    -------
    estimator
        The best, fitted on the training tracks.
    scores : dict of str to dict of str to float
        What each candidate reached on validation, in the `compared` metrics of its target kind. The first decides.

    Raises
    ------
    UserError
        If the training tracks are too few, or all of one class.
    """
    fitted, scores = {}, {}
    groups = np.arange(len(X_train)) if groups is None else np.unique(groups, return_inverse=True)[1]
    for name in estimators:
        if name == "mlp":
            fitted[name] = _fit_perceptron(X_train, np.asarray(y_train, dtype=float), groups, target, seed)
        else:
            fitted[name] = baseline.fit(X_train, y_train, target, _Penalties(alphas), seed, name, groups)
        measured = kinds.evaluate(
            target.kind, y_val, baseline.predict(fitted[name], X_val, target), target.names
        )
        scores[name] = {metric: measured[metric] for metric in kinds.KINDS[target.kind].compared}
    best = max(scores, key=lambda name: scores[name][kinds.main(target.kind)])
    return fitted[best], scores


class _Penalties:
    """The settings that `baseline.fit` reads."""

    def __init__(self, alphas):
        self.alphas = alphas


@dataclass(frozen=True)
class Unscaled:
    """An estimator of standardised numbers, with predictions in their own units."""

    estimator: Pipeline
    scaler: StandardScaler

    def predict(self, X):
        p = self.estimator.predict(X)
        return self.scaler.inverse_transform(p.reshape(len(p), -1)).reshape(p.shape)


def _fit_perceptron(X, y, groups, target, seed):
    """One hidden layer; with enough tracks, those of some artists stop it, else only its penalty limits it."""
    held = baseline.hold_out(y, groups, target, seed, _HELD_OUT, fewest=100, fewest_of_class=10)
    rows = np.ones(len(y), bool) if held is None else ~held
    prepare = make_pipeline(baseline.MedianImputer(), StandardScaler())
    inputs, values = prepare.fit(X[rows]).transform(X), y
    if not target.classes:  # standardised, so that one feature's scale does not outweigh another's
        scaler = StandardScaler().fit(y[rows].reshape(rows.sum(), -1))
        values = scaler.transform(y.reshape(len(y), -1)).reshape(y.shape)
    model = MLPClassifier if target.classes else MLPRegressor
    # A generator, since `partial_fit` would draw the same order of tracks in each epoch from a number.
    perceptron = model(
        hidden_layer_sizes=(64,), alpha=1.0, learning_rate_init=1e-2, batch_size=min(32, rows.sum()), max_iter=30,
        random_state=np.random.RandomState(seed),
    )  # fmt: skip
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last epoch is an end as good as any
        if held is None:
            perceptron.fit(inputs, values)
        else:
            _train_until(perceptron, inputs[rows], values[rows], inputs[held], values[held])
    estimator = Pipeline([*prepare.steps, ("perceptron", perceptron)])
    return estimator if target.classes else Unscaled(estimator, scaler)


def _train_until(perceptron, X, y, X_held, y_held):
    """Train until the held-out rows get no better for some epochs, and keep the best weights."""
    classes = {"classes": np.unique(y)} if isinstance(perceptron, MLPClassifier) else {}
    best, since, weights = -np.inf, 0, None
    for _ in range(_EPOCHS):
        perceptron.partial_fit(X, y, **classes)
        score = perceptron.score(X_held, y_held)
        since += 1
        if score > best:
            best, since, weights = score, 0, copy.deepcopy((perceptron.coefs_, perceptron.intercepts_))
        elif since >= _PATIENCE:
            break
    perceptron.coefs_, perceptron.intercepts_ = weights
