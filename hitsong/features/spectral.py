"""Measures of the spectrogram: levels, mel bands, the shape of each spectrum, changes over frequency and time.

Frames are columns, as loops that Numba compiles, and sums as matrix products, then work on many frames at a time.
"""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

from hitsong.features.mel import AMIN, mel_filters
from hitsong.features.stft import frame_count, power_spectra

ROLLOFF = np.float32(0.85)  # share of the amplitudes below the roll-off
HIGHEST = 10000  # Hz; resampling to 22,050 Hz may have weakened what lies above
QUANTILE = 0.02  # share of a band's bins that are its peak, or its valley
COMPRESSION = 0.6  # exponent of the amplitudes whose changes are compared


class Measures(NamedTuple):
    """Measures of a spectrogram.

    Attributes
    ----------
    mels : np.ndarray [shape=(mels, frames), float32]
        Mel power spectrogram.
    levels : np.ndarray [shape=(frames,), float32]
        Mean power over the bins.
    shape : np.ndarray [shape=(11, frames), float32]
        Of each frame: centroid, bandwidth and roll-off in Hz; flatness in dB; contrast of 7 bands in dB.
    harmonic_percussive : float
        Changes over frequency against changes over time, in dB.
    """

    mels: np.ndarray
    levels: np.ndarray
    shape: np.ndarray
    harmonic_percussive: float


def measure_spectra(samples, spectrum):
    """Measure the spectrogram of a clip.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono, at `spectrum.sample_rate`.
    spectrum : hitsong.features.mel.Spectrum

    Returns
    -------
    Measures
    """
    filters, tables = mel_filters(spectrum), _tables(spectrum.sample_rate, spectrum.n_fft)
    count = frame_count(samples, spectrum.hop_length)
    mels, levels = np.empty((spectrum.n_mels, count), np.float32), np.empty(count, np.float32)
    shape, changes = np.empty((4 + len(tables.counts), count), np.float32), np.zeros(2)
    average = np.full(len(tables.hertz), 1 / len(tables.hertz), np.float32)
    last = None  # the last frame of the chunk before
    for frames, power in power_spectra(samples, spectrum.n_fft, spectrum.hop_length):
        mels[:, frames] = filters @ power
        levels[frames] = average @ power  # several times as fast as `mean(axis=0)`
        logarithms = np.log(np.maximum(power, np.float32(1e-30)))
        shape[:, frames] = _shape(power, logarithms, tables)
        compressed = np.exp(np.float32(COMPRESSION / 2) * logarithms)
        changes += _changes(compressed, compressed[:, 0] if last is None else last).sum(axis=1)
        last = compressed[:, -1]
    ratio = 10 * np.log10(changes[0] / changes[1]) if changes.min() > AMIN else 0.0
    return Measures(mels, levels, shape, ratio)


class Tables(NamedTuple):
    """What the shape of a spectrum depends on besides its powers: frequencies of bins, and bands of bins."""

    hertz: np.ndarray
    edges: np.ndarray
    counts: np.ndarray


@lru_cache
def _tables(sample_rate, n_fft):
    hertz = np.fft.rfftfreq(n_fft, 1 / sample_rate).astype(np.float32)
    top = np.searchsorted(hertz, HIGHEST)
    edges = np.array([0, *(np.searchsorted(hertz, 200 * 2 ** np.arange(6), side="right") - 1), top])
    sizes = np.diff(edges) + (edges[1:] < top)  # as librosa counts them
    counts = np.maximum(1, np.rint(QUANTILE * sizes).astype(int))
    return Tables(hertz, edges, counts)


