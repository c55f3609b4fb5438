"""The fits of a model: one for each seed; with cross-fitting one for each fold and seed, and one to be served.

With `evaluate.folds` a model is fitted once for every fold of artists (`hitsong.data.folds`), in `models/fold-<k>/`; in
the same way with `split.origins` for every date of a rolling origin (`hitsong.data.origins`). Each fit has its own
validation part; 06 predicts the tracks of its fold. What is served, `models/<name>/`, is fitted once more, on all
training and validation tracks of the single split, with what the folds chose: the number of epochs of a network (their
median), the estimator of a probe (the best on average), the weights of an ensemble (their mean). Its accuracy, and its
intervals, are those of the folds on their validation parts.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from hitsong.data.corpus import Corpus
from hitsong.data.examples import Examples
from hitsong.evaluation import kinds
from hitsong.files import digest, read_json
from hitsong.models.registry import MODELS, Network, Probe
from hitsong.training.recipe import fingerprint, inputs_of, parts_of, tuned_recipe


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit of a model.

    Attributes
    ----------
    corpus : hitsong.data.corpus.Corpus
        With the sides that the fit trains and validates on.
    name : str
    number : int
        Of the seed, from 1.
    fold : int
        The fold, or the origin, that tests, from 1; 0 for the single split.
    """

    corpus: Corpus
    name: str
    number: int = 1
    fold: int = 0

    @property
    def folder(self):
        return self.corpus.study.model(self.name, self.number, self.fold)

    @property
    def label(self):
        """The model's name, with fold and seed where there are several."""
        config = self.corpus.config
        fold = [f"{config.round_name} {self.fold} of {config.rounds}"] if self.fold else []
        return ", ".join([self.name, *fold, *([f"seed {self.number}"] if config.train.seeds > 1 else [])])

    @property
    def recipe(self):
        return tuned_recipe(self.corpus, self.name, self.number)

    @property
    def fingerprint(self):
        return fingerprint(self.corpus, self.name, self.number)

    @property
    def parts(self):
        """The folders of the models that this one is built from, by name."""
        names = parts_of(self.name, self.corpus.config)
        return {part: replace(self, name=part).folder for part in names}

    @property
    def is_ready(self):
        """Whether there is all that the fingerprint depends on."""
        return True

    @property
    def fold_results(self):
        return None

    def examples(self, *sides):
        """The model's inputs of the tracks on some sides."""
        tracks = self.corpus.tracks
        kinds_of_input = inputs_of(self.name, self.corpus.study, self.corpus.config)
        return self.corpus.examples(kinds_of_input, tracks[tracks["side"].isin(sides)])

    def training_examples(self):
        return self.examples("train")


@dataclass(frozen=True)
class FoldResults:
    """What the folds of a model found on their validation parts, which together are all tracks.

    Attributes
    ----------
    count : int
        Of the folds.
    chosen : dict
        `epochs` of a network, `estimator` of a probe, or `weights` of an ensemble.
    validation : dict
        Metrics, averaged over the folds.
    held_out : hitsong.data.examples.Examples
        The validation tracks of all folds, without inputs.
    predictions : np.ndarray [shape=(n,) or (n, k)]
        For them, each by the model of its fold.
    """

    count: int
    chosen: dict
    validation: dict
    held_out: Examples
    predictions: np.ndarray


class Refit(Fit):
    """The fit that is served after cross-fitting: on training and validation tracks, with what the folds chose."""

    @property
    def label(self):
        return f"{self.name} to be served"

    @cached_property
    def folds(self):
        count = self.corpus.config.rounds
        return [Fit(self.corpus.fold(fold), self.name, 1, fold) for fold in range(1, count + 1)]

    @property
    def is_ready(self):
        return all((fit.folder / "bundle.json").exists() for fit in self.folds)

    @cached_property
    def fold_results(self):
        """What the finished folds found."""
        infos = [read_json(fit.folder / "bundle.json") for fit in self.folds]
        parts = [read_validation(fit) for fit in self.folds]
        tracks = pd.concat(
            [fit.corpus.tracks.loc[fit.corpus.tracks["side"] == "validation"] for fit in self.folds]
        )
        y, predictions = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
        return FoldResults(
            len(infos),
            _chosen(self.name, infos),
            kinds.average([info["validation"] for info in infos]),
            Examples(tracks["track_id"].to_numpy(str), {}, y, tracks["group"].to_numpy()),
            predictions,
        )

    @property
    def recipe(self):
        recipe = super().recipe
        if isinstance(MODELS[self.name], Network):
            return replace(recipe, fixed_epochs=self.fold_results.chosen["epochs"])
        return recipe

    @property
    def fingerprint(self):
        recipe, folds = self.recipe, [digest(fit.fingerprint) for fit in self.folds]
        return {
            **super().fingerprint,
            "recipe": None if recipe is None else asdict(recipe),
            "refit": {"folds": folds, "chosen": self.fold_results.chosen},
        }

    def training_examples(self):
        return self.examples("train", "validation")


def _chosen(name, infos):
    """What the folds of a model chose, from what their bundles say."""
    if isinstance(MODELS[name], Network):
        return {"epochs": max(1, round(float(np.median([info["best_epoch"] for info in infos]))))}
    if isinstance(MODELS[name], Probe):
        main = kinds.main(infos[0]["target"]["kind"])
        scores = kinds.average([info["candidates"] for info in infos])
        return {"estimator": max(scores, key=lambda estimator: scores[estimator][main])}
    return {"weights": kinds.average([info["weights"] for info in infos])}


def read_validation(fit):
    """Truth and predictions of a finished fit for its validation tracks, in the order of its corpus: y, p."""
    tracks = fit.corpus.tracks
    ids = tracks.loc[tracks["side"] == "validation", "track_id"]
    table = pd.read_parquet(fit.folder / "validation.parquet").set_index("track_id").loc[ids]
    y, p = (table.filter(regex=f"^{prefix}").to_numpy() for prefix in ("y", "prediction"))
    kind = kinds.KINDS[fit.corpus.target.kind]
    return y if kind.several else y[:, 0], p[:, 0] if kind.p_axes == 1 else p


def fits_of(corpus, name):
    """The fits of a model in the order in which they are made.

    Parameters
    ----------
    corpus : hitsong.data.corpus.Corpus
        Of the single split.
    name : str

    Returns
    -------
    list of Fit
        With cross-fitting the last one is a `Refit`.
    """
    return [
        Fit(corpus.fold(fold), name, number, fold)
        if fold or not corpus.config.rounds
        else Refit(corpus, name)
        for number, fold in numbers(corpus.config)
    ]


def numbers(config):
    """The fits of every model as pairs of seed and fold, in order; fold 0 is what is served."""
    seeds, folds = range(1, config.train.seeds + 1), range(1, config.rounds + 1)
    if not folds:
        return [(number, 0) for number in seeds]
    return [(number, fold) for fold in folds for number in seeds] + [(1, 0)]
