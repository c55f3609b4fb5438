"""What a finished model predicts for a file; service and command line both use this."""

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from hitsong.evaluation import conformal
from hitsong.features import descriptors, kinds, tags
from hitsong.predict.neighbours import Neighbours

CLIPPED = 1e-3  # share of samples at full scale from which a song counts as distorted

MEL_WORDS = {"level": ("quieter", "louder"), "spread": ("more even", "more uneven")}
UNITS = ("lufs", "lu", "dbfs", "db", "bpm", "hz")  # last words of descriptors' names
UNUSUAL = 0.1  # share of descriptors outside their usual range; 1 % is expected by chance
LEVEL = 0.9  # of intervals
TAGS_SHOWN = 10
BINS = 24
AMONG_BOTH = (
    "Among tracks: the share of the study's tracks that are less popular than this number. Among predictions: the "
    "share of tracks, none of them used for fitting, with a lower prediction. Predictions stay near the mean, so only "
    "the second uses the whole scale."
)
AMONG_PREDICTIONS = (
    "Among predictions: the share of tracks, none of them used for fitting, with a lower prediction."
)


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one file.

    Attributes
    ----------
    scores : np.ndarray [shape=() or (k,)]
        In the order of the target's names.
    features : dict of str to np.ndarray
        The model's inputs, in natural units, without an axis for tracks.
    tags : list of (str, float) or None
        The auto-tagger's highest scores; None if it did not run.
    warnings : list of (str, str)
        Reasons to doubt the prediction: a code, and a sentence.
    neighbours : list of dict or None
        The study's tracks whose sound is nearest (`hitsong.predict.neighbours`); None where they may not be shown.
    """

    scores: np.ndarray
    features: dict
    tags: list | None
    warnings: list
    neighbours: list | None = None


class Predictor:
    """A model that predicts from the features of audio files.

    Parameters
    ----------
    bundle : hitsong.training.bundle.Bundle
    show : sequence of str
        Kinds of feature to make beside those that the model needs.

    Attributes
    ----------
    settings : hitsong.config.Features
        For `hitsong.predict.song_features.read_features`: the kinds, with the parameters of training.
    kinds : tuple of str
        Those that the model itself needs.
    """

    def __init__(self, bundle, show=()):
        self.bundle, self.target = bundle, bundle.target
        self.inputs = bundle.info["inputs"]
        settings = kinds.settings_of({spec["kind"]: spec["parameters"] for spec in self.inputs.values()})
        self.kinds = tuple(settings.kinds)
        self.settings = settings.model_copy(update={"kinds": list(dict.fromkeys([*settings.kinds, *show]))})
        self._residuals = residuals(bundle)
        self.neighbours = Neighbours.read(bundle.folder, self.settings)
        self._tagger = None
        if "patches" in kinds.products(self.settings.kinds):
            self._tagger = tags.Tagger(self.settings.tags.model)
            self._tag_names = tags.names(self.settings.tags.model)

    def predict(self, song):
        """Predict for one song: `Prediction` of a `hitsong.predict.song_features.SongFeatures` made with `settings`."""
        return self.finish(song, *self.tag([song])[0])

    def tag(self, songs):
        """Tags and embedding of several songs in one batch: a list of pairs, (None, None) without the tagger."""
        if self._tagger is None:
            return [(None, None)] * len(songs)
        scores = self._tagger.tag([song.features["patches"] for song in songs])
        return list(zip(scores["tags"], scores["embedding"], strict=True))

    def predict_variants(self, made):
        """Predict for variants of songs (`hitsong.predict.song_features.Variant`) in one batch.

        Returns
        -------
        np.ndarray [shape=(n,) or (n, k)]
            Scores, as for songs.
        """
        tagged = self.tag(made) if "patches" in kinds.products(self.kinds) else [(None, None)] * len(made)
        inputs = [self._inputs(one.features, *tags) for one, tags in zip(made, tagged, strict=True)]
        return self.bundle.predict_features(
            {name: np.stack([features[name] for features in inputs]) for name in self.inputs}
        )

    def _inputs(self, stored, tag_scores, embedding):
        """The model's inputs in natural units, of one song's features and its tags."""
        if tag_scores is not None:
            stored = stored | {"tags": tag_scores, "embedding": embedding}
        return {name: natural_units(stored[spec["kind"]], spec) for name, spec in self.inputs.items()}

    def finish(self, song, tag_scores, embedding):
        """Predict for one song whose tags are known, see `tag`."""
        features = self._inputs(song.features, tag_scores, embedding)
        scores = self.bundle.predict_features({name: value[None] for name, value in features.items()})[0]
        highest = None
        if tag_scores is not None:
            order = np.argsort(-tag_scores)[:TAGS_SHOWN]
            highest = [(self._tag_names[place], float(tag_scores[place])) for place in order]
        return Prediction(
            scores, features, highest, self._warnings(song, features), self._nearest(song, embedding)
        )

    def _nearest(self, song, embedding):
        """The nearest tracks of the study, if they may be shown and this song has what they are compared by."""
        if self.neighbours is None:
            return None
        vector = embedding if self.neighbours.kind == "embedding" else song.features.get("descriptors")
        return None if vector is None else self.neighbours.nearest(vector)

    def value(self, scores):
        """A prediction in JSON's types: a number, or one for each of the target's names."""
        return self._by_name(scores)

    def interval(self, scores):
        """The split-conformal interval of a prediction, calibrated on the validation tracks.

        With too few of them for `LEVEL`, the highest level that they allow.

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
            members = conformal.sets(calibration, scores[None], level)[0]
            names = [name for name, member in zip(self.classes, members, strict=True) if member]
            return {"level": level, "set": names}
        low, high = self.bundle.interval(scores[None], level)
        return {"level": level, "low": self._by_name(low[0]), "high": self._by_name(high[0])}

    def percentile(self, scores):
        """The percentile of a prediction, 0 to 100, ties by mid-rank; None for audio features.

        Returns
        -------
        dict or None
            `among_tracks` (popularity or growth; None for classes), `among_predictions`, and `explained`.
        """
        if self.target.kind == "audio_features":
            return None
        reference = self.bundle.info["genre"]
        score = float(self.target.score(scores[None])[0])
        popularity = self.target.number
        return {
            "among_tracks": percentile_of(score, reference["popularity"]) if popularity else None,
            "among_predictions": percentile_of(score, reference["predictions"]),
            "explained": AMONG_BOTH if popularity else AMONG_PREDICTIONS,
        }

    def typical_error(self):
        """The error that half of the validation tracks exceed, in the target's units; None for other targets."""
        if self._residuals is None:
            return None
        return float(np.median(np.abs(self._residuals)))

    def rank(self, predictions):
        """Rank the scores of several songs, the highest first: positions; None for audio features, without order."""
        if self.target.kind == "audio_features":
            return None
        return np.argsort(-self.target.score(np.stack(predictions)), kind="stable")

    def probability_above(self, first, second):
        """The probability that one track turns out above another, a tie counting half.

        For numbers, the errors of both predictions are drawn independently from the errors on the validation tracks,
        with half a track more for either order; classes are drawn independently with their probabilities.

        Parameters
        ----------
        first, second : np.ndarray
            The predictions' scores.
        """
        if self.target.classes:
            p, q = (np.array([1 - s, s]) if np.ndim(s) == 0 else s for s in (first, second))
            below = np.cumsum(q) - q / 2
            return float(p @ below)
        shifted = self._residuals + (first - second)
        places = [np.searchsorted(self._residuals, shifted, side) for side in ("left", "right")]
        count = len(self._residuals)
        return float(
            (np.mean(places) + 0.5) / (count + 1)
        )  # never 0 or 1, which so few tracks cannot support

    def distribution(self):
        """The distribution to draw a prediction against: `edges` and `counts`, or None.

        The popularity of the study's tracks; for "popular" the predictions for the validation tracks.
        """
        info = self.bundle.info
        if self.target.number:
            return histogram(info["genre"]["popularity"], info["genre"]["tracks"])
        if self.target.kind == "popular":
            return histogram(info["genre"]["predictions"], info["trained_on"]["validation"])
        return None

    @property
    def classes(self):
        """The names of the classes that `interval` chooses from."""
        return ("not popular", "popular") if self.target.kind == "popular" else self.target.names

    def _by_name(self, values):
        if np.ndim(values) == 0:
            return float(values)
        return dict(zip(self.target.names, map(float, values), strict=True))

    def _warnings(self, song, features):
        warnings, expected = [], self.settings.mel.seconds
        if song.clipped > CLIPPED:
            share = f"{song.clipped:.0%}" if song.clipped >= 0.01 else f"{song.clipped:.1%}"
            message = (
                f"Clipped: {share} of the song is cut off at full scale, so it sounds distorted. Export it again with "
                "a lower level; its score may then be another."
            )
            warnings.append(("clipped", message))
        if "mel" in self.inputs and song.seconds < 0.95 * expected:
            message = (
                f"Short: the song has {song.seconds:.1f} s, and the model was trained on {expected:g} s. Silence fills "
                "the rest, which changes the score."
            )
            warnings.append(("too_short", message))
        if unusual := self._unusual(song, features):
            message = (
                f"Unlike the songs that the model was trained on: {'; '.join(unusual)}. The score is less "
                "certain than its interval says."
            )
            warnings.append(("unusual", message))
        return warnings

    def _unusual(self, song, features):
        """Properties outside the central 99 % of the training clips, in words."""
        usual, unusual = self.bundle.info["seen"], []
        if "mel" in features and "mel" in usual:
            measured = {"level": features["mel"].mean(), "spread": features["mel"].std()}
            for name, (below, above) in MEL_WORDS.items():
                low, high = usual["mel"][name]
                if not low <= measured[name] <= high:
                    unusual.append(
                        f"it is {below if measured[name] < low else above} than almost all of them"
                    )
        if "descriptors" in song.features and "descriptors" in usual:
            values = dict(zip(descriptors.COLUMNS, song.features["descriptors"], strict=True))
            ranges = usual["descriptors"]
            outside = [name for name, (low, high) in ranges.items() if not low <= values[name] <= high]
            if len(outside) > UNUSUAL * len(ranges):
                examples = ", ".join(_plain(name) for name in outside[:3])
                unusual.append(
                    f"{len(outside)} of {len(values)} measurements of its sound are outside their range ({examples})"
                )
        return unusual