def _shape(power, logarithms, tables):
    """The shape of each spectrum, from powers and their logarithms: rows as in `Measures.shape`."""
    top = tables.edges[-1]
    amplitude, (total, first, second, arithmetic, geometric) = _sums(power, logarithms, tables.hertz, top)
    total = np.maximum(total, AMIN)
    centroid = first / total
    bandwidth = np.sqrt(np.maximum(0, second / total - centroid**2))
    rolloff = tables.hertz[_count_below(amplitude, ROLLOFF * total)]
    flatness = (geometric / top - np.log(arithmetic / top)) * (10 / np.log(10))
    peaks, valleys = np.maximum(_extremes(amplitude, tables.edges, tables.counts), AMIN)
    return np.vstack([centroid, bandwidth, rolloff, flatness, 10 * np.log10(peaks / valleys)])


# In loops: array expressions take Numba eight times as long to compile.


@numba.njit(cache=True)
def _sums(power, logarithms, hertz, top):
    """Amplitudes, and sums over the bins of each frame.

    Returns
    -------
    amplitude : np.ndarray [shape=(bins, frames), float32]
    sums : np.ndarray [shape=(5, frames), float32]
        Of amplitudes, amplitudes times frequencies, and times their squares; of powers and logarithms below `top`.
    """
    bins, frames = power.shape
    amplitude, sums, floor = np.empty_like(power), np.zeros((5, frames), np.float32), np.log(AMIN)
    for place in range(bins):
        for frame in range(frames):
            value = np.sqrt(power[place, frame])
            amplitude[place, frame] = value
            sums[0, frame] += value
            sums[1, frame] += value * hertz[place]
            sums[2, frame] += value * hertz[place] ** 2
    for place in range(top):
        for frame in range(frames):
            sums[3, frame] += max(power[place, frame], AMIN)
            sums[4, frame] += max(logarithms[place, frame], floor)
    return amplitude, sums


@numba.njit(cache=True)
def _changes(values, before):
    """Sums of the squares of the changes over frequency, and over time: also from the frame `before`."""
    bins, frames = values.shape
    sums = np.zeros((2, frames), np.float32)
    for place in range(1, bins):
        for frame in range(frames):
            sums[0, frame] += (values[place, frame] - values[place - 1, frame]) ** 2
    for place in range(bins):
        sums[1, 0] += (values[place, 0] - before[place]) ** 2
        for frame in range(1, frames):
            sums[1, frame] += (values[place, frame] - values[place, frame - 1]) ** 2
    return sums


@numba.njit(cache=True)
def _count_below(amplitude, thresholds):
    """The number of bins up to which the sum of a frame stays below its threshold [shape=(frames,)]."""
    bins, frames = amplitude.shape
    sums, counts = np.zeros(frames, np.float32), np.zeros(frames, np.int32)
    for place in range(bins - 1):
        for frame in range(frames):
            sums[frame] += amplitude[place, frame]
            counts[frame] += sums[frame] < thresholds[frame]
    return counts


@numba.njit(cache=True)
def _extremes(amplitude, edges, counts):
    """The means of the highest and of the lowest values of bands [shape=(2, bands, frames)].

    Without sorting or branches: each value takes its place among the highest, and what it displaces moves on.
    """
    frames = amplitude.shape[1]
    means = np.zeros((2, len(counts), frames), np.float32)
    high, low = np.empty((counts[-1], frames), np.float32), np.empty((counts[-1], frames), np.float32)
    up, down = np.empty(frames, np.float32), np.empty(frames, np.float32)
    for band, count in enumerate(counts):
        for rank in range(count):
            for frame in range(frames):
                high[rank, frame], low[rank, frame] = 0, np.inf
        for place in range(edges[band], edges[band + 1]):
            for frame in range(frames):
                up[frame] = down[frame] = amplitude[place, frame]
            for rank in range(count):
                for frame in range(frames):
                    value, other = up[frame], high[rank, frame]
                    high[rank, frame], up[frame] = max(value, other), min(value, other)
                    value, other = down[frame], low[rank, frame]
                    low[rank, frame], down[frame] = min(value, other), max(value, other)
        for rank in range(count):
            for frame in range(frames):
                means[0, band, frame] += high[rank, frame] / count
                means[1, band, frame] += low[rank, frame] / count
    return means
