"""Fit a model of any form and leave its bundle; an interrupted fit goes on, a finished one is kept.

A fit runs beside the model in use and replaces it when it is complete (`hitsong.training.workspace`). A finished fit is
a bundle (`hitsong.training.bundle`), which can be read without any of this.
"""

import platform
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import skew

from hitsong import __version__
from hitsong.backend import keras, tf
from hitsong.data.targets import percentiles
from hitsong.errors import UserError
from hitsong.evaluation import conformal, kinds, metrics
from hitsong.files import write_json, write_table
from hitsong.models.registry import MODELS, Ensemble, Network, Probe
from hitsong.training import bundle, ensemble, network, probe, workspace
from hitsong.training.bundle import REFERENCE, weighted_mean

status = workspace.status

LONG_TAIL = 3.0  # skewness of a target from which a transform is advised


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
    again=False,
    progress=True,
    logs=None,
    label=None,
    folds=None,
):
    """Fit a model, or go on with an interrupted fit, or return the finished one.

    Parameters
    ----------
    folder : path-like
        Of the model in use; it is replaced once the fit is complete.
    name : str
        A key of `hitsong.models.registry.MODELS`.
    train, validation : hitsong.data.examples.Examples
        With the model's inputs, targets and groups. Everything fitted is fitted on `train`; `validation`
        chooses the epoch, calibrates, and sets the weights of an ensemble's members.
    target : hitsong.data.targets.Target
    recipe : hitsong.training.recipe.Recipe, hitsong.training.recipe.ProbeRecipe or None
        None for an ensemble.
    fingerprint : dict
        All that identifies this fit, as JSON can hold it.
    about : dict
        What the bundle says of the data (`hitsong.data.corpus.Corpus.about`).
    parts : dict of str to pathlib.Path, optional
        Folders of the bundles that this model is built from: parts of a network, members of an ensemble.
    again : bool
        Fit once more although the model in use is this fit.
    progress : bool
        Show progress on standard error.
    logs : path-like, optional
        Where to write TensorBoard's logs.
    label : str, optional
        What the progress is called; the name, if not given.
    folds : hitsong.training.crossfit.FoldResults, optional
        After cross-fitting: what the folds chose, and their predictions for tracks that they were not fitted on, which
        tell the accuracy and calibrate. `validation` is then a part of `train`; the model is verified by it.

    Returns
    -------
    hitsong.training.bundle.Bundle
        A network's with the weights of the epoch of lowest validation loss. Its `info` holds why the fit
        `stopped` ("epochs", "patience" or "divergence") and whether the model `collapsed`.

    Raises
    ------
    hitsong.training.network.Diverged
        If the loss became infinite or undefined before any epoch was of use.
    UserError
        If there are no clips, or if they are too small for the model.
    """
    folder = Path(folder)
    if again and workspace.is_complete(folder, fingerprint):
        workspace.publish(folder)
        return bundle.load(folder)
    if not again and workspace.restore(folder, fingerprint):
        return bundle.load(folder)
    _check(name, train, validation, parts, logs)
    work = workspace.begin(folder, fingerprint)
    started, model = time.monotonic(), MODELS[name]
    try:
        if isinstance(model, Network):
            predictions, fitted = network.fit(
                work, name, train, validation, target, recipe, parts, progress, logs, label
            )
        elif isinstance(model, Probe):
            chosen = (folds.chosen["estimator"],) if folds else probe.ESTIMATORS
            predictions, fitted = probe.fit(work, train, validation, target, recipe, chosen)
        elif folds:
            predictions, fitted = _refit_ensemble(work, validation, parts, folds.chosen["weights"])
        else:
            predictions, fitted = ensemble.fit(work, validation, target, parts)
    except UserError:
        workspace.remove(work)
        raise
    _write_predictions(work / REFERENCE, validation.take(slice(bundle.N_REFERENCE)), target, predictions)
    if folds:
        held_out, predictions, out_of_fold = folds.held_out, folds.predictions, folds.predictions
        fitted |= {"refit": {"folds": folds.count, **folds.chosen}}
    else:
        held_out, out_of_fold = validation, fitted.pop("out_of_fold", predictions)
    _write_predictions(work / "validation.parquet", held_out, target, out_of_fold)
    info = {
        "name": name,
        "citation": model.citation,
        "target": target.description(),
        "inputs": {name: values.describe() for name, values in train.inputs.items()},
        "seconds": round(time.monotonic() - started, 3),
        **fitted,
        "validation": folds.validation
        if folds
        else kinds.evaluate(target.kind, held_out.y, out_of_fold, target.names),
        "calibration": conformal.calibrate(target, held_out.y, out_of_fold, held_out.groups),
        "collapsed": metrics.collapsed(held_out.y, predictions),
        "advice": _advise_transform(target, held_out.y, predictions),
        **about,
        "genre": {**about["genre"], "predictions": _prediction_percentiles(target, predictions)},
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "hitsong": __version__,
        },
        "fingerprint": fingerprint,
    }
    write_json(work / workspace.COMPLETE, info)
    workspace.publish(folder)
    return bundle.load(folder)


def _check(name, train, validation, parts, logs):
    """Refuse what cannot be fitted before anything is written."""
    if logs and find_spec("tensorboard") is None:
        raise UserError(
            "train.tensorboard: the package tensorboard is missing; install it: pip install tensorboard"
        )
    for side, examples in (("training", train), ("validation", validation)):
        if len(examples) < 2:
            count = f"is only 1 {side} clip" if len(examples) else f"are no {side} clips"
            raise UserError(f"{name}: there {count}; collect more tracks or change split")
    if isinstance(MODELS[name], Ensemble) and len(parts) < 2:
        raise UserError(f"{name}: {len(parts)} model to combine; name at least two others in train.models")


def _refit_ensemble(folder, validation, parts, weights):
    """The members with the weights that the folds chose."""
    ensemble.copy_members(folder, parts)
    members = {name: bundle.load(path).predict(validation) for name, path in parts.items()}
    return weighted_mean(weights, members), {"form": "ensemble", "weights": weights}


def _write_predictions(path, examples, target, predictions):
    """Truth and predictions of tracks; columns of several carry the target's names."""
    table = {"track_id": examples.track_ids}
    for prefix, values in (("y", examples.y), ("prediction", predictions[: len(examples)])):
        values = np.asarray(values)
        names = [prefix] if values.ndim == 1 else [f"{prefix}:{name}" for name in target.names]
        table |= dict(zip(names, values.reshape(len(values), -1).T, strict=True))
    write_table(path, pd.DataFrame(table))


def _prediction_percentiles(target, predictions):
    """Predictions for tracks that the model was not fitted on, with their percentiles; None for several."""
    if target.kind == "audio_features":
        return None
    if predictions.ndim == 2:  # the expected class
        predictions = predictions @ np.arange(predictions.shape[1])
    return [list(pair) for pair in percentiles(np.asarray(predictions, float))]


def _advise_transform(target, y, predictions):
    """A sentence where a long-tailed target leaves the predictions close to its mean; else None."""
    if not target.number or target.transform or np.ptp(y) == 0 or skew(y) < LONG_TAIL:
        return None
    share = np.std(predictions) / np.std(y)
    if share >= metrics.NARROW:
        return None
    return (
        f"predictions spread over {share:.1%} of the target's range: a few very large values (skewness "
        f"{skew(y):.0f}) hide the others; try --set target.transform=log1p, or percentile"
    )
