"""The table of target kinds and their metrics: what is measured, what it is called, and what guessing reaches.

A further metric is one more entry of `METRICS`; `evaluate`, the intervals, `report/metrics.json`, the terminal and the
report follow from it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hitsong.evaluation import metrics, resampled


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes
    ----------
    name : str
        What `report/metrics.json` calls it.
    kinds : tuple of str
        The target kinds it is measured for.
    label, heading : str
        What sentences and columns of tables call it.
    meaning : str
        What it says, in words for the report.
    value : callable
        From truth (n,) and prediction (n,) or (n, classes) to a number.
    higher_is_better : bool
    chance : float or None
        What guessing reaches; None where that depends on the data.
    resampled : callable or None
        The same on many bootstrap draws at once (`hitsong.evaluation.resampled`). Without it `value` is called for each
        draw, which takes longer.
    interval : bool
        Whether it gets an interval.
    published : (float, float) or None
        Between which published models of the sound alone lie.
    scale : str
        A key of `hitsong.evaluation.scales.SCALES`: where its interval is computed.
    """

    name: str
    kinds: tuple
    label: str
    heading: str
    meaning: str
    value: Callable
    higher_is_better: bool = True
    chance: float | None = None
    resampled: Callable | None = None
    interval: bool = True
    published: tuple | None = None
    scale: str = "share"


@dataclass(frozen=True)
class Kind:
    """A kind of target.

    Attributes
    ----------
    compared : tuple of str
        The metric that ranks models (`main`), the one shown beside it (`companion`), and a third: those of paired
        differences and of cross-validation.
    loss : str
        What a prediction costs on a single track.
    question, question_without_audio : str
        What the report asks; `{names}` are those of the target.
    y_axes, p_axes : int
        Axes of truth and prediction.
    classes : bool
        Whether predictions are probabilities of classes.
    """

    compared: tuple
    loss: str
    question: str
    question_without_audio: str
    y_axes: int = 1
    p_axes: int = 1
    classes: bool = False

    @property
    def main(self):
        return self.compared[0]

    @property
    def companion(self):
        return self.compared[1]

    @property
    def several(self):
        """Whether several numbers are predicted, each measured by itself and then averaged."""
        return self.y_axes == 2


KINDS = {
    "popularity": Kind(
        ("spearman", "r2", "mse"),
        "mean absolute error",
        "How well can a track's popularity be predicted from its audio?",
        "How well can a track's popularity be predicted from its audio features?",
    ),
    "growth": Kind(
        ("spearman", "r2", "mse"),
        "mean absolute error",
        "How well can the growth of a track's popularity be predicted from its audio?",
        "How well can the growth of a track's popularity be predicted from its audio features?",
    ),
    "popular": Kind(
        ("roc_auc", "accuracy", "brier"),
        "share of wrong predictions",
        "Can popular tracks be recognised from their audio?",
        "Can popular tracks be recognised from their audio features?",
        classes=True,
    ),
    "buckets": Kind(
        ("quadratic_kappa", "accuracy", "macro_f1"),
        "share of wrong predictions",
        "Can a track's popularity ({names}) be predicted from its audio?",
        "Can a track's popularity ({names}) be predicted from its audio features?",
        p_axes=2,
        classes=True,
    ),
    "audio_features": Kind(
        ("pearson", "mse", "mae"),
        "mean absolute error",
        "Can Spotify's audio features be predicted from the audio?",
        "Can some of Spotify's audio features be predicted from the others?",
        y_axes=2,
        p_axes=2,
    ),
}

_ONE_NUMBER = ("popularity", "growth")
_NUMBERS = (*_ONE_NUMBER, "audio_features")

