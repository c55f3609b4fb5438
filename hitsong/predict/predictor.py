"""What a finished model says of one file; service and command line both come through here."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hitsong import config
from hitsong.evaluation import conformal
from hitsong.features import descriptors, tags
from hitsong.features.extract import NETWORK
from hitsong.predict.clip import CLIPPED

SILENT = 1e-4  # largest sample, of 1, of what stage 02 calls silence
SHORTEST = 5.0  # seconds in which there is something to hear
UNUSUAL = 0.1  # share of descriptors beyond their usual range; one in a hundred is to be expected
LEVEL = 0.9  # of intervals
TAGS_SHOWN = 10
BINS = 24
AMONG_BOTH = (
    "Among tracks: how many of the study's tracks are less popular than this number; among predictions: for how many "
    "tracks that it was not fitted on the model says less. Models stay near the middle, so only the second uses the "
    "whole scale."
)
AMONG_PREDICTIONS = "Among predictions: for how many tracks that it was not fitted on the model says less."


@dataclass(frozen=True)
class Judgement:
    """What a model says of one file.

    Attributes
    ----------
    scores : np.ndarray [shape=() or (k,)]
        The prediction; columns are the target's names.
    features : dict of str to np.ndarray
        The model's inputs, in natural units, without an axis for tracks.
    tags : list of (str, float) or None
        The highest of the auto-tagger's scores, if it was asked.
    warnings : list of (str, str)
        What makes the answer doubtful: a code, and a sentence.
    """

    scores: np.ndarray
    features: dict
    tags: list | None
    warnings: list


class Listener:
    """A model that judges what was heard, one file at a time.

    Parameters
    ----------
    bundle : hitsong.training.bundle.Bundle
    show : sequence of str
        Kinds of feature to be made beside those that the model needs.

    Attributes
    ----------
    settings : hitsong.config.Features
        For `hear`: the kinds, made as in training.
    """

    def __init__(self, bundle, show=()):
        self.bundle, self.target = bundle, bundle.target
        self.inputs = bundle.info["inputs"]
        made = {one["kind"]: one["parameters"] for one in self.inputs.values()}
        sections = {kind: made[kind] for kind in ("mel", "mfcc") if kind in made}
        for kind in NETWORK:
            sections |= {"tags": made[kind]} if kind in made else {}
        self.settings = config.Features(kinds=list(dict.fromkeys([*made, *show])), **sections)
        self._residuals = residuals(bundle)
        self._tagger = None
        if set(NETWORK) & set(self.settings.kinds):
            self._tagger = tags.Tagger(self.settings.tags.model)
            self._names = tags.names(self.settings.tags.model)

    def judge(self, heard):
        """Predict, from what `hear` made with `settings`.

        Parameters
        ----------
        heard : Heard

        Returns
        -------
        Judgement
        """
        found = dict(heard.features)
        if self._tagger is not None:
            scores, embedding = self._tagger.tag([found["patches"]])
            found |= {"tags": scores[0], "embedding": embedding[0]}
        features = {name: natural(found[made["kind"]], made) for name, made in self.inputs.items()}
        prediction = self.bundle.predict_features({name: value[None] for name, value in features.items()})[0]
        named = None
        if self._tagger is not None:
            order = np.argsort(-found["tags"])[:TAGS_SHOWN]
            named = [(self._names[place], float(found["tags"][place])) for place in order]
        return Judgement(prediction, features, named, self._warnings(heard, features, found))

    def prediction(self, scores):
        """A prediction in JSON's types: a number, or one for each of the target's names."""
        return self._named(scores)

    def interval(self, scores):
        """How sure the prediction is, by split-conformal calibration on the validation tracks.

        Where these are too few for `LEVEL`, at the highest level that they allow.

        Returns
        -------
        dict
            `level`; for numbers `low` and `high`, like the prediction; for classes the `set` of their names.
        """
        calibration = self.bundle.info["calibration"]
        level = max(
            float(level)
            for level in calibration["quantiles"]
            if float(level) <= LEVEL and level not in calibration["unbounded"]
        )
        if self.target.classes:
            chosen = conformal.sets(calibration, scores[None], level)[0]
            return {
                "level": level,
                "set": [name for name, there in zip(self.classes, chosen, strict=True) if there],
            }
        low, high = self.bundle.interval(scores[None], level)
        return {"level": level, "low": self._named(low[0]), "high": self._named(high[0])}

    def percentile(self, scores):
        """Where a prediction stands, from 0 to 100, ties by mid-rank; None for audio features.

        Returns
        -------
        dict or None
            `among_tracks` (popularity; None for classes), `among_predictions`, and `explained`.
        """
        genre = self.bundle.info["genre"]
        if self.target.kind == "audio_features":
            return None
        score = float(self.target.score(scores[None])[0])
        tracks = self.target.kind == "popularity"
        return {
            "among_tracks": standing(score, genre["popularity"]) if tracks else None,
            "among_predictions": standing(score, genre["predictions"]),
            "explained": AMONG_BOTH if tracks else AMONG_PREDICTIONS,
        }

    def order(self, judged):
        """Rank predictions, the highest first: positions; None for audio features, which have no order."""
        if self.target.kind == "audio_features":
            return None
        return np.argsort(-self.target.score(np.stack(judged)), kind="stable")

    def above(self, first, second):
        """The probability that one track turns out above another, a tie counting half.

        For numbers, what both predictions are off by is drawn, independently, from what the model was off by
        on the validation tracks, with half a track more for either order; classes are drawn, independently, with
        their probabilities.

        Parameters
        ----------
        first, second : np.ndarray
            The predictions' scores.
        """
        if self.target.classes:
            p, q = (np.array([1 - one, one]) if np.ndim(one) == 0 else one for one in (first, second))
            below = np.cumsum(q) - q / 2
            return float(p @ below)
        reached = self._residuals + (first - second)
        places = [np.searchsorted(self._residuals, reached, side) for side in ("left", "right")]
        count = len(self._residuals)
        return float((np.mean(places) + 0.5) / (count + 1))  # never quite sure: so many tracks cannot tell

    def distribution(self):
        """What a prediction can be drawn against: `edges` and `counts`, or None.

        The popularity of the study's tracks; for "popular" the model's answers for the validation tracks.
        """
        info = self.bundle.info
        if self.target.kind == "popularity":
            return histogram(info["genre"]["popularity"], info["genre"]["tracks"])
        if self.target.kind == "popular":
            return histogram(info["genre"]["predictions"], info["trained_on"]["validation"])
        return None

    @property
    def classes(self):
        """The names of the classes that `interval` chooses from."""
        return ("not popular", "popular") if self.target.kind == "popular" else self.target.names

    def _named(self, values):
        if np.ndim(values) == 0:
            return float(values)
        return dict(zip(self.target.names, map(float, values), strict=True))

    def _warnings(self, heard, features, found):
        """What makes the answer doubtful."""
        warnings = []
        if heard.peak < SILENT:
            warnings.append(("silent", "This is silence; whatever is said of it means nothing."))
        elif heard.clipped > CLIPPED:
            warnings.append(
                ("clipped", f"{heard.clipped:.1%} of the samples are at full scale: it sounds distorted.")
            )
        if heard.seconds < SHORTEST:
            warnings.append(("too_short", f"In {heard.seconds:.1f} s there is little to hear."))
        elif "mel" in self.inputs and heard.seconds < 0.95 * self.settings.mel.seconds:
            warnings.append(
                (
                    "too_short",
                    f"The model hears {self.settings.mel.seconds:g} s; of this there are {heard.seconds:.1f}, "
                    "and silence after that.",
                )
            )
        if strange := self._strange(features, found):
            warnings.append(("unusual", f"Unlike most that the model has learnt from: {'; '.join(strange)}."))
        return warnings

    def _strange(self, features, found):
        """Properties outside what ends 99 % of the training clips, in words."""
        seen, strange = self.bundle.info["seen"], []
        if "mel" in features and "mel" in seen:
            measured = {"level": features["mel"].mean(), "spread": features["mel"].std()}
            for what, value in measured.items():
                low, high = seen["mel"][what]
                if not low <= value <= high:
                    strange.append(f"its {what} of {value:.0f} dB (usual are {low:.0f} to {high:.0f})")
        if "descriptors" in found and "descriptors" in seen:
            values = dict(zip(descriptors.COLUMNS, found["descriptors"], strict=True))
            beyond = [
                name for name, (low, high) in seen["descriptors"].items() if not low <= values[name] <= high
            ]
            if len(beyond) > UNUSUAL * len(seen["descriptors"]):
                strange.append(f"{len(beyond)} of {len(values)} descriptors, such as {', '.join(beyond[:3])}")
        return strange


def residuals(bundle):
    """What a model of popularity was off by on the validation tracks, truth minus prediction, in order; else None."""
    if bundle.target.kind != "popularity":
        return None
    table = pd.read_parquet(bundle.folder / "validation.parquet")
    return np.sort(table["y"] - table["prediction"])


def standing(value, knots):
    """The percentile of a value among what `knots`, pairs of value and mid-rank percentile, describe."""
    return float(np.interp(value, *np.transpose(knots)))


def histogram(knots, total):
    """Counts of what `knots` describe, in bins of equal width: `edges` and `counts`."""
    values, percentiles = np.transpose(knots)
    edges = np.linspace(values[0], values[-1] if values[-1] > values[0] else values[0] + 1, BINS + 1)
    below = np.interp(edges, values, percentiles)
    below[0], below[-1] = 0, 100  # half of the tracks at either end lie beyond their mid-rank
    counts = np.diff(np.rint(below / 100 * total)).astype(int)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def natural(stored, made):
    """A feature in natural units, exactly as training reads it from the store: float32."""
    return stored * np.float32(made["scale"]) + np.float32(made["offset"])
