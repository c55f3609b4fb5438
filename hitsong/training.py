"""Fit a model on clips of a memory-mapped store, survive being killed, and leave a bundle behind.

A fit lives in one folder. While it runs, every epoch ends in one commit: a checkpoint
(`epoch-0007.keras`: weights and optimizer), then `state.json` (the history so far). Whatever an epoch
needs beyond these is a function of the history, the seed and the epoch's number: the learning rate, the
order of the clips, the dropout, the decision to stop. So a fit that is killed at any moment and started
again ends with the same weights as an undisturbed one.

A finished fit is a bundle, readable without any of this: `model.keras` (from mels in dB to a named
output), `history.csv`, `reference.parquet` (predictions for some validation tracks) and, written last,
`bundle.json`.
"""

import math
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from hitsong import __version__
from hitsong.errors import UserError
from hitsong.files import digest, read_json, replacing, write_json, write_table
from hitsong.metrics import collapsed
from hitsong.models import MODELS, build, heads
from hitsong.models.backend import keras, tf

N_REFERENCE = 50  # validation tracks whose predictions a bundle keeps
WORK_FILES = ("state.json", "epoch-*.keras", ".tmp-*")  # what only an unfinished fit needs


@dataclass(frozen=True)
class Examples:
    """Clips of a memory-mapped store with their targets; nothing is read until a batch is asked for.

    Attributes
    ----------
    track_ids : np.ndarray [shape=(n,), dtype=str]
    array : np.ndarray [shape=(rows, n_mels, frames), dtype=uint8]
        The store, memory-mapped: codes of mels in dB.
    rows : np.ndarray [shape=(n,), dtype=int]
        The row of each track in `array`.
    scale, offset : float
        dB = code * scale + offset.
    y : np.ndarray [shape=(n,) or (n, k), dtype=float32] or None
        The target, as `hitsong.targets.Target.encode` gives it.
    """

    track_ids: np.ndarray
    array: np.ndarray
    rows: np.ndarray
    scale: float
    offset: float
    y: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    def take(self, positions):
        """Choose some of the clips, in the order of `positions`."""
        y = None if self.y is None else self.y[positions]
        return replace(self, track_ids=self.track_ids[positions], rows=self.rows[positions], y=y)


@dataclass(frozen=True)
class Bundle:
    """A finished model.

    Attributes
    ----------
    folder : pathlib.Path
    model : keras.Model
    info : dict
        The content of `bundle.json`.
    """

    folder: Path
    model: keras.Model
    info: dict

    def predict(self, examples, batch_size=16):
        """Predict the target of each clip.

        Returns
        -------
        np.ndarray [shape=(n,) or (n, k), dtype=float32]
            In the order of `examples`; columns are the target's `names`.

        Raises
        ------
        UserError
            If the mels are not of the size that the model was trained on.
        """
        self._check_size(examples.array.shape)
        return _predict(self.model, self.info["outputs"], examples, batch_size)

    def predict_mels(self, mels):
        """Predict the target of mels at hand.

        Parameters
        ----------
        mels : np.ndarray [shape=(n, n_mels, frames)]
            In dB, made with the feature parameters in `info`.

        Returns
        -------
        np.ndarray [shape=(n,) or (n, k), dtype=float32]

        Raises
        ------
        UserError
            If the mels are not of the size that the model was trained on.
        """
        self._check_size(np.shape(mels))
        answers = self.model.predict(np.asarray(mels, np.float32), batch_size=16, verbose=0)
        return _joined(answers, self.info["outputs"])

    def verify(self, examples):
        """Check that this machine predicts what the fit did, on the bundle's reference tracks.

        Parameters
        ----------
        examples : Examples
            Clips with some of the reference tracks among them.

        Returns
        -------
        float
            The largest difference found.

        Raises
        ------
        UserError
            If no reference track is there, or if a prediction differs by more than rounding does.
        """
        reference = pd.read_parquet(self.folder / "reference.parquet")
        positions = pd.Index(examples.track_ids).get_indexer(reference["track_id"])
        present = positions >= 0
        if not present.any():
            raise UserError(f"{self.folder}: none of the reference tracks is among the clips to verify with")
        expected = reference.drop(columns="track_id").to_numpy()[present]
        found = self.predict(examples.take(positions[present])).reshape(expected.shape)
        difference = float(np.abs(found - expected).max())
        if not np.allclose(found, expected, rtol=1e-3, atol=1e-3):
            raise UserError(
                f"{self.folder}: predictions differ from the reference by up to {difference:.3g}; "
                "the features or the model changed since the fit: run 05_train.py again"
            )
        return difference

    def _check_size(self, shape):
        expected = tuple(self.info["input_shape"])
        if len(shape) != 3 or tuple(shape[1:]) != expected:
            raise UserError(
                f"{self.folder}: the model hears mels of {expected[0]} x {expected[1]} (n_mels x frames), "
                f"not an array of {' x '.join(map(str, shape))}"
            )


