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
LANES = 8  # parts of a clip that are filtered at a time

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
    length = round(sample_rate / 10)
    count = len(channels) // length
    if count < BLOCK:
        count, length = 1, len(channels)
    tenths = channels[: count * length].reshape(count, length, -1)
    weights = np.array(WEIGHTS.get(channels.shape[1], (1,) * channels.shape[1]))
    return _energies(tenths, _k_weighting(sample_rate)) @ weights / length


@numba.njit(cache=True)
def _energies(tenths, sections):
    """Sums of the squares of the filtered samples of each tenth of a second [shape=(tenths, channels)].

    Each step of a filter waits for the one before, so that `LANES` parts of the clip are filtered side by side. Each
    starts with the tenth before it, in which the filters settle to 1e-10.
    """
    a0, a1, a2, _, c1, c2 = sections[0]
    b0, b1, b2, _, d1, d2 = sections[1]
    count, length, channels = tenths.shape
    part = -(-count // LANES)
    energies = np.zeros((part * LANES, channels))
    flat, starts = tenths.reshape(-1), np.zeros(LANES * channels, np.int64)
    samples = np.zeros((length, LANES * channels), tenths.dtype)
    s = np.zeros((4, LANES * channels))  # the states of the two sections, transposed direct form II
    for number in range(-1, part):
        for column in range(LANES * channels):
            tenth = min(max(column // channels * part + number, 0), count - 1)
            starts[column] = tenth * length * channels + column % channels
        if number == 0:
            s[:, :channels] = 0  # before the clip is silence
        for place in range(length):
            for column in range(LANES * channels):
                samples[place, column] = flat[starts[column] + place * channels]
        energy = np.zeros(LANES * channels)
        for place in range(length):
            for column in range(LANES * channels):
                x = np.float64(samples[place, column])
                y = a0 * x + s[0, column]
                s[0, column] = a1 * x - c1 * y + s[1, column]
                s[1, column] = a2 * x - c2 * y
                z = b0 * y + s[2, column]
                s[2, column] = b1 * y - d1 * z + s[3, column]
                s[3, column] = b2 * y - d2 * z
                energy[column] += z * z
        if number >= 0:
            for column in range(LANES * channels):
                energies[column // channels * part + number, column % channels] = energy[column]
    return energies[:count]


def _means(tenths, length):
    """Means over windows that move by a tenth of a second."""
    return np.lib.stride_tricks.sliding_window_view(tenths, min(length, len(tenths))).mean(axis=1)


def _gated(powers, relative):
    """The powers above the absolute gate, then above the gate relative to their mean."""
    powers = powers[_lufs(powers) > FLOOR]
    return powers[_lufs(powers) > _lufs(powers.mean()) + relative] if len(powers) else powers


def _lufs(power):
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))
