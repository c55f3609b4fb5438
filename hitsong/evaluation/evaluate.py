"""Every model and every reference row on the same test tracks.

The rules are those of the field's sceptics: reference rows beside every model, intervals by bootstrap over
artists, the best model chosen on validation, and the test tracks looked at only here.
"""

import numpy as np
import pandas as pd

from hitsong.errors import UserError
from hitsong.evaluation import baseline, bootstrap, kinds, metrics

STANDARD_ERRORS = 4  # how far from chance the mean of the shuffled fits may come before the run is flagged

# What each reference row is, in words.
REFERENCES = {
    "mean": "the training mean for every track (for classes the base rates: the majority class)",
    "shuffled": "the linear baseline fitted on shuffled labels: must be near chance",
    "artist_mean": "an oracle: the mean of the artist's other tracks; no model can use it for a new artist",
    "planted": "the ceiling: the part of popularity that the stand-in planted in the sound",
    **baseline.CONTROLS,
}


def measure(target, y, predictions, groups, validation_score, draws, seed, references=REFERENCES):
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
    validation_score : dict of str to float
        The main metric on validation of each model that may be chosen.
    draws, seed : int
        Of the bootstrap.
    references : dict of str to str
        The rows that are no models, with what they are.

    Returns
    -------
    dict
        `kind`, `main` (the metric that ranks), `rows` (name -> metrics, intervals, collapsed, reference),
        `best` (the model that validation chose), `paired` (each other model against the best), `flags`
        (lines on what is wrong).
    """
    kind, names = target.kind, y.index
    main, truth = kinds.main(kind), y.to_numpy(float)
    sampled = {"groups": groups.reindex(names).to_numpy(), "draws": draws, "seed": seed}
    rows = {}
    for name, prediction in predictions.items():
        if name == "planted":
            rows[name] = _ranking(kind, truth, prediction.reindex(names), sampled, len(target.names))
        else:
            repetitions = prediction if isinstance(prediction, list) else [prediction]
            values = [_values(one, names) for one in repetitions]
            rows[name] = _row(target, truth, values, sampled)
            rows[name]["collapsed"] = name not in references and any(
                metrics.collapsed(truth, one) for one in values
            )
        rows[name]["reference"] = references.get(name)
    best = max(validation_score, key=validation_score.get) if validation_score else None
    for name in validation_score:
        rows[name]["validation"] = {main: validation_score[name]}
    return {
        "kind": kind,
        "main": main,
        "rows": rows,
        "best": best,
        "paired": _against(best, kind, truth, predictions, names, sampled) if best else {},
        "flags": _flags(kind, rows),
    }


def baselines(bundles, tables, tracks, scheme, target, config):
    """Predict the test tracks of a scheme by the fitted baselines and as the reference rows do.

    Parameters
    ----------
    bundles : list of dict
        As 04 leaves them: `candidate`, `columns`, and the fitted estimators by scheme.
    tables : dict of str to pandas.DataFrame
        Inputs of the tracks, in their order.
    tracks : pandas.DataFrame
        With a column `scheme` of sides, and the target fitted and encoded under it.
    scheme : str
    target : hitsong.data.targets.Target
    config : hitsong.config.Config

    Returns
    -------
    dict or None
        Predictions by name; None where fewer than two groups of artists are left to test on, or no
        baseline could be fitted.
    """
    test = tracks.loc[tracks[scheme] == "test", "track_id"]
    bundles = [bundle for bundle in bundles if scheme in bundle["schemes"]]
    if not bundles or tracks.loc[test.index, "group"].nunique() < 2:
        return None
    predictions = {}
    for bundle in bundles:
        X = tables[bundle["candidate"].input].loc[test, bundle["columns"]]
        values = baseline.predict(bundle["schemes"][scheme], X, target)
        predictions[bundle["candidate"].name] = baseline.named(values, pd.Index(test), target)
    train = tracks.loc[tracks[scheme] == "train", "track_id"]
    first = next(iter(tables.values()))
    return predictions | baseline.reference_predictions(
        first, target.truth(tracks), tracks["artist_id"], train, test, target, config.baseline, config.seed
    )


def _values(prediction, names):
    return prediction.reindex(names).to_numpy(float)


def _ranking(kind, truth, score, sampled, n_classes):
    """The main metric of a score that is on no scale of the target."""
    main = kinds.main(kind)
    scaled = ((score - score.min()) / (score.max() - score.min())).to_numpy()
    if kind == "buckets":  # as many tracks in each class as there are, the highest scores highest
        answer = np.empty(len(truth), int)
        answer[np.argsort(scaled, kind="stable")] = np.sort(truth)
        scaled = np.eye(n_classes)[answer]
    values = kinds.evaluate(kind, truth, scaled)
    bounds = bootstrap.intervals(kind, truth, scaled, **sampled)
    return {"metrics": {main: values[main]}, "intervals": {main: bounds[main]}, "collapsed": False}


def _row(target, truth, repetitions, sampled):
    """Metrics and intervals of a prediction, or averaged over repetitions of it."""
    if len(repetitions) > 1:
        return _averaged(target, truth, repetitions, sampled)
    (values,) = repetitions
    return {
        "metrics": kinds.evaluate(target.kind, truth, values, target.names),
        "intervals": bootstrap.intervals(target.kind, truth, values, **sampled, names=target.names),
    }


def _averaged(target, truth, repetitions, sampled):
    """Metrics averaged over repetitions, with the mean ends of their intervals."""
    kind, main = target.kind, kinds.main(target.kind)
    values = [kinds.evaluate(kind, truth, p, target.names) for p in repetitions]
    each = {**sampled, "draws": max(100, sampled["draws"] // len(repetitions))}
    bounds = [bootstrap.intervals(kind, truth, p, **each, names=target.names) for p in repetitions]
    return {
        "metrics": _mean(values),
        "intervals": _mean(bounds),
        "repetitions": len(values),
        "standard_error": float(np.std([one[main] for one in values], ddof=1) / np.sqrt(len(values))),
    }


def _mean(values):
    """The mean of numbers, of (low, high), of tables of counts (rounded), or of dicts of these."""
    first = values[0]
    if isinstance(first, dict):
        return {name: _mean([one[name] for one in values]) for name in first}
    mean = np.mean(values, axis=0)
    if isinstance(first, list):
        return np.rint(mean).astype(int).tolist()
    return tuple(mean.tolist()) if isinstance(first, tuple) else float(mean)


def _against(best, kind, truth, predictions, names, sampled):
    """Paired differences of the best model and each other prediction on the target's scale."""
    values = {
        name: [_values(one, names) for one in (p if isinstance(p, list) else [p])]
        for name, p in predictions.items()
        if name not in ("planted", "shuffled")
    }
    ours = values.pop(best)
    return {name: bootstrap.paired(kind, truth, ours, other, **sampled) for name, other in values.items()}


