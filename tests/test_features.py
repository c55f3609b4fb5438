import librosa
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitsong import audio
from hitsong.config import Features, Mel
from hitsong.errors import UserError
from hitsong.features import mel
from hitsong.features.extract import extract
from hitsong.features.store import Store

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
    samples = audio.crop(
        audio.load(path, parameters.sample_rate), round(parameters.seconds * parameters.sample_rate)
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


def test_the_loudest_sine_fits_the_range():
    times = np.arange(30 * 22050) / 22050
    loud = mel.mel_spectrogram(np.sin(2 * np.pi * 300 * times).astype(np.float32), STUDY_1)
    scale, offset = mel.quantisation(STUDY_1)
    assert offset + 70 < loud.max() <= offset + 80.01


# ---------------------------------------------------------------------- store


def clips(*names):
    return pd.DataFrame(
        {"track_id": names, "sha256": [f"hash of {n}" for n in names], "path": [f"{n}.mp3" for n in names]}
    )


def fill(store, count=None, parameters=None):
    with store.writer("mel", parameters or {"n": 1}, (2, 3), 0.5, -10.0) as writer:
        there = writer.done
        for row in range(there, len(store.index) if count is None else count):
            writer.append(np.full((2, 3), row + 1, np.uint8))
    return there


def test_the_store_gives_back_what_it_was_given(tmp_path):
    store = Store(tmp_path)
    assert store.extend(clips("b", "a")) == 2
    fill(store)
    feature = Store(tmp_path).read("mel", {"n": 1})
    assert feature.array.shape == (2, 2, 3)
    assert isinstance(feature.array, np.memmap)
    assert feature.rows == {"a": 0, "b": 1}
    assert (feature.array[feature.rows["b"]] == 2).all()


def test_the_index_only_grows(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("m", "z"))
    fill(store)
    assert store.extend(clips("a", "m", "z")) == 1
    assert store.extend(clips("a", "m", "z")) == 0
    assert fill(store) == 2
    assert store.read("mel").rows == {"m": 0, "z": 1, "a": 2}


def test_changed_audio_gets_a_new_row(tmp_path):
    store = Store(tmp_path)
    store.extend(clips("a", "b"))
    store.extend(clips("a").assign(sha256="another"))
    fill(store)
    assert store.read("mel").rows == {"a": 2, "b": 1}


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
    with store.writer("mel", {}, (2, 3), 1.0, 0.0) as writer:
        writer.append("not audio, said the decoder")
        writer.append(np.ones((2, 3), np.uint8))
    assert store.read("mel").rows == {"b": 1}
    assert store.failures().to_dict("records") == [
        {"kind": "mel", "row": 0, "track_id": "a", "reason": "not audio, said the decoder"}
    ]


@settings(deadline=None)
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


def test_extraction_fills_the_store_and_names_failures(tmp_path, tone):
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    paths = [tone("one.wav"), tmp_path / "broken.wav", tone("two.wav", hz=2000, rate=48000, channels=2)]
    store = Store(tmp_path / "features")
    store.extend(
        pd.DataFrame({"track_id": list("abc"), "sha256": list("xyz"), "path": [str(p) for p in paths]})
    )
    parameters = Features(mel=Mel(seconds=1.0))
    assert extract(store, parameters, tmp_path, workers=1) == {"mel": (2, 0, 1)}
    assert extract(store, parameters, tmp_path, workers=1) == {"mel": (0, 3, 0)}
    feature = store.read("mel")
    assert sorted(feature.rows) == ["a", "c"]
    expected = mel.extract(paths[0], parameters.mel)
    np.testing.assert_array_equal(feature.array[feature.rows["a"]], expected)
    assert "text, not audio" in store.failures()["reason"].iat[0]
