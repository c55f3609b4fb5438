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

from hitsong import files
from hitsong.backend import keras
from hitsong.data.examples import Examples, Input, statistics
from hitsong.data.targets import Target
from hitsong.errors import UserError
from hitsong.training import batches, bundle
from hitsong.training.network import balance_weights, best_epoch, stop_reason
from hitsong.training.workspace import status, work_folder
from tests import planted
from tests.planted import MEL, settings

FINGERPRINT = {"inputs": "0a1b2c"}
ROOT = Path(__file__).parents[2]
TRAINED = ["inception_cnn", "crnn"]
FILES = ["bundle.json", "history.csv", "model.keras", "reference.parquet", "validation.parquet"]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return planted.clips(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def run(examples):
    """Fit on 40 of the clips and validate on 20."""
    train, validation = examples.take(np.arange(40)), examples.take(np.arange(40, 60))

    def run(folder, name="inception_cnn", **changed):
        return planted.fit(folder, name, **{"train": train, "validation": validation, **changed})

    return run


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    return {name: run(tmp_path_factory.mktemp("fit") / name, name) for name in TRAINED}


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


def test_a_network_learns_a_planted_signal(tmp_path):
    clips = planted.clips(tmp_path, n=260)
    train, validation, held_out = map(clips.take, np.split(np.arange(260), [160, 200]))
    made = settings(epochs=12, patience=6, seed=1)
    found = planted.fit(tmp_path / "fit", "inception_cnn", train, validation, made=made)
    assert spearmanr(found.predict(held_out), held_out.y).statistic > 0.6
    assert abs(found.predict(held_out).mean() - held_out.y.mean()) < 5  # on the scale of popularity
    assert not found.info["collapsed"]
    low, high = found.interval(found.predict(held_out), 0.9)
    assert 0.75 < np.mean((low <= held_out.y) & (held_out.y <= high)) <= 1


@pytest.mark.long
def test_the_popular_target_gives_probabilities(run, examples, tmp_path):
    labelled = replace(examples, y=(examples.y > 30).astype(np.float32))
    found = run(
        tmp_path / "fit", "crnn", target=Target("popular", threshold=30.0),
        train=labelled.take(np.arange(40)), validation=labelled.take(np.arange(40, 60)),
    )  # fmt: skip
    assert found.info["outputs"] == ["popular"]
    assert found.target == Target("popular", threshold=30.0)
    predictions = found.predict(examples)
    assert ((predictions > 0) & (predictions < 1)).all()


@pytest.mark.long
def test_buckets_and_audio_features_are_answered_by_name(run, examples, tmp_path):
    y = examples.y
    several = np.column_stack([y, 1 - y / 100]).astype(np.float32)
    edges = (25.0, 35.0)
    for target, encoded in [
        (Target("buckets", ("low", "medium", "high"), edges=edges), np.digitize(y, edges).astype(np.float32)),
        (Target("audio_features", ("tempo", "energy")), several),
    ]:
        labelled = replace(examples, y=encoded)
        folder = tmp_path / target.kind
        train, validation = labelled.take(np.arange(40)), labelled.take(np.arange(40, 60))
        found = run(folder, train=train, validation=validation, target=target)
        predictions = found.predict(examples)
        assert predictions.shape == (60, len(target.names))
        columns = pd.read_parquet(folder / "validation.parquet").columns
        assert [f"prediction:{name}" for name in target.names] == list(columns[-len(target.names) :])
        assert found.verify(validation) < 1e-3
        if target.kind == "audio_features":  # each on its own scale, in the order of the names
            np.testing.assert_allclose(predictions.mean(axis=0), several.mean(axis=0), rtol=0.3)
            assert found.info["outputs"] == ["tempo", "energy"]
        else:
            np.testing.assert_allclose(predictions.sum(axis=1), 1, rtol=1e-5)


# --- Aids -------------------------------------------------------------------------------------------


AIDS = {
    "spec_augment": True, "mixup": 0.3, "crop_seconds": 1.4, "balance": True, "schedule": "cosine",
    "weight_decay": 0.01, "loss": "ranking",
}  # fmt: skip


@pytest.mark.long
def test_all_aids_together_survive_a_kill(run, tmp_path, monkeypatch):
    made = settings(**AIDS)
    whole = run(tmp_path / "whole", made=made)
    assert whole.info["recipe"]["crop_seconds"] == 1.4
    assert list(pd.read_csv(whole.folder / "history.csv")["learning_rate"]) == pytest.approx(
        [5e-3 * (1 + np.cos(np.pi * epoch / 3)) / 2 for epoch in range(3)]
    )
    _crash(run, tmp_path / "killed", "inception_cnn", 4, monkeypatch, made=made)
    assert_same_fit(run(tmp_path / "killed", made=made), whole)


def test_rare_popularity_counts_as_much_as_frequent():
    y = np.r_[np.zeros(80), np.linspace(1, 100, 20)]
    weights = balance_weights(Target("popularity"), y)
    assert weights.mean() == pytest.approx(1)
    assert weights[80:].sum() > weights[:80].sum()  # though they are a fifth
    classes = np.r_[np.zeros(90), np.ones(10)]
    weights = balance_weights(Target("popular", threshold=1.0), classes)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum())


