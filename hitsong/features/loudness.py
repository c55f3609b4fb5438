"""Loudness as broadcasters measure it: integrated (ITU-R BS.1770-4) and its range (EBU Tech 3342).

pyloudnorm designs the filters and is what the tests compare with. It runs them once per measure and cuts its
blocks in Python, 107 ms for a stereo clip of 30 s; both measures are means over tenths of a second,
so that one pass serves them, in 16 ms.
"""

from functools import lru_cache

import numpy as np
from pyloudnorm import Meter
from scipy.signal import sosfilt

FLOOR = -70.0  # LUFS: the standard's absolute gate, below which nothing counts
RELATIVE_GATE = -10.0  # LU below the mean of what passes the absolute gate
RANGE_GATE = -20.0  # the same for the range
BLOCK, SHORT_TERM = 4, 30  # tenths of a second: 400 ms and 3 s
CHUNK = 1 << 15  # samples filtered at a time: stays in the cache

# How much each channel counts, in the order of WAV: left, right, centre (, low frequencies), surrounds.
WEIGHTS = {5: (1, 1, 1, 1.41, 1.41), 6: (1, 1, 1, 0, 1.41, 1.41)}


def loudness(channels, sample_rate):
    """Measure how loud a clip is, and how much that varies.

    Parameters
    ----------
    channels : np.ndarray [shape=(n, channels), float32]
        At least one sample, finite; full scale is 1.
    sample_rate : int
        In Hz, at least 8000.

    Returns
    -------
    integrated : float
        In LUFS. -70 where no block passes the absolute gate. A clip shorter than a block of 400 ms, which
        the standard leaves undefined, counts as one block.
    spread : float
        The loudness range in LU: from the 10th to the 95th percentile of the short-term loudness. 0 for
        clips shorter than 3 s.

    References
    ----------
    ITU-R BS.1770-4 (2015), *Algorithms to measure audio programme loudness and true-peak audio level*.
    EBU Tech 3342 (2016), *Loudness range*.
    """
    tenths = _tenths(channels, sample_rate)
    blocks = _gated(_means(tenths, BLOCK), RELATIVE_GATE)
    integrated = max(FLOOR, float(_lufs(blocks.mean()))) if len(blocks) else FLOOR
    short_term = _gated(_means(tenths, SHORT_TERM), RANGE_GATE) if len(tenths) >= SHORT_TERM else ()
    if len(short_term) == 0:
        return integrated, 0.0
    low, high = np.percentile(_lufs(short_term), [10, 95])
    return integrated, float(high - low)


def k_weighting(sample_rate):
    """The standard's two filters at a rate, as second-order sections [shape=(2, 6)].

    At 48 kHz its table, elsewhere the same analogue filters (De Man, "Evaluation of implementations of the
    EBU R128 loudness measurement", 2018). pyloudnorm's default is an approximation, 0.04 dB off at 1 kHz.
    """
    filters = Meter(sample_rate, filter_class="DeMan")._filters.values()
    return np.array([[*stage.b, *stage.a] for stage in filters])


_k_weighting = lru_cache(k_weighting)


def _tenths(channels, sample_rate):
    """The power of each tenth of a second, K-weighted and summed over the channels."""
    sections = _k_weighting(sample_rate)
    weights = np.array(WEIGHTS.get(channels.shape[1], (1,) * channels.shape[1]))
    state = np.zeros((len(sections), 2, channels.shape[1]))
    power = np.empty(len(channels))
    for start in range(0, len(channels), CHUNK):
        weighted, state = sosfilt(sections, channels[start : start + CHUNK], axis=0, zi=state)
        power[start : start + CHUNK] = np.square(weighted) @ weights
    edges = np.rint(np.arange(len(power) * 10 // sample_rate + 1) * sample_rate / 10).astype(int)
    if len(edges) <= BLOCK:
        return power.mean(keepdims=True)
    return np.add.reduceat(power[: edges[-1]], edges[:-1]) / np.diff(edges)


def _means(tenths, length):
    """Means over windows that move by a tenth of a second."""
    return np.lib.stride_tricks.sliding_window_view(tenths, min(length, len(tenths))).mean(axis=1)


def _gated(powers, relative):
    """What passes the absolute gate, then lies at most so far below its mean."""
    powers = powers[_lufs(powers) > FLOOR]
    return powers[_lufs(powers) > _lufs(powers.mean()) + relative] if len(powers) else powers


def _lufs(power):
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))
