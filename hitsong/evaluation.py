"""Every model and every reference row on the same test tracks.

The rules are those of the field's sceptics: reference rows beside every model, intervals by bootstrap over
artists, the best model chosen on validation, and the test tracks looked at only here.
"""

import numpy as np
import pandas as pd

from hitsong import metrics
from hitsong.errors import UserError

STANDARD_ERRORS = 4  # how far from chance the mean of the shuffled fits may come before the run is flagged

# What each reference row is, in words.
REFERENCES = {
    "mean": "the training mean for every track",
    "shuffled": "the baseline fitted on shuffled labels: must be near chance",
    "artist_mean": "an oracle: the mean of the artist's other tracks; no model can use it for a new artist",
    "planted": "the ceiling: the part of popularity that the stand-in planted in the sound",
}


def measure(kind, y, predictions, groups, validation_score, draws, seed):
    """Measure models and reference rows.

    Parameters
    ----------
    kind : str
        Target kind, "popularity" or "popular".
    y : pandas.Series
        Encoded targets of the test tracks, by track_id.
    predictions : dict of str to pandas.Series or pandas.DataFrame
        By name. A DataFrame has one row per repetition (the shuffled row): its metrics are averaged.
        `planted` is a score that only ranks.
    groups : pandas.Series
        The artists' group of each test track.
    validation_score : dict of str to float
        The main metric on validation of each model that may be chosen.
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        `rows` (name -> metrics, intervals, collapsed, reference), `best` (the model that validation chose), `paired`
        (each other model against the best), `flags` (lines on what is wrong).
    """
    main = metrics.MAIN[kind]
    names = y.index
    truth, clusters = y.to_numpy(float), groups.reindex(names).to_numpy()
    rows = {}
    for name, prediction in predictions.items():
        if name == "planted":
            rows[name] = _ranking(kind, truth, prediction.reindex(names), clusters, draws, seed)
        elif isinstance(prediction, pd.DataFrame):
            rows[name] = _averaged(kind, truth, prediction[names], clusters, draws, seed)
        else:
            values = prediction.reindex(names).to_numpy(float)
            rows[name] = {
                "metrics": metrics.evaluate(kind, truth, values),
                "intervals": metrics.intervals(kind, truth, values, clusters, draws, seed),
                "collapsed": name not in REFERENCES and metrics.collapsed(truth, values),
            }
        rows[name]["reference"] = REFERENCES.get(name)
    best = max(validation_score, key=validation_score.get) if validation_score else None
    if best:
        for name in validation_score:
            rows[name]["validation"] = {main: validation_score[name]}
    return {
        "kind": kind,
        "main": main,
        "rows": rows,
        "best": best,
        "paired": _against(best, kind, truth, predictions, names, clusters, draws, seed) if best else {},
        "flags": _flags(kind, rows),
    }


def _ranking(kind, truth, score, clusters, draws, seed):
    """The main metric of a score that is on no scale of the target."""
    main = metrics.MAIN[kind]
    scaled = (score - score.min()) / (score.max() - score.min())
    values = metrics.evaluate(kind, truth, scaled.to_numpy())
    bounds = metrics.intervals(kind, truth, scaled.to_numpy(), clusters, draws, seed)
    return {"metrics": {main: values[main]}, "intervals": {main: bounds[main]}, "collapsed": False}


def _averaged(kind, truth, repetitions, clusters, draws, seed):
    """Metrics averaged over repetitions, with the spread of the repetitions in the interval."""
    values = pd.DataFrame([_scalars(metrics.evaluate(kind, truth, p)) for p in repetitions.to_numpy()])
    bounds = [
        metrics.intervals(kind, truth, p, clusters, max(1, draws // len(repetitions)), seed + number)
        for number, p in enumerate(repetitions.to_numpy())
    ]
    intervals = {
        name: (float(np.mean([b[name][0] for b in bounds])), float(np.mean([b[name][1] for b in bounds])))
        for name in bounds[0]
    }
    return {
        "metrics": values.mean().to_dict(),
        "intervals": intervals,
        "collapsed": False,
        "repetitions": len(values),
        "standard_error": float(values[metrics.MAIN[kind]].std() / np.sqrt(len(values))),
    }


def _scalars(values):
    return {name: value for name, value in values.items() if np.isscalar(value)}


def _against(best, kind, truth, predictions, names, clusters, draws, seed):
    """Paired differences of the best model and each other prediction on the target's scale."""
    ours = predictions[best].reindex(names).to_numpy(float)
    return {
        name: metrics.paired(kind, truth, ours, other.reindex(names).to_numpy(float), clusters, draws, seed)
        for name, other in predictions.items()
        if name not in (best, "planted") and isinstance(other, pd.Series)
    }


def _flags(kind, rows):
    """What a reader must know before believing the table."""
    flags = [
        f"{name} has collapsed: it predicts nearly the same for every track"
        for name, row in rows.items()
        if row["collapsed"]
    ]
    if "shuffled" in rows:
        row, main = rows["shuffled"], metrics.MAIN[kind]
        chance = 0.5 if kind == "popular" else 0.0
        if abs(row["metrics"][main] - chance) > STANDARD_ERRORS * row["standard_error"]:
            flags.append(
                f"fits on shuffled labels reach {main} {row['metrics'][main]:.3f} on average, not {chance:g}: "
                "something leaks"
            )
    return flags


def table(y, predictions):
    """Truth and predictions in long form: track_id, model, y, prediction; repetitions are left out."""
    parts = [
        pd.DataFrame(
            {
                "track_id": y.index,
                "model": name,
                "y": y.to_numpy(),
                "prediction": p.reindex(y.index).to_numpy(float),
            }
        )
        for name, p in predictions.items()
        if isinstance(p, pd.Series)
    ]
    return pd.concat(parts, ignore_index=True)


def text(result):
    """The results as a table for the terminal, best first."""
    main = result["main"]
    lines = [
        f"{'':14}{main:>10}   95 % interval   {'r2' if result['kind'] == 'popularity' else 'accuracy':>8}"
    ]
    for name, row in ranked(result):
        low, high = row["intervals"][main]
        second = row["metrics"].get("r2" if result["kind"] == "popularity" else "accuracy")
        mark = " <- chosen on validation" if name == result["best"] else ""
        shown = f"{second:8.3f}" if second is not None else " " * 8
        lines.append(f"{name:14}{row['metrics'][main]:10.3f}   {low:6.3f} {high:6.3f}   {shown}{mark}")
    return "\n".join(lines)


def ranked(result):
    """Models first, then reference rows; each best first: (name, row) pairs."""
    main = result["main"]
    return sorted(
        result["rows"].items(), key=lambda item: (item[1]["reference"] is not None, -item[1]["metrics"][main])
    )


def require_current(status, name):
    """Refuse a bundle that is not what the config asks for now.

    Raises
    ------
    UserError
        Unless `status` is "finished".
    """
    if status != "finished":
        why = {
            "stale": "was trained on other data or settings",
            "interrupted": "is not finished",
            "none": "is not there",
        }
        raise UserError(f"the model {name} {why[status]}; run: python 05_train.py {name}")
