import librosa
import numpy as np
import pytest

from hitsong.features import decode
from hitsong.features.decode import AudioError


def test_samples_are_those_of_librosa(shared):
    path = sorted((shared / "fma_mini" / "fma_small").rglob("*.mp3"))[0]
    expected, _ = librosa.load(path, sr=22050)
    np.testing.assert_allclose(decode.load(path, 22050), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_any_channels_and_rate_become_mono_at_the_wanted_rate(tone, channels, rate):
    samples = decode.load(tone("a.wav", channels=channels, rate=rate, hz=440), 22050)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(len(samples) - 2 * 22050) <= 1
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(spectrum.argmax() * 22050 / len(samples) - 440) < 1
    assert abs(np.abs(samples[5000:-5000]).max() - 0.5) < 0.01  # no gain or loss by the downmix


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!doctype html>\n<html>not a song</html>", "text"),
        (b"no such file", "text"),
        (b"", "empty"),
        (b"RIFF\x00\x00 nothing", "not decodable"),
        (bytes(range(256)) * 20, "not decodable"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x0aonly a tag", "not decodable"),
    ],
    ids=["web page", "text", "empty", "header", "bytes", "tag"],
)
def test_what_is_not_audio_has_a_reason(tmp_path, content, reason):
    path = tmp_path / "clip.mp3"
    path.write_bytes(content)
    with pytest.raises(decode.AudioError, match=reason):
        decode.read(path)


def test_no_samples_is_an_error(tone):
    with pytest.raises(decode.AudioError, match="holds no audio"):
        decode.read(tone("empty.wav", seconds=0))


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_mono_is_the_mean_of_the_channels_and_leaves_them(channels, rng):
    samples = rng.normal(size=(1000, channels)).astype(np.float32)
    before = samples.copy()
    mono = decode.mono(samples)
    assert mono.dtype == np.float32
    np.testing.assert_allclose(mono, before.mean(axis=1, dtype=float), atol=1e-6)
    np.testing.assert_array_equal(samples, before)


def test_crop_takes_the_middle_or_appends_silence():
    assert decode.crop(np.arange(10), 4).tolist() == [3, 4, 5, 6]
    assert decode.crop(np.arange(1, 4), 5).tolist() == [1, 2, 3, 0, 0]
    assert decode.crop(np.arange(4), 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("frames", [0, 2**36 - 1])
def test_a_flac_that_does_not_know_its_length_or_lies_about_it_is_named(tone, frames):
    path = tone("a.flac", seconds=2.0, rate=8000)
    content = bytearray(path.read_bytes())
    # The number of samples: the last 36 of 64 bits, 10 bytes into STREAMINFO, which begins at byte 8.
    packed = int.from_bytes(content[18:26], "big")
    assert packed & (2**36 - 1) == 16000
    content[18:26] = (packed >> 36 << 36 | frames).to_bytes(8, "big")
    path.write_bytes(content)
    with pytest.raises(AudioError, match="how long it is|about its length|not decodable"):
        decode.read(path)