# Tables list them in this order.
METRICS = [
    Metric(
        "spearman", _ONE_NUMBER, "Spearman correlation", "Spearman",
        "whether tracks come in the right order: 1 is the perfect order, 0 is no better than chance",
        metrics.spearman, chance=0.0, resampled=resampled.spearman, published=(0.27, 0.40), scale="correlation",
    ),
    Metric(
        "kendall", _ONE_NUMBER, "Kendall's tau", "Kendall",
        "the same by counting pairs: share in the right order minus share in the wrong order",
        metrics.kendall, chance=0.0, interval=False,  # Spearman's stands for both
    ),
    Metric(
        "pearson", ("audio_features",), "Pearson correlation", "Pearson",
        "how close predictions and truth are to a straight line: 1 exactly, 0 not at all",
        metrics.pearson, chance=0.0, resampled=resampled.pearson, scale="correlation",
    ),
    Metric(
        "r2", _NUMBERS, "R²", "R²",
        "by how much the squared error is smaller than that of the mean: 1 is no error, 0 no gain, below 0 worse",
        metrics.r2, chance=0.0, resampled=resampled.r2, scale="skill",
    ),
    Metric(
        "mse", _NUMBERS, "mean squared error", "MSE",
        "the mean of squared errors, so that large errors weigh most; only comparable on the same tracks",
        metrics.mse, higher_is_better=False, resampled=resampled.mse, scale="error",
    ),
    Metric(
        "rmse", _NUMBERS, "root mean squared error", "RMSE",
        "its root, in the unit of the target",
        metrics.rmse, higher_is_better=False, resampled=resampled.rmse, scale="error",
    ),
    Metric(
        "mae", _NUMBERS, "mean absolute error", "MAE",
        "how far off a prediction is on average",
        metrics.mae, higher_is_better=False, resampled=resampled.mae, scale="error",
    ),
    Metric(
        "ndcg@10%", ("popularity",), "nDCG@10\xa0%", "nDCG@10\xa0%",
        "whether the highest tenth of the predictions are the most popular tracks: 1 is the best list; the row mean is "
        "chance",
        metrics.ndcg, resampled=resampled.ndcg,
    ),
    Metric(
        "roc_auc", ("popular",), "ROC-AUC", "ROC-AUC",
        "how often a popular track scores higher than an unpopular one: 0.5 is chance, 1 is perfect",
        metrics.roc_auc, chance=0.5, resampled=resampled.roc_auc, published=(0.60, 0.68),
    ),
    Metric(
        "pr_auc", ("popular",), "PR-AUC", "PR-AUC",
        "the mean share of popular tracks among those predicted popular; chance is the share of popular tracks",
        metrics.pr_auc, resampled=resampled.pr_auc,
    ),
    Metric(
        "quadratic_kappa", ("buckets",), "quadratic kappa", "quadratic kappa",
        "agreement beyond chance, errors counted by their squared distance: 0 is chance, 1 perfect",
        metrics.quadratic_kappa, chance=0.0, resampled=resampled.quadratic_kappa,
        scale="correlation",
    ),
    Metric(
        "accuracy", ("popular", "buckets"), "accuracy", "accuracy",
        "the share of right predictions; compare it with the row mean, which predicts the largest class",
        metrics.accuracy, resampled=resampled.accuracy,
    ),
    Metric(
        "balanced_accuracy", ("popular",), "balanced accuracy", "balanced acc.",
        "the share of right predictions in each class, averaged: 0.5 is chance",
        metrics.balanced_accuracy, chance=0.5, resampled=resampled.balanced_accuracy,
    ),
    Metric(
        "macro_f1", ("buckets",), "macro F1", "macro F1",
        "the F1 score of each class, averaged, so that small classes count as much as large ones",
        metrics.macro_f1, resampled=resampled.macro_f1,
    ),
    Metric(
        "brier", ("popular",), "Brier score", "Brier",
        "the squared error of the probabilities: 0 is perfect, lower is better",
        metrics.brier, higher_is_better=False, resampled=resampled.mse, scale="error",
    ),
]  # fmt: skip


def metrics_of(kind):
    """The metrics of a target kind, in the order of tables.

    Returns
    -------
    dict of str to Metric
    """
    return {metric.name: metric for metric in METRICS if kind in metric.kinds}


def metric(name):
    """The metric of this name."""
    return next(metric for metric in METRICS if metric.name == name)


def main(kind):
    """The name of the metric that ranks models of a target kind."""
    return KINDS[kind].main


