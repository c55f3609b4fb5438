"""Metrics on many bootstrap draws at once.

Each function takes truth `y` and prediction `p` (n, ...) and returns a function of weights `w` (draws, n), how often a
row counts in a draw, which gives (draws,). With whole numbers as weights it equals its namesake in
`hitsong.evaluation.metrics` on rows repeated so many times, conventions included; a test compares the two.
`benchmarks/RESULTS.md` has what it saves.
"""

import numpy as np

from hitsong.evaluation.metrics import answers, gains, places


def mse(y, p):
    return _mean_of((y - p) ** 2)


def rmse(y, p):
    return lambda w: np.sqrt(mse(y, p)(w))


def mae(y, p):
    return _mean_of(np.abs(y - p))


def accuracy(y, p):
    return _mean_of((answers(p) == y).astype(float))


def r2(y, p):
    y, p = y - y.mean(), p - y.mean()  # against cancellation
    sums = np.column_stack([y, y**2, (y - p) ** 2])

    def measure(w):
        mean, square, error = (w @ sums / w.sum(axis=1, keepdims=True)).T
        variance = square - mean**2
        # A draw of equal targets: 1 for no error, else 0, as scikit-learn has it.
        variance = np.where(variance > 1e-12 * y.var(), variance, 0)
        return 1 - _ratio(error, variance, (error > 0).astype(float))

    return measure


def pearson(y, p):
    y, p = y - y.mean(), p - p.mean()  # against cancellation
    sums = np.column_stack([y, p, y * p, y**2, p**2])

    def measure(w):
        y_mean, p_mean, product, y_square, p_square = (w @ sums / w.sum(axis=1, keepdims=True)).T
        variances = [
            np.where(square - mean**2 > 1e-12 * values.var(), square - mean**2, 0)
            for square, mean, values in ((y_square, y_mean, y), (p_square, p_mean, p))
        ]
        return _ratio(product - y_mean * p_mean, np.sqrt(variances[0] * variances[1]), 0.0)

    return measure


def spearman(y, p):
    if np.ptp(y) == 0 or np.ptp(p) == 0:
        return lambda w: np.zeros(len(w))
    rows = np.argsort(p, kind="stable")  # memory is read in this order
    y_runs, p_runs = _Runs(y[rows]), _Runs(p[rows])

    def measure(w):
        # Pearson's correlation of the mid-ranks, whose mean is always (N + 1) / 2.
        w = w.take(rows, axis=1)
        middle = (w.sum(axis=1, keepdims=True) + 1) / 2
        a, b = y_runs.midranks(w) - middle, p_runs.midranks(w) - middle
        wa, wb = w * a, w * b
        covariance, a_square, b_square = (
            np.einsum("dn,dn->d", *factors) for factors in ((wa, b), (wa, a), (wb, b))
        )
        return _ratio(covariance, np.sqrt(a_square * b_square), 0.0)

    return measure


def ndcg(y, p):
    gained = gains(y)
    dcg, best = _dcg(gained, p), _dcg(gained, gained)
    return lambda w: _ratio(dcg(w), best(w), 0.0)


def roc_auc(y, p):
    runs = _Runs(p)

    def measure(w):
        # Mann and Whitney: the popular tracks' ranks, less the ranks they have among themselves.
        popular = w @ y
        wins = (w * runs.midranks(w)) @ y - popular * (popular + 1) / 2
        return _ratio(wins, popular * (w.sum(axis=1) - popular), 0.5)

    return measure


def pr_auc(y, p):
    runs = _Runs(-p)

    def measure(w):
        hits = runs.totals(w * y)  # (draws, runs), best scores first
        hits_so_far, rows_so_far = hits.cumsum(axis=1), runs.totals(w).cumsum(axis=1)
        precision = _ratio(hits_so_far, rows_so_far, 0.0)
        return _ratio((hits * precision).sum(axis=1), hits_so_far[:, -1], 0.0)

    return measure


