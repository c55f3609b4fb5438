"""Probes: simple models on a table of what a pre-trained network heard in each clip.

K. Choi, G. Fazekas, M. Sandler, K. Cho: "Transfer learning for music classification and regression tasks", ISMIR
2017, arXiv:1703.09179: with few tracks, what a network learnt on many tells more than one that must learn to listen
first. Here that network is musicnn (J. Pons, X. Serra, arXiv:1909.06654): 200 activations from just before it names
tags, with the tags and the descriptors beside them where they are there.

The candidates are the project's linear and tree baselines, and a small multi-layer perceptron; the one that ranks
validation best is kept.
"""

import warnings

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hitsong.evaluation import baseline, kinds
from hitsong.evaluation.baseline import predict

__all__ = ["ESTIMATORS", "fit", "predict"]

ESTIMATORS = ("ridge", "trees", "mlp")
_HELD_OUT = 0.15  # of the training rows, to stop the perceptron


def fit(X_train, y_train, X_val, y_val, target, settings, seed, estimators=ESTIMATORS):
    """Fit the candidates on the training tracks, and choose by the validation tracks.

    Parameters
    ----------
    X_train, X_val : pd.DataFrame
        A row for each track; columns such as "embedding:embedding_000" or "tags:rock". NaN where missing.
    y_train, y_val : array-like [shape=(n,) or (n, k)]
        Their encoded targets.
    target : hitsong.data.targets.Target
    settings : config.Baseline
        Or whatever has its `alphas`, the penalties that ridge chooses from.
    seed : int
    estimators : sequence of str
        Of "ridge" (logistic regression for classes), "trees" and "mlp".

    Returns
    -------
    estimator
        The best, fitted on the training tracks; for `predict`.
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
            fitted[name] = _perceptron(X_train, np.asarray(y_train, dtype=float), target, seed)
        else:
            fitted[name] = baseline.fit(X_train, y_train, target, settings, seed, name)
        measured = kinds.evaluate(target.kind, y_val, predict(fitted[name], X_val, target), target.names)
        scores[name] = {metric: measured[metric] for metric in kinds.KINDS[target.kind].compared}
    best = max(scores, key=lambda name: scores[name][kinds.main(target.kind)])
    return fitted[best], scores


def _perceptron(X, y, target, seed):
    """One hidden layer; with enough tracks, some of them stop it, else its penalty alone holds it back."""
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
    else:  # standardised, so that one feature's scale does not drown another's
        inner = make_pipeline(*prepare, MLPRegressor(**shared))
        estimator = TransformedTargetRegressor(inner, transformer=StandardScaler())
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last epoch is an end as good as any
        return estimator.fit(X, y)
