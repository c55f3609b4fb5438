"""Metrics of a prediction against the truth.

Conventions
-----------
`y` is the truth and `p` the prediction, of at least 2 rows, all finite:

================  =================================  =====================================================
kind of target    y                                  p
================  =================================  =====================================================
popularity        numbers (n,)                       numbers (n,)
popular           0 or 1 (n,)                        probability of 1 (n,)
buckets           class (n,), 0 for the lowest       probability of each class, lowest first (n, classes)
audio_features    numbers (n, features)              numbers (n, features)
================  =================================  =====================================================

Every metric is defined for every such input, without warnings: where ranking is impossible, because
prediction or truth is constant, correlations are 0.0 and ROC-AUC is 0.5; PR-AUC without a popular track is
0.0; balanced accuracy averages over the classes that occur in the truth, macro-F1 over those that occur
in truth or answers; kappa is 0.0 where truth and answers are all one class.

Regression ("popularity")
    mse, rmse, mae
        Mean squared error, its root, and mean absolute error, in (squared) points of popularity.
    r2
        Skill against the mean of these very rows: 1 is perfect, 0 no better than that mean.
    spearman, kendall
        Rank correlations, -1 to 1, ties by mid-ranks and tau-b.
    ndcg@100
        Is the top of the list popular? Popularity gained among the 100 highest predictions, discounted by
        log2 of the rank, relative to the best order; 0 to 1. Negative targets are shifted to begin at 0.

Binary ("popular")
    roc_auc, pr_auc
        Areas under the curves of true against false positive rate (0.5 is chance) and of precision
        against recall, as average precision (chance is the share of popular tracks).
    accuracy, balanced_accuracy
        Share of right answers at the threshold, and its mean over the two classes.
    brier
        Mean squared error of the probability.
    confusion
        [[true negatives, false positives], [false negatives, true positives]].

Ordered classes ("buckets"); the answer is the most probable class
    accuracy, macro_f1
        Share of right answers, and the F1 score of each class averaged over classes.
    quadratic_kappa
        Agreement beyond chance, where an error counts by the square of its distance; -1 to 1 (Cohen, 1968).
    confusion
        Rows are the true classes, columns the answers.

Several numbers ("audio_features")
    mse, rmse, mae, r2, pearson
        As above, and the linear correlation; each averaged over the features.
    features
        The same for each feature by its name.

Values come from scikit-learn and SciPy; how sure one can be of them, from `hitsong.evaluation.bootstrap`.
"""

import warnings

import numpy as np
from scipy import stats
from sklearn import metrics as sk

# Per target kind: the metric that ranks models, then the errors it is read with.
COMPARED = {
    "popularity": ("spearman", "mse"),
    "popular": ("roc_auc", "brier"),
    "buckets": ("quadratic_kappa", "accuracy"),
    "audio_features": ("pearson", "mse"),
}
MAIN = {kind: names[0] for kind, names in COMPARED.items()}
CHANCE = {"popular": 0.5, "popularity": 0.0, "buckets": 0.0, "audio_features": 0.0}  # of the main metric
HIGHER_IS_BETTER = {
    "mse": False, "rmse": False, "mae": False, "r2": True, "pearson": True,
    "spearman": True, "kendall": True, "ndcg@100": True,
    "roc_auc": True, "pr_auc": True, "accuracy": True, "balanced_accuracy": True, "brier": False,
    "macro_f1": True, "quadratic_kappa": True,
}  # fmt: skip

TOP = 100
THRESHOLD = 0.5


def validate(kind, y, p):
    """Check that truth and prediction can be compared.

    Returns
    -------
    y, p : np.ndarray [dtype=float64]
        Of the shapes above.

    Raises
    ------
    ValueError
        If shapes do not fit, rows are fewer than 2, a value is not finite, a class none of the classes
        or a score no probability.
    """
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    dimensions = {"popularity": (1, 1), "popular": (1, 1), "buckets": (1, 2), "audio_features": (2, 2)}[kind]
    if (y.ndim, p.ndim) != dimensions or len(y) != len(p) or (y.ndim == p.ndim and y.shape != p.shape):
        wanted = {(1, 1): "one-dimensional and equally long", (1, 2): "(n,) and (n, classes)"}
        raise ValueError(
            f"truth and prediction must be {wanted.get(dimensions, 'both (n, features)')}: {y.shape}, {p.shape}"
        )
    if len(y) < 2:
        raise ValueError(f"metrics need at least 2 rows, not {len(y)}")
    if not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise ValueError("truth and prediction must be finite")
    if kind in ("popular", "buckets"):
        n_classes = 2 if kind == "popular" else p.shape[1]
        if not np.isin(y, np.arange(n_classes)).all():
            raise ValueError(f"the truth must be {' or '.join(map(str, range(n_classes)))}")
        if p.min() < 0 or p.max() > 1 + 1e-6:
            raise ValueError("scores must be probabilities, 0 to 1")
    return y, p


