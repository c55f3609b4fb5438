"""The key of a clip: which of the 24 major and minor keys its pitch classes fit best."""

from functools import cache

import numpy as np

from hitsong.features.decode import resample
from hitsong.features.stft import frame_count, power_spectra

SAMPLE_RATE = 5512.5  # Hz, enough for the highest pitch: a quarter of the transforms at 22,050 Hz
N_FFT, HOP = 2048, 1024  # a bin is 2.7 Hz, which resolves semitones from 55 Hz on
LOWEST, HIGHEST = 55.0, 2100.0  # Hz, A1 to C7: above are mostly overtones
QUIETEST = 0.05  # of a frame's highest peak: lower peaks are noise and leakage

# Frequency of each degree of the scale, in semitones above the tonic, in pieces of music.
MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)


def key(samples, sample_rate):
    """Estimate the key by correlation with key profiles.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono.
    sample_rate : int
        In Hz, at least `SAMPLE_RATE`.

    Returns
    -------
    pitch_class : int
        Of the tonic: 0 is C, 11 is B.
    major : float
        1 for major, 0 for minor, 0.5 where there is no key.
    strength : float
        Correlation with the key's profile, at most 1; 0 where there is no key, as in silence or noise
        without a peak.

    References
    ----------
    Krumhansl (1990), *Cognitive Foundations of Musical Pitch* (the correlation);
    Albrecht and Shanahan (2013), "The use of large corpora to train a new type of key-finding algorithm",
    *Music Perception* 31(1) (the profiles).
    """
    weights = chroma(resample(samples, sample_rate, SAMPLE_RATE))
    if np.ptp(weights) <= 1e-6 * weights.max():
        return 0, 0.5, 0.0
    weights = weights - weights.mean()
    correlations = _profiles() @ weights / np.linalg.norm(weights)
    best = int(correlations.argmax())
    return best % 12, float(best < 12), float(correlations[best])


def chroma(samples):
    """The weight of each pitch class in a clip at `SAMPLE_RATE`: [shape=(12,)], all 0 without a peak.

    The peaks of the spectrum, located between bins by a parabola through the logarithms, each weighted by the root of
    its amplitude, less the tuning of the whole clip. After Gomez (2006), "Tonal
    description of polyphonic audio for music content processing", *INFORMS Journal on Computing* 18(3).
    """
    spectrum, first = _spectrum(samples)
    below, here, above = spectrum[:-2], spectrum[1:-1], spectrum[2:]
    peaks = (here > below) & (here >= above) & (here > np.maximum(QUIETEST * here.max(axis=0), 1e-4))
    places, frames = np.flatnonzero(peaks), spectrum.shape[1]  # far quicker to look up than pairs or masks
    # In double precision: neighbours that differ by the last bit of a float32 still define a parabola.
    parts = (spectrum.take(places + row * frames).astype(float) for row in range(3))
    below, here, above = (np.log(np.maximum(part, 1e-12)) for part in parts)
    bins = places // frames + first + 1 + 0.5 * (below - above) / (below - 2 * here + above)
    pitches = 12 * np.log2(bins * SAMPLE_RATE / N_FFT / 440) + 69  # MIDI numbers
    weights = np.exp(0.5 * here)
    turns = 2 * np.pi * pitches
    tuning = np.arctan2(weights @ np.sin(turns), weights @ np.cos(turns)) / (2 * np.pi)  # semitones
    return np.bincount(np.rint(pitches - tuning).astype(int) % 12, weights, minlength=12)


def _spectrum(samples):
    """Amplitudes between the lowest and the highest pitch [shape=(bins, frames)], and their first bin."""
    first, last = (round(limit * N_FFT / SAMPLE_RATE) for limit in (LOWEST, HIGHEST))
    spectrum = np.empty((last - first, frame_count(samples, HOP)), np.float32)
    for frames, power in power_spectra(samples, N_FFT, HOP):
        spectrum[:, frames] = np.sqrt(power[first:last])
    return spectrum, first


@cache
def _profiles():
    """The 24 profiles, zero-mean and of unit length: C major to B major, then C minor to B minor."""
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    profiles -= profiles.mean(axis=1, keepdims=True)
    return profiles / np.linalg.norm(profiles, axis=1, keepdims=True)
