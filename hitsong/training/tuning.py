"""A search for hyper-parameters: Optuna's trials, each a short fit, judged by validation alone.

The trials of a model are kept in `<name>.sqlite`, so a search that was stopped goes on, and a longer one adds to a
shorter. The best go to `<name>.json`, where the next fit of the model finds them.
"""

import logging
import shutil
from dataclasses import asdict, replace

import optuna

from hitsong.errors import UserError
from hitsong.files import digest, write_json
from hitsong.models.registry import MODELS
from hitsong.training import fit
from hitsong.training.recipe import fingerprint as fingerprint_of
from hitsong.training.recipe import recipe

_DATA = ("inputs", "target", "scheme", "clips")  # of the fingerprint


def search(folder, name, corpus, clips, trials):
    """Try sets of hyper-parameters until there are as many trials as asked, and keep the best.

    Parameters
    ----------
    folder : pathlib.Path
        Where searches lie.
    name : str
        A network.
    corpus : hitsong.data.corpus.Corpus
    clips : dict of str to hitsong.data.examples.Examples
        The sides "train" and "validation".
    trials : int
        How many there shall be in all.

    Returns
    -------
    str
        What was found, in a line.

    Raises
    ------
    UserError
        If every trial diverged.
    """
    given = corpus.config.train.parameters.get(name, {})
    space = {key: values for key, values in getattr(MODELS[name], "search", {}).items() if key not in given}
    if not space:
        return f"{name}: there is nothing to search"
    folder.mkdir(parents=True, exist_ok=True)
    for left_behind in folder.glob(f"{name}-*"):  # by a search that was killed
        shutil.rmtree(left_behind)
    logging.getLogger("optuna").setLevel(logging.WARNING)
    own, fingerprint = recipe(name, corpus.config), fingerprint_of(corpus, name)
    # Other data, or another recipe, begin another search: their losses are not the same.
    settled = digest({"recipe": asdict(own), **{key: fingerprint[key] for key in _DATA}})
    study = optuna.create_study(
        study_name=f"{name}-{settled}",
        storage=f"sqlite:///{folder / name}.sqlite",
        load_if_exists=True,
        direction="minimize",
    )

    def trial_loss(trial):
        found = {key: _suggest(trial, key, values) for key, values in space.items()}
        of_recipe = {key: found.pop(key) for key in list(found) if hasattr(own, key)}
        tried = replace(own, **of_recipe, parameters={**own.parameters, **found})
        attempt = folder / f"{name}-{trial.number}"
        try:
            bundle = fit.fit(
                attempt, name, clips["train"], clips["validation"], target=corpus.target, recipe=tried,
                fingerprint={"trial": trial.number}, about=corpus.about() | {"collected_from": ""},
            )  # fmt: skip
        except fit.Diverged as error:
            raise optuna.TrialPruned(str(error)) from None
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
        return bundle.info["val_loss"]

    done = sum(one.state.is_finished() for one in study.trials)
    # A search that goes on must not begin again.
    study.sampler = optuna.samplers.TPESampler(seed=own.seed + done)
    left = max(0, trials - done)
    if left:
        study.optimize(trial_loss, n_trials=left)
    if not any(one.state == optuna.trial.TrialState.COMPLETE for one in study.trials):
        raise UserError(f"--tune: every trial of {name} diverged; its data may hold extreme values")
    best = study.best_trial
    write_json(
        folder / f"{name}.json",
        {"parameters": best.params, "val_loss": best.value, "trials": len(study.trials)},
    )
    shown = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in best.params.items()
    )
    return f"{name}: the best of {len(study.trials)} trials has validation loss {best.value:.4g}: {shown}"


def _suggest(trial, name, values):
    """One value of a hyper-parameter: from a list, or between two ends, evenly or by order of magnitude."""
    if isinstance(values, list):
        return trial.suggest_categorical(name, values)
    low, high, *scale = values
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=bool(scale))
    return trial.suggest_float(name, low, high, log=bool(scale))
