"""Test predictions of a study's trained models, each made sure to be trained on this study's data and settings."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hitsong.data.corpus import Corpus
from hitsong.data.tracks import has_audio
from hitsong.errors import UserError
from hitsong.evaluation import conformal, kinds
from hitsong.evaluation.baseline import named
from hitsong.evaluation.evaluate import Validated
from hitsong.evaluation.fitted import validation_error
from hitsong.files import read_json
from hitsong.models.registry import MODELS, Ensemble, Network, in_order
from hitsong.study import command
from hitsong.training.crossfit import fits_of, numbers, read_validation
from hitsong.training.recipe import changes, inputs_of_all, needs_audio


@dataclass
class Trained:
    """Trained models and their predictions of the test tracks; with cross-fitting, of the tracks of every fold.

    Attributes
    ----------
    corpus : hitsong.data.corpus.Corpus or None
        None where no model is trained.
    bundles : dict of str to hitsong.training.bundle.Bundle
        That is served: of the first seed; with cross-fitting, the last fit.
    predictions : dict of str to list
        By model: of each seed, by track_id.
    validated : dict of str to hitsong.evaluation.evaluate.Validated
    coverage : dict of str to dict
        How often the first seed's conformal intervals hold the truth.
    missing : list of str
        Lines on models of `train.models` that are not trained.
    advice : list of str
        Lines on models whose predictions a transform of the target may widen.
    """

    corpus: Corpus | None = None
    bundles: dict = field(default_factory=dict)
    predictions: dict = field(default_factory=dict)
    validated: dict = field(default_factory=dict)
    coverage: dict = field(default_factory=dict)
    missing: list = field(default_factory=list)
    advice: list = field(default_factory=list)


def predict_test_tracks(study, config, tracks, target):
    """Predict the test tracks by every model of `train.models` that is trained.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    tracks : pandas.DataFrame
        As `hitsong.data.tracks.load_tracks` gives them.
    target : hitsong.data.targets.Target

    Returns
    -------
    Trained

    Raises
    ------
    UserError
        If a model was trained on other data or with other settings, or predicts otherwise than when it was trained.
    """
    fits = trained_fits(study, config)
    trained = [name for name, numbers in fits.items() if numbers]
    result = Trained(missing=_missing(fits, study, config))
    if not trained:
        return result
    result.corpus = corpus = Corpus(study, config, tracks, target, inputs_of_all(trained, study, config))
    for name in trained:
        by_number = {(fit.number, fit.fold): fit for fit in fits_of(corpus, name)}
        _measure(result, name, [by_number[numbers] for numbers in fits[name]], config)
    return result


def predict_side(corpus, bundle, side):
    """The predictions of a bundle for a side of a corpus, by track_id."""
    examples = corpus.side(list(bundle.info["inputs"]), side)
    return named(bundle.predict(examples), examples.track_ids, corpus.target)


def _measure(result, name, fits, config):
    """Predict the test tracks of a model's fits, and add what is to be known of them to the results."""
    from hitsong.training import bundle, workspace  # TensorFlow takes seconds

    bundles, predictions, coverages = {}, {}, []
    for fit in fits:
        expected = fit.fingerprint
        if workspace.status(fit.folder, expected) != "finished":
            changed = "; ".join(changes(read_json(fit.folder / "bundle.json")["fingerprint"], expected))
            raise UserError(
                f"the model {fit.label} was trained on other data or with other settings ({changed}); "
                f"run: {command('train', name)}"
            )
        loaded = bundles[fit.number, fit.fold] = bundle.load(fit.folder)
        loaded.verify(fit.examples("validation"))
        if fit.fold_results:  # served, not measured
            continue
        test, target = fit.examples("test"), fit.corpus.target
        p = loaded.predict(test)
        predictions.setdefault(fit.number, []).append(named(p, test.track_ids, target))
        if fit.number == fits[0].number:
            held = conformal.coverage(target, loaded.info["calibration"], test.y, p)
            coverages.append((len(test), held))
    result.bundles[name] = served = bundles[min(pair for pair in bundles if not pair[1])]
    if served.info["advice"]:
        result.advice.append(f"{name}: {served.info['advice']}")
    result.predictions[name] = [pd.concat(parts) for parts in predictions.values()]
    result.coverage[name] = conformal.average_coverage(coverages)
    measured = [fit for fit in fits if not fit.fold_results]
    main = kinds.main(fits[0].corpus.target.kind)
    scores = [bundles[fit.number, fit.fold].info["validation"][main] for fit in measured]
    error = _error([fit for fit in measured if fit.number == fits[0].number], config)
    result.validated[name] = Validated(float(np.mean(scores)), error, _size(name, served.info))


def trained_fits(study, config):
    """The trained models of `train.models`: by name, the seed and fold of each fit.

    Of a seed all folds are there, and what is served is; else the seed, or the model, is not.
    """
    fits = {}
    for name in in_order(config.train.models):
        finished = [pair for pair in numbers(config) if (study.model(name, *pair) / "bundle.json").exists()]
        folds = {
            number: [pair for pair in numbers(config) if pair[0] == number] for number, _ in numbers(config)
        }
        complete = [pair for pairs in folds.values() if set(pairs) <= set(finished) for pair in pairs]
        fits[name] = complete if (1, 0) in complete or not config.rounds else []
    return fits


def bundle_files(study, config):
    """The description of every trained bundle of `train.models`."""
    return [
        study.model(name, *pair) / "bundle.json"
        for name, pairs in trained_fits(study, config).items()
        for pair in pairs
    ]


def _missing(fits, study, config):
    """Lines on models and seeds that are not trained."""
    audio, lines = has_audio(study), []
    untrained = [name for name, pairs in fits.items() if not pairs]
    silent = [] if audio else [name for name in untrained if needs_audio(name, study, config)]
    untrained = [name for name in untrained if name not in silent]
    if silent:
        lines.append(
            f"no track comes with audio, so these models of train.models are left out: {', '.join(silent)}"
        )
    if untrained:
        folds = f" in all {config.rounds} {config.round_name}s" if config.rounds else ""
        lines.append(
            f"not trained{folds}, so not measured: {', '.join(untrained)}; run: {command('train', *untrained)}, or "
            "take them out of train.models"
        )
    for name, pairs in fits.items():
        seeds = len({number for number, _ in pairs})
        if 0 < seeds < config.train.seeds:
            lines.append(
                f"{name} is trained with {seeds} of {config.train.seeds} seeds; for the others run: "
                f"{command('train', name)}"
            )
    return lines


def _size(name, info):
    """How complex a model is: a probe, networks by their parameters, an ensemble."""
    if isinstance(MODELS[name], Ensemble):
        return np.inf
    return float(info["parameters"]) if isinstance(MODELS[name], Network) else 1.0


def _error(fits, config):
    """The standard error of the main metric on the validation tracks of some fits, one of each fold."""
    validated = [read_validation(fit) for fit in fits]
    y, p = (np.concatenate([part[place] for part in validated]) for place in (0, 1))
    clips = [fit.examples("validation") for fit in fits]
    folds = np.repeat([fit.fold for fit in fits], [len(part) for part in clips])
    groups = np.concatenate([part.groups for part in clips])
    return validation_error(fits[0].corpus.target.kind, y, p, groups, config, folds)
