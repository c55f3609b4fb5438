"""Measurements of the audio: 67 named numbers per clip, in place of Spotify's audio features.

Each is named after what it measures, with its unit, and none as one of Spotify's: "energy" and "danceability" come from
unpublished models. Means and deviations are over frames that are loud enough: silence has no timbre.

Linear models should use `key_cos` and `key_sin` rather than `key_pitch_class`: the place on the circle of fifths, where
keys that share notes are neighbours; both are 0 without a key.
"""

import numpy as np

from hitsong.features.decode import Clip, resample
from hitsong.features.key import key
from hitsong.features.mel import Spectrum
from hitsong.features.rhythm import rhythm

SAMPLE_RATE, N_FFT, HOP = 22050, 2048, 512  # of the spectra: 93 ms, every 23 ms
N_MELS, N_MFCC = 128, 20
SPECTRUM = Spectrum(SAMPLE_RATE, N_FFT, HOP, N_MELS)

LIMIT = 100.0  # samples beyond 40 dB over full scale are cut there: files of floats can hold anything
FLOOR_DBFS = -120.0
AUDIBLE = 1e-6  # frames more than 60 dB below the loudest are left out
AMIN = 1e-10  # librosa's floor of powers: -100 dB
LOWEST_RATE = 8000  # Hz; the loudness filters need frequencies up to 4 kHz

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


def columns(section=None):
    """The names of the numbers."""
    return COLUMNS


def compute(clip, section=None, *, seconds):
    """Describe the middle of a clip, so many seconds of it: [shape=(len(COLUMNS),), float32]."""
    return describe(clip.middle(seconds))


def describe(clip):
    """Describe a clip.

    Loudness and level are measured on the channels at their own rate, all else on their mean at
    22,050 Hz, less its constant offset.

    Parameters
    ----------
    clip : hitsong.features.decode.Clip
        Full scale is 1. Clips may be empty or silent, NaN counts as 0, infinity as 100.

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
            Change of the spectrogram over frequency against its change over time: high for sustained tones, low for
            drums. The two smoothness terms of Ono et al. (2008), "Separation of a monaural audio signal into
            harmonic/percussive components by complementary diffusion on spectrogram", EUSIPCO.
        spectral_..._hz, spectral_..._db
            Means of librosa's features of the amplitudes (the flatness: of the powers, in dB); the contrast
            by band, 0-200 Hz and on in octaves to 6.4-10 kHz. Flatness and contrast use frequencies below 10 kHz,
            which no resampler attenuates. 0 in silence.
        mfcc_00_mean ... mfcc_19_std
            Of librosa's 128 Slaney mels in dB over a reference of 1.
    """
    from scipy.fft import dct  # as in `stft.power_spectra`

    from hitsong.features.loudness import loudness  # compiles with Numba, which takes half a second to load
    from hitsong.features.spectral import measure_spectra

    clip = _clean(clip)
    samples = clip.at(SAMPLE_RATE)
    samples = samples - samples.mean() if len(samples) else np.zeros(1, np.float32)
    mels, levels, shape, harmonic_percussive = measure_spectra(samples, SPECTRUM)
    audible = levels >= max(AUDIBLE * levels.max(), AMIN)
    if not audible.any():
        audible[:], shape[:] = True, 0
    decibels = 10 * np.log10(np.maximum(mels[:, audible], AMIN))
    mfcc = dct(decibels, axis=0, type=2, norm="ortho")[:N_MFCC]
    beat = rhythm(mels, SAMPLE_RATE / HOP)
    values = [
        *loudness(clip.channels, clip.sample_rate),
        *_level(clip.channels),
        *(beat.tempo, beat.confidence, beat.strength, beat.regularity, beat.onsets),
        *_key(samples),
        _crossings(samples),
        harmonic_percussive,
        *shape[:, audible].mean(axis=1),
        *mfcc.mean(axis=1),
        *mfcc.std(axis=1),
    ]
    return np.array(values, np.float32)


def _clean(clip):
    """The clip with at least one sample, finite ones, and a rate that loudness can be measured at."""
    channels, sample_rate = clip.channels, clip.sample_rate
    if channels.size and sample_rate >= LOWEST_RATE and max(channels.max(), -channels.min()) <= LIMIT:
        return clip
    if not channels.size:
        channels = np.zeros((1, 1), np.float32)
    channels = np.clip(np.nan_to_num(channels, nan=0.0), -LIMIT, LIMIT)
    if sample_rate < LOWEST_RATE:
        channels, sample_rate = resample(channels, sample_rate, SAMPLE_RATE), SAMPLE_RATE
        channels = channels if len(channels) else np.zeros((1, 1), np.float32)
    return Clip(channels, sample_rate)


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
