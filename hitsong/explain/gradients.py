"""Integrated gradients: a network's score, divided among its inputs.

M. Sundararajan, A. Taly, Q. Yan: "Axiomatic Attribution for Deep Networks", arXiv:1703.01365.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import uniform_filter

from hitsong.backend import tf

TOLERANCE = 0.01  # of the difference that is divided
FEWEST, MOST = 10, 270  # steps; three times as many until the tolerance is met
AT_ONCE = 16  # points of the path that go through the network together


@dataclass(frozen=True)
class Gradients:
    """What each value adds to the score, against a baseline.

    Attributes
    ----------
    values : dict of str to np.ndarray
        By input that has a baseline, each of the input's shape, in units of the score.
    score, baseline : float
        The network's score of the track and of the baseline.
    error : float
        By how much the sum of all values misses `score - baseline`. More than one percent of that after 270 steps is
        possible where both scores are nearly the same.
    steps : int
        Points of the path at which gradients were taken.
    """

    values: dict
    score: float
    baseline: float
    error: float
    steps: int


def integrated_gradients(model, features, baseline, output=None):
    """Integrate gradients on the straight way from a baseline to the track.

    The integral is a midpoint sum. It avoids the baseline itself, where all frames are alike and a maximum over time
    does not know whom to thank. Steps are tripled, those already taken kept, until the values sum up to the
    difference of the scores within one percent.

    Parameters
    ----------
    model : keras.Model
        From a dict of raw inputs, (batch, ...), to a dict of outputs, (batch, 1), or (batch, buckets).
    features : dict of str to np.ndarray
        One track's inputs, without the axis for the batch. What is missing (NaN) stays missing.
    baseline : dict of str to np.ndarray
        What the track is compared with, for some of the inputs: an array that has the input's shape or broadcasts to
        it, for mels `hitsong.explain.usual`, for numbers their mean over tracks. Other inputs are held as they are.
    output : str, optional
        Of the network; needed if it has several. Buckets count by the expected one.

    Returns
    -------
    Gradients
    """
    track = {tensor.name: np.asarray(features[tensor.name], np.float32) for tensor in model.inputs}
    start = {
        name: np.where(np.isnan(track[name]), np.nan, value).astype(np.float32)
        for name, value in baseline.items()
    }
    way = {name: np.nan_to_num(track[name] - start[name], nan=0.0) for name in start}
    held = {name: value for name, value in track.items() if name not in start}
    traced = _traced(model, tuple(start), output)

    def scores_and_gradients(places):
        return traced(places.astype(np.float32), start, way, held)

    def total(places):
        batches = np.split(places, range(AT_ONCE, len(places), AT_ONCE))
        sums = [scores_and_gradients(batch)[1] for batch in batches]
        return {name: sum(one[name].numpy().astype(float) for one in sums) for name in start}

    lowest, highest = scores_and_gradients(np.array([0.0, 1.0]))[0].numpy().astype(float)
    steps, taken = FEWEST, total((np.arange(FEWEST) + 0.5) / FEWEST)
    while True:
        values = {name: (way[name] * taken[name] / steps).astype(np.float32) for name in start}
        error = abs(sum(float(value.sum(dtype=float)) for value in values.values()) - (highest - lowest))
        if error <= TOLERANCE * abs(highest - lowest) or steps >= MOST:
            return Gradients(values, float(highest), float(lowest), float(error), steps)
        # The middle of each step is the middle of its middle third: the two others are new.
        middles = (np.arange(steps)[:, None] + [1 / 6, 5 / 6]).ravel() / steps
        new = total(middles)
        steps, taken = 3 * steps, {name: taken[name] + new[name] for name in start}


@lru_cache(maxsize=8)
def _traced(model, names, output):
    """The scores at places of the way (0 to 1), and the sums of their gradients; tracing takes longer than a call."""
    specs = {tensor.name: tf.TensorSpec(tensor.shape[1:], tf.float32) for tensor in model.inputs}
    moving = {name: specs[name] for name in names}
    held = {name: spec for name, spec in specs.items() if name not in names}

    def scores_and_gradients(places, start, way, held):
        fixed = {name: _times(tf.ones_like(places), value) for name, value in held.items()}
        points = {name: start[name] + _times(places, way[name]) for name in names}
        with tf.GradientTape() as tape:
            tape.watch(points)
            scores = _score(model({**fixed, **points}, training=False), output)
        gradients = tape.gradient(scores, points, unconnected_gradients="zero")
        return scores, {name: tf.reduce_sum(one, axis=0) for name, one in gradients.items()}

    traced = tf.function(scores_and_gradients)
    return traced.get_concrete_function(tf.TensorSpec([None], tf.float32), moving, moving, held)


def neighbourhoods(values, patch):
    """Sum a map over the patch around each bin: what the part adds, not the bin, and legible.

    Parameters
    ----------
    values : np.ndarray [shape=(n_mels, frames)]
    patch : (int, int)
        Mels and frames, see `hitsong.explain.patch`.

    Returns
    -------
    np.ndarray [shape=(n_mels, frames)]
    """
    return uniform_filter(values, patch, mode="constant") * np.prod(patch)


def _score(outputs, output):
    """One number per point from a network's outputs: the expected bucket, or the value of the output."""
    values = outputs[output or next(iter(outputs))]
    if values.shape[1] == 1:
        return values[:, 0]
    return tf.linalg.matvec(values, tf.range(values.shape[1], dtype=values.dtype))


def _times(factors, value):
    """Each factor times an array: (n,) and (...) to (n, ...)."""
    return tf.tensordot(factors, value, axes=0)
