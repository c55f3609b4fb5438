"""Heads: from a trunk's scores to named predictions of a target, and the loss that trains them.

A head is made from the targets of the training rows, on which its mean, scale or thresholds are fitted; they are saved
with the model. Predictions and losses are float32, also where a network computes in lower precision.

==============  =======================  ======================================================
kind of target  its own loss             others
==============  =======================  ======================================================
popularity      squared error            huber, ranking
growth          squared error            huber, ranking
popular         binary cross-entropy     ranking
buckets         cross-entropy            ordinal
audio_features  squared error            huber
==============  =======================  ======================================================
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hitsong.backend import keras
from hitsong.errors import UserError
from hitsong.models.losses import CrossEntropy, CumulativeLink, Huber, Ranking

LOSSES = {
    "popularity": ("huber", "ranking"),
    "growth": ("huber", "ranking"),
    "popular": ("ranking",),
    "buckets": ("ordinal",),
    "audio_features": ("huber",),
}


@dataclass(frozen=True)
class Head:
    """The part of a model after its trunk.

    Attributes
    ----------
    n_scores : int
        Scores that the trunk computes for each clip.
    outputs : callable
        Turns the scores, shape (batch, n_scores), into a dict of named outputs.
    losses : dict of str to str or keras.losses.Loss
        The loss of each output, by its name.
    weights : dict of str to float
        Of each loss in the sum that is minimised; 1 if not given.
    zero : float, optional
        The score that stands for a number of 0; None for other targets.
    """

    n_scores: int
    outputs: Callable
    losses: dict
    weights: dict = field(default_factory=dict)
    zero: float | None = None


def make_head(target, y, loss=None, bounded=False):
    """The head of a target.

    Parameters
    ----------
    target : dict
        As `hitsong.data.targets.Target.description` gives it: its `kind`, and the `names` of its outputs.
    y : np.ndarray [shape=(n,) or (n, k)]
        The encoded target of the training tracks.
    loss : str, optional
        "huber", "ranking" or "ordinal", where it suits the target; if not given, the target's own.
    bounded : bool
        Audio features that lie between 0 and 1 are predicted through a sigmoid (study 4); no effect otherwise.

    Raises
    ------
    UserError
        If the loss does not suit the target.
    """
    kind = target["kind"]
    if loss not in (None, *LOSSES[kind]):
        raise UserError(
            f"loss {loss!r} does not suit the target {kind}; what does is {' or '.join(LOSSES[kind])}, "
            "or no loss given, for the target's own (see hitsong/models/heads.py)"
        )
    options = {"bounded": bounded} if kind == "audio_features" else {}
    return HEADS[kind](np.asarray(y), target.get("names", (kind,)), loss, **options)


def popularity(y, names=("popularity",), loss=None):
    """Regression to popularity, or its growth, by squared error (study 1), Huber's loss, or with ranking.

    The score is the standardised target; the model's last layer scales it with the mean and standard deviation of the
    training rows. Huber's loss is linear beyond one deviation.
    """
    mean, scale = _moments(y)
    name = names[0]
    layer = _linear(name, mean, scale)
    losses = {
        None: "mean_squared_error",
        "huber": Huber(scale or 1.0),
        "ranking": Ranking("mean_squared_error", scale or 1.0),
    }
    zero = -mean / scale if scale else None
    return Head(1, lambda scores: {name: layer(scores)}, {name: losses[loss]}, zero=zero)


def popular(y, names=("popular",), loss=None):
    """The probability of being popular, by binary cross-entropy (study 2), alone or with ranking."""
    if not np.isin(y, (0, 1)).all():
        raise ValueError("targets of the head 'popular' are 0 or 1")
    layer = keras.layers.Activation("sigmoid", dtype="float32", name="popular")
    losses = {
        None: "binary_crossentropy",
        "ranking": Ranking("binary_crossentropy", float(np.std(y)) or 1.0),
    }
    return Head(1, lambda scores: {"popular": layer(scores)}, {"popular": losses[loss]})


def buckets(y, names, loss=None):
    """The probability of each bucket, lowest first: by softmax (study 3), or as an ordinal model.

    The ordinal model has one score and learnt thresholds between classes, with which a score of 0 at first gives the
    shares of the training tracks; it is trained by the same cross-entropy, its negative log-likelihood.
    """
    if not np.isin(y, range(len(names))).all():
        raise ValueError(f"targets of the head 'buckets' are 0 to {len(names) - 1}")
    softmax = keras.layers.Softmax(dtype="float32", name="buckets")
    losses = {"buckets": CrossEntropy()}
    if loss is None:
        return Head(len(names), lambda scores: {"buckets": softmax(scores)}, losses)
    # Thresholds around an empty class must differ, too.
    counts = np.maximum(np.bincount(np.asarray(y, int), minlength=len(names)), 0.5)
    below = np.cumsum(counts)[:-1] / counts.sum()
    link = CumulativeLink(np.log(below / (1 - below)), dtype="float32", name="thresholds")
    return Head(1, lambda scores: {"buckets": softmax(link(scores))}, losses)


def audio_features(y, names, loss=None, bounded=False):
    """Several audio features, each an output of its own name, by squared error or Huber's loss (study 4).

    Errors are measured in standard deviations of their feature, so that tempo does not outweigh danceability; the mean
    of the training rows has a loss of 1. Huber's loss is linear beyond one deviation.
    """
    means, scales = zip(*map(_moments, y.T), strict=True)
    shares = (np.min(y, axis=0) >= 0) & (np.max(y, axis=0) <= 1) & bounded
    links = [
        (_sigmoid if share else _linear)(name, mean, scale)
        for name, mean, scale, share in zip(names, means, scales, shares, strict=True)
    ]

    def outputs(scores):
        return {
            name: link(scores[:, i : i + 1]) for i, (name, link) in enumerate(zip(names, links, strict=True))
        }

    units = {name: scale or 1.0 for name, scale in zip(names, scales, strict=True)}
    if loss == "huber":
        losses = {name: Huber(unit) for name, unit in units.items()}
        weights = dict.fromkeys(names, 1 / len(names))
    else:
        losses = dict.fromkeys(names, "mean_squared_error")
        weights = {name: 1 / (len(names) * unit**2) for name, unit in units.items()}
    return Head(len(names), outputs, losses, weights)


HEADS = {
    "popularity": popularity, "growth": popularity, "popular": popular, "buckets": buckets,
    "audio_features": audio_features,
}  # fmt: skip


def _moments(y):
    """Mean and standard deviation; exactly 0 where all are equal, which rounding would make a tiny number."""
    return float(np.mean(y, dtype=float)), float(np.std(y, dtype=float)) if np.ptp(y) > 0 else 0.0


def _linear(name, mean, scale):
    """From a standardised score to the target's scale."""
    return keras.layers.Rescaling(scale, offset=mean, dtype="float32", name=name)


def _sigmoid(name, mean, scale):
    """From a standardised score to (0, 1): 0 gives the mean, and there a step of 1 is about `scale`."""
    mean = min(max(mean, 1e-3), 1 - 1e-3)  # a feature that is always 0 or 1 has no log-odds
    log_odds = keras.layers.Rescaling(
        scale / (mean * (1 - mean)), offset=float(np.log(mean / (1 - mean))), dtype="float32"
    )
    sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name=name)
    return lambda score: sigmoid(log_odds(score))