@pytest.mark.long
def test_mixed_precision_answers_in_full_precision(run, examples, tmp_path):
    found = run(tmp_path / "fit", made=settings(epochs=1, mixed_precision=True))
    assert found.predict(examples).dtype == np.float32
    assert keras.config.dtype_policy().name == "float32"  # put back
    assert any(layer.dtype_policy.name == "mixed_float16" for layer in found.model.layers)


@pytest.mark.long
def test_tensorboard_logs_are_written_where_asked(run, tmp_path):
    run(tmp_path / "fit", made=settings(epochs=1), logs=tmp_path / "logs")
    assert list((tmp_path / "logs").glob("train/events*"))


# --- The bundle -------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("name", TRAINED)
def test_a_bundle_is_complete_and_leaves_no_checkpoints(undisturbed, examples, name):
    found = undisturbed[name]
    assert files_in(found.folder) == FILES
    info = found.info
    history = pd.read_csv(found.folder / "history.csv")
    assert list(history) == ["epoch", "learning_rate", "loss", "val_loss", "seconds"]
    assert info["best_epoch"] == history["epoch"][history["val_loss"].idxmin()]
    assert (info["epochs"], info["stopped"]) == (3, "epochs")
    assert info["inputs"] == {"mel": {**MEL, "shape": [16, 24]}}
    assert info == json.loads((found.folder / "bundle.json").read_text())
    validation = pd.read_parquet(found.folder / "validation.parquet")
    assert list(validation["track_id"]) == list(examples.track_ids[40:])
    np.testing.assert_allclose(validation["y"], examples.y[40:])


@pytest.mark.long
@pytest.mark.parametrize("name", TRAINED)
def test_the_best_epochs_weights_are_the_bundles(undisturbed, examples, name):
    found = undisturbed[name]
    validation = examples.take(np.arange(40, 60))
    error = np.mean((found.predict(validation) - validation.y) ** 2)
    best = pd.read_csv(found.folder / "history.csv")["val_loss"].min()
    scale = np.var(examples.y[:40]) if best < 10 else 1  # the loss may be in units of variance
    assert error == pytest.approx(best * scale, rel=1e-3)


def test_predictions_follow_the_clips_and_not_the_store(undisturbed, examples):
    found = undisturbed["inception_cnn"]
    order = np.random.default_rng(0).permutation(60)
    everything = found.predict(examples)
    assert everything.shape == (60,)
    assert everything.dtype == np.float32
    np.testing.assert_allclose(found.predict(examples.take(order)), everything[order], rtol=1e-4)
    mel = examples.inputs["mel"].read()
    np.testing.assert_allclose(found.predict_features({"mel": mel}), everything, rtol=1e-4)
    np.testing.assert_allclose(found.predict_features({"mel": mel[5:6]}), everything[5:6], rtol=1e-4)