def regression(y, p):
    """Measure predicted numbers.

    Parameters
    ----------
    y, p : array-like [shape=(n,)]

    Returns
    -------
    dict
        mse, rmse, mae, r2, spearman, kendall, ndcg@100, in this order.
    """
    y, p = validate("popularity", y, p)
    rankable = np.ptp(y) > 0 and np.ptp(p) > 0
    return {
        **_errors(y, p),
        "spearman": float(stats.spearmanr(y, p).statistic) if rankable else 0.0,
        "kendall": float(stats.kendalltau(y, p).statistic) if rankable else 0.0,
        "ndcg@100": float(sk.ndcg_score([gains(y)], [p], k=TOP)),
    }


def binary(y, score, threshold=THRESHOLD):
    """Measure predicted probabilities of the class 1.

    Parameters
    ----------
    y : array-like [shape=(n,)]
        0 or 1.
    score : array-like [shape=(n,)]
        Probabilities.
    threshold : float
        Score from which the answer is 1.

    Returns
    -------
    dict
        roc_auc, pr_auc, accuracy, balanced_accuracy, brier, confusion, in this order.
    """
    y, score = validate("popular", y, score)
    answer = (score >= threshold).astype(float)
    with warnings.catch_warnings():  # about classes that do not occur; the conventions above cover them
        warnings.simplefilter("ignore")
        values = {
            "roc_auc": sk.roc_auc_score(y, score) if np.ptp(y) > 0 else 0.5,
            "pr_auc": sk.average_precision_score(y, score),
            "accuracy": sk.accuracy_score(y, answer),
            "balanced_accuracy": sk.balanced_accuracy_score(y, answer),
            "brier": sk.brier_score_loss(y, score, pos_label=1),
        }
    return {
        **{name: float(value) for name, value in values.items()},
        "confusion": sk.confusion_matrix(y, answer, labels=[0, 1]).tolist(),
    }


def ordered(y, p):
    """Measure predicted probabilities of ordered classes.

    Parameters
    ----------
    y : array-like [shape=(n,)]
        The class, 0 for the lowest.
    p : array-like [shape=(n, classes)]

    Returns
    -------
    dict
        accuracy, macro_f1, quadratic_kappa, confusion, in this order.
    """
    y, p = validate("buckets", y, p)
    answer, classes = p.argmax(axis=1), np.arange(p.shape[1])
    one_class = len(np.union1d(y, answer)) < 2
    return {
        "accuracy": float(sk.accuracy_score(y, answer)),
        "macro_f1": float(sk.f1_score(y, answer, average="macro", zero_division=0)),
        "quadratic_kappa": 0.0
        if one_class
        else float(sk.cohen_kappa_score(y, answer, labels=classes, weights="quadratic")),
        "confusion": sk.confusion_matrix(y, answer, labels=classes).tolist(),
    }


def several(y, p, names=()):
    """Measure predictions of several named numbers.

    Parameters
    ----------
    y, p : array-like [shape=(n, features)]
    names : sequence of str
        Of the columns; counted from "0" if not given.

    Returns
    -------
    dict
        mse, rmse, mae, r2, pearson, each averaged over the features, and `features`: the same by name.
    """
    y, p = validate("audio_features", y, p)
    features = {}
    for name, a, b in zip(names or map(str, range(y.shape[1])), y.T, p.T, strict=True):
        correlated = np.ptp(a) > 0 and np.ptp(b) > 0
        features[name] = {
            **_errors(a, b),
            "pearson": float(stats.pearsonr(a, b).statistic) if correlated else 0.0,
        }
    first = next(iter(features.values()))
    means = {metric: float(np.mean([values[metric] for values in features.values()])) for metric in first}
    return {**means, "features": features}


def evaluate(kind, y, p, names=()):
    """Measure a prediction of any kind: `regression`, `binary`, `ordered` or `several`."""
    if kind == "audio_features":
        return several(y, p, names)
    return {"popularity": regression, "popular": binary, "buckets": ordered}[kind](y, p)


def collapsed(y, p):
    """Say whether a model predicts (nearly) the same for every track.

    True when the predictions' standard deviation is below 1 % of the truth's, or they take fewer than 3
    distinct values although there are that many tracks. Of classes, their expected number is looked at; of
    several numbers each, and one that has collapsed is enough.
    """
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    if y.ndim == 2:
        return any(collapsed(a, b) for a, b in zip(y.T, p.T, strict=True))
    if p.ndim == 2:
        p = p @ np.arange(p.shape[1])
    y, p = validate("popularity", y, p)
    return bool(p.std() < 0.01 * y.std() or len(np.unique(p)) < min(3, len(p)))


def gains(y):
    """What a track contributes to nDCG: its target, from 0 up."""
    return y - min(0, y.min())


def _errors(y, p):
    """The errors of numbers, and R2."""
    mse = sk.mean_squared_error(y, p)
    values = {
        "mse": mse,
        "rmse": np.sqrt(mse),
        "mae": sk.mean_absolute_error(y, p),
        "r2": sk.r2_score(y, p),
    }
    return {name: float(value) for name, value in values.items()}
