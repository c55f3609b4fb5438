"""Loudness as broadcasters measure it: integrated (ITU-R BS.1770-4) and its range (EBU Tech 3342).

pyloudnorm designs the filters. Both measures are means over tenths of a second, which one pass over the samples
computes; pyloudnorm's own measures take far longer (benchmarks/RESULTS.md).
"""

from functools import lru_cache

import numba
import numpy as np
from pyloudnorm import Meter

FLOOR = -70.0  # LUFS: the standard's absolute gate, below which nothing counts
RELATIVE_GATE = -10.0  # LU below the mean of what passes the absolute gate
RANGE_GATE = -20.0  # the same for the range
BLOCK, SHORT_TERM = 4, 30  # tenths of a second: 400 ms and 3 s

# Weight of each channel, in the order of WAV: left, right, centre (, low frequencies), surrounds.
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
        In LUFS; -70 where no block passes the absolute gate. A clip shorter than a block of 400 ms, for which the
        standard has no definition, counts as one block.
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
    edges = np.rint(np.arange(len(channels) * 10 // sample_rate + 1) * sample_rate / 10).astype(int)
    if len(edges) <= BLOCK:
        edges = np.array([0, len(channels)])
    weights = np.array(WEIGHTS.get(channels.shape[1], (1,) * channels.shape[1]))
    return _energies(channels, _k_weighting(sample_rate), edges) @ weights / np.diff(edges)


@numba.njit(cache=True)
def _energies(channels, sections, edges):
    """Sums of the squares of the filtered samples between edges [shape=(len(edges) - 1, channels)].

    Two channels at a time: each step of a filter waits for the one before, and another channel's need not.
    """
    a0, a1, a2, _, c1, c2 = sections[0]
    b0, b1, b2, _, d1, d2 = sections[1]
    energies = np.zeros((len(edges) - 1, channels.shape[1]))
    for left in range(0, channels.shape[1], 2):
        right = min(left + 1, channels.shape[1] - 1)  # of an odd number, the last one twice
        s0 = s1 = t0 = t1 = 0.0  # the states of the two sections, transposed direct form II
        u0 = u1 = v0 = v1 = 0.0
        for part in range(len(edges) - 1):
            energy = other = 0.0
            for place in range(edges[part], edges[part + 1]):
                x, w = np.float64(channels[place, left]), np.float64(channels[place, right])
                y, q = a0 * x + s0, a0 * w + u0
                s0, u0 = a1 * x - c1 * y + s1, a1 * w - c1 * q + u1
                s1, u1 = a2 * x - c2 * y, a2 * w - c2 * q
                z, r = b0 * y + t0, b0 * q + v0
                t0, v0 = b1 * y - d1 * z + t1, b1 * q - d1 * r + v1
                t1, v1 = b2 * y - d2 * z, b2 * q - d2 * r
                energy += z * z
                other += r * r
            energies[part, left], energies[part, right] = energy, other
    return energies


def _means(tenths, length):
    """Means over windows that move by a tenth of a second."""
    return np.lib.stride_tricks.sliding_window_view(tenths, min(length, len(tenths))).mean(axis=1)


def _gated(powers, relative):
    """The powers above the absolute gate, then above the gate relative to their mean."""
    powers = powers[_lufs(powers) > FLOOR]
    return powers[_lufs(powers) > _lufs(powers.mean()) + relative] if len(powers) else powers


def _lufs(power):
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))
