import os
import signal
from itertools import islice

import librosa
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitsong.config import Compute, Features, Mel, Mfcc
from hitsong.errors import UserError
from hitsong.features import decode, mel, mfcc
from hitsong.features.extract import Counts, extract
from hitsong.features.parallel import AHEAD, CRASHED, map_ordered
from hitsong.features.store import Failure, Specification, Store
from hitsong.files import sha256

STUDY_1 = Mel()
STUDY_2 = Mel(n_fft=2048, hop_length=512)


def librosa_mel(samples, s):
    power = librosa.feature.melspectrogram(
        y=samples, sr=s.sample_rate, n_fft=s.n_fft, hop_length=s.hop_length, n_mels=s.n_mels,
        fmin=s.fmin, fmax=s.fmax, htk=s.htk,
    )  # fmt: skip
    return librosa.power_to_db(power, ref=1.0, top_db=None)


# ---------------------------------------------------------------------- mel


@pytest.mark.parametrize(("parameters", "shape"), [(STUDY_1, (128, 323)), (STUDY_2, (128, 1292))])
def test_shapes_of_the_studies(parameters, shape):
    assert mel.shape(parameters) == shape
    assert mel.mel_spectrogram(np.zeros(1000, np.float32), parameters).shape == shape


@pytest.mark.parametrize(
    "parameters",
    [
        STUDY_1,
        STUDY_2,
        Mel(sample_rate=16000, n_fft=512, hop_length=256, n_mels=96, seconds=3.0),
        Mel(n_fft=1000, hop_length=333, n_mels=40, fmin=30.0, fmax=8000.0, htk=True, seconds=4.5),
    ],
    ids=["study 1", "study 2", "musicnn", "odd"],
)
def test_a_real_clip_agrees_with_librosa(shared, parameters):
    path = sorted((shared / "fma_mini" / "fma_small").rglob("*.mp3"))[3]
    samples = decode.crop(
        decode.load(path, parameters.sample_rate), round(parameters.seconds * parameters.sample_rate)
    )
    ours = mel.mel_spectrogram(samples, parameters)
    assert ours.dtype == np.float32
    expected = librosa_mel(samples, parameters)
    np.testing.assert_allclose(ours, expected, atol=0.05)  # near -100 dB, float32 rounds
    np.testing.assert_allclose(ours[expected > -60], expected[expected > -60], atol=0.01)


def test_noise_agrees_with_librosa(rng):
    samples = rng.normal(0, 0.1, 30 * 22050).astype(np.float32)
    np.testing.assert_allclose(
        mel.mel_spectrogram(samples, STUDY_1), librosa_mel(samples, STUDY_1), atol=0.01
    )


def test_loudness_survives(rng):
    samples = rng.normal(0, 0.1, 30 * 22050).astype(np.float32)
    difference = mel.mel_spectrogram(samples, STUDY_1) - mel.mel_spectrogram(samples / 10, STUDY_1)
    np.testing.assert_allclose(difference, 20, atol=0.01)


def test_silence_is_finite():
    np.testing.assert_allclose(mel.mel_spectrogram(np.zeros(1, np.float32), STUDY_1), -100, atol=1e-4)


@given(st.floats(-100, 60), st.sampled_from([STUDY_1, STUDY_2]))
def test_a_byte_is_within_half_a_step(decibels, parameters):
    scale, offset = mel.quantisation(parameters)
    stored = mel.decode(mel.encode(np.array([decibels], np.float32), parameters), parameters)[0]
    expected = min(max(decibels, offset), offset + mel.RANGE_DB)
    assert abs(stored - expected) <= scale / 2 + 1e-4


def test_the_range_ends_with_the_loudest_sines():
    times = np.arange(22050) / 22050
    sines = np.sin(2 * np.pi * np.arange(700, 800, 5)[:, None] * times).astype(np.float32)
    loudest = max(mel.mel_spectrogram(sine, STUDY_1).max() for sine in sines)
    assert 0 <= loudest - mel.quantisation(STUDY_1)[1] - mel.RANGE_DB < 1.5


# ---------------------------------------------------------------------- store


def clips(*names):
    return pd.DataFrame(
        {"track_id": names, "sha256": [f"hash of {n}" for n in names], "path": [f"{n}.mp3" for n in names]}
    )


