"""Variants of a song: filters against their closed form, windows, what they cost in features, and what is refused."""

import numpy as np
import pytest
import soundfile
from scipy.signal import sosfreqz

from hitsong.config import Features, Mel
from hitsong.features import decode
from hitsong.features.decode import AudioError, Clip
from hitsong.predict import variants
from hitsong.predict.predictor import Predictor
from hitsong.predict.song_features import SongFeatures, read_features
from tests import containers
from tests.small_study import bundle_of

RATE = 22050
SETTINGS = Features(kinds=["mel", "descriptors"], mel=Mel(n_mels=16, n_fft=1024, hop_length=1024))


@pytest.fixture
def song(tmp_path, rng):
    """70 s of noise that becomes louder, with a title and an artist."""
    samples = 0.01 * rng.normal(size=70 * RATE) * np.linspace(1, 10, 70 * RATE)
    path = tmp_path / "song.flac"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        file.title, file.artist = "Ein Lied", "Jürgen & die 7"
        file.write(samples)
    return path


@pytest.mark.parametrize("high", [True, False])
@pytest.mark.parametrize("gain", [3.0, -3.0])
def test_a_shelf_has_its_gain_beyond_its_frequency_and_half_of_it_there(high, gain):
    far, near = (15000.0, 20.0) if high else (20.0, 15000.0)
    _, response = sosfreqz(variants.shelf(1000.0, gain, 44100, high), worN=[far, 1000.0, near], fs=44100)
    assert 20 * np.log10(abs(response)) == pytest.approx([gain, gain / 2, 0], abs=0.05)


def test_level_and_colour_change_as_their_names_say(rng):
    noise = 0.1 * rng.normal(size=(5 * RATE, 2)).astype(np.float32)
    spectra = {
        name: np.abs(np.fft.rfft(variants.change_sound(noise, RATE, name)[:, 0])) for name in variants.SOUND
    }
    plain, hertz = np.abs(np.fft.rfft(noise[:, 0])), np.fft.rfftfreq(len(noise), 1 / RATE)

    def decibels(name, low, high):
        chosen = (hertz >= low) & (hertz < high)
        return 10 * np.log10((spectra[name][chosen] ** 2).sum() / (plain[chosen] ** 2).sum())

    for name, low, middle, high in (
        ("louder", 3, 3, 3), ("softer", -3, -3, -3), ("brighter", 0, 0, 3), ("darker", 0, 0, -3),
        ("more bass", 3, 0, 0), ("less bass", -3, 0, 0),
    ):  # fmt: skip
        measured = [decibels(name, *band) for band in ((5, 50), (700, 900), (8000, 10500))]
        assert measured == pytest.approx([low, middle, high], abs=0.3)


def test_the_unchanged_variant_is_what_the_song_is_scored_by(song):
    features = read_features(song, SETTINGS, groups=["sound", "shift", "excerpt"], kinds_of_variants=["mel"])
    first = features.variants[0]
    assert (first.name, first.start) == ("unchanged", 20.0)
    assert list(first.features) == ["mel"]
    np.testing.assert_array_equal(first.features["mel"], features.features["mel"])
    names = [variant.name for variant in features.variants]
    assert names == ["unchanged", *variants.SOUND, *["shift"] * 4, *["excerpt"] * 9]
    assert [variant.start for variant in features.variants if variant.name == "shift"] == [19, 19.5, 20.5, 21]
    assert {variant.features["mel"].shape for variant in features.variants} == {first.features["mel"].shape}
    excerpts = [variant for variant in features.variants if variant.name == "excerpt"]
    assert [variant.start for variant in excerpts] == pytest.approx(np.linspace(1, 39, 9))
    levels = [variant.features["mel"].mean() for variant in excerpts]
    assert levels == sorted(levels)  # the song becomes louder
    moved = SongFeatures.from_bytes(features.to_bytes())
    assert (moved.title, moved.artist, moved.seconds) == ("Ein Lied", "Jürgen & die 7", 70.0)
    assert [variant.name for variant in moved.variants] == names
    for mine, theirs in zip(features.variants, moved.variants, strict=True):
        assert mine.start == theirs.start
        np.testing.assert_array_equal(mine.features["mel"], theirs.features["mel"])


