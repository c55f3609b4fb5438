"""Every model and every reference row on the same test tracks.

Reference rows stand beside every model, intervals come from a bootstrap over artists, validation chooses the model, and
the test tracks are measured on only here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hitsong.evaluation import baseline, kinds, metrics
from hitsong.evaluation.bootstrap import Resampling, remark_on_groups

STANDARD_ERRORS = 4  # how far from chance the mean of the shuffled fits may come before the run is flagged

# What each reference row is, in words.
REFERENCES = {
    "mean": "the training mean for every track (for classes the base rates: the majority class)",
    "shuffled": "the linear baseline fitted on shuffled labels: must be near chance",
    "artist_mean": "an oracle: the mean of the artist's other tracks; no model can use it for a new artist",
    "planted": "the ceiling: the part of the target that the stand-in planted in the sound",
    **baseline.CONTROLS,
}


@dataclass(frozen=True)
class Validated:
    """How well a model does on validation, for the choice among models.

    Attributes
    ----------
    score : float
        The main metric; of several seeds their mean.
    error : float
        Its standard error over groups of artists; 0 where there is a single group.
    size : float
        How complex the model is: the simplest of those that cannot be told apart is chosen.
    """

    score: float
    error: float = 0.0
    size: float = 0.0


def measure(target, y, predictions, groups, validated, draws, seed, references=REFERENCES, folds=None):
    """Measure models and reference rows.

    Parameters
    ----------
    target : hitsong.data.targets.Target
    y : pandas.Series or pandas.DataFrame
        Encoded targets of the test tracks, by track_id; a column for each of several.
    predictions : dict of str to pandas.Series, pandas.DataFrame, or a list of them
        By name, each by track_id, with a column for each of `target.names` where there are several. A list
        holds repetitions (seeds, or permutations of the shuffled row): their metrics are averaged. `planted` is
        a score that only ranks.
    groups : pandas.Series
        The artists' group of each test track.
    validated : dict of str to Validated
        Of each model that may be chosen.
    draws, seed : int
        Of the bootstrap.
    references : dict of str to str
        The rows that are no models, with what they are.
    folds : pandas.Series, optional
        The fold of each track, where predictions are out of fold: metrics are then means over folds.

    Returns
    -------
    dict
        `kind`, `main` (the metric that ranks), `rows` (name -> metrics, intervals, collapsed, reference),
        `best` (the model that validation chose), `choice` (how), `paired` (each other model against the best), `flags`
        (lines on what is wrong).
    """
    kind, ids, truth = target.kind, y.index, y.to_numpy(float)
    resampling = Resampling(groups.reindex(ids).to_numpy(), draws, seed)
    folds = np.zeros(len(ids)) if folds is None else folds.reindex(ids).to_numpy()
    rows, resampled = {}, {}
    for name, prediction in predictions.items():
        if name == "planted":
            rows[name] = _ranking(kind, truth, prediction.reindex(ids), resampling, folds, len(target.names))
        else:
            repetitions = prediction if isinstance(prediction, list) else [prediction]
            values = [_values(repetition, ids) for repetition in repetitions]
            only = kinds.KINDS[kind].compared if name == "shuffled" else None
            resampled[name] = resampling.measure(kind, truth, values, only, folds)
            rows[name] = _row(target, truth, values, folds) | {
                "intervals": resampled[name].intervals(target.names),
                "collapsed": name not in references
                and any(
                    metrics.collapsed(truth[folds == fold], repetition[folds == fold])
                    for repetition in values
                    for fold in np.unique(folds)
                ),
            }
        rows[name]["reference"] = references.get(name)
    best, choice = choose(validated) if validated else (None, None)
    for name, validation in validated.items():
        rows[name]["validation"] = {kinds.main(kind): validation.score}
    compared = kinds.KINDS[kind].compared
    return {
        "kind": kind,
        "main": kinds.main(kind),
        "rows": rows,
        "best": best,
        "choice": choice,
        "paired": {
            name: resampled[best].minus(other, compared)
            for name, other in resampled.items()
            if best and name not in (best, "shuffled")
        },
        "flags": [*_flags(kind, rows, len(np.unique(folds)) > 1), *remark_on_groups(groups.reindex(ids))],
    }


def choose(validated):
    """Choose the simplest model within one standard error of the best on validation.

    L. Breiman, J. Friedman, R. Olshen, C. Stone: "Classification and Regression Trees", 1984.

    Parameters
    ----------
    validated : dict of str to Validated

    Returns
    -------
    best : str
    choice : dict
        `highest` (the model with the best score), `standard_error` (of its score) and `within` (the models that come
        within it, the simplest first).
    """
    highest = max(validated, key=lambda name: validated[name].score)
    least = validated[highest].score - validated[highest].error
    within = [name for name, validation in validated.items() if validation.score >= least]
    within.sort(key=lambda name: (validated[name].size, -validated[name].score))
    return within[0], {"highest": highest, "standard_error": validated[highest].error, "within": within}


def _values(prediction, names):
    return prediction.reindex(names).to_numpy(float)


def _ranking(kind, truth, score, resampling, folds, n_classes):
    """The main metric of a score that is on no scale of the target."""
    main = kinds.main(kind)
    scaled = ((score - score.min()) / ((score.max() - score.min()) or 1)).to_numpy(float)
    if kind == "buckets":  # as many tracks in each class as there are, the highest scores highest
        classes = np.empty(len(truth), int)
        classes[np.argsort(scaled, kind="stable")] = np.sort(truth)
        scaled = np.eye(n_classes)[classes]
    value = kinds.evaluate_by_fold(kind, truth, scaled, folds)[main]
    bounds = resampling.measure(kind, truth, [scaled], [main], folds).intervals()
    return {"metrics": {main: value}, "intervals": bounds, "collapsed": False}


def _row(target, truth, repetitions, folds):
    """Metrics of a prediction, averaged over folds and repetitions."""
    values = [kinds.evaluate_by_fold(target.kind, truth, p, folds, target.names) for p in repetitions]
    if len(values) == 1:
        return {"metrics": values[0]}
    main = [repetition[kinds.main(target.kind)] for repetition in values]
    return {
        "metrics": kinds.average(values),
        "repetitions": len(values),
        "standard_error": float(np.std(main, ddof=1) / np.sqrt(len(main))),
    }


def _flags(kind, rows, several):
    """What a reader must know before believing the table; `several`: of several folds."""
    where = "at least one of its fits predicts" if several else "it predicts"
    flags = [
        f"{name} has collapsed: {where} nearly the same for every track"
        for name, row in rows.items()
        if row["collapsed"]
    ]
    if "shuffled" in rows:
        row, main, chance = rows["shuffled"], kinds.main(kind), kinds.chance(kind)
        if abs(row["metrics"][main] - chance) > STANDARD_ERRORS * row["standard_error"]:
            flags.append(
                f"fits on shuffled labels reach {main} {row['metrics'][main]:.3f} on average, not {chance:g}: "
                "something leaks"
            )
    return flags


def table(target, y, predictions, folds=None):
    """Truth and predictions in long form: track_id, model, output, y, prediction; of repetitions the first.

    For buckets there is a row for each of them: whether it is the truth, and its probability. Out-of-fold predictions
    have a column `fold`.
    """
    index, several = y.index, len(target.names) > 1
    truth = y.to_numpy(float)
    if target.kind == "buckets":
        truth = np.eye(len(target.names))[truth.astype(int)]
    parts = []
    for name, prediction in predictions.items():
        if name == "shuffled":
            continue
        values = _values(prediction[0] if isinstance(prediction, list) else prediction, index)
        outputs = (
            target.names if values.ndim > 1 else [name if name == "planted" and several else target.names[0]]
        )
        against = truth if values.ndim > 1 or not several else np.full(len(index), np.nan)
        parts.append(
            pd.DataFrame(
                {
                    "track_id": np.repeat(index, len(outputs)),
                    "model": name,
                    "output": np.tile(list(outputs), len(index)),
                    "y": against.ravel(),
                    "prediction": values.ravel(),
                }
            )  # fmt: skip
        )
    long = pd.concat(parts, ignore_index=True)
    return long if folds is None else long.assign(fold=long["track_id"].map(folds))


def text(result):
    """The results as a table for the terminal, best first."""
    main, companion = result["main"], kinds.KINDS[result["kind"]].companion
    wide = max(14, *(len(name) + 1 for name in result["rows"]))
    lines = [f"{'':{wide}}{main:>15}   95 % interval   {companion:>8}"]
    for name, row in ranked(result):
        low, high = row["intervals"][main]
        measured = f"{row['metrics'][main]:15.3f}   {low:6.3f} {high:6.3f}"
        if low == high == kinds.chance(result["kind"]):  # one value for all tracks has no order
            measured = f"{'–':>15}   {'–':>6} {'–':>6}"
        value = row["metrics"].get(companion)
        mark = " <- chosen on validation" if name == result["best"] else ""
        digits = " " * 8 if value is None else f"{value:8.3f}" if abs(value) < 1000 else f"{value:8.0f}"
        lines.append(f"{name:{wide}}{measured}   {digits}{mark}")
    choice = result["choice"]
    if choice and choice["highest"] != result["best"]:
        lines.append(
            f"{result['best']} is the simplest of {len(choice['within'])} models within one standard error "
            f"({choice['standard_error']:.3f}) of the best on validation, {choice['highest']}"
        )
    return "\n".join(lines)


def counts_text(result, tracks):
    """What was measured on how many tracks: "6 models and 5 reference rows measured on 88 tracks"."""
    references = sum(row["reference"] is not None for row in result["rows"].values())
    models = len(result["rows"]) - references
    return (
        f"{models} model{'s' * (models != 1)} and {references} reference row{'s' * (references != 1)} measured on "
        f"{tracks:,} test tracks"
    )


def ranked(result):
    """Models first, then reference rows; each best first: (name, row) pairs."""
    main = result["main"]
    return sorted(
        result["rows"].items(), key=lambda item: (item[1]["reference"] is not None, -item[1]["metrics"][main])
    )
