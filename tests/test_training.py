"""A fit that learns, survives being killed, names what went wrong, and leaves a bundle that stands alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from hitsong import files, training
from hitsong.config import Train
from hitsong.errors import UserError
from hitsong.models import MODELS, constant
from hitsong.training import Examples, best_epoch, fit, load, mel_moments, status, stop_reason

POPULARITY = {"kind": "popularity", "threshold": None}
FINGERPRINT = {"features": {"n_mels": 16, "hop_length": 2048}, "inputs": "0a1b2c"}
SETTINGS = Train(epochs=3, patience=3, batch_size=16, seed=7)
ROOT = Path(__file__).parents[1]


def planted(folder, n=60, noise=4.0):
    """Synthetic clips of 16 x 24 whose popularity is the level of one band, plus noise."""
    rng = np.random.default_rng(3)
    level = rng.normal(size=n)
    codes = rng.normal(128, 25, (n, 16, 24))
    codes[:, 4:8] += 20 * level[:, None, None]
    np.save(folder / "mel.npy", codes.clip(0, 255).astype(np.uint8))
    return Examples(
        track_ids=np.array([f"track-{i:03d}" for i in range(n)]),
        array=np.load(folder / "mel.npy", mmap_mode="r"),
        rows=np.arange(n),
        scale=80 / 255,
        offset=-80.0,
        y=(30 + 8 * level + noise * rng.normal(size=n)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def run(examples):
    """Fit on 40 of the clips and validate on 20."""
    train, validation = examples.take(np.arange(40)), examples.take(np.arange(40, 60))

    def run(folder, model_name="inception", *, settings=SETTINGS, fingerprint=FINGERPRINT, **changed):
        arguments = {"train": train, "validation": validation, "target": POPULARITY, **changed}
        return fit(folder, model_name, settings=settings, fingerprint=fingerprint, **arguments)

    return run


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    return {name: run(tmp_path_factory.mktemp("fit") / name, name) for name in MODELS}


def assert_same_fit(bundle, other):
    """Bit for bit, the seconds apart."""
    history, expected = (
        pd.read_csv(each.folder / "history.csv").drop(columns="seconds") for each in (bundle, other)
    )
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    for weights, others in zip(bundle.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


# --- Learning ---------------------------------------------------------------------------------------


def test_inception_learns_a_planted_signal(tmp_path):
    clips = planted(tmp_path, n=260)
    train, validation, held_out = map(clips.take, np.split(np.arange(260), [160, 200]))
    settings = Train(epochs=12, patience=6, batch_size=16, seed=1)
    bundle = fit(
        tmp_path / "fit", "inception", train, validation,
        target=POPULARITY, settings=settings, fingerprint=FINGERPRINT,
    )  # fmt: skip
    assert spearmanr(bundle.predict(held_out), held_out.y).statistic > 0.6
    assert abs(bundle.predict(held_out).mean() - held_out.y.mean()) < 5  # on the scale of popularity
    assert not bundle.info["collapsed"]


def test_the_popular_target_gives_probabilities(run, examples, tmp_path):
    labelled = replace(examples, y=(examples.y > 30).astype(np.float32))
    bundle = run(
        tmp_path, "crnn",
        train=labelled.take(np.arange(40)), validation=labelled.take(np.arange(40, 60)),
        target={"kind": "popular", "threshold": 30.0},
    )  # fmt: skip
    assert bundle.info["outputs"] == ["popular"]
    assert bundle.info["target"] == {"kind": "popular", "threshold": 30.0}
    predictions = bundle.predict(examples)
    assert ((predictions > 0) & (predictions < 1)).all()


def test_buckets_and_audio_features_are_answered_by_name(run, examples, tmp_path):
    y = examples.y
    several = np.column_stack([y, 1 - y / 100]).astype(np.float32)
    for target, encoded in [
        (
            {"kind": "buckets", "names": ["low", "medium", "high"]},
            np.digitize(y, [25, 35]).astype(np.float32),
        ),
        ({"kind": "audio_features", "names": ["tempo", "energy"]}, several),
    ]:
        labelled = replace(examples, y=encoded)
        folder = tmp_path / target["kind"]
        train, validation = labelled.take(np.arange(40)), labelled.take(np.arange(40, 60))
        bundle = run(folder, train=train, validation=validation, target=target)
        predictions = bundle.predict(examples)
        assert predictions.shape == (60, len(target["names"]))
        reference = pd.read_parquet(folder / "reference.parquet")
        assert list(reference) == ["track_id", *target["names"]]
        assert bundle.verify(validation) < 1e-3
        if target["kind"] == "audio_features":  # each on its own scale, in the order of the names
            np.testing.assert_allclose(predictions.mean(axis=0), several.mean(axis=0), rtol=0.3)
            assert bundle.info["outputs"] == ["tempo", "energy"]
        else:
            np.testing.assert_allclose(predictions.sum(axis=1), 1, rtol=1e-5)


# --- The bundle -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_bundle_is_complete_and_leaves_no_checkpoints(undisturbed, examples, name):
    bundle = undisturbed[name]
    assert files_in(bundle.folder) == ["bundle.json", "history.csv", "model.keras", "reference.parquet"]
    info = bundle.info
    history = pd.read_csv(bundle.folder / "history.csv")
    assert list(history) == ["epoch", "learning_rate", "loss", "val_loss", "seconds"]
    assert info["best_epoch"] == history["epoch"][history["val_loss"].idxmin()]
    assert (info["epochs"], info["stopped"], info["input_shape"]) == (3, "epochs", [16, 24])
    assert info["features"] == FINGERPRINT["features"]
    assert info == json.loads((bundle.folder / "bundle.json").read_text())
    reference = pd.read_parquet(bundle.folder / "reference.parquet")
    assert list(reference["track_id"]) == list(examples.track_ids[40:])


@pytest.mark.parametrize("name", MODELS)
def test_the_best_epochs_weights_are_the_bundles(undisturbed, examples, name):
    bundle = undisturbed[name]
    validation = examples.take(np.arange(40, 60))
    error = np.mean((bundle.predict(validation) - validation.y) ** 2)
    best = pd.read_csv(bundle.folder / "history.csv")["val_loss"].min()
    assert error == pytest.approx(best, rel=1e-4)


def test_predictions_follow_the_clips_and_not_the_store(undisturbed, examples):
    bundle = undisturbed["inception"]
    order = np.random.default_rng(0).permutation(60)
    everything = bundle.predict(examples)
    assert everything.shape == (60,)
    assert everything.dtype == np.float32
    shuffled = bundle.predict(examples.take(order), batch_size=7)
    np.testing.assert_allclose(shuffled, everything[order], rtol=1e-4)
    mels = examples.array[:] * np.float32(examples.scale) + examples.offset
    np.testing.assert_allclose(bundle.predict_mels(mels), everything, rtol=1e-4)


def test_a_bundle_loads_and_verifies_in_a_fresh_process(undisturbed, examples):
    script = """
