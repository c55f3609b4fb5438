"""Tempo, beat and onsets of a clip, from its mel spectrogram."""

from typing import NamedTuple

import numpy as np

TEMPI = np.geomspace(54, 200, 264)  # beats per minute, half a per cent apart
TYPICAL, OCTAVES = 120.0, 1.0  # centre (beats per minute) and deviation of the prior of tempi
BEATS = np.arange(1, 5)  # lags in beats that support a tempo: a bar of four
# A tempo is half of the true one if the autocorrelation halfway between beats reaches this share of that on beats.
HALFWAY = 0.9
RECURRENCE = 0.02  # autocorrelation below which there is no pulse
STEADY = 1e-3  # flux, as a share of the amplitude, below which there are only rounding errors
RIVAL = 0.08  # tempi nearer than 8 % are the same
PHASES, STABLE_S = 8, 6.0  # parts of a beat; seconds within which the tempo is taken as constant
RISE = 1.0  # dB by which an onset stands out, in the mean over the mel bands
RANGE = 80.0  # dB below the loudest; lower levels are raised to it
START, END = 3, 2  # frames at the ends, which contain zeros outside the clip


class Rhythm(NamedTuple):
    """Measures of rhythm.

    Attributes
    ----------
    tempo : float
        Beats per minute, from 54 to 200; 0 without a pulse.
    confidence : float
        1 less the score of the best other tempo relative to this one: from 0 (equally good) to 1.
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

    The envelope is the spectral flux of mel *amplitudes*: in dB a hi-hat would be as strong as a kick drum, and double
    tempo more frequent. The score of a tempo is the mean of the envelope's autocorrelation at lags of one to four
    beats, times a log-normal prior. Tempi whose autocorrelation is as high halfway between beats are excluded: they are
    half of the true tempo.

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
    prior); Percival and Tzanetakis (2014), "Streamlined tempo estimation based on autocorrelation and
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
    scores = np.where((on > RECURRENCE) & (between < HALFWAY * on), on * expected, 0)
    best = scores.argmax()
    if scores[best] == 0:
        return Rhythm(0.0, 0.0, 0.0, 0.0, onsets)
    tempo = _summit(scores, best)
    rivals = scores[np.abs(TEMPI / tempo - 1) > RIVAL]
    return Rhythm(
        tempo=tempo,
        confidence=float(1 - rivals.max() / scores[best]),
        strength=_strength(flux, 60 * frame_rate / tempo, STABLE_S * frame_rate),
        regularity=float(min(1, on[best])),
        onsets=onsets,
    )


def onset_rate(mels, frame_rate):
    """Onsets per second: peaks of the mean rise over the mel bands, in dB.

    The prominence of peaks is a number of dB, not a share of the highest, so that one crash does not hide the others.
    """
    from scipy.signal import find_peaks  # as in `stft.power_spectra`

    decibels = 10 * np.log10(np.maximum(mels, 1e-10))
    rises = _rises(np.maximum(decibels, decibels.max() - RANGE))
    peaks, _ = find_peaks(rises, prominence=RISE)
    return len(peaks) * frame_rate / mels.shape[1]


def _rises(spectrogram):
    """The mean rise of the bands from frame to frame: [shape=(frames,)]."""
    rises = np.zeros(spectrogram.shape[1])
    rises[1:] = np.maximum(0, np.diff(spectrogram, axis=1)).mean(axis=0)
    rises[:START] = 0
    rises[-END:] = 0
    return rises


def _autocorrelation(envelope):
    """Its autocorrelation, 1 at lag 0; 0 at lags over three quarters of the clip, with too few products."""
    from scipy.fft import irfft, next_fast_len, rfft  # as in `stft.power_spectra`
    from scipy.ndimage import gaussian_filter1d

    n = len(envelope)
    envelope = gaussian_filter1d(envelope, 1.0)  # small deviations of players, and coarse frames
    envelope = envelope - envelope.mean()
    power = np.abs(rfft(envelope, next_fast_len(2 * n, real=True))) ** 2
    products = irfft(power)[:n] * n / np.arange(n, 0, -1)
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


def _strength(flux, period, stable):
    """Flux at the best phase of the beat over the mean, in dB; the phase may drift from window to window."""
    frames = np.arange(len(flux))
    windows = (frames // stable).astype(int)
    cells = windows * PHASES + (frames / period % 1 * PHASES).astype(int)
    size = PHASES * (windows[-1] + 1)
    sums = np.bincount(cells, flux, minlength=size)
    means = (sums / np.maximum(1, np.bincount(cells, minlength=size))).reshape(-1, PHASES)
    return float(20 * np.log10(max(1, means.max(axis=1).mean() / flux.mean())))
