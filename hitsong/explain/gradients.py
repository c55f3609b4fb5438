"""Integrated gradients: a network's score, divided among its inputs.

M. Sundararajan, A. Taly, Q. Yan: "Axiomatic Attribution for Deep Networks", arXiv:1703.01365.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import uniform_filter

from hitsong.backend import tf

TOLERANCE = 0.01  # of the difference between the two scores
FEWEST, MOST = 10, 270  # steps; tripled until the tolerance is met
BATCH = 16  # points of the path in one pass of the network


@dataclass(frozen=True)
class Gradients:
    """Contributions of each value to the score, relative to a baseline.

    Attributes
    ----------
    values : dict of str to np.ndarray
        By input that has a baseline, each of the input's shape, in units of the score.
    score, baseline : float
        The network's score of the track and of the baseline.
    error : float
        How far the sum of all values is from `score - baseline`. It can stay above the tolerance where both scores
        are nearly equal.
    steps : int
        Points of the path at which gradients were computed.
    """

    values: dict
    score: float
    baseline: float
    error: float
    steps: int


def integrated_gradients(model, features, baseline, output=None):
    """Integrate gradients along the straight path from a baseline to the track.

    The integral is a midpoint sum, which avoids the baseline itself: there all frames are equal, and the gradient of a
    maximum over time is arbitrary. Steps are tripled, and earlier ones reused, until the values sum to the difference
    of the scores within one percent.

    Parameters
    ----------
    model : keras.Model
        From a dict of raw inputs, (batch, ...), to a dict of outputs, (batch, 1), or (batch, buckets).
    features : dict of str to np.ndarray
        One track's inputs, without the batch axis. Missing values (NaN) stay missing.
    baseline : dict of str to np.ndarray
        Start of the path for some of the inputs, such as `hitsong.explain.mels.band_medians`; each array broadcasts
        to the shape of its input. Other inputs are constant.
    output : str, optional
        Of the network, if it has several. The score of buckets is the expected bucket.

    Returns
    -------
    Gradients
    """
    track = {tensor.name: np.asarray(features[tensor.name], np.float32) for tensor in model.inputs}
    start = {
        name: np.where(np.isnan(track[name]), np.nan, value).astype(np.float32)
        for name, value in baseline.items()
    }
    path = {name: np.nan_to_num(track[name] - start[name], nan=0.0) for name in start}
    constant = {name: value for name, value in track.items() if name not in start}
    traced = _trace(model, tuple(start), output)

    def scores_and_gradients(places):
        return traced(places.astype(np.float32), start, path, constant)

    def sum_gradients(places):
        batches = np.split(places, range(BATCH, len(places), BATCH))
        sums = [scores_and_gradients(batch)[1] for batch in batches]
        return {name: sum(batch[name].numpy().astype(float) for batch in sums) for name in start}

    first, last = scores_and_gradients(np.array([0.0, 1.0]))[0].numpy().astype(float)
    steps, totals = FEWEST, sum_gradients((np.arange(FEWEST) + 0.5) / FEWEST)
    while True:
        values = {name: (path[name] * totals[name] / steps).astype(np.float32) for name in start}
        error = abs(sum(float(value.sum(dtype=float)) for value in values.values()) - (last - first))
        if error <= TOLERANCE * abs(last - first) or steps >= MOST:
            return Gradients(values, float(last), float(first), float(error), steps)
        # The middle of a step is also the middle of its middle third: only the outer thirds are new.
        middles = (np.arange(steps)[:, None] + [1 / 6, 5 / 6]).ravel() / steps
        added = sum_gradients(middles)
        steps, totals = 3 * steps, {name: totals[name] + added[name] for name in start}


@lru_cache(maxsize=8)
def _trace(model, names, output):
    """A compiled function: scores at places of the path (0 to 1), and the sums of their gradients."""
    specs = {tensor.name: tf.TensorSpec(tensor.shape[1:], tf.float32) for tensor in model.inputs}
    moving = {name: specs[name] for name in names}
    constant = {name: spec for name, spec in specs.items() if name not in names}

    def scores_and_gradients(places, start, path, constant):
        fixed = {name: _scale(tf.ones_like(places), value) for name, value in constant.items()}
        points = {name: start[name] + _scale(places, path[name]) for name in names}
        with tf.GradientTape() as tape:
            tape.watch(points)
            scores = _score(model({**fixed, **points}, training=False), output)
        gradients = tape.gradient(scores, points, unconnected_gradients="zero")
        return scores, {name: tf.reduce_sum(values, axis=0) for name, values in gradients.items()}

    traced = tf.function(scores_and_gradients)
    return traced.get_concrete_function(tf.TensorSpec([None], tf.float32), moving, moving, constant)


def sum_over_patches(values, patch):
    """Sum a map (n_mels, frames) over the patch around each bin: the part's contribution rather than the bin's."""
    return uniform_filter(values, patch, mode="constant") * np.prod(patch)


def _score(outputs, output):
    """One number per point from a network's outputs: the expected bucket, or the value of the output."""
    values = outputs[output or next(iter(outputs))]
    if values.shape[1] == 1:
        return values[:, 0]
    return tf.linalg.matvec(values, tf.range(values.shape[1], dtype=values.dtype))


def _scale(factors, value):
    """Each factor times an array: (n,) and (...) to (n, ...)."""
    return tf.tensordot(factors, value, axes=0)