def made(parameters=None, dtype="uint8"):
    return Specification("mel", parameters or {"n": 1}, (2, 3), dtype, 0.5, -10.0)


def fill(store, count=None, parameters=None):
    with store.writer(made(parameters)) as writer:
        start = writer.done
        for row in range(start, len(store.index) if count is None else count):
            writer.write(row, np.full((2, 3), row + 1, np.uint8))
    return start


def test_the_store_gives_back_what_it_was_given(tmp_path):
    store = Store(tmp_path)
    assert store.extend(clips("b", "a")) == 2
    fill(store)
    feature = Store(tmp_path).read("mel", {"n": 1})
    assert feature.array.shape == (2, 2, 3)
    assert isinstance(feature.array, np.memmap)
    assert feature.rows == {"a": 0, "b": 1}
    assert (feature.array[feature.rows["b"]] == 2).all()


def test_rows_are_only_appended(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("m", "z"))
    fill(store)
    assert store.extend(clips("a", "m", "z")) == 1
    assert store.extend(clips("a", "m", "z")) == 0
    assert fill(store) == 2
    assert store.read("mel").rows == {"m": 0, "z": 1, "a": 2}


def test_a_kind_that_lacks_rows_is_refused_and_not_taken_for_fewer_clips(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("a", "b", "c"))
    fill(store, count=2)  # interrupted, or the third clip came later
    assert not Store(tmp_path).is_complete("mel")
    with pytest.raises(
        UserError, match=r"mel features are there for 2 of 3 clips.*run: python 03_features\.py"
    ):
        Store(tmp_path).read("mel")
    store.extend(clips("a", "b"))
    assert Store(tmp_path).is_complete("mel")
    assert Store(tmp_path).read("mel").rows == {"a": 0, "b": 1}


def test_features_of_other_audio_are_never_read(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("a", "b"))
    fill(store)
    now = pd.concat([clips("a").assign(sha256="another"), clips("b")])
    assert store.extend(now) == 1
    assert not Store(tmp_path).is_complete("mel")  # before 03 has made the new row
    fill(store)
    assert Store(tmp_path).read("mel").rows == {"a": 2, "b": 1}
    assert store.audio() == {"a": "another", "b": "hash of b"}
    with store.writer(made()) as writer:
        writer.write(2, Failure("not audio"))
    assert Store(tmp_path).read("mel").rows == {"b": 1}
    store.extend(clips("a", "b"))  # the first audio is back
    assert Store(tmp_path).read("mel").rows == {"a": 0, "b": 1}
    store.extend(clips("b"))  # the track lost its audio
    assert Store(tmp_path).read("mel").rows == {"b": 1}


def test_arrays_without_an_index_are_not_taken_for_other_clips(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("a", "b"))
    fill(store)
    store.index_path.unlink()
    store = Store(tmp_path)
    store.extend(clips("x", "y"))
    with pytest.raises(UserError, match="no mel features"):
        store.read("mel")


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_array_is_named(tmp_path, damage):
    store = Store(tmp_path)
    store.extend(clips("a", "b"))
    fill(store)
    path = tmp_path / "mel.npy"
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"mel\.npy is missing or damaged"):
        store.read("mel")
    assert fill(store) == (0 if damage == "missing" else 1)
    assert store.read("mel").rows == {"a": 0, "b": 1}


def test_other_parameters_start_anew(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("a", "b"))
    fill(store)
    with pytest.raises(UserError, match=r"03_features\.py"):
        store.read("mel", {"n": 2})
    assert fill(store, parameters={"n": 2}) == 0


def test_a_failure_has_a_reason_and_no_row_to_train_on(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("a", "b"))
    store.extend(clips("c", "d"))
    store.extend(clips("a", "b", "c", "d"))
    with store.writer(made(dtype="float32")) as writer:
        writer.write(0, Failure("not audio"))
        writer.write(1, np.ones((2, 3)))
        writer.write(2, np.full((2, 3), np.nan))
        writer.write(3, np.ones((3, 2)))
        assert writer.failed == {0, 2, 3}
    assert store.read("mel").rows == {"b": 1}
    assert store.failures()["reason"].tolist() == [
        "not audio", "not finite", "of shape (3, 2) rather than (2, 3)",
    ]  # fmt: skip
    with store.writer(made(dtype="float32")) as writer:
        writer.write(2, np.ones((2, 3)))
    assert store.read("mel").rows == {"b": 1, "c": 2}
    assert store.failures()["row"].tolist() == [0, 3]