import sys
import numpy as np
from hitsong.training import Examples, load
array = np.load(sys.argv[2], mmap_mode="r")
names = np.array([f"track-{i:03d}" for i in range(60)])
print(load(sys.argv[1]).verify(Examples(names, array, np.arange(60), 80 / 255, -80.0)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, undisturbed["crnn"].folder, examples.array.filename],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 1e-3
    assert done.stderr == ""


def test_verify_notices_changed_features_and_missing_tracks(undisturbed, examples):
    bundle = undisturbed["inception"]
    with pytest.raises(UserError, match="differ from the reference"):
        bundle.verify(replace(examples, offset=-60.0))
    with pytest.raises(UserError, match="none of the reference tracks"):
        bundle.verify(examples.take(np.arange(10)))


def test_mels_of_another_size_are_refused(undisturbed):
    with pytest.raises(UserError, match=r"16 x 24 .* not an array of 2 x 16 x 30"):
        undisturbed["inception"].predict_mels(np.zeros((2, 16, 30)))


def test_loading_what_is_not_there_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match=r"05_train\.py"):
        load(tmp_path)


# --- Stopping and starting again --------------------------------------------------------------------


# Each epoch replaces two files, checkpoint and state; then come model, history, reference and bundle.
@pytest.mark.parametrize(
    ("name", "crash"), [("inception", 2), ("inception", 3), ("crnn", 4), ("inception", 7), ("inception", 10)]
)
def test_a_fit_stopped_between_two_files_ends_the_same(undisturbed, run, tmp_path, monkeypatch, name, crash):
    calls = 0

    def replace_until_crash(source, destination):
        nonlocal calls
        calls += 1
        if calls == crash:
            raise KeyboardInterrupt
        os.rename(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", replace_until_crash)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, name)
    assert status(tmp_path, FINGERPRINT) == ("none" if crash == 2 else "interrupted")
    assert_same_fit(run(tmp_path, name), undisturbed[name])
    assert len(files_in(tmp_path)) == 4


def test_a_fit_killed_outright_ends_the_same(run, examples, tmp_path):
    settings = Train(epochs=8, patience=8, batch_size=16, seed=7)
    script = """
import sys
import numpy as np
from hitsong.config import Train
from hitsong.training import Examples, fit
array, (y, folder) = np.load(sys.argv[1], mmap_mode="r"), sys.argv[2:]
names = np.array([f"track-{i:03d}" for i in range(60)])
clips = Examples(names, array, np.arange(60), 80 / 255, -80.0, np.load(y))
fit(folder, "inception", clips.take(np.arange(40)), clips.take(np.arange(40, 60)),
    target={"kind": "popularity", "threshold": None},
    settings=Train(epochs=8, patience=8, batch_size=16, seed=7),
    fingerprint={"features": {"n_mels": 16, "hop_length": 2048}, "inputs": "0a1b2c"})
"""
    np.save(tmp_path / "y.npy", examples.y)
    folder = tmp_path / "fit"
    arguments = [examples.array.filename, tmp_path / "y.npy", folder]
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT)
    checkpoint = folder / "epoch-0003.keras"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert status(folder, FINGERPRINT) == "interrupted"
    assert_same_fit(run(folder, settings=settings), run(tmp_path / "undisturbed", settings=settings))
    assert len(files_in(folder)) == 4


