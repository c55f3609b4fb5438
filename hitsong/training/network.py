"""Train a network epoch by epoch, such that a fit that was killed ends as an undisturbed one.

Every epoch ends in one commit: a checkpoint (`epoch-0007.keras`: weights and optimizer), then `state.json` (the
history so far). Whatever an epoch needs beyond these is a function of the history, the seed and the epoch's number:
the learning rate, the order of the clips, the dropout, the mixing, the decision to stop.
"""

import contextlib
import math
import time
import warnings
from dataclasses import asdict

import numpy as np
import pandas as pd

from hitsong.backend import keep_memory, keras, tf
from hitsong.errors import UserError
from hitsong.files import read_json, replacing, write_json, write_table
from hitsong.models import heads, layers
from hitsong.models.build import build
from hitsong.progress import bar
from hitsong.training import batches, bundle
from hitsong.training.recipe import next_learning_rate

MAX_WEIGHT = 10.0  # how much more than the average a rare track may count


class Diverged(UserError):
    """The loss was not finite in the first epoch: there is nothing to keep."""


def fit(folder, name, train, validation, target, recipe, parts=None, progress=True, logs=None, label=None):
    """Run the epochs that are left and keep the best; parameters as for `hitsong.training.fit.fit`.

    Parameters
    ----------
    folder : pathlib.Path
        With a `state.json`; gets `model.keras` and `history.csv`.
    label : str, optional
        What the progress is called; the name, if not given.

    Returns
    -------
    predictions : np.ndarray [shape=(n,) or (n, k)]
        For the validation tracks.
    info : dict
        What the bundle says of the fit.

    Raises
    ------
    Diverged
        If no epoch had a finite validation loss.
    """
    keep_memory()
    keras.utils.set_random_seed(recipe.seed)
    head = heads.make_head(target.description(), train.y, recipe.loss, recipe.bounded)
    outputs = list(head.losses)
    classes = len(target.names) if target.kind == "buckets" else None
    state = read_json(folder / "state.json")
    history, notes = state["history"], state["notes"]
    with _devices_and_precision(recipe):
        if history:
            model = bundle.load_network(name, _checkpoint(folder, len(history)), compile=True)
        else:
            cut = {
                part: layers.cut_before_scores(bundle.load(path).model, part)
                for part, path in (parts or {}).items()
            }
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as raised:
                model = build(name, head, train, recipe, cut)
            notes += [str(warning.message) for warning in raised]
        weights = balance_weights(target, train.y) if recipe.balance else None
        steps = math.ceil(len(train) / recipe.batch_size)
        with bar(
            desc=label or name, unit="step", total=(recipe.fixed_epochs or recipe.epochs) * steps,
            initial=len(history) * steps, show=progress,
        ) as steps_bar:  # fmt: skip
            while stop_reason(history, recipe) is None:
                _run_epoch(
                    model, outputs, classes, history, train, validation, weights, recipe, steps_bar, logs
                )
                _commit(folder, model, {**state, "notes": notes, "history": history}, recipe)

    best = best_epoch(history, recipe.fixed_epochs)
    if best is None:
        raise Diverged(
            f"{name}: the loss became infinite or undefined in epoch 1, so there is nothing to keep; look for "
            "extreme values in the target, or try "
            f"--set train.parameters.{name}.learning_rate={recipe.learning_rate / 10:g}"
        )
    model = bundle.load_network(name, _checkpoint(folder, best), compile=False)
    with replacing(folder / "model.keras") as temporary:
        model.save(temporary)
    table = pd.DataFrame(history)
    # Validation tracks that were trained on are no validation.
    write_table(folder / "history.csv", table.drop(columns="val_loss") if recipe.fixed_epochs else table)
    predictions = bundle.predict_stream(
        model, outputs, batches.stream_inputs(validation, bundle.BATCH), target
    )
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
def _devices_and_precision(recipe):
    """All graphics cards, if there are several, and mixed precision, if the recipe asks for it."""
    policy = keras.config.dtype_policy()
    cards = list_graphics_cards()
    if recipe.mixed_precision:
        keras.config.set_dtype_policy("mixed_float16")
    try:
        # Keras's own distribution knows only JAX; on TensorFlow its trainer follows this one.
        with tf.distribute.MirroredStrategy(cards).scope() if len(cards) > 1 else contextlib.nullcontext():
            yield
    finally:
        keras.config.set_dtype_policy(policy)


