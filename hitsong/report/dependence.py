"""What the predictions of the best model depend on: bands, parts of the clip, one track, tags, columns."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hitsong.data.tables import read_table
from hitsong.evaluation import kinds
from hitsong.evaluation.baseline import predict
from hitsong.evaluation.crossvalidation import whole_groups
from hitsong.explain import across_tracks, mels
from hitsong.explain.occlusion import occlusion
from hitsong.explain.permutation import permutation_importance
from hitsong.features.kinds import settings_of
from hitsong.report import dependence_figures, explanation_figures
from hitsong.report.figure import Figure
from hitsong.report.formats import interval, number

REPEATS = 2  # shuffles of each column
MOST_TRACKS = 20_000  # among which columns are shuffled; of more, whole groups of artists are drawn


@dataclass
class Dependence:
    """Measurements as sentences for the page, and functions that draw their figures."""

    sentences: list = field(default_factory=list)
    figures: list = field(default_factory=list)

    def add(self, sentence, *draw):
        self.sentences.append(sentence)
        self.figures += draw


def of_model(study, config, corpus, bundle, test, prediction):
    """Measure what the predictions of a trained model depend on; of several audio features, the first.

    Returns a `Dependence`, or None where all test tracks are of one group of artists. `prediction` is the model's, by
    track_id.
    """
    if test["group"].nunique() < 2:
        return None
    target, draws = bundle.target, (config.evaluate.draws, config.seed)
    output = target.names[0] if target.kind == "audio_features" else None
    unit, result = target.unit(output), Dependence()
    scores = target.score(prediction.loc[test["track_id"]].to_numpy(), output)
    if "mel" in bundle.info["inputs"]:
        _measure_exchanges(result, config, corpus, bundle, test, output, unit)
        _explain_track(result, corpus, bundle, test.iloc[[int(scores.argmax())]], output, unit)
    tables = [read_table(study, kind, config.features) for kind in ("tags", "descriptors")]
    tables = [table for table in tables if table is not None]
    if tables:
        columns = pd.concat(tables, axis=1).reindex(test["track_id"])
        table = across_tracks.correlate_columns(scores, columns, test["group"].to_numpy(), *draws)
        if len(table):
            alt = "Correlation of the predictions with music tags and descriptors, the strongest, with intervals."

            def correlations():
                return Figure("correlations", dependence_figures.correlations(table), table, alt)

            result.add(across_tracks.describe_correlations(table), correlations)
    return result


def _measure_exchanges(result, config, corpus, bundle, test, output, unit):
    """The change of scores when a frequency band, or a part of the clip, comes from another song."""
    rows = across_tracks.sample_clips(test["group"], config.seed)
    sample = corpus.examples(list(bundle.info["inputs"]), test.iloc[rows])
    if len(np.unique(sample.groups)) < 2:
        return
    features = {name: given.read() for name, given in sample.inputs.items()}
    measured = (
        mels.score_function(bundle, output), features, sample.groups, _mel_settings(bundle), config.evaluate.draws,
        config.seed,
    )  # fmt: skip
    bands, parts = across_tracks.band_importance(*measured), across_tracks.time_importance(*measured)

    def importance_of_bands_and_parts():
        alt = "Mean change of the score when {} comes from another song, with intervals."
        return [
            Figure(
                "importance_of_bands", dependence_figures.importance_of_bands(bands, unit), bands,
                alt.format("a frequency band"),
            ),
            Figure(
                "importance_of_parts", dependence_figures.importance_of_parts(parts, unit), parts,
                alt.format("a part of the clip"),
            ),
        ]  # fmt: skip

    result.add(across_tracks.describe_importance(bands, parts, unit), importance_of_bands_and_parts)


def _explain_track(result, corpus, bundle, row, output, unit):
    """The dependence of the prediction of one track on the parts of its spectrogram."""
    inputs = corpus.examples(list(bundle.info["inputs"]), row).inputs
    features = {name: given.read()[0] for name, given in inputs.items()}
    settings = _mel_settings(bundle)
    score = mels.score_of_mels(mels.score_function(bundle, output), features)
    values = occlusion(score, features["mel"], mels.patch_size(settings), overlap=1).values
    name = row["name"].iloc[0] if isinstance(row["name"].iloc[0], str) else row["track_id"].iloc[0]

    def explanation():
        label = explanation_figures.LABELS["occlusion"].format(unit)
        drawing = explanation_figures.over_spectrogram(features["mel"], values, settings, label, name)
        alt = f"Spectrogram of {name} with what each part adds to its prediction; time in seconds, frequency in Hz."
        return Figure("explanation", drawing, pd.DataFrame(values), alt)

    result.add(
        f"{name} has the highest prediction. Colours over its spectrogram show how hiding a part changes the "
        "prediction: orange parts raise it, blue parts lower it.",
        explanation,
    )


def of_baseline(config, target, estimator, X, test):
    """Measure what the predictions of a baseline depend on: the importance of each of its columns."""
    rows = whole_groups(test["group"].to_numpy(), MOST_TRACKS, config.seed)
    X, test = X.iloc[rows], test.iloc[rows]
    table = permutation_importance(
        lambda rows: predict(estimator, rows, target), X, target.truth(test), test["group"].to_numpy(),
        target.kind, config.evaluate.draws, config.seed, REPEATS,
    )  # fmt: skip
    metric, result = kinds.metric(kinds.main(target.kind)).label, Dependence()
    first = table.iloc[0]
    bounds = (first["low"], first["high"])
    alt = f"Decrease of {metric} when each column is shuffled among the test tracks, with intervals."

    def importance():
        return Figure("importance", dependence_figures.importance(table, metric), table, alt)

    result.add(
        f"Shuffling {first['column']} among {len(test):,} test tracks costs most: {metric} decreases by "
        f"{number(first['importance'], bounds)} ({interval(bounds)}). Columns with the same information share their "
        "importance, and what a model uses need not be what makes songs popular.",
        importance,
    )
    return result


def _mel_settings(bundle):
    return settings_of({"mel": bundle.info["inputs"]["mel"]["parameters"]}).mel