def _flags(kind, rows):
    """What a reader must know before believing the table."""
    flags = [
        f"{name} has collapsed: it predicts nearly the same for every track"
        for name, row in rows.items()
        if row["collapsed"]
    ]
    if "shuffled" in rows:
        row, main = rows["shuffled"], kinds.main(kind)
        chance = kinds.chance(kind)
        if abs(row["metrics"][main] - chance) > STANDARD_ERRORS * row["standard_error"]:
            flags.append(
                f"fits on shuffled labels reach {main} {row['metrics'][main]:.3f} on average, not {chance:g}: "
                "something leaks"
            )
    return flags


def table(target, y, predictions):
    """Truth and predictions in long form: track_id, model, output, y, prediction; of repetitions the first.

    For buckets there is a row for each of them: whether it is the truth, and its probability.
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
    return pd.concat(parts, ignore_index=True)


def text(result):
    """The results as a table for the terminal, best first."""
    main, second = result["main"], kinds.KINDS[result["kind"]].companion
    wide = max(14, *(len(name) + 1 for name in result["rows"]))
    lines = [f"{'':{wide}}{main:>15}   95 % interval   {second:>8}"]
    for name, row in ranked(result):
        low, high = row["intervals"][main]
        value = row["metrics"].get(second)
        mark = " <- chosen on validation" if name == result["best"] else ""
        shown = " " * 8 if value is None else f"{value:8.3f}" if abs(value) < 1000 else f"{value:8.0f}"
        lines.append(f"{name:{wide}}{row['metrics'][main]:15.3f}   {low:6.3f} {high:6.3f}   {shown}{mark}")
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