def test_named_numbers_come_back_as_a_table(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("b", "a"))
    with store.writer(Specification("descriptors", {}, (2,), columns=("loudness", "width"))) as writer:
        writer.write(0, np.array([1.5, 2.5]))
        writer.write(1, np.array([3.0, 4.0]))
    table = store.read("descriptors").table()
    assert table.loc["b"].to_dict() == {"loudness": 3.0, "width": 4.0}
    assert table.index.name == "track_id"


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_cut_off_row_is_written_again(tmp_path_factory, rows, extra_bytes):
    folder, whole = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("whole")
    for store in (Store(folder), Store(whole)):
        store.extend(clips(*"abcde"))
    fill(Store(whole))
    fill(Store(folder), count=rows)
    with open(folder / "mel.npy", "ab") as file:  # killed while it wrote the next row
        file.write(b"\0" * extra_bytes)
    fill(Store(folder))
    assert (folder / "mel.npy").read_bytes() == (whole / "mel.npy").read_bytes()


KINDS = Features(
    kinds=["mel", "mfcc", "descriptors"], mel=Mel(seconds=1.0, n_mels=32), mfcc=Mfcc(frames=8, n_mels=64)
)


def indexed(folder, **paths):
    store = Store(folder / "features")
    hashes = [sha256(path) if path.exists() else "none" for path in paths.values()]
    store.extend(
        pd.DataFrame({"track_id": list(paths), "sha256": hashes, "path": [str(p) for p in paths.values()]})
    )
    return store


def test_extraction_fills_every_kind_and_names_failures(tmp_path, tone):
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    store = indexed(
        tmp_path,
        a=tone("one.wav"),
        b=tmp_path / "broken.wav",
        c=tone("two.wav", hz=2000, rate=48000, channels=2),
    )
    assert extract(store, KINDS, tmp_path, Compute(workers=1))[0] == dict.fromkeys(
        KINDS.kinds, Counts(2, 0, 1)
    )
    assert extract(store, KINDS, tmp_path, Compute(workers=1))[0] == dict.fromkeys(
        KINDS.kinds, Counts(0, 2, 1)
    )
    feature = store.read("mel")
    assert sorted(feature.rows) == ["a", "c"]
    clip = decode.Clip.read(tmp_path / "one.wav")
    np.testing.assert_array_equal(feature.array[feature.rows["a"]], mel.compute(clip, KINDS.mel))
    feature = store.read("mfcc")
    np.testing.assert_array_equal(feature.array[feature.rows["a"]], mfcc.compute(clip, KINDS.mfcc))
    assert set(store.failures()["reason"]) == {"text, not audio"}
    assert np.isfinite(store.read("descriptors").table().to_numpy()).all()


def test_clips_that_failed_are_tried_again_where_it_may_help(tmp_path, tone, monkeypatch):
    path = tone("one.wav")
    store = indexed(tmp_path, a=path, b=tone("two.wav"))
    sound = path.read_bytes()
    path.unlink()

    def count(again=False):
        counts = extract(
            store, KINDS.model_copy(update={"kinds": ["mel"]}), tmp_path, Compute(workers=1), again
        )
        return counts[0]["mel"]

    assert count() == Counts(1, 0, 1)  # not there: the next run tries again
    path.write_bytes(sound)
    assert count() == Counts(1, 1, 0, retried=1)
    assert store.failures().empty
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    store = indexed(tmp_path / "other", c=tmp_path / "broken.wav")
    assert count() == Counts(0, 0, 1)
    assert count() == Counts(0, 0, 1)  # the same decoder fails again on the same file
    assert count(again=True) == Counts(0, 0, 1, retried=1)
    monkeypatch.setattr(decode, "VERSION", "another")
    assert count() == Counts(0, 0, 1, retried=1)