def status(folder, fingerprint):
    """Say what a folder holds for the fit that `fingerprint` identifies.

    Returns
    -------
    str
        "finished" (a bundle), "interrupted" (epochs to go on from), "stale" (either, but of another
        fit) or "none".
    """
    for name, found in (("bundle.json", "finished"), ("state.json", "interrupted")):
        path = Path(folder) / name
        if path.exists():
            return found if digest(read_json(path)["fingerprint"]) == digest(fingerprint) else "stale"
    return "none"


def load(folder):
    """Load a finished bundle.

    Raises
    ------
    UserError
        If there is none.
    """
    folder = Path(folder)
    if not (folder / "bundle.json").exists():
        raise UserError(f"{folder}: there is no finished model; run 05_train.py")
    model = keras.models.load_model(folder / "model.keras", compile=False)
    return Bundle(folder, model, read_json(folder / "bundle.json"))


def fit(folder, model_name, train, validation, *, target, settings, fingerprint, progress=True):
    """Fit a model, or go on with an interrupted fit, or return the finished one.

    Parameters
    ----------
    folder : path-like
        Where the fit lives. What another fit left there is discarded.
    model_name : str
        A key of `hitsong.models.MODELS`.
    train, validation : Examples
        With targets. Everything fitted is fitted on `train`; `validation` chooses the epoch.
    target : dict
        As `hitsong.targets.Target.description` gives it.
    settings : hitsong.config.Train
        Epochs, patience, batch_size, seed.
    fingerprint : dict
        All that identifies this fit, as JSON can hold it, the feature parameters under `features`.
    progress : bool
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    Bundle
        With the weights of the epoch of lowest validation loss. Its `info` tells why the fit
        `stopped` ("epochs", "patience" or "divergence") and whether the model `collapsed`.

    Raises
    ------
    UserError
        If there are no clips, if the mels are too small for the model, or if the loss became infinite
        or undefined before any epoch was of use.
    """
    folder = Path(folder)
    found = status(folder, fingerprint)
    if found == "finished":
        _clear(folder, *WORK_FILES)  # a fit killed at its very end leaves some
        return load(folder)
    if found == "stale":
        _discard(folder)
    for name, examples in (("training", train), ("validation", validation)):
        if len(examples) == 0:
            raise UserError(f"{model_name}: there are no {name} clips; collect more tracks or change split")

    keras.utils.set_random_seed(settings.seed)
    head = heads.make(target, train.y)
    if found == "interrupted":
        history = read_json(folder / "state.json")["history"]
        model = keras.models.load_model(_checkpoint(folder, len(history)))
    else:
        history = []
        mean, std = mel_moments(train)
        _, n_mels, frames = train.array.shape
        model = build(model_name, head, n_mels=n_mels, frames=frames, mean=mean, std=std)

    steps = math.ceil(len(train) / settings.batch_size)
    bar = tqdm(
        desc=model_name,
        total=settings.epochs * steps,
        initial=len(history) * steps,
        unit="step",
        disable=None if progress else True,
    )
    with bar:
        while stop_reason(history, settings) is None:
            _run_epoch(model, model_name, list(head.losses), history, train, validation, settings, bar)
            _commit(folder, model, history, fingerprint)

    if best_epoch(history) is None:
        _discard(folder)
        raise UserError(
            f"{model_name}: the loss became infinite or undefined in epoch 1, so there is nothing to keep; "
            "look for extreme values in the target, or try a larger train.batch_size or another train.seed"
        )
    return _finish(folder, model_name, list(head.losses), history, validation, target, settings, fingerprint)


def mel_moments(examples):
    """Measure the mean and standard deviation of all bins of all clips, in one pass over the store.

    Codes are counted rather than summed: exact, and independent of the order of the clips.

    Returns
    -------
    mean, std : float
        In dB. `std` is 1 if all bins are alike, since it is there to be divided by.
    """
    counts = np.zeros(256, np.int64)
    for start in range(0, len(examples), 64):
        codes = examples.array[examples.rows[start : start + 64]]
        counts += np.bincount(codes.ravel(), minlength=256)
    levels = np.arange(256) * examples.scale + examples.offset
    mean = np.average(levels, weights=counts)
    std = math.sqrt(np.average((levels - mean) ** 2, weights=counts))
    return float(mean), std or 1.0


def best_epoch(history):
    """Find the epoch of lowest validation loss, counted from 1; None if no loss was finite."""
    losses = [(row["val_loss"], row["epoch"]) for row in history if row["val_loss"] is not None]
    return min(losses)[1] if losses else None


def stop_reason(history, settings):
    """Decide whether a fit is over: "divergence", "patience", "epochs", or None to go on."""
    if not history:
        return None
    last = history[-1]
    if last["loss"] is None or last["val_loss"] is None:
        return "divergence"
    if last["epoch"] - best_epoch(history) >= settings.patience:
        return "patience"
    return "epochs" if last["epoch"] >= settings.epochs else None


class _Progress(keras.callbacks.Callback):
    """Moves the bar by one step, and shows the losses."""

    def __init__(self, bar, history):
        super().__init__()
        self.bar = bar
        self.shown = {}
        if history:
            best = best_epoch(history)
            self.shown = {"val_loss": history[-1]["val_loss"], "best": history[best - 1]["val_loss"]}

    def on_train_batch_end(self, batch, logs=None):
        self.bar.set_postfix({"loss": logs["loss"], **self.shown}, refresh=False)
        self.bar.update()


