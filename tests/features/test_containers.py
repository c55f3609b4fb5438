"""M4A, WebM, AAC and videos: the same samples as from WAV, and errors that say what is wrong."""

import io

import av
import numpy as np
import pytest
import soundfile

from hitsong.config import Features
from hitsong.features import decode, mel
from tests.containers import KINDS, encode

RATE = 44100


@pytest.fixture
def music(shared):
    """Ten seconds of a real song, its right channel a third of its level."""
    path = sorted((shared / "fma_mini" / "fma_small").rglob("*.mp3"))[1]
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True, start=RATE, stop=11 * RATE)
    assert (rate, samples.shape[1]) == (RATE, 2)
    return 0.5 * samples * np.float32([1, 1 / 3])


def write(tmp_path, content, name="a"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def without_delay(samples, reference):
    """The samples from where they agree best with the reference, and as long."""
    spectra = (np.fft.rfft(signal, 2 * len(reference)) for signal in (samples, reference))
    first, second = spectra
    delay = int(np.fft.irfft(first * second.conj())[:5000].argmax())
    length = min(len(samples) - delay, len(reference))
    return samples[delay : delay + length], reference[:length]


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_has_the_mel_levels_of_the_original(tmp_path, music, kind):
    """Through our average of channels and resampler: ffmpeg's own would be 3 dB off."""
    copy = decode.load(write(tmp_path, encode(music, kind)), 22050)
    samples, reference = without_delay(copy, decode.Clip(music, RATE).at(22050))
    settings = Features().mel.model_copy(update={"seconds": len(samples) / 22050})
    levels = [
        10 * np.log10(mel.mel_power(signal, mel._spectrum(settings)).mean(axis=1))
        for signal in (samples, reference)
    ]
    below_10_khz = np.searchsorted(
        mel.mel_filters(mel._spectrum(settings)).argmax(axis=1) * 22050 / 2048, 9500
    )
    np.testing.assert_allclose(*(level[:below_10_khz] for level in levels), atol=0.1)


@pytest.mark.parametrize("kind", ["ALAC in M4A", "PCM in QuickTime"])
def test_lossless_copies_agree_to_the_last_of_16_bits(tmp_path, music, kind):
    samples, rate = decode.read(write(tmp_path, encode(music, kind)))
    assert (rate, samples.dtype, samples.shape) == (RATE, np.float32, music.shape)
    np.testing.assert_allclose(samples, music, atol=1.01 / 2**15)


def test_the_sound_of_a_video_is_read(tmp_path, music):
    plain, video = (encode(music, "AAC in M4A", picture=picture) for picture in (False, True))
    expected, _ = decode.read(write(tmp_path, plain))
    np.testing.assert_array_equal(decode.read(write(tmp_path, video))[0], expected)


def test_six_channels_are_kept(tmp_path, rng):
    samples = 0.1 * rng.normal(size=(RATE, 6)).astype(np.float32)
    assert decode.read(write(tmp_path, encode(samples, "ALAC in M4A")))[0].shape == (RATE, 6)


def test_what_libsndfile_reads_stays_with_libsndfile(tone, monkeypatch):
    def refuse(*_):
        raise AssertionError("PyAV was called")

    monkeypatch.setattr(decode.containers, "read", refuse)
    for name in ("a.wav", "a.mp3", "a.flac", "a.ogg"):
        assert len(decode.read(tone(name))[0]) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_length_is_known_without_decoding(tmp_path, rng, kind):
    samples = 0.1 * rng.normal(size=(3 * RATE, 2)).astype(np.float32)
    path = write(tmp_path, encode(samples, kind))
    assert decode.length(path) == pytest.approx(3, abs=0.1)
    assert len(decode.read(path, 4.0)[0]) > 0
    with pytest.raises(decode.TooLongError, match="longer than 0.04 minutes"):
        decode.read(path, 2.4)


def test_a_video_without_sound_says_so(tmp_path):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5, width=32, height=32, pix_fmt="yuv420p")
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(stream.encode(None))
    with pytest.raises(decode.AudioError, match="an MP4 file that holds no sound"):
        decode.read(write(tmp_path, file.getvalue()))


def test_a_codec_that_is_not_listed_is_named(tmp_path, rng, monkeypatch):
    monkeypatch.setitem(KINDS, "ADPCM in QuickTime", ("mov", "adpcm_ima_qt", RATE))
    content = encode(0.1 * rng.normal(size=(RATE, 2)).astype(np.float32), "ADPCM in QuickTime")
    with pytest.raises(
        decode.AudioError, match="a QuickTime file with the codec adpcm_ima_qt, which is not supported"
    ):
        decode.read(write(tmp_path, content))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(tmp_path, rng, kind):
    """Never another error, never more samples than the whole file has."""
    whole = encode(0.1 * rng.normal(size=(RATE, 2)).astype(np.float32), kind)
    outcomes = set()
    for _ in range(40):
        content = bytearray(whole)
        for place in rng.integers(len(content), size=int(10 ** rng.uniform(0, 3))):
            content[place] ^= 1 << rng.integers(8)
        cut = len(content) if rng.random() < 0.5 else rng.integers(len(content))
        try:
            samples, rate = decode.read(write(tmp_path, bytes(content[:cut])), 5.0)
        except decode.AudioError as error:
            outcomes.add(str(error))
        else:
            assert 0 < len(samples) <= 5 * rate
            outcomes.add("read")
    assert len(outcomes) > 1