def test_a_file_no_longer_than_the_part_is_shifted_in_a_circle_and_has_no_other_excerpts(rng):
    samples = rng.normal(size=(10 * RATE, 1)).astype(np.float32)
    made = list(variants.variants(Clip(samples, RATE), 32.0, ["shift", "excerpt"]))
    assert [name for name, _, _ in made] == ["unchanged", *["shift"] * 4]
    half_a_second_later = made[3][2].channels
    np.testing.assert_array_equal(half_a_second_later[: -RATE // 2], samples[RATE // 2 :])
    np.testing.assert_array_equal(half_a_second_later[-RATE // 2 :], samples[: RATE // 2])


def test_excerpts_of_a_long_song_are_few_and_reach_both_ends():
    starts = variants.excerpt_starts(600.0, 32.0)
    assert len(starts) == variants.EXCERPTS
    assert (starts[0], starts[-1]) == (0.0, 568.0)


@pytest.mark.long
def test_a_batch_of_variants_is_scored_as_songs_are(tmp_path, rng):
    """Of a model of mel and tags: the tagging network takes part."""
    predictor = Predictor(bundle_of("popularity"), ["descriptors"])
    path = tmp_path / "song.wav"
    soundfile.write(path, 0.1 * rng.normal(size=(40 * RATE, 2)), RATE, subtype="FLOAT")
    song = read_features(
        path, predictor.settings, groups=["sound", "excerpt"], kinds_of_variants=predictor.kinds
    )
    scores = predictor.predict_variants(song.variants)
    assert scores.shape == (len(song.variants),)
    assert scores[0] == pytest.approx(float(predictor.predict(song).scores), rel=1e-5)
    channels, rate = decode.read(path)
    for variant, score in ((song.variants[1], scores[1]), (song.variants[-1], scores[-1])):
        start = round((variant.start - 1) * rate)
        part = channels[start : start + 34 * rate]
        if variant.name in variants.SOUND:
            part = variants.change_sound(part, rate, variant.name)
        soundfile.write(tmp_path / "part.wav", part, rate, subtype="FLOAT")
        alone = predictor.predict(read_features(tmp_path / "part.wav", predictor.settings))
        assert score == pytest.approx(float(alone.scores), rel=1e-4)


def test_two_seconds_have_no_score_nor_has_a_short_noise_in_silence(tmp_path, tone):
    with pytest.raises(AudioError, match="only 2.0 s of sound: a score needs 5 s"):
        read_features(tone("short.wav", seconds=2), SETTINGS)
    samples = np.zeros(30 * RATE)
    samples[14 * RATE : 16 * RATE] = 0.1 * np.sin(np.arange(2 * RATE) * 0.1)
    soundfile.write(tmp_path / "gap.wav", samples, RATE)
    with pytest.raises(AudioError, match="only 2.[01] s of sound"):
        read_features(tmp_path / "gap.wav", SETTINGS)
    assert read_features(tone("enough.wav", seconds=6), SETTINGS).seconds == 6


@pytest.mark.parametrize("kind", ["AAC in M4A", "ALAC in M4A", "PCM in QuickTime"])
def test_title_and_artist_of_containers(tmp_path, rng, kind):
    import av

    samples = 0.1 * rng.normal(size=(44100, 1)).astype(np.float32)
    path = tmp_path / "plain"
    path.write_bytes(containers.encode(samples, kind))
    assert decode.title_and_artist(path) == ("", "")
    muxer = containers.KINDS[kind][0]
    tagged = tmp_path / "tagged"
    with av.open(path) as source, av.open(tagged, "w", format=muxer) as target:
        target.metadata.update({"title": "Ein Lied", "artist": "Jürgen"})
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert decode.title_and_artist(tagged) == ("Ein Lied", "Jürgen")
    (tmp_path / "poem").write_text("roses are red")
    assert decode.title_and_artist(tmp_path / "poem") == ("", "")