def _plain(column):
    """A descriptor's name in words, without its unit."""
    words = column.split("_")
    return " ".join(words[:-1] if words[-1] in UNITS else words)


def residuals(bundle):
    """Errors of a model of popularity on the validation tracks, truth minus prediction, sorted; None for others."""
    if not bundle.target.number:
        return None
    # Arrow's `read_table` and `to_numpy` would load pandas, which nothing else here needs.
    table = pq.ParquetFile(bundle.folder / "validation.parquet").read(["y", "prediction"])
    truth, prediction = (np.from_dlpack(column.combine_chunks()) for column in table.columns)
    return np.sort(truth - prediction)


def percentile_of(value, knots):
    """The percentile of a value in the distribution that `knots`, (value, mid-rank percentile), describe."""
    return float(np.interp(value, *np.transpose(knots)))


def histogram(knots, total):
    """Counts of the distribution that `knots` describe, in bins of equal width: `edges` and `counts`."""
    values, percentiles = np.transpose(knots)
    edges = np.linspace(values[0], values[-1] if values[-1] > values[0] else values[0] + 1, BINS + 1)
    below = np.interp(edges, values, percentiles)
    below[0], below[-1] = 0, 100  # half of the tracks at either end lie beyond their mid-rank
    counts = np.diff(np.rint(below / 100 * total)).astype(int)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def natural_units(stored, spec):
    """A feature in natural units, exactly as training reads it from the store: float32."""
    return stored * np.float32(spec["scale"]) + np.float32(spec["offset"])