def chance(kind):
    """What guessing reaches in the main metric of a target kind."""
    return metric(main(kind)).chance


def evaluate(kind, y, p, names=()):
    """Measure a prediction in all metrics of its kind.

    Parameters
    ----------
    kind : str
    y : array-like [shape=(n,) or (n, features)]
        Numbers; 0 or 1 for "popular"; the class, 0 for the lowest, for "buckets".
    p : array-like [shape=(n,), (n, classes) or (n, features)]
        Numbers; the probability of 1 for "popular"; that of each class for "buckets".
    names : sequence of str
        Of the features; counted from "0" if not given.

    Returns
    -------
    dict
        A number for each metric; for classes also `confusion` (nested lists, rows are the truth). For "audio_features"
        the means over the features, and in `features` the same for each.

    Raises
    ------
    ValueError
        As `validate`.
    """
    y, p = validate(kind, y, p)

    def measure(y, p):
        return {name: float(entry.value(y, p)) for name, entry in metrics_of(kind).items()}

    if not KINDS[kind].several:
        return measure(y, p) | ({"confusion": metrics.confusion(y, p)} if KINDS[kind].classes else {})
    columns = zip(names or map(str, range(y.shape[1])), y.T, p.T, strict=True)
    features = {name: measure(a, b) for name, a, b in columns}
    means = {
        name: float(np.mean([values[name] for values in features.values()])) for name in metrics_of(kind)
    }
    return {**means, "features": features}


def evaluate_by_fold(kind, y, p, folds, names=()):
    """Measure predictions that come from several models (cross-fitting): the mean over folds of each metric.

    Predictions of different models do not rank together, so each fold is measured by itself. Confusion matrices are
    summed.

    Parameters
    ----------
    kind, y, p, names
        As for `evaluate`.
    folds : array-like [shape=(n,)]
        The fold of each row.

    Returns
    -------
    dict
        As from `evaluate`.
    """
    y, p, folds = np.asarray(y), np.asarray(p), np.asarray(folds)
    values = [evaluate(kind, y[folds == fold], p[folds == fold], names) for fold in np.unique(folds)]
    counts = [fold.pop("confusion") for fold in values if KINDS[kind].classes]
    return average(values) | ({"confusion": np.sum(counts, axis=0).tolist()} if counts else {})


def average(values):
    """The mean of numbers, of tables of counts (rounded), or of dicts of these."""
    first = values[0]
    if isinstance(first, dict):
        return {name: average([fold[name] for fold in values]) for name in first}
    mean = np.mean(values, axis=0)
    return np.rint(mean).astype(int).tolist() if isinstance(first, list) else float(mean)


def validate(kind, y, p):
    """Check that truth and prediction can be compared.

    Returns
    -------
    y, p : np.ndarray [dtype=float64]
        Of the shapes that `evaluate` names.

    Raises
    ------
    ValueError
        If shapes do not fit, rows are fewer than 2, a value is not finite, a class none of the classes or a score no
        probability.
    """
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    axes = (KINDS[kind].y_axes, KINDS[kind].p_axes)
    if (y.ndim, p.ndim) != axes or len(y) != len(p) or (y.ndim == p.ndim and y.shape != p.shape):
        expected = {(1, 1): "one-dimensional and equally long", (1, 2): "(n,) and (n, classes)"}
        raise ValueError(
            f"truth and prediction must be {expected.get(axes, 'both (n, features)')}: {y.shape}, {p.shape}"
        )
    if len(y) < 2:
        raise ValueError(f"metrics need at least 2 rows, not {len(y)}")
    if not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise ValueError("truth and prediction must be finite")
    if KINDS[kind].classes:
        n_classes = p.shape[1] if p.ndim == 2 else 2
        if not np.isin(y, np.arange(n_classes)).all():
            raise ValueError(f"the truth must be {' or '.join(map(str, range(n_classes)))}")
        if p.min() < 0 or p.max() > 1 + 1e-6:
            raise ValueError("scores must be probabilities, 0 to 1")
    return y, p