def list_graphics_cards():
    """The names of the graphics cards that TensorFlow can use."""
    return [card.name for card in tf.config.list_logical_devices("GPU")]


def best_epoch(history, fixed_epochs=None):
    """Find the epoch of lowest validation loss, counted from 1; None if no loss was finite.

    Where the number of epochs is fixed it is the last one.
    """
    finite = [(row["val_loss"], row["epoch"]) for row in history if row["val_loss"] is not None]
    return (finite[-1] if fixed_epochs else min(finite))[1] if finite else None


def stop_reason(history, recipe):
    """Decide whether a fit is over: "divergence", "patience", "epochs", "folds", or None to go on."""
    if not history:
        return None
    last = history[-1]
    if last["loss"] is None or last["val_loss"] is None:
        return "divergence"
    if recipe.fixed_epochs:
        return "folds" if last["epoch"] >= recipe.fixed_epochs else None
    if last["epoch"] - best_epoch(history) >= recipe.patience:
        return "patience"
    return "epochs" if last["epoch"] >= recipe.epochs else None


def balance_weights(target, y):
    """Weights by which rare targets count as much as frequent ones: the zeros of popularity above all.

    Classes are weighted by the inverse of their share. Numbers are classes for this purpose: their minimum (the
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
        _, indices, counts = np.unique(values, return_inverse=True, return_counts=True)
        weights += (len(values) / (len(counts) * counts))[indices]
    weights = np.minimum(weights / weights.mean(), MAX_WEIGHT)
    return weights / weights.mean()


class _Progress(keras.callbacks.Callback):
    """Moves the bar by one step, and shows the losses."""

    def __init__(self, steps_bar, history):
        super().__init__()
        self.bar = steps_bar
        self.losses = {}
        if history:
            best = best_epoch(history)
            self.losses = {"val_loss": history[-1]["val_loss"], "best": history[best - 1]["val_loss"]}

    def on_train_batch_end(self, batch, logs=None):
        self.bar.set_postfix({"loss": logs["loss"], **self.losses}, refresh=False)
        self.bar.update()


def _run_epoch(model, outputs, classes, history, train, validation, weights, recipe, steps_bar, logs):
    """Train and validate once, and add a row to the history; a loss that is not finite becomes None."""
    epoch = len(history) + 1
    rate = next_learning_rate(recipe, [row["val_loss"] for row in history])
    model.optimizer.learning_rate = rate
    _reseed(model, recipe.seed, epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(train))
    callbacks = [_Progress(steps_bar, history)]
    if logs:
        callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
    started = time.monotonic()
    measured = model.fit(
        batches.stream_examples(
            train.take(order), recipe.batch_size, outputs, None if weights is None else weights[order],
            recipe.mixup, recipe.seed * 100_003 + epoch, classes,
        ),
        validation_data=batches.stream_examples(validation, recipe.batch_size, outputs),
        initial_epoch=epoch - 1,
        epochs=epoch,
        callbacks=callbacks,
        shuffle=False,  # `order` decides
        verbose=0,
    ).history  # fmt: skip
    row = {"epoch": epoch, "learning_rate": rate}
    for name in ("loss", "val_loss"):
        row[name] = measured[name][0] if math.isfinite(measured[name][0]) else None
    history.append({**row, "seconds": round(time.monotonic() - started, 3)})


def _reseed(model, seed, epoch):
    """Set the state of everything random from the seed and the epoch: checkpoints do not hold it."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    seeds = np.random.default_rng([seed, epoch, 1]).integers(2**31, size=len(states))
    for state, value in zip(states, seeds, strict=True):
        state.assign([value, 0])


def _checkpoint(folder, epoch):
    return folder / f"epoch-{epoch:04d}.keras"


def _commit(folder, model, state, recipe):
    """Make an epoch permanent. It counts from the moment that `state.json` names it."""
    history = state["history"]
    last = _checkpoint(folder, len(history))
    with replacing(last) as temporary:
        model.save(temporary)
    write_json(folder / "state.json", state)
    best = best_epoch(history, recipe.fixed_epochs)
    for path in folder.glob("epoch-*.keras"):
        if path not in (last, best and _checkpoint(folder, best)):
            path.unlink()