def test_a_finished_bundle_is_kept(undisturbed, run):
    folder = undisturbed["inception"].folder
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert status(folder, FINGERPRINT) == "finished"
    assert run(folder).info == undisturbed["inception"].info
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_fingerprint_fits_anew(undisturbed, run, tmp_path):
    folder = shutil.copytree(undisturbed["inception"].folder, tmp_path / "fit")
    other = {**FINGERPRINT, "inputs": "ffffff"}
    assert status(folder, other) == "stale"
    info = run(folder, settings=Train(epochs=1), fingerprint=other).info
    assert (info["fingerprint"], info["epochs"]) == (other, 1)
    assert status(folder, FINGERPRINT) == "stale"


def test_a_checkpoint_of_another_fit_is_discarded(undisturbed, run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training, "_finish", lambda *arguments: None)
        run(tmp_path, fingerprint={**FINGERPRINT, "inputs": "ffffff"})
    assert status(tmp_path, FINGERPRINT) == "stale"
    assert_same_fit(run(tmp_path), undisturbed["inception"])


def test_the_decisions_are_functions_of_the_history():
    def history(*losses):
        return [{"epoch": i, "loss": 1.0, "val_loss": loss} for i, loss in enumerate(losses, 1)]

    settings = Train(epochs=5, patience=2)
    assert best_epoch([]) is None
    assert best_epoch(history(3.0, 2.0, 2.0)) == 2  # the first of equals
    assert stop_reason([], settings) is None
    assert stop_reason(history(3.0, 2.0, 2.0), settings) is None
    assert stop_reason(history(3.0, 2.0, 2.0, 2.5), settings) == "patience"
    assert stop_reason(history(5.0, 4.0, 3.0, 2.0, 1.0), settings) == "epochs"
    assert stop_reason(history(3.0, None), settings) == "divergence"


# --- What goes wrong --------------------------------------------------------------------------------


def test_a_collapsed_model_is_named(run, examples, tmp_path):
    flat = replace(examples, y=np.full(60, 12.0, np.float32))
    bundle = run(tmp_path, train=flat.take(np.arange(40)), settings=Train(epochs=1))
    assert bundle.info["collapsed"]
    assert bundle.predict(examples) == pytest.approx(12.0)


def test_divergence_keeps_the_best_epoch(run, tmp_path, monkeypatch):
    explosive = replace(MODELS["inception"], learning_rate=lambda losses: 1e30 if losses else 5e-3)
    monkeypatch.setitem(MODELS, "inception", explosive)
    bundle = run(tmp_path)
    assert (bundle.info["stopped"], bundle.info["best_epoch"], bundle.info["epochs"]) == ("divergence", 1, 2)
    assert np.isfinite([weights.sum() for weights in bundle.model.get_weights()]).all()


def test_divergence_from_the_start_is_an_error_with_advice(run, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "inception", replace(MODELS["inception"], learning_rate=constant(1e30)))
    with pytest.raises(UserError, match="inception: the loss became infinite or undefined in epoch 1"):
        run(tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("part", ["train", "validation"])
def test_no_clips_is_an_error(run, examples, tmp_path, part):
    with pytest.raises(UserError, match="there are no (training|validation) clips"):
        run(tmp_path, **{part: examples.take(np.arange(0))})


# --- Data -------------------------------------------------------------------------------------------


def test_moments_are_those_of_the_training_clips_in_decibels(examples):
    some = examples.take(np.array([50, 3, 3, 17]))
    decibels = examples.array[[50, 3, 3, 17]] * (80 / 255) - 80
    assert mel_moments(some) == pytest.approx((decibels.mean(), decibels.std()))


def test_silence_everywhere_has_a_deviation_to_divide_by(tmp_path):
    silence = Examples(np.array(["a"]), np.zeros((1, 16, 24), np.uint8), np.array([0]), 80 / 255, -80.0)
    assert mel_moments(silence) == (-80.0, 1.0)


def test_a_store_larger_than_memory_is_never_read_whole(undisturbed, tmp_path):
    """A sparse file of 15 GB: only the clips asked for pass through memory, a few at a time."""
    n = 40_000_000
    array = np.memmap(tmp_path / "mel.npy", np.uint8, "w+", shape=(n, 16, 24))
    rows = np.r_[0:1000, n - 1000 : n]
    clips = Examples(np.arange(len(rows)).astype(str), array, rows, 80 / 255, -80.0)
    tracemalloc.start()
    assert mel_moments(clips) == (-80.0, 1.0)
    predictions = undisturbed["inception"].predict(clips, batch_size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(predictions)) <= 2  # the last batch is smaller and may round differently
    assert peak < 16e6
