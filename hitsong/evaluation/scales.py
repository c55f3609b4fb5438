"""The scales on which intervals of metrics are computed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit


@dataclass(frozen=True)
class Scale:
    """A scale on which the spread of a metric hardly depends on its value.

    Attributes
    ----------
    stretch, restore : callable
        From values of the metric to the scale, and back.
    tails : float
        By what the degrees of freedom of an interval are divided: above 1 for squared errors, of which a few groups
        make up most.
    """

    stretch: Callable
    restore: Callable
    tails: float = 1.0


def _log(value):
    with np.errstate(divide="ignore", invalid="ignore"):  # draws of seeds that differ much can lie below 0
        return np.log(value)


_END = 1e-4  # how near the ends of its range a metric is told apart

SCALES = {
    "correlation": Scale(lambda value: np.arctanh(np.clip(value, _END - 1, 1 - _END)), np.tanh),
    "share": Scale(lambda value: logit(np.clip(value, _END, 1 - _END)), expit),
    "error": Scale(_log, np.exp, tails=1.5),
    "skill": Scale(lambda value: -np.log(np.maximum(1 - value, _END)), lambda value: 1 - np.exp(-value)),
}
