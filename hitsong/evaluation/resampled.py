"""Metrics on many bootstrap draws at once.

Each function takes truth `y` and prediction `p` (n, ...) and weights `w` (n, draws), how often a row counts in a draw,
and returns (draws,). With whole numbers as weights it equals its namesake in `hitsong.evaluation.metrics` on rows
repeated so many times, conventions included; a test compares the two. `benchmarks/RESULTS.md` has what it saves.
"""

import numpy as np

from hitsong.evaluation.metrics import TOP, answers, gains


def _mean(values, w):
    return values @ w / w.sum(axis=0)


def _ratio(above, below, otherwise):
    """Divide, with the convention's value where there is nothing to divide by."""
    defined = below > 0
    return np.where(defined, above / np.where(defined, below, 1), otherwise)


def mse(y, p, w):
    return _mean((y - p) ** 2, w)


def rmse(y, p, w):
    return np.sqrt(mse(y, p, w))


def mae(y, p, w):
    return _mean(np.abs(y - p), w)


def r2(y, p, w):
    y, p = y - y.mean(), p - y.mean()  # against cancellation
    variance = _mean(y**2, w) - _mean(y, w) ** 2
    error = mse(y, p, w)
    # A draw of equal targets: 1 for no error, else 0, as scikit-learn has it.
    variance = np.where(variance > 1e-12 * y.var(), variance, 0)
    return 1 - _ratio(error, variance, (error > 0).astype(float))


def spearman(y, p, w):
    # Pearson's correlation of the mid-ranks, whose mean is always (N + 1) / 2.
    middle = (w.sum(axis=0) + 1) / 2
    a, b = _midranks(y, w) - middle, _midranks(p, w) - middle
    covariance = np.einsum("nd,nd,nd->d", w, a, b)
    variances = np.einsum("nd,nd,nd->d", w, a, a) * np.einsum("nd,nd,nd->d", w, b, b)
    return _ratio(covariance, np.sqrt(variances), 0.0)


def ndcg(y, p, w):
    gained = gains(y)
    return _ratio(_dcg(gained, p, w), _dcg(gained, gained, w), 0.0)


def roc_auc(y, p, w):
    # Mann and Whitney: the popular tracks' ranks, less the ranks they have among themselves.
    popular = y @ w
    wins = np.einsum("n,nd,nd->d", y, w, _midranks(p, w)) - popular * (popular + 1) / 2
    return _ratio(wins, popular * (w.sum(axis=0) - popular), 0.5)


def pr_auc(y, p, w):
    runs = _Runs(-p)
    hits = runs.total(y[:, None] * w)  # (runs, draws), best scores first
    hits_so_far, rows_so_far = hits.cumsum(axis=0), runs.total(w).cumsum(axis=0)
    precision = _ratio(hits_so_far, rows_so_far, 0.0)
    return _ratio((hits * precision).sum(axis=0), hits_so_far[-1], 0.0)


def accuracy(y, p, w):
    return _mean(answers(p) == y, w)


def balanced_accuracy(y, p, w):
    right = answers(p) == y
    sizes = np.array([(1 - y) @ w, y @ w])
    recalls = _ratio(np.array([(right * (1 - y)) @ w, (right * y) @ w]), sizes, 0.0)
    return recalls.sum(axis=0) / (sizes > 0).sum(axis=0)


class _Runs:
    """Runs of equal values in ascending order; `of_row` is the run of each row."""

    def __init__(self, values):
        _, self.of_row, size = np.unique(values, return_inverse=True, return_counts=True)
        self._order = np.argsort(self.of_row, kind="stable")
        self._starts = np.cumsum(size) - size

    def total(self, w):
        """Sum weights (n, draws) over each run: (runs, draws)."""
        return np.add.reduceat(w[self._order], self._starts, axis=0)


def _midranks(values, w):
    """Mean rank of each row among the repeated rows, ties sharing it: (n, draws)."""
    runs = _Runs(values)
    size = runs.total(w)
    return (size.cumsum(axis=0) - (size - 1) / 2)[runs.of_row]


def _dcg(gained, p, w):
    """Discounted gain of the top, rows of equal prediction sharing their places (McSherry & Najork, 2008)."""
    runs = _Runs(-p)
    size = runs.total(w)
    mean_gain = _ratio(runs.total(gained[:, None] * w), size, 0.0)
    discounts = np.concatenate([[0], 1 / np.log2(np.arange(TOP) + 2)]).cumsum()
    places = size.cumsum(axis=0)
    discount = discounts[np.minimum(places, TOP).astype(int)]
    return (mean_gain * np.diff(discount, axis=0, prepend=0)).sum(axis=0)


def _confusion(y, p, w):
    """Weighted counts of (truth, answer): (classes, classes, draws)."""
    n_classes = p.shape[1]
    cell = (y * n_classes + answers(p)).astype(int)
    return (np.eye(n_classes**2)[cell].T @ w).reshape(n_classes, n_classes, -1)


def macro_f1(y, p, w):
    table = _confusion(y, p, w)
    occurring = table.sum(axis=0) + table.sum(axis=1)  # in truth and in answers: (classes, draws)
    f1 = _ratio(2 * np.einsum("ccd->cd", table), occurring, 0.0)
    return f1.sum(axis=0) / (occurring > 0).sum(axis=0)


def quadratic_kappa(y, p, w):
    table = _confusion(y, p, w)
    classes = np.arange(len(table))
    distance = (classes[:, None] - classes) ** 2
    observed = np.einsum("ij,ijd->d", distance, table)
    by_chance = np.einsum("ij,id,jd->d", distance, table.sum(axis=1), table.sum(axis=0)) / w.sum(axis=0)
    return np.where(by_chance > 0, 1 - _ratio(observed, by_chance, 1.0), 0.0)


def pearson(y, p, w):
    y, p = y - y.mean(), p - p.mean()  # against cancellation
    y_mean, p_mean = _mean(y, w), _mean(p, w)
    covariance = _mean(y * p, w) - y_mean * p_mean

    def variance(values, mean):
        result = _mean(values**2, w) - mean**2
        return np.where(result > 1e-12 * values.var(), result, 0)

    return _ratio(covariance, np.sqrt(variance(y, y_mean) * variance(p, p_mean)), 0.0)
