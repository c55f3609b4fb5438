"""Mel-spectrograms in dB, as librosa defines them, and their eight-bit form for the store.

Power spectrogram of Hann windows (centred, zero-padded), mel filterbank, 10 log10 with a fixed reference
of 1: no normalisation per clip, so that loudness survives.
"""

from functools import lru_cache

import librosa
import numpy as np
import scipy.fft
from scipy.signal import get_window
from scipy.sparse import csr_array

from hitsong.audio import crop, load

AMIN = np.float32(1e-10)  # librosa.power_to_db's floor: -100 dB
RANGE_DB = 80  # what eight bits cover, below the loudest that a tone can be: steps of 0.31 dB
CHUNK = 128  # frames transformed at a time: stays in the cache


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
    window, filters = _window(settings), _filters(settings)
    samples = np.pad(crop(samples, _length(settings)), settings.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(samples, settings.n_fft)[:: settings.hop_length]
    mels = np.empty((settings.n_mels, len(frames)), np.float32)
    for start in range(0, len(frames), CHUNK):
        spectrum = scipy.fft.rfft(frames[start : start + CHUNK] * window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        mels[:, start : start + CHUNK] = filters @ power.T
    return 10 * np.log10(np.maximum(mels, AMIN))


def quantisation(settings):
    """How a stored byte stands for dB: ``dB = code * scale + offset``.

    Returns
    -------
    scale, offset : float
        Code 255 is the loudest that a full-scale sine can be in any band, code 0 lies 80 dB below.
    """
    loudest = 20 * np.log10(_window(settings).sum() / 2) + 10 * np.log10(_filters(settings).max())
    return RANGE_DB / 255, round(float(loudest), 2) - RANGE_DB


def encode(decibels, settings):
    """Round dB to the store's bytes; what lies outside the range is clipped to it."""
    scale, offset = quantisation(settings)
    return np.clip(np.rint((decibels - offset) / scale), 0, 255).astype(np.uint8)


def decode(codes, settings):
    """Turn the store's bytes back into dB [float32]."""
    scale, offset = quantisation(settings)
    return codes.astype(np.float32) * np.float32(scale) + np.float32(offset)


def extract(path, settings):
    """From an audio file to the bytes the store holds: [shape=(n_mels, frames), uint8]. Raises AudioError."""
    return encode(mel_spectrogram(load(path, settings.sample_rate), settings), settings)


def _length(settings):
    return round(settings.seconds * settings.sample_rate)


@lru_cache
def _window(settings):
    return get_window("hann", settings.n_fft).astype(np.float32)


@lru_cache
def _filters(settings):
    """The mel filterbank, sparse: nine in ten of its entries are zero."""
    return csr_array(
        librosa.filters.mel(
            sr=settings.sample_rate,
            n_fft=settings.n_fft,
            n_mels=settings.n_mels,
            fmin=settings.fmin,
            fmax=settings.fmax,
            htk=settings.htk,
        )
    )
