"""How sure one can be of a metric: bootstrap intervals over groups of artists.

Whole groups are drawn with replacement, since tracks of one artist are not independent (Field & Welsh,
2007, "Bootstrapping clustered data"). A draw is a vector of weights, how often each group was drawn, and
`hitsong.evaluation.resampled` measures many such vectors at once.

Intervals are the bias-corrected and accelerated ones (BCa: Efron, 1987, "Better bootstrap confidence
intervals"; the acceleration by a jackknife over blocks of groups), since errors are skewed, and widened as
Hesterberg (2015, "What teachers should know about the bootstrap") advises, since few groups vary less
when drawn than they would when collected anew. Simulated (1,000 times, three tracks an artist, half of what
varies shared by them), a nominal 95 % covers the truth in 94 to 97 % of cases at 60 groups and in 94 to 96 % at
200, for every kind of target; at 20 groups in 94 to 97 %, but for squared errors in 90 %.
"""

import numpy as np
from scipy import stats

from hitsong.evaluation.kinds import KINDS, evaluate, metrics_of, validate

_BLOCKS = 100  # of the jackknife
_CELLS = 1_000_000  # rows x draws computed at a time: bounds memory to some tens of megabytes


def intervals(kind, y, p, groups, draws, seed, level=0.95, names=(), only=None, folds=None):
    """Bootstrap an interval for each metric by drawing whole groups.

    Parameters
    ----------
    kind : str
        Target kind.
    y, p : array-like
        Truth and prediction, as for `kinds.evaluate`.
    groups : array-like [shape=(n,)]
        Group of each row; at least 2 different ones.
    draws : int
        Bootstrap draws.
    seed : int
    level : float
        Coverage, 0.95 for a 95 % interval.
    names : sequence of str
        Of the columns, for "audio_features".
    only : sequence of str, optional
        The metrics wanted, if not all.
    folds : array-like [shape=(n,)], optional
        The fold of each row, if predictions come from several models (cross-validation): the metric is then
        the mean over folds, since predictions of different models do not rank together.

    Returns
    -------
    dict
        (low, high) per metric; the metrics of `kind` that have an interval. For "audio_features" also
        `features`: the same for each of them.

    Raises
    ------
    ValueError
        As `kinds.validate`, or if there is only one group.
    """
    y, p = validate(kind, y, p)
    forms = resampled_metrics(kind, only)
    drawn = _Draws(forms, y, [p], groups, draws, seed, folds)
    if not KINDS[kind].several:
        return {name: drawn.interval(name, lambda values: values[:, 0], level) for name in forms}
    names = names or [str(column) for column in range(y.shape[1])]

    def of_column(column):
        return {name: drawn.interval(name, lambda v: v[:, 0, column], level) for name in forms}

    return {
        **{name: drawn.interval(name, lambda v: v[:, 0].mean(axis=1), level) for name in forms},
        "features": {feature: of_column(column) for column, feature in enumerate(names)},
    }


def paired(kind, y, p_a, p_b, groups, draws, seed, level=0.95):
    """Bootstrap the difference between two predictions, a minus b, on the same draws.

    Parameters
    ----------
    kind, y, groups, draws, seed, level
        As for `intervals`.
    p_a, p_b : array-like, or list of them
        As `p` there; of a list of repetitions (seeds) the metrics are averaged.

    Returns
    -------
    dict
        For each metric of `kinds.KINDS[kind].compared` a dict `difference`, `low`, `high`. An interval without 0
        is a difference that the choice of artists does not explain.
    """
    ours, others = (p if isinstance(p, list) else [p] for p in (p_a, p_b))
    checked = [validate(kind, y, p) for p in (*ours, *others)]
    y, predictions = checked[0][0], [p for _, p in checked]
    forms = resampled_metrics(kind, KINDS[kind].compared)
    drawn = _Draws(forms, y, predictions, groups, draws, seed)
    values = [evaluate(kind, y, p) for p in predictions]
    first = len(ours)

    def difference(values):
        apart = values[:, :first].mean(axis=1) - values[:, first:].mean(axis=1)
        return apart.reshape(len(apart), -1).mean(axis=1)

    result = {}
    for name in forms:
        low, high = drawn.interval(name, difference, level)
        a, b = (np.mean([one[name] for one in part]) for part in (values[:first], values[first:]))
        result[name] = {"difference": float(a - b), "low": low, "high": high}
    return result


