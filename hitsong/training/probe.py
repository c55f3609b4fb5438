"""Probes: simple estimators on a table of what a pre-trained network computes from each clip.

K. Choi, G. Fazekas, M. Sandler, K. Cho: "Transfer learning for music classification and regression tasks", ISMIR
2017, arXiv:1703.09179: with few tracks, features learnt on many predict better than a network trained from scratch.
Here that network is musicnn (J. Pons, X. Serra, arXiv:1909.06654): 200 activations from just before it names
tags, with the tags and the descriptors beside them where they are there.

The candidates are the project's linear and tree baselines, and a small multi-layer perceptron; the one that ranks
validation best is kept.
"""

import warnings

import joblib
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hitsong.evaluation import baseline, kinds
from hitsong.files import replacing

ESTIMATORS = ("ridge", "trees", "mlp")
_HELD_OUT = 0.15  # of the training rows, to stop the perceptron


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
        X_train, train.y, X_val, validation.y, target, recipe.alphas, recipe.seed, estimators
    )
    with replacing(folder / "model.joblib") as temporary:
        joblib.dump(estimator, temporary)
    predictions = target.clip(baseline.predict(estimator, X_val, target))
    return predictions, {"form": "estimator", "candidates": scores}


def choose_estimator(X_train, y_train, X_val, y_val, target, alphas, seed, estimators=ESTIMATORS):
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
    for name in estimators:
        if name == "mlp":
            fitted[name] = _fit_perceptron(X_train, np.asarray(y_train, dtype=float), target, seed)
        else:
            fitted[name] = baseline.fit(X_train, y_train, target, _Penalties(alphas), seed, name)
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


def _fit_perceptron(X, y, target, seed):
    """One hidden layer; with enough tracks, held-out ones stop it, else only its penalty limits it."""
    rarest = np.unique(y, return_counts=True)[1].min() if target.classes else len(y)
    stopped = len(y) >= 100 and rarest >= 10
    shared = {
        "hidden_layer_sizes": (64,), "alpha": 1.0, "learning_rate_init": 1e-2, "batch_size": min(32, len(y)),
        "max_iter": 200 if stopped else 30, "early_stopping": stopped, "validation_fraction": _HELD_OUT,
        "n_iter_no_change": 20, "random_state": seed,
    }  # fmt: skip
    prepare = SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    if target.classes:
        estimator = make_pipeline(*prepare, MLPClassifier(**shared))
    else:  # standardised, so that one feature's scale does not outweigh another's
        inner = make_pipeline(*prepare, MLPRegressor(**shared))
        estimator = TransformedTargetRegressor(inner, transformer=StandardScaler())
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last epoch is an end as good as any
        return estimator.fit(X, y)
