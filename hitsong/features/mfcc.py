"""Mel-frequency cepstral coefficients, as librosa defines them.

The default is study 4's: 20 coefficients of 256 HTK mels at 44,100 Hz, 160 frames.
"""

import numpy as np
import scipy.fft

from hitsong.features.mel import Spectrum, decibels, mel_power

TOP_DB = 80  # librosa's: what lies further below the clip's loudest is raised to there


def shape(settings):
    """The shape of a clip's coefficients: (frames, coefficients)."""
    return settings.frames, settings.n_mfcc


def mfcc(samples, settings):
    """Compute the MFCCs of a clip.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono, at `settings.sample_rate`.

    Returns
    -------
    np.ndarray [shape=(frames, n_mfcc), float32]
        ``librosa.feature.mfcc(...)`` transposed, within 0.01; cut or padded with zeros at the end to
        `settings.frames`.
    """
    s = settings
    spectrum = Spectrum(s.sample_rate, s.n_fft, s.hop_length, s.n_mels, htk=s.htk)
    levels = decibels(mel_power(samples, spectrum))
    levels = np.maximum(levels, levels.max() - TOP_DB)
    coefficients = scipy.fft.dct(levels, axis=0, type=2, norm="ortho")[: s.n_mfcc].T[: s.frames]
    return np.pad(coefficients, ((0, s.frames - len(coefficients)), (0, 0)))


def compute(clip, settings):
    """Compute the MFCCs that the store holds of a clip: [shape=(frames, n_mfcc), float32]."""
    return mfcc(clip.at(settings.sample_rate), settings)