def balanced_accuracy(y, p):
    right = answers(p) == y
    sums = np.column_stack([1 - y, y, right * (1 - y), right * y])

    def measure(w):
        sizes, hits = (w @ sums).T.reshape(2, 2, -1)
        return _ratio(hits, sizes, 0.0).sum(axis=0) / (sizes > 0).sum(axis=0)

    return measure


def macro_f1(y, p):
    confusion = _confusion(y, p)

    def measure(w):
        table = confusion(w)
        occurring = table.sum(axis=0) + table.sum(axis=1)  # in truth and in answers: (classes, draws)
        f1 = _ratio(2 * np.einsum("ccd->cd", table), occurring, 0.0)
        return f1.sum(axis=0) / (occurring > 0).sum(axis=0)

    return measure


def quadratic_kappa(y, p):
    confusion, classes = _confusion(y, p), np.arange(p.shape[1])
    distance = (classes[:, None] - classes) ** 2

    def measure(w):
        table = confusion(w)
        observed = np.einsum("ij,ijd->d", distance, table)
        by_chance = np.einsum("ij,id,jd->d", distance, table.sum(axis=1), table.sum(axis=0)) / w.sum(axis=1)
        return np.where(by_chance > 0, 1 - _ratio(observed, by_chance, 1.0), 0.0)

    return measure


def _mean_of(values):
    return lambda w: w @ values / w.sum(axis=1)


def _ratio(above, below, otherwise):
    """Divide, with the convention's value where there is nothing to divide by."""
    defined = below > 0
    return np.where(defined, above / np.where(defined, below, 1), otherwise)


class _Runs:
    """Runs of equal values in ascending order."""

    def __init__(self, values):
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        first = np.r_[True, ordered[1:] != ordered[:-1]]
        self.starts = np.flatnonzero(first)
        self._of_row = np.empty(len(values), int)
        self._of_row[self.order] = np.cumsum(first) - 1

    def totals(self, w):
        """Weights (draws, n) summed over each run: (draws, runs)."""
        w = w.take(self.order, axis=1)
        return w if len(self.starts) == w.shape[1] else np.add.reduceat(w, self.starts, axis=1)

    def midranks(self, w):
        """Mean rank of each row among the repeated rows, ties sharing it: (draws, n)."""
        size = self.totals(w)
        return (size.cumsum(axis=1) - (size - 1) / 2).take(self._of_row, axis=1)


def _dcg(gained, p):
    """Discounted gain of the top, rows of equal prediction sharing their places (McSherry & Najork, 2008)."""
    runs = _Runs(-p)
    ends = np.r_[runs.starts[1:], len(p)]

    def measure(w):
        top_places = places(w.sum(axis=1).astype(int))  # a draw has more or fewer tracks than there are
        discounts = np.concatenate([[0], 1 / np.log2(np.arange(top_places.max()) + 2)]).cumsum()
        rows, count = runs.order, min(100 + 5 * places(len(p)) // 4, len(p))
        # Only as many of the highest predictions as fill the places in every draw.
        while count < len(p) and (w.take(rows[:count], axis=1).sum(axis=1) < top_places).any():
            count = min(4 * count, len(p))
        last = np.searchsorted(ends, count)
        count, starts = ends[last], runs.starts[: last + 1]
        top = w.take(rows[:count], axis=1)
        size = np.add.reduceat(top, starts, axis=1)
        mean_gain = _ratio(np.add.reduceat(gained[rows[:count]] * top, starts, axis=1), size, 0.0)
        discount = discounts[np.minimum(size.cumsum(axis=1), top_places[:, None]).astype(int)]
        return (mean_gain * np.diff(discount, axis=1, prepend=0)).sum(axis=1)

    return measure


def _confusion(y, p):
    """Weighted counts of (truth, answer), as a function of weights: (classes, classes, draws)."""
    n_classes = p.shape[1]
    cells = np.eye(n_classes**2)[(y * n_classes + answers(p)).astype(int)]
    return lambda w: (w @ cells).T.reshape(n_classes, n_classes, -1)
