"""Tempo, beat and onsets of a clip, from its mel spectrogram."""

from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

TEMPI = np.geomspace(54, 200, 264)  # beats per minute, half a per cent apart
TYPICAL, OCTAVES = 120.0, 1.0  # centre and deviation of what tempi are expected to be
BEATS = np.arange(1, 5)  # the beats over which a pulse must come back: a bar of four
HALF_AS_GOOD = 0.9  # halfway between true beats less recurs than this share of what recurs on them
RECURRENCE = 0.02  # the autocorrelation below which nothing recurs
STEADY = (
    1e-3  # the flux, as a share of the amplitude, below which nothing happens: rounding has its own rhythm
)
RIVAL = 0.08  # tempi nearer than 8 % are the same
PHASES, PATIENCE = 8, 6.0  # parts of a beat; seconds over which beats are taken to be even
RISE = 1.0  # dB by which an onset stands out, in the mean over the mel bands
RANGE = 80.0  # dB below the loudest: what is quieter cannot rise
START, END = 3, 2  # frames whose rise is that of the zeros around the clip


class Rhythm(NamedTuple):
    """What `rhythm` finds.

    Attributes
    ----------
    tempo : float
        Beats per minute, from 54 to 200; 0 where nothing recurs.
    confidence : float
        How far the best other tempo falls behind, from 0 (equally good) to 1.
    strength : float
        Spectral flux at the beats over its mean, in dB: from 0 to 18.
    regularity : float
        Autocorrelation of the spectral flux over one to four beats: from 0 to 1, exact repetition.
    onsets : float
        Onsets per second.
    """

    tempo: float
    confidence: float
    strength: float
    regularity: float
    onsets: float


def rhythm(mels, frame_rate):
    """Estimate tempo, beat and onsets.

    The envelope is the spectral flux of mel *amplitudes*. Logarithms, which find soft onsets better, make a
    hi-hat as strong as a kick drum, and the tempo comes out double more often. Of its autocorrelation, a
    tempo collects the lags of one to four beats, times a log-normal expectation. That alone cannot tell
    a pulse from every second pulse, so tempi at which what lies halfway between beats recurs as well as the
    beats are out.

    Parameters
    ----------
    mels : np.ndarray [shape=(bands, frames), float32]
        Mel power spectrogram.
    frame_rate : float
        Frames per second.

    Returns
    -------
    Rhythm

    References
    ----------
    Ellis (2007), "Beat tracking by dynamic programming", *Journal of New Music Research* 36(1) (the
    expectation); Percival and Tzanetakis (2014), "Streamlined tempo estimation based on autocorrelation and
    cross-correlation with pulses", *IEEE/ACM TASLP* 22(12) (pulse trains on the autocorrelation).
    """
    onsets = onset_rate(mels, frame_rate)
    amplitudes = np.sqrt(mels)
    flux = _rises(amplitudes)
    if flux.mean() <= STEADY * amplitudes.mean():
        return Rhythm(0.0, 0.0, 0.0, 0.0, onsets)
    recurrence = _autocorrelation(flux)
    lags = 60 * frame_rate / TEMPI[:, None]
    on, between = (_at(recurrence, lags * beats).mean(axis=1) for beats in (BEATS, BEATS - 0.5))
    expected = np.exp(-0.5 * (np.log2(TEMPI / TYPICAL) / OCTAVES) ** 2)
    scores = np.where((on > RECURRENCE) & (between < HALF_AS_GOOD * on), on * expected, 0)
    best = scores.argmax()
    if scores[best] == 0:
        return Rhythm(0.0, 0.0, 0.0, 0.0, onsets)
    tempo = _summit(scores, best)
    rivals = scores[np.abs(TEMPI / tempo - 1) > RIVAL]
    return Rhythm(
        tempo=tempo,
        confidence=float(1 - rivals.max() / scores[best]),
        strength=_strength(flux, 60 * frame_rate / tempo, PATIENCE * frame_rate),
        regularity=float(min(1, on[best])),
        onsets=onsets,
    )


def onset_rate(mels, frame_rate):
    """Onsets per second: the peaks of the rise in dB, in the mean over the mel bands.

    Peaks must stand out by a fixed number of dB, not by a share of the highest, so that one crash does
    not hide the rest of a song, and the level of the clip does not matter.
    """
    decibels = 10 * np.log10(np.maximum(mels, 1e-10))
    rises = _rises(np.maximum(decibels, decibels.max() - RANGE))
    peaks, _ = find_peaks(rises, prominence=RISE)
    return len(peaks) * frame_rate / mels.shape[1]


def _rises(spectrogram):
    """By how much the bands rise from frame to frame, in the mean: [shape=(frames,)]."""
    rises = np.zeros(spectrogram.shape[1])
    rises[1:] = np.maximum(0, np.diff(spectrogram, axis=1)).mean(axis=0)
    rises[:START] = 0
    rises[-END:] = 0
    return rises


def _autocorrelation(envelope):
    """Its autocorrelation, 1 at no lag; 0 at lags over three quarters of the clip, which too little supports."""
    n = len(envelope)
    envelope = gaussian_filter1d(envelope, 1.0)  # players are not exact, frames are coarse
    envelope = envelope - envelope.mean()
    power = np.abs(scipy.fft.rfft(envelope, scipy.fft.next_fast_len(2 * n, real=True))) ** 2
    products = scipy.fft.irfft(power)[:n] * n / np.arange(n, 0, -1)
    products[n * 3 // 4 :] = 0
    return products / max(products[0], np.finfo(float).tiny)


def _at(values, places):
    """Values between the indices, 0 beyond the last."""
    return np.interp(places, np.arange(len(values)), values, right=0)


def _summit(scores, best):
    """The tempo at the top of a parabola through the best score and its neighbours."""
    if not 0 < best < len(scores) - 1:
        return float(TEMPI[best])
    left, here, right = scores[best - 1 : best + 2]
    bend = left - 2 * here + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(np.exp(np.interp(best + shift, np.arange(len(TEMPI)), np.log(TEMPI))))


def _strength(flux, period, patience):
    """Flux at the best phase of the beat over the mean, in dB; the phase may drift from window to window."""
    frames = np.arange(len(flux))
    windows = (frames // patience).astype(int)
    cells = windows * PHASES + (frames / period % 1 * PHASES).astype(int)
    size = PHASES * (windows[-1] + 1)
    sums = np.bincount(cells, flux, minlength=size)
    means = (sums / np.maximum(1, np.bincount(cells, minlength=size))).reshape(-1, PHASES)
    return float(20 * np.log10(max(1, means.max(axis=1).mean() / flux.mean())))
