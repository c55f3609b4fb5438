"""Heads: what a trunk's scores stand for, under which name, and the loss that trains them.

A head is made from the training rows' targets, so anything it fits (a mean, a scale) is fitted there
and saved with the model.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hitsong.models.backend import keras


@dataclass(frozen=True)
class Head:
    """What follows a trunk.

    Attributes
    ----------
    n_scores : int
        How many scores the trunk must give for each clip.
    outputs : callable
        Turns the scores, shape (batch, n_scores), into a dict of named outputs.
    losses : dict of str to str
        The loss of each output, by its name.
    weights : dict of str to float
        What each loss counts in the sum that is minimised; 1 if not given.
    """

    n_scores: int
    outputs: Callable
    losses: dict
    weights: dict = field(default_factory=dict)


def popularity(y, names=("popularity",)):
    """Regression to raw popularity by squared error (study 1).

    The score is standardised popularity; the model's last layer brings it back to the target's scale
    with the mean and standard deviation of the training rows.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        Popularity of the training tracks, 0-100.
    """
    scale, mean = float(np.std(y)), float(np.mean(y))
    layer = keras.layers.Rescaling(scale, offset=mean, name="popularity")
    return Head(1, lambda scores: {"popularity": layer(scores)}, {"popularity": "mean_squared_error"})


def popular(y, names=("popular",)):
    """The probability of being popular, by binary cross-entropy (study 2).

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        1 for the training tracks that are popular, 0 for the others.
    """
    if not np.isin(y, (0, 1)).all():
        raise ValueError("targets of the head 'popular' are 0 or 1")
    layer = keras.layers.Activation("sigmoid", name="popular")
    return Head(1, lambda scores: {"popular": layer(scores)}, {"popular": "binary_crossentropy"})


def buckets(y, names):
    """The probability of each bucket, lowest first, by softmax and cross-entropy (study 3).

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        The bucket of each training track, from 0.
    names : sequence of str
        The buckets' labels.
    """
    if not np.isin(y, range(len(names))).all():
        raise ValueError(f"targets of the head 'buckets' are 0 to {len(names) - 1}")
    layer = keras.layers.Softmax(name="buckets")
    loss = {"buckets": "sparse_categorical_crossentropy"}
    return Head(len(names), lambda scores: {"buckets": layer(scores)}, loss)


def audio_features(y, names):
    """Several audio features, each an output of its own name, by squared error (study 4).

    Each loss counts in units of its feature's variance, so that tempo does not drown danceability: 1
    is what the mean of the training rows would reach.

    Parameters
    ----------
    y : np.ndarray [shape=(n, features)]
        The features of the training tracks.
    names : sequence of str
        The features, in the order of the columns.
    """
    scales, means = np.std(y, axis=0), np.mean(y, axis=0)
    layers = [
        keras.layers.Rescaling(float(scale), offset=float(mean), name=name)
        for name, scale, mean in zip(names, scales, means, strict=True)
    ]

    def outputs(scores):
        return {layer.name: layer(scores[:, column : column + 1]) for column, layer in enumerate(layers)}

    weights = {
        name: float(1 / (len(names) * (scale or 1) ** 2)) for name, scale in zip(names, scales, strict=True)
    }
    return Head(len(names), outputs, dict.fromkeys(names, "mean_squared_error"), weights)


HEADS = {"popularity": popularity, "popular": popular, "buckets": buckets, "audio_features": audio_features}


def make(target, y):
    """The head of a target.

    Parameters
    ----------
    target : dict
        As `hitsong.targets.Target.description` gives it: its `kind`, and the `names` of what it answers.
    y : np.ndarray [shape=(n,) or (n, k)]
        The encoded target of the training tracks.
    """
    return HEADS[target["kind"]](y, target.get("names", (target["kind"],)))
