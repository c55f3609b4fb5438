"""The short-time Fourier transform of all features: in float32, in chunks that fit the processor's cache."""

from functools import lru_cache

import numpy as np

CHUNK = 64  # frames transformed at a time


def power_spectra(samples, n_fft, hop_length):
    """Compute the power spectra of centred, zero-padded Hann windows, in chunks.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
    n_fft, hop_length : int
        Window and step, in samples.

    Yields
    ------
    frames : slice
        The columns of this chunk among 1 + n // hop_length frames.
    power : np.ndarray [shape=(1 + n_fft // 2, frames), float32]
        As ``np.abs(librosa.stft(..., pad_mode="constant")) ** 2``.
    """
    from scipy.fft import rfft  # the service, whose decoders do this, starts without SciPy

    padded = np.pad(samples, (n_fft // 2, n_fft - n_fft // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    for start in range(0, len(windows), CHUNK):
        frames = slice(start, min(start + CHUNK, len(windows)))
        transform = rfft((windows[frames] * hann(n_fft)).T, axis=0)
        power = transform.real**2
        power += transform.imag**2
        yield frames, power


def frame_count(samples, hop_length):
    """The number of frames of `power_spectra`."""
    return 1 + len(samples) // hop_length


@lru_cache
def hann(n_fft):
    """The periodic Hann window [shape=(n_fft,), float32]."""
    from scipy.signal import get_window  # as above

    return get_window("hann", n_fft).astype(np.float32)
