"""Mel-spectrograms in dB, as librosa defines them, and their eight-bit form for the store.

Power spectrogram of Hann windows (centred, zero-padded), mel filterbank, 10 log10 with a fixed reference
of 1: no normalisation per clip, so that loudness survives.
"""

from functools import lru_cache
from typing import NamedTuple

import librosa
import numpy as np
import scipy.fft
from scipy.signal import get_window
from scipy.sparse import csr_array

from hitsong.features.decode import crop

AMIN = np.float32(1e-10)  # librosa.power_to_db's floor: -100 dB
RANGE_DB = 80  # what eight bits cover, below the loudest that a tone can be: steps of 0.31 dB
CHUNK = 128  # frames transformed at a time: stays in the cache


class Spectrum(NamedTuple):
    """What a mel power spectrogram depends on; frequencies in Hz, windows and hops in samples."""

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    fmin: float = 0.0
    fmax: float | None = None
    htk: bool = False


def mel_power(samples, spectrum):
    """Compute a mel power spectrogram.

    The transform runs in float32, a cache-sized piece of the clip at a time, and the filterbank, nine
    tenths of which are zeros, is sparse: half of librosa's time for the same numbers.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono, at `spectrum.sample_rate`.
    spectrum : Spectrum

    Returns
    -------
    np.ndarray [shape=(n_mels, 1 + n // hop_length), float32]
        As ``librosa.feature.melspectrogram(..., power=2.0)``.
    """
    window, filters = _window(spectrum.n_fft), _filters(spectrum)
    samples = np.pad(samples, spectrum.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(samples, spectrum.n_fft)[:: spectrum.hop_length]
    mels = np.empty((spectrum.n_mels, len(frames)), np.float32)
    for start in range(0, len(frames), CHUNK):
        transform = scipy.fft.rfft(frames[start : start + CHUNK] * window, axis=1)
        power = transform.real**2 + transform.imag**2
        mels[:, start : start + CHUNK] = filters @ power.T
    return mels


def decibels(power):
    """Power to dB with a reference of 1 and a floor of -100."""
    return 10 * np.log10(np.maximum(power, AMIN))


# ---------------------------------------------------------------------- the kind of feature


def shape(settings):
    """The shape of a clip's mel-spectrogram: (mels, frames)."""
    return settings.n_mels, 1 + _length(settings) // settings.hop_length


def mel_spectrogram(samples, settings):
    """Compute the mel-spectrogram of a clip.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono, at `settings.sample_rate`; cropped to its middle or zero-padded to `settings.seconds`.
    settings : hitsong.config.Mel

    Returns
    -------
    np.ndarray [shape=(n_mels, frames), float32]
        In dB: ``power_to_db(melspectrogram(...), ref=1.0, top_db=None)`` of librosa, within 0.01 dB.
    """
    return decibels(mel_power(crop(samples, _length(settings)), _spectrum(settings)))


def quantisation(settings):
    """How a stored byte stands for dB: ``dB = code * scale + offset``.

    Returns
    -------
    scale, offset : float
        Code 255 is the loudest that a full-scale sine can be in any band, code 0 lies 80 dB below.
    """
    filters = _filters(_spectrum(settings))
    loudest = 20 * np.log10(_window(settings.n_fft).sum() / 2) + 10 * np.log10(filters.max())
    return RANGE_DB / 255, round(float(loudest), 2) - RANGE_DB


def encode(decibels, settings):
    """Round dB to the store's bytes; what lies outside the range is clipped to it."""
    scale, offset = quantisation(settings)
    return np.clip(np.rint((decibels - offset) / scale), 0, 255).astype(np.uint8)


def decode(codes, settings):
    """Turn the store's bytes back into dB [float32]."""
    scale, offset = quantisation(settings)
    return codes.astype(np.float32) * np.float32(scale) + np.float32(offset)


def compute(clip, settings):
    """The bytes that the store holds of a clip: [shape=(n_mels, frames), uint8]."""
    return encode(mel_spectrogram(clip.at(settings.sample_rate), settings), settings)


def _length(settings):
    return round(settings.seconds * settings.sample_rate)


def _spectrum(s):
    return Spectrum(s.sample_rate, s.n_fft, s.hop_length, s.n_mels, s.fmin, s.fmax, s.htk)


@lru_cache
def _window(n_fft):
    return get_window("hann", n_fft).astype(np.float32)


@lru_cache
def _filters(spectrum):
    """The mel filterbank [shape=(n_mels, 1 + n_fft // 2), float32], sparse."""
    return csr_array(
        librosa.filters.mel(
            sr=spectrum.sample_rate,
            n_fft=spectrum.n_fft,
            n_mels=spectrum.n_mels,
            fmin=spectrum.fmin,
            fmax=spectrum.fmax,
            htk=spectrum.htk,
        )
    )
