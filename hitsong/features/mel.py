"""Mel-spectrograms in dB, as librosa defines them, and their eight-bit form in the store.

Power spectrogram of Hann windows (centred, zero-padded), mel filterbank, 10 log10 with a fixed reference
of 1. Clips are not normalised, so loudness is kept.
"""

from functools import lru_cache
from typing import NamedTuple

import librosa
import numpy as np

from hitsong.features.decode import crop
from hitsong.features.stft import frame_count, hann, power_spectra

AMIN = np.float32(1e-10)  # librosa.power_to_db's floor: -100 dB
RANGE_DB = 80  # of the eight bits, below the level of a full-scale sine: steps of 0.31 dB


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
    """Compute a mel power spectrogram, with a sparse filterbank, nine tenths of which are zeros.

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
    filters = mel_filters(spectrum)
    mels = np.empty((spectrum.n_mels, frame_count(samples, spectrum.hop_length)), np.float32)
    for frames, power in power_spectra(samples, spectrum.n_fft, spectrum.hop_length):
        mels[:, frames] = filters @ power
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

    Returns
    -------
    np.ndarray [shape=(n_mels, frames), float32]
        In dB: ``power_to_db(melspectrogram(...), ref=1.0, top_db=None)`` of librosa, within 0.01 dB.
    """
    return decibels(mel_power(crop(samples, _length(settings)), _spectrum(settings)))


def quantisation(settings):
    """The meaning of a stored byte: ``dB = code * scale + offset``.

    Returns
    -------
    scale, offset : float
        Code 255 is the highest level that the strongest bin of a full-scale sine gives to a band; code 0 is 80 dB
        below. The bins beside it can add up to 1.5 dB, which are clipped.
    """
    filters = mel_filters(_spectrum(settings))
    loudest = 20 * np.log10(hann(settings.n_fft).sum() / 2) + 10 * np.log10(filters.max())
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
    """Compute the bytes that the store holds of a clip: [shape=(n_mels, frames), uint8]."""
    return encode(mel_spectrogram(clip.at(settings.sample_rate), settings), settings)


def _length(settings):
    return round(settings.seconds * settings.sample_rate)


def _spectrum(s):
    return Spectrum(s.sample_rate, s.n_fft, s.hop_length, s.n_mels, s.fmin, s.fmax, s.htk)


@lru_cache
def mel_filters(spectrum):
    """The mel filterbank [shape=(n_mels, 1 + n_fft // 2), float32], sparse."""
    from scipy.sparse import csr_array  # as in `stft.power_spectra`

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
