"""How sure one can be of a metric: bootstrap intervals over groups of artists.

Whole groups are drawn with replacement, since tracks of one artist are not independent (Field & Welsh,
2007, "Bootstrapping clustered data"). A draw is a vector of weights, how often each group was drawn, and
`hitsong.evaluation.resampled` measures many such vectors at once.

An interval is the metric plus and minus t standard errors. The standard error is the spread of the middle 68 % of the
draws, which the few draws of a single class do not inflate, and t has as many degrees of freedom as there are groups of
equal size that would tell as much, less one (Kish, 1965, "Survey Sampling": n_eff = (sum n)^2 / sum n^2). Both are
computed on a scale on which the metric's spread hardly depends on its value (`scales.SCALES`: Fisher's z for
correlations, the logarithm for errors), so that an interval is as skewed as it must be and stays within the metric's
range. `benchmarks/intervals.py` measures how often intervals contain the truth.
"""

from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from scipy import stats
from threadpoolctl import threadpool_limits

from hitsong.evaluation.kinds import KINDS, metric, metrics_of, validate
from hitsong.evaluation.scales import SCALES

FEW_GROUPS = 10  # of equal size, below which intervals are wide because of their number
FEWEST_GROUPS = 4  # of equal size, below which no interval has been shown to hold
_MIDDLE = stats.norm.cdf([-1, 1])
_CELLS = 1_000_000  # rows x draws computed at a time in a thread: bounds its memory to some tens of megabytes


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
        The metrics to measure, if not all.
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
    return Resampling(groups, draws, seed).measure(kind, y, [p], only, folds).intervals(names, level)


def paired(kind, y, p_a, p_b, groups, draws, seed, level=0.95, only=None, folds=None):
    """Bootstrap the difference between two predictions, a minus b, on the same draws.

    Parameters
    ----------
    kind, y, groups, draws, seed, level, only, folds
        As for `intervals`; without `only` the metrics of `kinds.KINDS[kind].compared`.
    p_a, p_b : array-like, or list of them
        As `p` there; of a list of repetitions (seeds) the metrics are averaged.

    Returns
    -------
    dict
        For each metric a dict `difference`, `low`, `high`. An interval without 0 is a difference that the choice of
        artists does not explain.
    """
    resampling, only = Resampling(groups, draws, seed), only or KINDS[kind].compared
    a, b = (resampling.measure(kind, y, p if isinstance(p, list) else [p], only, folds) for p in (p_a, p_b))
    return a.minus(b, only, level)


def resampled_metrics(kind, only=None):
    """The metrics of a kind that have an interval, as functions of many draws at once.

    Returns
    -------
    dict of str to callable
        From truth and prediction to a function of weights (draws, n), which gives (draws,), or (draws, features) for
        "audio_features".
    """
    columns = _by_column if KINDS[kind].several else lambda function: function
    return {
        name: columns(metric.resampled or _draw_by_draw(metric.value))
        for name, metric in metrics_of(kind).items()
        if metric.interval and (only is None or name in only)
    }


def _by_column(prepare):
    """The function for each column of truth and prediction: (draws, columns)."""

    def prepare_columns(y, p):
        functions = [prepare(a, b) for a, b in zip(y.T, p.T, strict=True)]
        return lambda w: np.column_stack([function(w) for function in functions])

    return prepare_columns


def _draw_by_draw(value):
    """A metric on many draws, by repeating the rows of each."""

    def measure(y, p, w):
        rows = [np.repeat(np.arange(len(y)), times) for times in w.astype(int)]
        return np.array([value(y[draw], p[draw]) for draw in rows])

    return lambda y, p: lambda w: measure(y, p, w)


