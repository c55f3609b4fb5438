"""What the audio says about itself: 67 numbers per clip, a stand-in for Spotify's audio features.

Each is named for what it is, with its unit, and none as Spotify's are: "energy" or "danceability" are
models that nobody outside has seen. Means and deviations are over the frames that are heard: silence in
a clip is not a timbre.

For linear models: leave `key_pitch_class` out, a number on a circle, and take `key_cos` and `key_sin`,
its place on the circle of fifths, where keys that share notes are neighbours; both are 0 without a key.
"""

from functools import cache

import librosa
import numpy as np
import scipy.fft
from scipy.signal import get_window
from scipy.sparse import csr_array

from hitsong.features.decode import mono, resample
from hitsong.features.key import key
from hitsong.features.loudness import loudness
from hitsong.features.rhythm import rhythm

VERSION = 1  # to be raised when a number changes
SAMPLE_RATE, N_FFT, HOP = 22050, 2048, 512  # of the spectra: 93 ms, every 23 ms
N_MELS, N_MFCC = 128, 20
ROLLOFF = 0.85  # of the amplitudes lies below
WHOLE = 10000.0  # Hz; resampling to 22,050 Hz takes away what lies above
CHUNK = 128  # frames at a time: stays in the cache

LIMIT = 100.0  # samples beyond 40 dB over full scale are cut there: files of floats can hold anything
FLOOR_DBFS = -120.0
HEARD = 1e-6  # frames more than 60 dB below the loudest are not heard
AMIN = 1e-10  # librosa's floor of powers: -100 dB

SHAPE = [
    "spectral_centroid_hz",
    "spectral_bandwidth_hz",
    "spectral_rolloff_hz",
    "spectral_flatness_db",
    *(f"spectral_contrast_{band}_db" for band in range(7)),
]
COLUMNS = [
    "loudness_lufs",
    "loudness_range_lu",
    "rms_dbfs",
    "crest_db",
    "tempo_bpm",
    "tempo_confidence",
    "beat_strength_db",
    "beat_regularity",
    "onset_rate_hz",
    "key_pitch_class",
    "key_cos",
    "key_sin",
    "mode_major",
    "key_strength",
    "zero_crossing_rate_hz",
    "harmonic_percussive_db",
    *SHAPE,
    *(f"mfcc_{coefficient:02}_mean" for coefficient in range(N_MFCC)),
    *(f"mfcc_{coefficient:02}_std" for coefficient in range(N_MFCC)),
]


def describe(channels, sample_rate):
    """Describe a clip.

    Loudness and level are measured on the channels at their own rate, all else on their mean at
    22,050 Hz, less its constant offset.

    Parameters
    ----------
    channels : np.ndarray [shape=(n, channels) or (n,), float32]
        Full scale is 1. Anything goes: no sample, silence, NaN (taken as 0), infinity (taken as 100).
    sample_rate : int
        In Hz.

    Returns
    -------
    np.ndarray [shape=(len(COLUMNS),), float32]
        Finite, in the order of `COLUMNS`:

        loudness_lufs, loudness_range_lu
            Integrated loudness, at least -70, and loudness range: see `loudness`.
        rms_dbfs
            Root mean square over all channels, in dB under a full-scale square wave; at least -120.
        crest_db
            Highest sample over root mean square; 0 in silence.
        tempo_bpm, tempo_confidence, beat_strength_db, beat_regularity, onset_rate_hz
            See `rhythm`; all but the onsets are 0 where nothing recurs.
        key_pitch_class, key_cos, key_sin, mode_major, key_strength
            0 to 11 for C to B; its place on the circle of fifths, C at (1, 0) and G 30 degrees on; 1
            for major and 0 for minor; the correlation with the key's profile. Without a key: 0, 0, 0, 0.5, 0.
            See `key`.
        zero_crossing_rate_hz
            Changes of sign per second.
        harmonic_percussive_db
            How much the spectrogram changes over frequency against over time: high for sustained tones, low
            for drums. The two smoothness terms of Ono et al. (2008), "Separation of a monaural audio signal
            into harmonic/percussive components by complementary diffusion on spectrogram", EUSIPCO, at
            their range compression; it orders 15 real clips as median-filter separation does (rank
            correlation 0.93), at a two-hundredth of its time.
        spectral_..._hz, spectral_..._db
            Means of librosa's features of the amplitudes (the flatness: of the powers, in dB); the contrast
            by band, 0-200 Hz and on in octaves to 6.4-10 kHz. Flatness and contrast look below 10 kHz, where
            no resampler has rolled off. 0 in silence.
        mfcc_00_mean ... mfcc_19_std
            Of librosa's 128 Slaney mels in dB over a reference of 1.
    """
    channels, sample_rate = _clean(channels, sample_rate)
    samples = resample(mono(channels), sample_rate, SAMPLE_RATE)
    samples = samples - samples.mean() if len(samples) else np.zeros(1, np.float32)
    mels, levels, shape, harmonic_percussive = _spectral(samples)
    heard = levels >= max(HEARD * levels.max(), AMIN)
    if not heard.any():
        heard[:], shape[:] = True, 0
    mfcc = librosa.feature.mfcc(S=10 * np.log10(np.maximum(mels[:, heard], AMIN)), n_mfcc=N_MFCC)
    found = rhythm(mels, SAMPLE_RATE / HOP)
    values = [
        *loudness(channels, sample_rate),
        *_level(channels),
        *(found.tempo, found.confidence, found.strength, found.regularity, found.onsets),
        *_key(samples),
        _crossings(samples),
        harmonic_percussive,
        *shape[:, heard].mean(axis=1),
        *mfcc.mean(axis=1),
        *mfcc.std(axis=1),
    ]
    return np.array(values, np.float32)


