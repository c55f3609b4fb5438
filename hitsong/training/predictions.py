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
from hitsong.training.recipe import changes, fingerprint, inputs_of, inputs_of_all, needs_audio


@dataclass
class Trained:
    """Trained models and their predictions of the test tracks.

    Attributes
    ----------
    corpus : hitsong.data.corpus.Corpus or None
        None where no model is trained.
    bundles : dict of str to hitsong.training.bundle.Bundle
        Of the first seed.
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
    folders = trained_folders(study, config)
    trained = [name for name, found in folders.items() if found]
    result = Trained(missing=_missing(folders, study, config))
    if not trained:
        return result
    from hitsong.training import bundle, workspace  # TensorFlow takes seconds

    result.corpus = corpus = Corpus(study, config, tracks, target, inputs_of_all(trained, study, config))
    for name in trained:
        clips = {side: corpus.side(inputs_of(name, study, config), side) for side in ("validation", "test")}
        bundles = []
        for number, folder in folders[name].items():
            expected = fingerprint(corpus, name, number)
            if workspace.status(folder, expected) != "finished":
                changed = "; ".join(changes(read_json(folder / "bundle.json")["fingerprint"], expected))
                raise UserError(
                    f"the model {name} was trained on other data or with other settings ({changed}); "
                    f"run: {command('train', name)}"
                )
            bundles.append(bundle.load(folder))
            bundles[-1].verify(clips["validation"])
        values = [one.predict(clips["test"]) for one in bundles]
        first = result.bundles[name] = bundles[0]
        if first.info["advice"]:
            result.advice.append(f"{name}: {first.info['advice']}")
        result.predictions[name] = [named(p, clips["test"].track_ids, target) for p in values]
        result.coverage[name] = conformal.coverage(
            target, first.info["calibration"], clips["test"].y, values[0]
        )
        main = kinds.main(target.kind)
        score = float(np.mean([one.info["validation"][main] for one in bundles]))
        result.validated[name] = Validated(
            score, _error(first, clips["validation"], target, config), _size(name, first.info)
        )
    return result


def trained_folders(study, config):
    """The bundles that there are of each model of `train.models`: by name, folders by the number of the seed."""
    numbers = range(1, config.train.seeds + 1)
    return {
        name: {
            number: study.model(name, number)
            for number in numbers
            if (study.model(name, number) / "bundle.json").exists()
        }
        for name in in_order(config.train.models)
    }


def bundle_files(study, config):
    """The description of every trained bundle of `train.models`."""
    return [
        folder / "bundle.json"
        for seeds in trained_folders(study, config).values()
        for folder in seeds.values()
    ]


def _missing(folders, study, config):
    """Lines on models and seeds that are not trained."""
    audio, lines = has_audio(study), []
    untrained = [name for name, found in folders.items() if not found]
    silent = [] if audio else [name for name in untrained if needs_audio(name, study, config)]
    untrained = [name for name in untrained if name not in silent]
    if silent:
        lines.append(
            f"no track comes with audio, so these models of train.models are left out: {', '.join(silent)}"
        )
    if untrained:
        lines.append(
            f"not trained, so not measured: {', '.join(untrained)}; run: {command('train', *untrained)}, or take them "
            "out of train.models"
        )
    for name, found in folders.items():
        if 0 < len(found) < config.train.seeds:
            lines.append(
                f"{name} is trained with {len(found)} of {config.train.seeds} seeds; for the others run: "
                f"{command('train', name)}"
            )
    return lines


def _size(name, info):
    """How complex a model is: a probe, networks by their parameters, an ensemble."""
    if isinstance(MODELS[name], Ensemble):
        return np.inf
    return float(info["parameters"]) if isinstance(MODELS[name], Network) else 1.0


def _error(bundle, clips, target, config):
    """The standard error of the main metric on validation."""
    table = pd.read_parquet(bundle.folder / "validation.parquet").set_index("track_id").loc[clips.track_ids]
    p = table.filter(regex="^prediction").to_numpy()
    p = p[:, 0] if kinds.KINDS[target.kind].p_axes == 1 else p
    return validation_error(target.kind, clips.y, p, clips.groups, config)
