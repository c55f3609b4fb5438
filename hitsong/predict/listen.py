"""One audio file, heard as the clips of training were heard, and what a finished model says of it.

`hear` decodes a file and makes features with the functions of stage 03, without TensorFlow: any process can do
it. A `Listener` holds a bundle, hears tags where they are wanted, and answers. The service and the command line
both come through here, so they cannot differ from each other, nor from training.
"""

import io
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from hitsong import config, explain
from hitsong.config import nearest
from hitsong.errors import UserError
from hitsong.evaluation import conformal, metrics
from hitsong.features import descriptors, mel, tags
from hitsong.features.decode import AudioError, Clip
from hitsong.features.extract import NETWORK, before_network, makers
from hitsong.files import read_json
from hitsong.training import bundle as bundles

SILENT = 1e-4  # largest sample, of 1, of what stage 02 calls silence
FULL_SCALE, CLIPPED = 0.999, 1e-3  # a clip is distorted if more than this share of samples is at full scale
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


# --- Hearing ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """What was made of one file.

    Attributes
    ----------
    seconds : float
        Its length.
    peak : float
        Its largest sample, of 1.
    clipped : float
        The share of samples at full scale.
    features : dict of str to np.ndarray
        By kind, as the store holds them; "patches" stands for tags and embedding.
    """

    seconds: float
    peak: float
    clipped: float
    features: dict

    def pack(self):
        """As bytes that hold numbers only."""
        numbers = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "features"}
        file = io.BytesIO()
        np.savez(file, **numbers, **{f"feature:{kind}": values for kind, values in self.features.items()})
        return file.getvalue()

    @classmethod
    def unpack(cls, packed):
        """The inverse of `pack`."""
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        features = {
            name.removeprefix("feature:"): found.pop(name)
            for name in list(found)
            if name.startswith("feature:")
        }
        return cls(**{name: float(value) for name, value in found.items()}, features=features)


def hear(path, settings, picture=False):
    """Decode a file and make its features.

    Parameters
    ----------
    path : path-like
    settings : hitsong.config.Features
        Which kinds, and how.
    picture : bool
        Make a mel-spectrogram of the whole file, "picture", if "mel" is not among the kinds.

    Returns
    -------
    Heard

    Raises
    ------
    hitsong.features.decode.AudioError
        If it cannot be heard.
    """
    return hear_clip(Clip.read(path), settings, picture)


def hear_clip(clip, settings, picture=False):
    """As `hear`, of a decoded file: `hitsong.features.decode.Clip`."""
    seconds = len(clip.channels) / clip.sample_rate
    peak = float(max(clip.channels.max(), -clip.channels.min()))
    if not np.isfinite(peak):
        raise AudioError("holds samples that are no numbers")
    whole = config.Mel(seconds=seconds)
    made = makers(clip, settings) | {"picture": lambda: mel.compute(clip, whole)}
    kinds = before_network(settings.kinds)
    if picture and "mel" not in kinds:
        kinds.append("picture")
    features = {kind: made[kind]() for kind in kinds}
    for kind, values in features.items():  # the store takes no such feature either
        if not np.isfinite(values).all():
            raise AudioError(f"too loud for {kind}: its numbers overflow")
    full = np.count_nonzero(clip.channels >= FULL_SCALE) + np.count_nonzero(clip.channels <= -FULL_SCALE)
    return Heard(seconds, peak, full / clip.channels.size, features)


def pictured(heard, settings):
    """The spectrogram of what was heard of a file, without what was padded.

    Parameters
    ----------
    heard : Heard
        With "mel" or "picture".
    settings : hitsong.config.Features

    Returns
    -------
    codes : np.ndarray [shape=(n_mels, frames), uint8]
    start, end : float
        Where it lies in the file, in seconds.
    """
    if "mel" not in heard.features:
        return heard.features["picture"], 0.0, heard.seconds
    s = settings.mel
    start = max(0.0, (heard.seconds - s.seconds) / 2)
    end = min(heard.seconds, start + s.seconds)
    return heard.features["mel"][:, : 1 + int((end - start) * s.sample_rate / s.hop_length)], start, end


# --- Choosing a model -------------------------------------------------------------------------------


def choose(study, name=None):
    """Choose the study's model that a song is to be judged by, and load it.

    The one that 06 found best, if it can judge a file; else, of those that can, the best on validation.

    Parameters
    ----------
    study : hitsong.study.Study
    name : str, optional
        Of a model that is wanted.

    Returns
    -------
    bundle : hitsong.training.bundle.Bundle
    why : str
        What was chosen, and why not another, in a line.

    Raises
    ------
    UserError
        If there is no such model, or none that hears.
    """
    infos = {path.parent.name: read_json(path) for path in sorted(study.models.glob("*/bundle.json"))}
    if name is not None and name not in infos:
        raise UserError(f"{study.models}: there is no finished model {name!r}{nearest(name, infos)}")
    if not infos:
        raise UserError(f"{study.models}: there is no finished model; run: python 05_train.py")
    deaf = [one for one, info in infos.items() if _blind(info)]
    if name in deaf or len(deaf) == len(infos):
        raise UserError(
            f"{', '.join([name] if name else deaf)}: made for Spotify's audio features, which no file carries; "
            "add one that hears to train.models, such as crnn, and run: python 05_train.py"
        )
    results = study.report / "metrics.json"
    best = read_json(results)["best"] if results.exists() else None
    able = [one for one in infos if one not in deaf]
    if name is not None:
        chosen, why = name, "as asked for"
    elif best in able:
        chosen, why = best, "the best of the study by 06_evaluate.py"
    else:
        main = metrics.MAIN[infos[able[0]]["target"]["kind"]]
        chosen = max(able, key=lambda one: infos[one]["validation"][main])
        why = f"of those that can judge a file the best on validation ({main})"
        if best is not None:
            why += f"; {best}, the best of the study, " + (
                "needs Spotify's audio features" if best in deaf else "is no bundle in models/"
            )
    return bundles.load(study.models / chosen), f"{chosen}: {why}"


def _blind(info):
    """Whether a model asks for what no file carries."""
    return any(made["kind"] == "spotify" for made in info["inputs"].values())


# --- Judging ----------------------------------------------------------------------------------------


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
        score = float(explain.answer(scores[None], self.target)[0])
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
        return np.argsort(-explain.answer(np.stack(judged), self.target), kind="stable")

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
