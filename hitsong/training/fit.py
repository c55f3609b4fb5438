"""Fit a model, survive being killed, and leave a bundle behind.

A fit lives in one folder. While a network's fit runs, every epoch ends in one commit: a checkpoint
(`epoch-0007.keras`: weights and optimizer), then `state.json` (the history so far). Whatever an epoch
needs beyond these is a function of the history, the seed and the epoch's number: the learning rate, the
order of the clips, the dropout, the mixing, the decision to stop. So a fit that is killed at any moment and
started again ends with the same weights as an undisturbed one.

A finished fit is a bundle (`hitsong.training.bundle`), readable without any of this.
"""

import contextlib
import math
import platform
import shutil
import time
import warnings
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from hitsong import __version__
from hitsong.backend import keras, tf
from hitsong.data.targets import percentiles
from hitsong.errors import UserError
from hitsong.evaluation import conformal, kinds, metrics
from hitsong.files import digest, read_json, replacing, write_json, write_table
from hitsong.models import heads, layers
from hitsong.models.build import build
from hitsong.models.registry import MODELS, Network, Probe
from hitsong.progress import bar
from hitsong.training import batches, bundle, ensemble, probe
from hitsong.training.recipe import learning_rate

MODEL_FILES = ("model.keras", "model.joblib", "history.csv", "history.png", "validation.parquet", "card.md")
WORK_FILES = ("state.json", "epoch-*.keras", ".tmp-*")  # what only an unfinished fit needs
RARE_AT_MOST = 10.0  # how much more than the average a track may count
FOLDS = 5  # of the ensemble's own validation


class Diverged(UserError):
    """The loss was not finite in the first epoch: there is nothing to keep."""


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