def test_a_kind_added_later_leaves_the_others_alone(tmp_path, tone):
    store = indexed(tmp_path, a=tone("one.wav"), b=tone("two.wav"))
    only_mel = KINDS.model_copy(update={"kinds": ["mel"]})
    extract(store, only_mel, tmp_path, Compute(workers=1))
    before = (store.folder / "mel.npy").stat().st_mtime_ns
    counts = extract(store, KINDS, tmp_path, Compute(workers=1))[0]
    assert counts["mel"] == Counts(0, 2, 0)
    assert counts["mfcc"] == Counts(2, 0, 0)
    other = KINDS.model_copy(update={"mfcc": Mfcc(frames=9, n_mels=64)})
    counts = extract(store, other, tmp_path, Compute(workers=1))[0]
    assert (counts["mel"], counts["mfcc"]) == (Counts(0, 2, 0), Counts(2, 0, 0))
    assert before  # the array is the same file


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0.1, 8000), (0.1, 48000), (0.5, 48000), (3, 8000), (600, 8000)]
)
def test_clips_of_any_length_give_features_of_the_right_shape(tmp_path, tone, seconds, rate):
    store = indexed(tmp_path, a=tone("a.flac", seconds=seconds, rate=rate, channels=2))
    assert extract(store, KINDS, tmp_path, Compute(workers=1))[0] == dict.fromkeys(
        KINDS.kinds, Counts(1, 0, 0)
    )


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg", "a.wav"])
def test_formats_agree_on_what_is_heard(tmp_path, tone, name):
    clip = decode.Clip.read(tone(name, seconds=1.5, rate=44100, channels=2))
    reference = decode.Clip.read(tone("reference.wav", seconds=1.5, rate=44100, channels=2))
    mels, expected = (mel.mel_spectrogram(c.at(22050), KINDS.mel) for c in (clip, reference))
    loud = expected > expected.max() - 30
    np.testing.assert_allclose(mels[loud], expected[loud], atol=1.0)


def test_what_the_decoder_does_not_know_is_named(tmp_path):
    (tmp_path / "a.m4a").write_bytes(
        b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom\x00\x00\x00\x00" + bytes(4000)
    )
    store = indexed(tmp_path, a=tmp_path / "a.m4a")
    extract(store, KINDS, tmp_path, Compute(workers=1))
    assert (
        store.failures()["reason"].iat[0]
        == "an M4A file that is damaged, or without its end: it cannot be decoded"
    )


def test_silence_clipping_and_truncation(tmp_path, tone):
    whole = tone("whole.mp3", seconds=4, rate=44100)
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    store = indexed(tmp_path, a=tone("silent.wav", level=0.0), b=tone("loud.wav", level=50.0), c=cut)
    assert extract(store, KINDS, tmp_path, Compute(workers=1))[0] == dict.fromkeys(
        KINDS.kinds, Counts(3, 0, 0)
    )


# ---------------------------------------------------------------------- mfcc


def test_mfcc_of_study_4_agrees_with_librosa(shared):
    for path in sorted((shared / "fma_mini" / "fma_small").rglob("*.mp3"))[:3]:
        samples = decode.load(path, 44100)
        expected = librosa.feature.mfcc(
            y=samples, sr=44100, n_mfcc=20, n_fft=4096, hop_length=8192, n_mels=256, htk=True
        ).T[:160]
        ours = mfcc.mfcc(samples, Mfcc())
        assert ours.shape == (160, 20)
        np.testing.assert_allclose(ours[: len(expected)], expected, atol=0.01)
    short = mfcc.mfcc(samples[:100_000], Mfcc())
    assert (short[13:] == 0).all()  # padded with zeros


# ---------------------------------------------------------------------- in parallel


def _square_or_crash(number):
    if number in (13, 30):
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


@pytest.mark.long
def test_a_worker_that_crashes_costs_one_clip():
    expected = [CRASHED if number in (13, 30) else number**2 for number in range(40)]
    assert list(map_ordered(_square_or_crash, range(40), workers=2)) == expected


@pytest.mark.parametrize("count", [2_000, 90_000])
def test_calls_run_ahead_of_a_slow_reader_by_a_window(count):
    taken = 0

    def arguments():
        nonlocal taken
        for number in range(count):
            taken += 1
            yield number

    results = map_ordered(abs, arguments(), workers=2)
    ahead = [taken - read for read, _ in enumerate(islice(results, 300), start=1)]
    results.close()
    assert max(ahead) < 2 * AHEAD