def equal_groups(groups):
    """How many groups of equal size would tell as much as these (Kish's effective number).

    Parameters
    ----------
    groups : array-like [shape=(n,)]
        Group of each row.

    Returns
    -------
    float
    """
    sizes = np.unique(np.asarray(groups), return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def remark_on_groups(groups):
    """What intervals over these groups cannot say, in lines for a reader; empty where groups are enough.

    Parameters
    ----------
    groups : array-like [shape=(n,)]
        Group of each row.

    Returns
    -------
    list of str
    """
    count, equal = len(np.unique(np.asarray(groups))), equal_groups(groups)
    size = f"{count} groups of artists, which tell as much as {equal:.1f} of equal size"
    if equal < FEWEST_GROUPS:
        return [f"the intervals come from {size}: too few for any interval, so do not rely on them"]
    if equal < FEW_GROUPS:
        return [f"the intervals come from {size}: most of their width is due to that"]
    return []


class Resampling:
    """Bootstrap draws of groups, the same for everything that is measured with them.

    Parameters
    ----------
    groups : array-like [shape=(n,)]
        Group of each row; at least 2 different ones.
    draws, seed : int

    Attributes
    ----------
    groups : int
        Different ones.
    equal_groups : float
    """

    def __init__(self, groups, draws, seed):
        names, self._group = np.unique(np.asarray(groups), return_inverse=True)
        self.groups, self.draws, self.seed = len(names), draws, seed
        self.equal_groups = equal_groups(self._group)
        if self.groups < 2:
            raise ValueError("a bootstrap over groups needs at least 2 of them")
        self._at_once = max(1, _CELLS // len(self._group))

    @threadpool_limits.wrap(limits=1, user_api="blas")  # products of a few draws: threads would only wait
    def measure(self, kind, y, predictions, only=None, folds=None):
        """Measure predictions on all rows and on every draw.

        Parameters
        ----------
        kind, y, only, folds
            As for `intervals`.
        predictions : list of array-like
            One, or repetitions of it (seeds): metrics are averaged over them.

        Returns
        -------
        Measured
        """
        checked = [validate(kind, y, p) for p in predictions]
        y = checked[0][0]
        if len(y) != len(self._group):
            raise ValueError(f"{len(self._group)} groups for {len(y)} rows: they must be equally long")
        folds = np.zeros(len(y)) if folds is None else np.asarray(folds)
        parts = [folds == fold for fold in np.unique(folds)]
        functions = {
            name: [[prepare(y[rows], p[rows]) for rows in parts] for _, p in checked]
            for name, prepare in resampled_metrics(kind, only).items()
        }
        return Measured(
            kind, self,
            *(self._values(functions, parts, batches) for batches in (self._whole(), self._draws())),
        )  # fmt: skip

    def _whole(self):
        return [np.ones((1, self.groups))]

    def _draws(self):
        rng, even = np.random.default_rng(self.seed), np.full(self.groups, 1 / self.groups)
        for start in range(0, self.draws, self._at_once):
            yield rng.multinomial(self.groups, even, size=min(self._at_once, self.draws - start))

    def _values(self, functions, parts, batches):
        """Metrics by name: (draws, repetitions, ...)."""

        def measure(times):  # how often each group counts: (draws, groups)
            w = np.asarray(times, dtype=float).take(self._group, axis=1)
            if len(parts) == 1:
                weights, present = [w], np.ones((1, len(w)))
            else:
                weights = [w[:, rows] for rows in parts]
                present = np.array([of_fold.any(axis=1) for of_fold in weights])  # a draw may miss a fold
                for of_fold, there in zip(weights, present, strict=True):
                    of_fold[~there] = 1
            return {
                name: np.stack([_mean_of_folds(by_fold, weights, present) for by_fold in repetitions], axis=1)
                for name, repetitions in functions.items()
            }

        threads = 1 if self.draws <= self._at_once else -1  # of one batch; else of all cores
        results = Parallel(threads, backend="threading")(delayed(measure)(times) for times in batches)
        return {name: np.concatenate([values[name] for values in results]) for name in functions}


def _mean_of_folds(functions, weights, present):
    total = 0
    for function, w, there in zip(functions, weights, present, strict=True):
        total = total + (function(w).T * there).T
    return (total.T / present.sum(axis=0)).T


@dataclass(frozen=True)
class Measured:
    """Metrics of a prediction on all rows and on bootstrap draws.

    Attributes
    ----------
    kind : str
    resampling : Resampling
    whole, of_draws : dict of str to np.ndarray [shape=(draws, repetitions, ...)]
        By metric.
    """

    kind: str
    resampling: Resampling
    whole: dict
    of_draws: dict

    def intervals(self, names=(), level=0.95):
        """(low, high) per metric, and `features` for "audio_features"; see `bootstrap.intervals`."""
        if not KINDS[self.kind].several:
            return {name: self._interval(name, level) for name in self.whole}
        count = next(iter(self.whole.values())).shape[-1]
        names = names or [str(column) for column in range(count)]
        return {
            **{name: self._interval(name, level) for name in self.whole},
            "features": {
                feature: {name: self._interval(name, level, column) for name in self.whole}
                for column, feature in enumerate(names)
            },
        }

    def standard_error(self, name):
        """The standard error of a metric over groups, and over repetitions."""
        of_draws = self._sampled(name)[1]
        return float(of_draws.std(ddof=1) * np.sqrt(self.resampling.groups / (self.resampling.groups - 1)))

    def minus(self, other, only, level=0.95):
        """Paired differences to another prediction, measured with the same draws; see `bootstrap.paired`."""
        differences = {}
        for name in only:
            whole, of_draws = (a - b for a, b in zip(self._sampled(name), other._sampled(name), strict=True))
            half = self._half_width(name, of_draws, level)
            differences[name] = {
                "difference": float(whole), "low": float(whole - half), "high": float(whole + half),
            }  # fmt: skip
        return differences

    def _interval(self, name, level, column=None):
        scale = SCALES[metric(name).scale]
        value, of_draws = self._sampled(name, column)
        stretched = scale.stretch(of_draws)
        if np.isfinite(stretched).all():
            middle, half = scale.stretch(value), self._half_width(name, stretched, level)
            low, high = (float(scale.restore(end)) for end in (middle - half, middle + half))
        else:  # some draws have no error, or one below 0: on the metric's own scale, which begins at 0
            half = self._half_width(name, of_draws, level)
            low, high = max(0.0, float(value - half)), float(value + half)
        return min(low, float(value)), max(high, float(value))  # scales end just before 1

    def _half_width(self, name, of_draws, level):
        """Half the width of an interval, from the draws on the metric's scale."""
        resampling = self.resampling
        spread = np.ptp(np.quantile(of_draws, _MIDDLE)) / 2
        # Groups that are drawn vary less than groups that are collected anew.
        spread *= np.sqrt(resampling.groups / (resampling.groups - 1))
        freedom = (resampling.equal_groups - 1) / SCALES[metric(name).scale].tails
        return stats.t.ppf((1 + level) / 2, max(1, freedom)) * spread

    def _sampled(self, name, column=None):
        """The metric, averaged over features and repetitions: of all rows, and of each draw.

        Repetitions are drawn anew with the groups. A mean over few of them varies less than it should when they are
        drawn with replacement, by the factor (count - 1) / count, which is made good.
        """
        parts = []
        for values in (self.whole[name], self.of_draws[name]):
            values = values[..., column] if column is not None else values
            parts.append(values.reshape(*values.shape[:2], -1).mean(axis=2))
        whole, of_draws = parts
        mean, count = of_draws.mean(axis=1), of_draws.shape[1]
        if count > 1:
            rng = np.random.default_rng([self.resampling.seed, 2])
            chosen = np.take_along_axis(of_draws, rng.integers(count, size=of_draws.shape), axis=1).mean(
                axis=1
            )
            mean = mean + np.sqrt(count / (count - 1)) * (chosen - mean)
        return whole[0].mean(), mean
