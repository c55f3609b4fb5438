"""Measures of the spectrogram against librosa's."""

import librosa
import numpy as np
import pytest

from hitsong.features.mel import Spectrum
from hitsong.features.spectral import measure_spectra

SPECTRUM = Spectrum(22050, 2048, 512, 128)


@pytest.mark.parametrize("seconds", [0.1, 3])
def test_measures_agree_with_librosa(seconds, rng):
    samples = rng.normal(0, 0.1, round(seconds * 22050)).astype(np.float32).cumsum()
    amplitude = np.abs(librosa.stft(samples, n_fft=2048, hop_length=512))
    measures = measure_spectra(samples, SPECTRUM)
    np.testing.assert_allclose(measures.levels, (amplitude**2).mean(axis=0), rtol=1e-4)
    expected = librosa.feature.melspectrogram(S=amplitude**2, sr=22050)
    np.testing.assert_allclose(measures.mels, expected, rtol=1e-3)
    for row, name in enumerate(("centroid", "bandwidth", "rolloff")):
        expected = getattr(librosa.feature, "spectral_" + name)(S=amplitude, sr=22050)[0]
        np.testing.assert_allclose(measures.shape[row], expected, rtol=1e-3, atol=11)  # Hz, a bin
    flatness = librosa.feature.spectral_flatness(S=amplitude[:929])[0]
    np.testing.assert_allclose(measures.shape[3], 10 * np.log10(flatness), atol=0.01)
    contrast = librosa.feature.spectral_contrast(S=amplitude, sr=22050)
    np.testing.assert_allclose(measures.shape[4:10], contrast[:6], atol=0.01)  # the seventh ends at 10 kHz


def test_silence_and_one_frame():
    measures = measure_spectra(np.zeros(1, np.float32), SPECTRUM)
    assert measures.shape.shape == (11, 1)
    assert np.isfinite(measures.shape).all()
    assert measures.harmonic_percussive == 0