@pytest.mark.long
def test_a_bundle_loads_and_verifies_in_a_fresh_process_without_the_training_code(undisturbed, examples):
    script = """
import sys
import numpy as np
from hitsong.training import bundle
from hitsong.data.examples import Examples, Input
array = np.load(sys.argv[2], mmap_mode="r")
names = np.array([f"track-{i:03d}" for i in range(60)])
found = bundle.load(sys.argv[1])
mel = Input(array, np.arange(60), {**found.info["inputs"]["mel"]})
print(found.verify(Examples(names, {"mel": mel})))
assert "hitsong.training.fit" not in sys.modules
"""
    array = examples.inputs["mel"].array.filename
    done = subprocess.run(
        [sys.executable, "-c", script, undisturbed["crnn"].folder, array],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 1e-3
    assert done.stderr == ""


def test_verify_notices_changed_features_and_missing_tracks(undisturbed, examples):
    found = undisturbed["inception_cnn"]
    mel = examples.inputs["mel"]
    louder = replace(examples, inputs={"mel": replace(mel, specification={**MEL, "offset": -60.0})})
    with pytest.raises(UserError, match="differ from those of the fit"):
        found.verify(louder)
    with pytest.raises(UserError, match="none of the reference tracks"):
        found.verify(examples.take(np.arange(10)))


def test_inputs_of_another_size_and_missing_ones_are_refused(undisturbed):
    with pytest.raises(UserError, match=r"takes mel of 16 x 24, not 16 x 30"):
        undisturbed["inception_cnn"].predict_features({"mel": np.zeros((2, 16, 30))})
    with pytest.raises(UserError, match=r"needs mel"):
        undisturbed["inception_cnn"].predict_features({"tags": np.zeros((2, 50))})


def test_loading_what_is_not_there_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match=r"05_train\.py"):
        bundle.load(tmp_path)


# --- Models built from others -----------------------------------------------------------------------


@pytest.mark.long
def test_a_combiner_is_built_from_its_trained_parts_and_stands_alone(run, examples, tmp_path):
    parts = {
        "mfcc_rnn_multitask": run(tmp_path / "mfcc", "mfcc_rnn_multitask", inputs=["mfcc"]),
        "numeric_mlp": run(tmp_path / "numeric", "numeric_mlp", inputs=["numeric"]),
    }
    folders = {name: part.folder for name, part in parts.items()}
    run(tmp_path / "both", "combiner", inputs=["mfcc", "numeric"], parts=folders)
    for folder in folders.values():
        shutil.rmtree(folder)
    found = bundle.load(tmp_path / "both")
    assert found.verify(examples) < 1e-3


@pytest.mark.long
def test_an_ensemble_weighs_its_members_and_carries_them(run, examples, tmp_path):
    members = {
        "inception_cnn": run(tmp_path / "a", "inception_cnn"),
        "embedding_probe": run(
            tmp_path / "b", "embedding_probe", inputs=["embedding", "tags", "descriptors"]
        ),
    }
    folders = {name: one.folder for name, one in members.items()}
    heard = ["mel", "embedding", "tags", "descriptors"]
    found = run(tmp_path / "all", "ensemble", inputs=heard, parts=folders)
    weights = found.info["weights"]
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= 0
    expected = sum(weights[name] * one.predict(examples) for name, one in members.items())
    for folder in folders.values():
        shutil.rmtree(folder)
    np.testing.assert_allclose(bundle.load(tmp_path / "all").predict(examples), expected, rtol=1e-4)


# --- Stopping and starting again --------------------------------------------------------------------


def _crash(run, folder, name, crash, monkeypatch, **options):
    """Fit until a given file is about to be put in its place."""
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
            run(folder, name, **options)


# First comes the state. Each epoch replaces two files, checkpoint and state. Then come model, history, validation
# and bundle.
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "crash"),
    [("inception_cnn", 1), ("inception_cnn", 3), ("crnn", 5), ("inception_cnn", 8), ("inception_cnn", 11)],
)
def test_a_fit_stopped_between_two_files_ends_the_same(undisturbed, run, tmp_path, monkeypatch, name, crash):
    folder = tmp_path / "fit"
    _crash(run, folder, name, crash, monkeypatch)
    assert status(folder, FINGERPRINT) == ("none" if crash == 1 else "interrupted")
    assert_same_fit(run(folder, name), undisturbed[name])
    assert files_in(folder) == FILES
    assert files_in(work_folder(folder).parent) == []


@pytest.mark.long
def test_a_fit_killed_outright_ends_the_same(run, tmp_path):
    made = settings(epochs=8, patience=8)
    script = """
import sys
from pathlib import Path
import numpy as np
from tests import planted
store = Path(sys.argv[1])
store.mkdir()
clips = planted.clips(store)
planted.fit(sys.argv[2], "inception_cnn", clips.take(np.arange(40)), clips.take(np.arange(40, 60)),
            made=planted.settings(epochs=8, patience=8))
"""
    folder = tmp_path / "fit"
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path / "store", folder], cwd=ROOT)
    checkpoint = work_folder(folder) / "epoch-0003.keras"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert status(folder, FINGERPRINT) == "interrupted"
    assert_same_fit(run(folder, made=made), run(tmp_path / "undisturbed", made=made))
    assert files_in(folder) == FILES