def resampled_metrics(kind, only=None):
    """The metrics of a kind that have an interval, as functions of many draws at once.

    Returns
    -------
    dict of str to callable
        From truth, prediction and weights (n, draws) to (draws,), or (draws, features) for "audio_features".
    """
    columns = _by_column if KINDS[kind].several else lambda function: function
    return {
        name: columns(metric.resampled or _draw_by_draw(metric.value))
        for name, metric in metrics_of(kind).items()
        if metric.interval and (only is None or name in only)
    }


def _by_column(function):
    """The function for each column of truth and prediction: (draws, columns)."""
    return lambda y, p, w: np.column_stack([function(a, b, w) for a, b in zip(y.T, p.T, strict=True)])


def _draw_by_draw(value):
    """A metric on many draws, by repeating the rows of each."""

    def measure(y, p, w):
        rows = [np.repeat(np.arange(len(y)), times) for times in w.T.astype(int)]
        return np.array([value(y[drawn], p[drawn]) for drawn in rows])

    return measure


class _Draws:
    """Metrics on bootstrap draws, on all rows, and with a block of groups left out at a time.

    Each is an array (draws, len(predictions), ...) per metric; `interval` takes a function that reduces it
    to (draws,).
    """

    def __init__(self, forms, y, predictions, groups, draws, seed, folds=None):
        groups = np.asarray(groups)
        if groups.shape != y.shape[:1]:
            raise ValueError(f"{len(groups)} groups for {len(y)} rows: they must be equally long")
        names, self._group = np.unique(groups, return_inverse=True)
        self._count = len(names)
        if self._count < 2:
            raise ValueError("a bootstrap over groups needs at least 2 of them")
        self._forms, self._y, self._predictions = forms, y, predictions
        folds = np.zeros(len(y)) if folds is None else np.asarray(folds)
        self._folds = [folds == fold for fold in np.unique(folds)]
        rng = np.random.default_rng(seed)
        at_once = max(1, _CELLS // len(y))
        even = np.full(self._count, 1 / self._count)
        self._drawn = self._measured(
            rng.multinomial(self._count, even, size=min(at_once, draws - start))
            for start in range(0, draws, at_once)
        )
        self._all = self._measured([np.ones((1, self._count))])
        block = rng.permutation(self._count) % min(_BLOCKS, self._count)
        left_out = block != np.arange(block.max() + 1)[:, None]
        self._left_out = self._measured(np.array_split(left_out, -(-len(left_out) // at_once)))

    def _measured(self, batches):
        parts = {name: [] for name in self._forms}
        for times in batches:  # how often each group counts: (size, groups)
            w = np.asarray(times, dtype=float).T[self._group]  # (n, size)
            drawn = np.array([w[rows].any(axis=0) for rows in self._folds])  # a fold may be missed
            for name, form in self._forms.items():
                values = [self._mean_of_folds(form, p, w, drawn) for p in self._predictions]
                parts[name].append(np.stack(values, axis=1))
        return {name: np.concatenate(values) for name, values in parts.items()}

    def _mean_of_folds(self, form, p, w, drawn):
        total = 0
        for rows, there in zip(self._folds, drawn, strict=True):
            values = form(self._y[rows], p[rows], np.where(there, w[rows], 1))
            total = total + (values.T * there).T
        return (total.T / drawn.sum(axis=0)).T

    def interval(self, name, reduced, level):
        """The BCa interval of a metric."""
        drawn, left_out = reduced(self._drawn[name]), reduced(self._left_out[name])
        (estimate,) = reduced(self._all[name])
        below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
        # Half a draw from the ends at most, where the metric is at an end of its range.
        bias = stats.norm.ppf(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
        pull = left_out.mean() - left_out
        spread = (pull**2).sum() ** 1.5
        acceleration = (pull**3).sum() / (6 * spread) if spread > 0 else 0.0
        t = stats.t.ppf((1 + level) / 2, self._count - 1) * np.sqrt(self._count / (self._count - 1))
        z = bias + np.array([-t, t])
        places = stats.norm.cdf(bias + z / np.maximum(1 - acceleration * z, 0.1))
        low, high = np.quantile(drawn, places)
        return float(low), float(high)
