"""Heads: what a trunk's scores stand for, under which name, and the loss that trains them.

A head is made from the training rows' targets, so anything it fits (a mean, a scale) is fitted there
and saved with the model.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
    """

    n_scores: int
    outputs: Callable
    losses: dict


def popularity(y):
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


def popular(y):
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


HEADS = {"popularity": popularity, "popular": popular}