def test_a_finished_bundle_is_kept(undisturbed, run):
    folder = undisturbed["inception_cnn"].folder
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert status(folder, FINGERPRINT) == "finished"
    assert run(folder).info == undisturbed["inception_cnn"].info
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.long
def test_another_fingerprint_fits_anew(undisturbed, run, tmp_path):
    folder = shutil.copytree(undisturbed["inception_cnn"].folder, tmp_path / "fit")
    other = {"inputs": "ffffff"}
    assert status(folder, other) == "stale"
    info = run(folder, made=settings(epochs=1), fingerprint=other).info
    assert (info["fingerprint"], info["epochs"]) == (other, 1)
    assert status(folder, FINGERPRINT) == "stale"


@pytest.mark.long
def test_a_checkpoint_of_another_fit_is_discarded(undisturbed, run, tmp_path, monkeypatch):
    folder = tmp_path / "fit"
    _crash(run, folder, "inception_cnn", 6, monkeypatch, fingerprint={"inputs": "ffffff"})
    assert status(folder, FINGERPRINT) == "stale"
    assert_same_fit(run(folder), undisturbed["inception_cnn"])


def test_the_decisions_are_functions_of_the_history():
    def history(*losses):
        return [{"epoch": i, "loss": 1.0, "val_loss": loss} for i, loss in enumerate(losses, 1)]

    made = settings(epochs=5, patience=2)
    assert best_epoch([]) is None
    assert best_epoch(history(3.0, 2.0, 2.0)) == 2  # the first of equals
    assert stop_reason([], made) is None
    assert stop_reason(history(3.0, 2.0, 2.0), made) is None
    assert stop_reason(history(3.0, 2.0, 2.0, 2.5), made) == "patience"
    assert stop_reason(history(5.0, 4.0, 3.0, 2.0, 1.0), made) == "epochs"
    assert stop_reason(history(3.0, None), made) == "divergence"


# --- What goes wrong --------------------------------------------------------------------------------


@pytest.mark.long
def test_a_collapsed_model_is_named(run, examples, tmp_path):
    flat = replace(examples, y=np.full(60, 12.0, np.float32))
    found = run(tmp_path / "fit", train=flat.take(np.arange(40)), made=settings(epochs=1))
    assert found.info["collapsed"]
    assert found.predict(examples) == pytest.approx(12.0)


@pytest.mark.long
def test_divergence_keeps_the_best_epoch(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "hitsong.training.network.next_learning_rate", lambda recipe, losses: 1e30 if losses else 5e-3
    )
    found = run(tmp_path / "fit")
    assert (found.info["stopped"], found.info["best_epoch"], found.info["epochs"]) == ("divergence", 1, 2)
    assert np.isfinite([weights.sum() for weights in found.model.get_weights()]).all()


def test_divergence_from_the_start_is_an_error_with_advice(run, tmp_path):
    made = settings(parameters={"inception_cnn": {"learning_rate": 1e30}})
    with pytest.raises(UserError, match="infinite or undefined in epoch 1.*learning_rate=1e"):
        run(tmp_path / "fit", made=made)
    assert files_in(tmp_path / ".training") == []
    assert not (tmp_path / "fit").exists()


@pytest.mark.parametrize("part", ["train", "validation"])
def test_too_few_clips_are_an_error_that_leaves_nothing(run, examples, tmp_path, part):
    for count, message in enumerate(["there are no [a-z]+ clips", "there is only 1 [a-z]+ clip"]):
        with pytest.raises(UserError, match=message):
            run(tmp_path / "fit", **{part: examples.take(np.arange(count))})
    assert not list(tmp_path.iterdir())


