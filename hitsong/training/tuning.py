"""A search for hyper-parameters: Optuna's trials, each a short fit, compared by validation loss alone.

The trials of a model are kept in `<name>.sqlite`, so a search that was interrupted goes on, and a longer one adds to a
shorter. The best go to `<name>.json`, under the digest of what they were searched on (`recipe.searched_on`): fits on
the same data take them from there.
"""

import logging
import shutil
from dataclasses import asdict, replace

import optuna

from hitsong.errors import UserError
from hitsong.files import digest, read_json, write_json
from hitsong.models.registry import MODELS
from hitsong.training import network, workspace
from hitsong.training.recipe import make_recipe, searched_on


def search(name, corpus, clips, trials):
    """Try sets of hyper-parameters until there are as many trials as asked for, and keep the best.

    Parameters
    ----------
    name : str
    corpus : hitsong.data.corpus.Corpus
    clips : dict of str to hitsong.data.examples.Examples
        The sides "train" and "validation".
    trials : int
        How many there shall be in all.

    Returns
    -------
    str
        The result in a line.

    Raises
    ------
    UserError
        If every trial diverged.
    """
    given = corpus.config.train.parameters.get(name, {})
    space = {key: values for key, values in getattr(MODELS[name], "search", {}).items() if key not in given}
    if not space:
        return f"{name}: there is nothing to search"
    folder = corpus.study.tuning
    folder.mkdir(parents=True, exist_ok=True)
    for unfinished in folder.glob(f"{name}-*"):  # of a search that was killed
        shutil.rmtree(unfinished)
    logging.getLogger("optuna").setLevel(logging.WARNING)
    own, data = make_recipe(name, corpus.config), searched_on(corpus, name)
    # Other data, another architecture or another recipe begin another search: their losses are not the same.
    key = digest({"recipe": asdict(own), "version": MODELS[name].version, **data})
    study = optuna.create_study(
        study_name=f"{name}-{key}",
        storage=f"sqlite:///{folder / name}.sqlite",
        load_if_exists=True,
        direction="minimize",
    )

    def trial_loss(trial):
        parameters = {key: _suggest(trial, key, values) for key, values in space.items()}
        of_recipe = {key: parameters.pop(key) for key in list(parameters) if hasattr(own, key)}
        recipe = replace(own, **of_recipe, parameters={**own.parameters, **parameters})
        work = folder / f"{name}-{trial.number}"
        workspace.start(work, {"trial": trial.number})
        try:
            _, fitted = network.fit(work, name, clips["train"], clips["validation"], corpus.target, recipe)
        except network.Diverged as error:
            raise optuna.TrialPruned(str(error)) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return fitted["val_loss"]

    done = sum(trial.state.is_finished() for trial in study.trials)
    # A search that goes on must not repeat its first trials.
    study.sampler = optuna.samplers.TPESampler(seed=own.seed + done)
    if trials > done:
        study.optimize(trial_loss, n_trials=trials - done)
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials):
        raise UserError(f"--tune: every trial of {name} diverged; its data may hold extreme values")
    best = study.best_trial
    _write_best(folder / f"{name}.json", data, best, len(study.trials))
    values = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in best.params.items()
    )
    return f"{name}: the best of {len(study.trials)} trials has validation loss {best.value:.4g}: {values}"


def _write_best(path, data, best, trials):
    """Add the best trial to those of searches on other data."""
    searches = read_json(path)["searches"] if path.exists() else {}
    searches[digest(data)] = {
        "parameters": best.params, "val_loss": best.value, "trials": trials, "searched_on": data
    }  # fmt: skip
    write_json(path, {"searches": searches})


def _suggest(trial, name, values):
    """One value of a hyper-parameter: from a list, or between two ends, evenly or by order of magnitude."""
    if isinstance(values, list):
        return trial.suggest_categorical(name, values)
    low, high, *scale = values
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=bool(scale))
    return trial.suggest_float(name, low, high, log=bool(scale))