def _clean(channels, sample_rate):
    """Samples that everything below can trust: two axes, at least one sample, finite."""
    channels = np.asarray(channels, np.float32)
    channels = channels.reshape(len(channels), -1) if channels.size else np.zeros((1, 1), np.float32)
    if not max(channels.max(), -channels.min()) <= LIMIT:  # or NaN
        channels = np.clip(np.nan_to_num(channels, nan=0.0), -LIMIT, LIMIT)
    if sample_rate < 8000:  # the loudness filters have no place below 4 kHz
        channels, sample_rate = resample(channels, sample_rate, SAMPLE_RATE), SAMPLE_RATE
        channels = channels if len(channels) else np.zeros((1, 1), np.float32)
    return channels, sample_rate


def _level(channels):
    """Root mean square in dBFS, and crest factor in dB."""
    rms = 10 * np.log10(max(np.vdot(channels, channels) / channels.size, 1e-30))
    if rms <= FLOOR_DBFS:
        return FLOOR_DBFS, 0.0
    return rms, 20 * np.log10(max(channels.max(), -channels.min())) - rms


def _key(samples):
    """The key as numbers: pitch class, cosine and sine on the circle of fifths, mode, strength."""
    pitch_class, major, strength = key(samples, SAMPLE_RATE)
    if strength == 0:
        return 0.0, 0.0, 0.0, major, 0.0
    angle = 2 * np.pi * (7 * pitch_class % 12) / 12  # a fifth is seven semitones
    return pitch_class, np.cos(angle), np.sin(angle), major, strength


def _crossings(samples):
    """Changes of sign per second."""
    return np.count_nonzero(np.diff(np.signbit(samples))) * SAMPLE_RATE / max(1, len(samples))


def _spectral(samples):
    """All that comes from the one spectrogram.

    Returns
    -------
    mels : np.ndarray [shape=(N_MELS, frames), float32]
        Mel power spectrogram.
    levels : np.ndarray [shape=(frames,), float32]
        Mean power over the bins.
    shape : np.ndarray [shape=(len(SHAPE), frames), float64]
    harmonic_percussive : float
        In dB.
    """
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, N_FFT // 2), N_FFT)[::HOP]
    window = get_window("hann", N_FFT).astype(np.float32)
    mels, levels, shape, changes = [], [], [], np.zeros(2)
    for start in range(0, len(frames), CHUNK):
        transform = scipy.fft.rfft(frames[start : start + CHUNK] * window, axis=1)
        power = np.ascontiguousarray((transform.real**2 + transform.imag**2).T)
        amplitude = np.sqrt(power)
        mels.append(_mel_filters() @ power)
        levels.append(power.mean(axis=0))
        shape.append(_shape(power, amplitude))
        changes += _changes(amplitude)
    ratio = 10 * np.log10(changes[0] / changes[1]) if changes.min() > AMIN else 0.0
    return np.concatenate(mels, axis=1), np.concatenate(levels), np.concatenate(shape, axis=1), ratio


def _shape(power, amplitude):
    """The spectral shape of each frame: rows as in `SHAPE`."""
    hertz = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    total, first, second = np.stack([np.ones_like(hertz), hertz, hertz**2]).astype(np.float32) @ amplitude
    total = np.maximum(total, AMIN)
    centroid = first / total
    bandwidth = np.sqrt(np.maximum(0, second / total - centroid**2))  # librosa's, in a fifth of the time
    rolloff = (np.cumsum(amplitude, axis=0) < ROLLOFF * total).sum(axis=0) * (SAMPLE_RATE / N_FFT)
    whole = int(np.searchsorted(hertz, WHOLE))
    flatness = 10 * np.log10(librosa.feature.spectral_flatness(S=power[:whole], power=1.0, amin=AMIN)[0])
    contrast = librosa.feature.spectral_contrast(S=amplitude[:whole], freq=hertz[:whole])
    return np.stack([centroid, bandwidth, rolloff, flatness, *contrast])


def _changes(amplitude):
    """Squared steps of the compressed spectrogram over frequency, and over time."""
    compressed = amplitude ** np.float32(0.6)
    steps = np.diff(compressed, axis=0), np.diff(compressed, axis=1)
    return np.array([np.vdot(step, step) for step in steps])


@cache
def _mel_filters():
    """The mel filterbank, sparse: nine in ten of its entries are zero."""
    return csr_array(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS))