# --- Data -------------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_training_clips_in_decibels(examples):
    some = examples.take(np.array([50, 3, 3, 17]))
    decibels = some.inputs["mel"].read()
    found = statistics(some, "mel")
    assert (found.mean, found.std) == pytest.approx((decibels.mean(), decibels.std()), rel=1e-5)
    assert (found.low, found.high) == pytest.approx((decibels.min(), decibels.max()), rel=1e-5)
    found = statistics(some, "tags")
    np.testing.assert_allclose(found.mean, some.inputs["tags"].read().mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.std, some.inputs["tags"].read().std(axis=0), rtol=1e-4)


def test_missing_numbers_are_left_out_and_become_the_mean():
    from hitsong.models import normalise

    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, 5.0]], np.float32)
    examples = Examples(
        np.array(list("abc")), {"numeric": Input(values, np.arange(3), planted.table("spotify", "xy"))}
    )
    found = statistics(examples, "numeric")
    np.testing.assert_allclose(found.mean, [2, 5])
    np.testing.assert_allclose(found.std, [1, 1])
    np.testing.assert_allclose(
        normalise.make_normalisation("numeric", found, "standard")(values), [[-1, 0], [1, 0], [0, 0]]
    )


def test_silence_everywhere_has_a_deviation_to_divide_by():
    silence = Input(np.zeros((1, 16, 24), np.uint8), np.array([0]), MEL)
    found = statistics(Examples(np.array(["a"]), {"mel": silence}), "mel")
    assert (found.mean, found.std) == (-80, 1)


@pytest.mark.parametrize("small", [0, batches.SMALL])
def test_batches_hold_each_clip_once_with_its_own_target(examples, monkeypatch, small):
    monkeypatch.setattr(batches, "SMALL", small)
    order = np.random.default_rng(1).permutation(60)
    stream = batches.stream_examples(examples.take(order), 16, ["popularity"])
    parts = list(stream.as_numpy_iterator())
    assert [len(y["popularity"]) for _, y in parts] == [16, 16, 16, 12]
    np.testing.assert_array_equal(
        np.concatenate([y["popularity"] for _, y in parts])[:, 0], examples.y[order]
    )
    for name, values in examples.inputs.items():
        np.testing.assert_array_equal(np.concatenate([x[name] for x, _ in parts]), values.read()[order])


def test_batches_of_tables_are_those_of_tables_too_large_for_memory(examples, monkeypatch):
    tables = examples.only([name for name in examples.inputs if name != "mel"])
    weights = np.arange(len(examples))
    streams = []
    for small in (0, batches.SMALL):
        monkeypatch.setattr(batches, "SMALL", small)
        streams.append(list(batches.stream_examples(tables, 16, ["popularity"], weights).as_numpy_iterator()))
        streams.append(list(batches.stream_inputs(tables, 16).as_numpy_iterator()))
    assert len(tables.inputs) > 1
    keras.tree.map_structure(np.testing.assert_array_equal, *streams[::2])
    keras.tree.map_structure(np.testing.assert_array_equal, *streams[1::2])


def test_a_store_larger_than_memory_is_never_read_whole(undisturbed, tmp_path, monkeypatch):
    """A sparse file of 15 GB: only the clips asked for pass through memory, a few at a time."""
    n = 40_000_000
    array = np.memmap(tmp_path / "mel.npy", np.uint8, "w+", shape=(n, 16, 24))
    rows = np.r_[0:1000, n - 1000 : n]
    clips = Examples(np.arange(len(rows)).astype(str), {"mel": Input(array, rows, MEL)})
    monkeypatch.setattr(batches, "SMALL", 0)
    tracemalloc.start()
    assert statistics(clips, "mel").mean == -80
    predictions = undisturbed["inception_cnn"].predict(clips)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(predictions)) <= 2  # the last batch is smaller and may round differently
    assert peak < 16e6


@pytest.mark.long
def test_several_devices_share_a_fit(tmp_path):
    """Two logical CPUs stand in for graphics cards."""
    script = """
import sys
from pathlib import Path
import numpy as np
from hitsong.training import network
from hitsong.backend import tf
from tests import planted
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
network.list_graphics_cards = lambda: ["CPU:0", "CPU:1"]
clips = planted.clips(Path(sys.argv[1]))
made = planted.settings(epochs=1)
sides = clips.take(np.arange(40)), clips.take(np.arange(40, 60))
found = planted.fit(sys.argv[1] + "/fit", "inception_cnn", *sides, made=made)
print(found.info["epochs"], np.isfinite(found.predict(clips)).all())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "True"]