def _run_epoch(model, model_name, outputs, history, train, validation, settings, bar):
    """Train and validate once, and add a row to the history; a loss that is not finite becomes None."""
    epoch = len(history) + 1
    rate = MODELS[model_name].learning_rate([row["val_loss"] for row in history])
    model.optimizer.learning_rate = rate
    _reseed(model, settings.seed, epoch)
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(train))
    started = time.monotonic()
    losses = model.fit(
        _batches(train.take(order), settings.batch_size, outputs),
        validation_data=_batches(validation, settings.batch_size, outputs),
        callbacks=[_Progress(bar, history)],
        shuffle=False,  # the order is ours
        verbose=0,
    ).history
    row = {"epoch": epoch, "learning_rate": rate}
    for name in ("loss", "val_loss"):
        row[name] = losses[name][0] if math.isfinite(losses[name][0]) else None
    history.append({**row, "seconds": round(time.monotonic() - started, 3)})


def _reseed(model, seed, epoch):
    """Set the state of every dropout from the seed and the epoch: checkpoints do not hold it."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    seeds = np.random.default_rng([seed, epoch, 1]).integers(2**31, size=len(states))
    for state, value in zip(states, seeds, strict=True):
        state.assign([value, 0])


def _batches(examples, batch_size, outputs=None):
    """Stream batches of mels in dB, with the targets of the named outputs if they are given.

    Only the codes of a batch or two are in memory, as uint8 until TensorFlow widens them.
    """

    def read(rows):
        return examples.array[rows]

    def mels(rows):
        codes = tf.numpy_function(read, [rows], tf.uint8, stateful=False)
        codes = tf.ensure_shape(codes, (None, *examples.array.shape[1:]))
        return tf.cast(codes, tf.float32) * examples.scale + examples.offset

    if outputs is None:
        return tf.data.Dataset.from_tensor_slices(examples.rows).batch(batch_size).map(mels).prefetch(2)
    columns = examples.y.astype(np.float32).reshape(len(examples), -1, 1)
    y = {output: columns[:, number] for number, output in enumerate(outputs)}
    clips = tf.data.Dataset.from_tensor_slices((examples.rows, y)).batch(batch_size)
    return clips.map(lambda rows, y: (mels(rows), y)).prefetch(2)


def _predict(model, outputs, examples, batch_size):
    return _joined(model.predict(_batches(examples, batch_size), verbose=0), outputs)


def _joined(answers, outputs):
    """Put the answers side by side in the order of the outputs' names: (n,) if they are one column, else (n, k)."""
    joined = np.concatenate([answers[name] for name in outputs], axis=1)
    return joined[:, 0] if joined.shape[1] == 1 else joined


def _checkpoint(folder, epoch):
    return folder / f"epoch-{epoch:04d}.keras"


def _commit(folder, model, history, fingerprint):
    """Make an epoch permanent. It counts from the moment that `state.json` names it."""
    last = _checkpoint(folder, len(history))
    with replacing(last) as temporary:
        model.save(temporary)
    write_json(folder / "state.json", {"fingerprint": fingerprint, "history": history})
    best = best_epoch(history)
    for path in folder.glob("epoch-*.keras"):
        if path not in (last, best and _checkpoint(folder, best)):
            path.unlink()


def _finish(folder, model_name, outputs, history, validation, target, settings, fingerprint):
    """Turn the best checkpoint into a bundle, its description last, and clear away the rest."""
    best = best_epoch(history)
    model = keras.models.load_model(_checkpoint(folder, best), compile=False)
    with replacing(folder / "model.keras") as temporary:
        model.save(temporary)
    write_table(folder / "history.csv", pd.DataFrame(history))
    predictions = _predict(model, outputs, validation, batch_size=16)
    names = ["prediction"] if predictions.ndim == 1 else target["names"]
    reference = pd.DataFrame(predictions.reshape(len(validation), -1), columns=list(names))
    reference.insert(0, "track_id", validation.track_ids)
    write_table(folder / "reference.parquet", reference.head(N_REFERENCE))
    info = {
        "name": model_name,
        "citation": MODELS[model_name].citation,
        "target": dict(target),
        "outputs": outputs,
        "input_shape": list(model.input_shape[1:]),
        "features": fingerprint["features"],
        "parameters": model.count_params(),
        "best_epoch": best,
        "epochs": len(history),
        "stopped": stop_reason(history, settings),
        "collapsed": collapsed(validation.y, predictions),
        "seconds": round(sum(row["seconds"] for row in history), 3),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "hitsong": __version__,
        },
        "fingerprint": fingerprint,
    }
    write_json(folder / "bundle.json", info)
    _clear(folder, *WORK_FILES)
    return Bundle(folder, model, info)


def _discard(folder):
    """Remove a fit; first what says that it is whole, so that a kill halfway leaves no lie."""
    _clear(folder, "bundle.json", "state.json")
    _clear(folder, *WORK_FILES, "model.keras", "history.csv", "reference.parquet")


def _clear(folder, *patterns):
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()