def fit(
    folder,
    name,
    train,
    validation,
    *,
    target,
    recipe,
    fingerprint,
    about,
    parts=None,
    progress=True,
    logs=None,
):
    """Fit a model, or go on with an interrupted fit, or return the finished one.

    Parameters
    ----------
    folder : path-like
        Where the fit lives. What another fit left there is discarded.
    name : str
        A key of `hitsong.models.registry.MODELS`.
    train, validation : hitsong.data.examples.Examples
        With the model's inputs, targets and groups. Everything fitted is fitted on `train`; `validation`
        chooses the epoch, calibrates, and weighs the members of an ensemble.
    target : hitsong.data.targets.Target
    recipe : hitsong.training.recipe.Recipe or hitsong.training.recipe.ProbeRecipe
        An ensemble needs none.
    fingerprint : dict
        All that identifies this fit, as JSON can hold it.
    about : dict
        What the bundle says of the data (`hitsong.data.dataset.about`).
    parts : dict of str to pathlib.Path, optional
        Folders of the bundles that this model is built from: parts of a network, members of an ensemble.
    progress : bool
        Show progress on standard error.
    logs : path-like, optional
        Where to write TensorBoard's logs.

    Returns
    -------
    hitsong.training.bundle.Bundle
        A network's with the weights of the epoch of lowest validation loss. Its `info` tells why the fit
        `stopped` ("epochs", "patience" or "divergence") and whether the model `collapsed`.

    Raises
    ------
    Diverged
        If the loss became infinite or undefined before any epoch was of use.
    UserError
        If there are no clips, or if they are too small for the model.
    """
    folder = Path(folder)
    found = status(folder, fingerprint)
    if found == "finished":
        _clear(folder, *WORK_FILES)  # a fit killed at its very end leaves some
        return bundle.load(folder)
    if logs and find_spec("tensorboard") is None:
        raise UserError(
            "train.tensorboard: the package tensorboard is missing; install it: pip install tensorboard"
        )
    if found == "stale":
        _discard(folder)
    for side, examples in (("training", train), ("validation", validation)):
        if len(examples) == 0:
            raise UserError(f"{name}: there are no {side} clips; collect more tracks or change split")
    folder.mkdir(parents=True, exist_ok=True)
    model, started = MODELS[name], time.monotonic()
    if isinstance(model, Network):
        fitted = _fit_network(
            folder, name, train, validation, target, recipe, fingerprint, parts, progress, logs
        )
    elif isinstance(model, Probe):
        fitted = _fit_probe(folder, train, validation, target, recipe)
    else:
        fitted = _fit_ensemble(folder, validation, target, parts)
    predictions, own = fitted
    _write_validation(folder, validation, target, predictions)
    chosen_on = own.pop("out_of_fold", predictions)
    info = {
        "name": name,
        "citation": model.citation,
        "target": target.description(),
        "inputs": {one: part.describe() for one, part in train.inputs.items()},
        **own,
        "validation": kinds.evaluate(target.kind, validation.y, chosen_on, target.names),
        "calibration": conformal.calibrate(target, validation.y, chosen_on),
        "collapsed": metrics.collapsed(validation.y, predictions),
        "seconds": own.get("seconds", round(time.monotonic() - started, 3)),
        **about,
        "genre": {**about["genre"], "predictions": _knots(target, predictions)},
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
    return bundle.load(folder)


# --- Networks ---------------------------------------------------------------------------------------


def _fit_network(folder, name, train, validation, target, recipe, fingerprint, parts, progress, logs):
    """Run the epochs that are left; predictions for validation, and what the bundle says of them."""
    keras.utils.set_random_seed(recipe.seed)
    head = heads.make(target.description(), train.y, recipe.loss, recipe.bounded)
    outputs = list(head.losses)
    classes = len(target.names) if target.kind == "buckets" else None
    state = (
        read_json(folder / "state.json") if (folder / "state.json").exists() else {"history": [], "notes": []}
    )
    history, notes = state["history"], state["notes"]
    with _machine(recipe):
        if history:
            model = bundle.load_network(name, _checkpoint(folder, len(history)), compile=True)
        else:
            cut = {part: layers.cut(bundle.load(path).model, part) for part, path in (parts or {}).items()}
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as said:
                model = build(name, head, train, recipe, cut)
            notes += [str(one.message) for one in said]
        weights = balanced(target, train.y) if recipe.balance else None
        steps = math.ceil(len(train) / recipe.batch_size)
        with bar(
            desc=name, unit="step", total=recipe.epochs * steps, initial=len(history) * steps, show=progress
        ) as steps_bar:
            while stop_reason(history, recipe) is None:
                _run_epoch(
                    model, outputs, classes, history, train, validation, weights, recipe, steps_bar, logs
                )
                _commit(folder, model, {"fingerprint": fingerprint, "notes": notes, "history": history})

    best = best_epoch(history)
    if best is None:
        _discard(folder)
        raise Diverged(
            f"{name}: the loss became infinite or undefined in epoch 1, so there is nothing to keep; look for "
            "extreme values in the target, or try "
            f"--set train.parameters.{name}.learning_rate={recipe.learning_rate / 10:g}"
        )
    model = bundle.load_network(name, _checkpoint(folder, best), compile=False)
    with replacing(folder / "model.keras") as temporary:
        model.save(temporary)
    write_table(folder / "history.csv", pd.DataFrame(history))
    predictions = bundle.predicted(model, outputs, batches.of_inputs(validation, bundle.AT_ONCE))
    return predictions, {
        "form": "network",
        "outputs": outputs,
        "notes": notes,
        "parameters": model.count_params(),
        "recipe": asdict(recipe),
        "best_epoch": best,
        "epochs": len(history),
        "stopped": stop_reason(history, recipe),
        "val_loss": history[best - 1]["val_loss"],
        "seconds": round(sum(row["seconds"] for row in history), 3),
    }


@contextlib.contextmanager
def _machine(recipe):
    """All graphics cards, if there are several, and mixed precision, if the recipe asks for it."""
    policy = keras.config.dtype_policy()
    cards = graphics_cards()
    if recipe.mixed_precision:
        keras.config.set_dtype_policy("mixed_float16")
    try:
        # Keras's own distribution knows only JAX; on TensorFlow its trainer follows this one.
        with tf.distribute.MirroredStrategy(cards).scope() if len(cards) > 1 else contextlib.nullcontext():
            yield
    finally:
        keras.config.set_dtype_policy(policy)


def graphics_cards():
    """The names of the graphics cards that TensorFlow sees."""
    return [card.name for card in tf.config.list_logical_devices("GPU")]


def best_epoch(history):
    """Find the epoch of lowest validation loss, counted from 1; None if no loss was finite."""
    found = [(row["val_loss"], row["epoch"]) for row in history if row["val_loss"] is not None]
    return min(found)[1] if found else None


def stop_reason(history, recipe):
    """Decide whether a fit is over: "divergence", "patience", "epochs", or None to go on."""
    if not history:
        return None
    last = history[-1]
    if last["loss"] is None or last["val_loss"] is None:
        return "divergence"
    if last["epoch"] - best_epoch(history) >= recipe.patience:
        return "patience"
    return "epochs" if last["epoch"] >= recipe.epochs else None


def balanced(target, y):
    """Weights by which rare targets count as much as frequent ones: the zeros of popularity above all.

    Classes are weighed by the inverse of their share. Numbers are classes for this purpose: their minimum (the
    zeros, where there are many), and tenths of their range above it; a track counts at most ten times the
    average. Of several audio features the mean of their weights is taken.

    Parameters
    ----------
    target : hitsong.data.targets.Target
    y : np.ndarray [shape=(n,) or (n, k)]
        Encoded targets of the training tracks.

    Returns
    -------
    np.ndarray [shape=(n,)]
        Of mean 1.
    """
    columns = y.reshape(len(y), -1)
    weights = np.zeros(len(y))
    for values in columns.T:
        if not target.classes:
            low, high = values.min(), values.max()
            values = np.where(values == low, 0, 1 + np.floor(9.999 * (values - low) / ((high - low) or 1)))
        _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
        weights += (len(values) / (len(counts) * counts))[which]
    weights = np.minimum(weights / weights.mean(), RARE_AT_MOST)
    return weights / weights.mean()


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


def _run_epoch(model, outputs, classes, history, train, validation, weights, recipe, bar, logs):
    """Train and validate once, and add a row to the history; a loss that is not finite becomes None."""
    epoch = len(history) + 1
    rate = learning_rate(recipe, [row["val_loss"] for row in history])
    model.optimizer.learning_rate = rate
    _reseed(model, recipe.seed, epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(train))
    callbacks = [_Progress(bar, history)]
    if logs:
        callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
    started = time.monotonic()
    found = model.fit(
        batches.with_targets(
            train.take(order), recipe.batch_size, outputs, None if weights is None else weights[order],
            recipe.mixup, recipe.seed * 100_003 + epoch, classes,
        ),
        validation_data=batches.with_targets(validation, recipe.batch_size, outputs),
        initial_epoch=epoch - 1,
        epochs=epoch,
        callbacks=callbacks,
        shuffle=False,  # the order is ours
        verbose=0,
    ).history  # fmt: skip
    row = {"epoch": epoch, "learning_rate": rate}
    for name in ("loss", "val_loss"):
        row[name] = found[name][0] if math.isfinite(found[name][0]) else None
    history.append({**row, "seconds": round(time.monotonic() - started, 3)})


def _reseed(model, seed, epoch):
    """Set the state of everything random from the seed and the epoch: checkpoints do not hold it."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    seeds = np.random.default_rng([seed, epoch, 1]).integers(2**31, size=len(states))
    for state, value in zip(states, seeds, strict=True):
        state.assign([value, 0])


def _checkpoint(folder, epoch):
    return folder / f"epoch-{epoch:04d}.keras"


def _commit(folder, model, state):
    """Make an epoch permanent. It counts from the moment that `state.json` names it."""
    history = state["history"]
    last = _checkpoint(folder, len(history))
    with replacing(last) as temporary:
        model.save(temporary)
    write_json(folder / "state.json", state)
    best = best_epoch(history)
    for path in folder.glob("epoch-*.keras"):
        if path not in (last, best and _checkpoint(folder, best)):
            path.unlink()


# --- Probes and ensembles ---------------------------------------------------------------------------


def _fit_probe(folder, train, validation, target, recipe):
    """Fit the estimators on the tables, and keep the best on validation."""
    names = list(train.inputs)
    X = {side: examples.table(names) for side, examples in (("train", train), ("validation", validation))}
    estimator, scores = probe.fit(
        X["train"], train.y, X["validation"], validation.y, target, recipe, recipe.seed
    )
    with replacing(folder / "model.joblib") as temporary:
        joblib.dump(estimator, temporary)
    return probe.predict(estimator, X["validation"], target), {"form": "estimator", "candidates": scores}


def _fit_ensemble(folder, validation, target, parts):
    """Weigh the members by their predictions for validation; copies of them go along."""
    if len(parts) < 2:
        raise UserError(f"ensemble: {len(parts)} model to weigh; name at least two others in train.models")
    members = {}
    for name, path in parts.items():
        shutil.rmtree(folder / "members" / name, ignore_errors=True)
        shutil.copytree(path, folder / "members" / name, ignore=shutil.ignore_patterns("seed-*"))
        reference = (
            pd.read_parquet(path / "validation.parquet").set_index("track_id").loc[validation.track_ids]
        )
        members[name] = _squeezed(reference.filter(regex="^prediction").to_numpy(), target)
    weights = ensemble.fit(members, validation.y, validation.groups, target)
    folds = min(FOLDS, len(np.unique(validation.groups)))
    own = {"form": "ensemble", "weights": weights}
    if folds > 1:
        own["out_of_fold"] = ensemble.cross_validated(
            members, validation.y, validation.groups, target, folds, seed=1
        )
    return ensemble.predict(weights, members), own


# --- What all leave behind --------------------------------------------------------------------------


def _write_validation(folder, validation, target, predictions):
    """Truth and predictions of the validation tracks; columns of several carry the target's names."""
    table = {"track_id": validation.track_ids}
    for what, values in (("y", validation.y), ("prediction", predictions)):
        values = np.asarray(values)
        names = [what] if values.ndim == 1 else [f"{what}:{name}" for name in target.names]
        table |= dict(zip(names, values.reshape(len(values), -1).T, strict=True))
    write_table(folder / "validation.parquet", pd.DataFrame(table))


def _squeezed(values, target):
    return values if target.kind in ("buckets", "audio_features") else values[:, 0]


def _knots(target, predictions):
    """Predictions of tracks that the model was not fitted on, with their percentiles; None for several."""
    if target.kind == "audio_features":
        return None
    if predictions.ndim == 2:  # the expected class
        predictions = predictions @ np.arange(predictions.shape[1])
    return [list(pair) for pair in percentiles(np.asarray(predictions, float))]


def _discard(folder):
    """Remove a fit; first what says that it is whole, so that a kill halfway leaves no lie."""
    _clear(folder, "bundle.json", "state.json")
    _clear(folder, *WORK_FILES, *MODEL_FILES)
    shutil.rmtree(folder / "members", ignore_errors=True)


def _clear(folder, *patterns):
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()
