"""What the best model goes by, for the report: bands, moments and companions of what it hears, or columns."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hitsong.config import Mel
from hitsong.data.tables import read_table
from hitsong.evaluation import kinds
from hitsong.evaluation.baseline import predict
from hitsong.explain import across_tracks, mels
from hitsong.explain.occlusion import occlusion
from hitsong.explain.permutation import permutation_importance
from hitsong.report import explanations, figures

REPEATS = 2  # shuffles of each column


@dataclass
class Listening:
    """Sentences for the page, and figures: (name, path of the PNG, alternative text, table of what it shows)."""

    folder: Path
    sentences: list = field(default_factory=list)
    figures: list = field(default_factory=list)

    def add(self, name, figure, alt, table, *sentences):
        """Save a figure and keep what is said of it."""
        path = self.folder / f"{name}.png"
        figures.save(figure, path)
        self.figures.append((name, path, alt, table))
        self.sentences += sentences


def of_model(study, config, corpus, bundle, test, prediction):
    """What a trained model listens for on the test tracks.

    Of several audio features the first is looked at.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    corpus : hitsong.data.corpus.Corpus
    bundle : hitsong.training.bundle.Bundle
    test : pandas.DataFrame
    prediction : pandas.Series or pandas.DataFrame
        The model's, by track_id.

    Returns
    -------
    Listening or None
        None where all test tracks are by one group of artists.
    """
    if test["group"].nunique() < 2:
        return None
    target, draws = bundle.target, (config.evaluate.draws, config.seed)
    output = target.names[0] if target.kind == "audio_features" else None
    unit, found = target.unit(output), Listening(study.report)
    if "mel" in bundle.info["inputs"]:
        rows = across_tracks.sample_clips(test["group"], config.seed)
        some = corpus.examples(list(bundle.info["inputs"]), test.iloc[rows])
        settings = Mel(**bundle.info["inputs"]["mel"]["parameters"])
        features = {name: one.read() for name, one in some.inputs.items()}
        heard = (mels.score_function(bundle, output), features, some.groups, settings, *draws)
        if len(np.unique(some.groups)) > 1:
            bands, moments = across_tracks.band_importance(*heard), across_tracks.time_importance(*heard)
            both = pd.concat([bands.assign(of="band in Hz"), moments.assign(of="seconds")])
            alt = "By how much the score moves when a frequency band, or a part of the clip, comes from another song"
            figure = explanations.listening(bands, moments, unit)
            found.add("listening", figure, alt, both, across_tracks.describe_importance(bands, moments, unit))
        found.add("explanation", *_one_song(bundle, corpus, test, prediction, output, unit, settings))
    tables = [read_table(study, kind) for kind in ("tags", "descriptors")]
    tables = [table for table in tables if table is not None]
    if tables:
        score = target.score(prediction.loc[test["track_id"]].to_numpy(), output)
        table = pd.concat(tables, axis=1).reindex(test["track_id"])
        together = across_tracks.correlate_columns(score, table, test["group"].to_numpy(), *draws)
        if len(together):
            alt = "Correlation of the predictions with music tags and descriptors, the strongest, with intervals"
            words = across_tracks.describe_correlations(together)
            found.add("companions", explanations.companions(together), alt, together, words)
    return found


def _one_song(bundle, corpus, test, prediction, output, unit, settings):
    """What mattered in the test track with the highest prediction: figure, alternative text, table, sentence."""
    scores = bundle.target.score(prediction.loc[test["track_id"]].to_numpy(), output)
    row = test.iloc[[int(scores.argmax())]]
    features = {
        name: one.read()[0] for name, one in corpus.examples(list(bundle.info["inputs"]), row).inputs.items()
    }
    predict = mels.score_of_mels(mels.score_function(bundle, output), features)
    found = occlusion(predict, features["mel"], mels.patch_size(settings), overlap=1)
    name, label = row["name"].iloc[0], explanations.LABELS["occlusion"].format(unit)
    figure = explanations.over_spectrogram(features["mel"], found.values, settings, label, name)
    sentence = (
        f"{name} has the highest prediction; over its spectrogram, what hiding a part changes: orange parts raise it, "
        "blue ones lower it."
    )
    alt = f"Spectrogram of {name} with what each part adds to its prediction, time in seconds and frequency in Hz"
    return figure, alt, pd.DataFrame(found.values), sentence


def of_baseline(study, config, target, estimator, X, test):
    """What a baseline goes by, where there are no other models: the worth of each of its columns."""
    table = permutation_importance(
        lambda rows: predict(estimator, rows, target), X, target.truth(test), test["group"].to_numpy(),
        target.kind, config.evaluate.draws, config.seed, REPEATS,
    )  # fmt: skip
    metric, found = kinds.main(target.kind), Listening(study.report)
    first = table.iloc[0]
    alt = f"By how much {metric} falls when each column is shuffled among the test tracks, with intervals"
    found.add(
        "importance", explanations.importance(table, metric), alt, table,
        f"Shuffled among the test tracks, {first['column']} costs most: {metric} falls by {first['importance']:.3f} "
        f"({first['low']:.3f} to {first['high']:.3f}). Columns that say the same share what they are worth, and what "
        "a model goes by need not be what makes songs popular.",
    )  # fmt: skip
    return found
