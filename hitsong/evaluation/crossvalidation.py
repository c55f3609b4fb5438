"""Cross-validation of the baselines, plain and by artist, and their learning curves.

All of it on the tracks that are not for testing.
"""

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from hitsong.errors import UserError
from hitsong.evaluation import kinds
from hitsong.evaluation.baseline import (
    alpha,
    candidates,
    fit,
    matrix,
    mean_of,
    permuted,
    predict,
    threads_for,
)
from hitsong.evaluation.bootstrap import Resampling

MOST_TRACKS = 200_000  # of a larger study whole groups of artists are drawn until they are as many
_CURVE_POINTS = 6
_CURVE_FOLDS = 5
_GAP, _GAIN = 0.10, 0.01  # what `read_curve` calls a gap, and what still falling


def diagnose(tables, tracks, target, config):
    """Cross-validate the baselines and draw their learning curves, on the tracks that are not for testing.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        From `hitsong.data.tables.baseline_tables`.
    tracks : pandas.DataFrame
        As `hitsong.data.tracks.load_tracks` gives them.
    target : hitsong.data.targets.Target
    config : hitsong.config.Config

    Returns
    -------
    dict
        `tracks` (how many were used), `folds` (a table, see `cross_validate`), `summary` (see `summary`), `curves` (of
        the first input, with a column `model`) and `readings` (by model `verdict` and `sentence`).
    """
    settings, seed = config.baseline, config.seed
    rows = np.flatnonzero(tracks["side"].isin(["train", "validation"]))
    rows = rows[whole_groups(tracks["group"].to_numpy()[rows], MOST_TRACKS, seed)]
    y = target.truth(tracks.iloc[rows])
    groups = np.unique(tracks["group"].to_numpy()[rows].astype(str), return_inverse=True)[1]
    inputs = {name: X.iloc[rows] for name, X in tables.items()}
    first = next(iter(inputs))
    curves, readings = [], {}
    with threads_for(max(X.size for X in inputs.values())):
        folds, pooled = cross_validate(inputs, y, groups, target, settings, seed)
        for candidate in candidates({first: inputs[first]}, settings, target):
            curve = learning_curve(inputs[first], y, groups, target, settings, seed, candidate.model)
            verdict, sentence = read_curve(curve)
            readings[candidate.name] = {"verdict": verdict, "sentence": sentence}
            curves.append(curve.assign(model=candidate.name))
    return {
        "tracks": len(rows),
        "folds": folds,
        "summary": summary(folds, pooled, y, groups, target, config.evaluate.draws, seed),
        "curves": pd.concat(curves, ignore_index=True),
        "readings": readings,
    }


def whole_groups(groups, most, seed):
    """The positions of all rows, or of whole groups in seeded order until they are `most` rows.

    Parameters
    ----------
    groups : np.ndarray [shape=(n,)]
    most, seed : int

    Returns
    -------
    np.ndarray [shape=(rows,), int]
        Ascending.
    """
    if len(groups) <= most:
        return np.arange(len(groups))
    _, number, size = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(size))
    kept = np.zeros(len(size), bool)
    kept[order[: max(2, np.searchsorted(size[order].cumsum(), most, side="right"))]] = True
    return np.flatnonzero(kept[number])


def cross_validate(inputs, y, groups, target, settings, seed):
    """Cross-validate every candidate and the reference rows, with and without artists in common.

    Parameters
    ----------
    inputs : dict of str to pd.DataFrame [shape=(n, ...)]
        By kind, in a fixed order of rows (say, by track_id): the folds depend on it.
    y : array-like [shape=(n,) or (n, k)]
        Encoded targets of these rows.
    groups : array-like [shape=(n,)]
        Their artist groups (`splits.artist_groups`).
    target : hitsong.data.targets.Target
    settings : config.Baseline
    seed : int

    Returns
    -------
    table : pd.DataFrame
        One row per `model` (names of the candidates, mean, shuffled), `scheme` (plain: tracks are dealt into
        folds; artist: whole groups are) and `fold` (from 1); `n_folds`, which is smaller than asked where
        groups (or tracks of a class) are too few; `n_train`, `n_test`; the metrics that its kind compares by;
        and `alpha`, NaN where there is none.
    pooled : dict of (str, str) to (np.ndarray, np.ndarray)
        By scheme and candidate: the predictions of all rows, each from the fold that did not fit on it, and
        the numbers of these folds; 0 where there was none.

    Raises
    ------
    UserError
        If there are fewer than two groups.
    """
    y, groups = np.asarray(y, dtype=float), np.unique(groups, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    first = next(iter(inputs.values()))
    rows, pooled = [], {}
    for scheme, folds in _folds(y, groups, target, settings.folds, seed).items():
        for number, (train, test) in enumerate(folds, start=1):
            scores, penalties, linear = {}, {}, None
            # What holds rows out inside a fold keeps artists together under both schemes.
            for candidate in candidates(inputs, settings, target):
                X = inputs[candidate.input]
                fitted = fit(X.iloc[train], y[train], target, settings, seed, candidate.model, groups[train])
                p = predict(fitted, X.iloc[test], target)
                key = (scheme, candidate.name)
                _, fold = pooled.setdefault(key, (np.empty((len(y), *p.shape[1:])), np.zeros(len(y), int)))
                pooled[key][0][test], fold[test] = p, number
                scores[candidate.name] = _score(target, y[test], p)
                penalties[candidate.name] = alpha(fitted)
                if candidate.model == "ridge" and linear is None:
                    penalties["shuffled"], linear = alpha(fitted), fitted
            if linear is not None:
                repeated = permuted(linear, first.iloc[train], y[train], first.iloc[test], target, rng)
                repeated = pd.DataFrame([_score(target, y[test], p) for p in repeated])
                scores["shuffled"] = repeated.mean().to_dict()
            scores["mean"] = _score(target, y[test], mean_of(y[train], len(test), target))
            rows += [
                {
                    "model": model, "scheme": scheme, "fold": number, "n_folds": len(folds),
                    "n_train": len(train), "n_test": len(test), **score, "alpha": penalties.get(model, np.nan),
                }
                for model, score in scores.items()
            ]  # fmt: skip
    return pd.DataFrame(rows), pooled


def summary(table, pooled, y, groups, target, draws, seed):
    """Each metric by model and scheme: its mean over folds, with an interval.

    Parameters
    ----------
    table, pooled
        From `cross_validate`.
    y, groups, target
        As for it.
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    pd.DataFrame
        `model`, `scheme`, then for each metric its name (the mean over folds), `<name>_sd` (their standard
        deviation), and for the candidates `<name>_low` and `<name>_high`, a 95 % interval over groups of artists.
    """
    names = list(kinds.KINDS[target.kind].compared)
    by_model = table.groupby(["model", "scheme"], sort=False)[names]
    means = by_model.mean().join(by_model.std(ddof=1).add_suffix("_sd"))
    for (scheme, model), (p, fold) in pooled.items():
        tested = fold > 0
        if len(np.unique(groups[tested])) < 2:
            continue
        measured = Resampling(groups[tested], draws, seed).measure(
            target.kind, y[tested], [p[tested]], names, fold[tested]
        )
        bounds = measured.intervals()
        for name in names:
            means.loc[(model, scheme), [f"{name}_low", f"{name}_high"]] = bounds[name]
    columns = [f"{name}{end}" for name in names for end in ("", "_sd", "_low", "_high")]
    return means.reindex(columns=columns).reset_index()


def text(summary, target):
    """The summary as a table for the terminal.

    Parameters
    ----------
    summary : pandas.DataFrame or list of dict
    target : hitsong.data.targets.Target
    """
    names = kinds.KINDS[target.kind].compared
    lines = [f"{'':22}{'folds':8}" + "".join(f"{name:>15}{'95 % interval':>18}" for name in names)]
    for row in pd.DataFrame(summary).to_dict("records"):
        line = f"{row['model']:22}{row['scheme']:8}"
        for name in names:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            line += f"{_digits(row[name]):>15}"
            line += " " * 18 if pd.isna(low) else f"{_digits(low):>9}{_digits(high):>9}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _digits(value):
    """A number in at most eight characters."""
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"


def learning_curve(X, y, groups, target, settings, seed, model="ridge"):
    """Fit on ever more tracks: does the error come from too few tracks, or from too simple a model?

    Each fifth of the artist groups is held out once; of the rest, in seeded order, ever more tracks are fitted on.
    Errors are averaged over the fifths.

    Parameters
    ----------
    X : pd.DataFrame [shape=(n, n_features)]
    y, groups, target, settings, seed
        As for `cross_validate`.
    model : str
        "ridge" or "trees".

    Returns
    -------
    pd.DataFrame
        `n_train`, `train_error` and `test_error`: mean squared error, for classes of the probabilities
        (the Brier score), for several numbers in units of their variance.

    Raises
    ------
    UserError
        If there are fewer than two groups.
    """
    y, groups = np.asarray(y, dtype=float), np.unique(groups, return_inverse=True)[1]
    _require_two(groups)
    count = min(_CURVE_FOLDS, groups.max() + 1)
    folds = list(GroupKFold(count, shuffle=True, random_state=seed).split(y, y, groups))
    largest = min(len(train) for train, _ in folds)
    # At least two tracks per coefficient: below, the curve shows only the accident of the draw.
    smallest = min(largest, max(largest // _CURVE_POINTS, 2 * X.shape[1]))
    sizes = np.unique(np.linspace(smallest, largest, _CURVE_POINTS).round().astype(int))
    Y, rows = matrix(y, target), []
    for train, test in folds:
        train = np.random.default_rng(seed).permutation(train)
        unit = np.maximum(Y[train].std(axis=0), 1e-9) if target.kind == "audio_features" else 1.0
        for size in sizes:
            part = train[:size]
            if target.classes and len(np.unique(y[part])) < 2:
                continue
            fitted = fit(X.iloc[part], y[part], target, settings, seed, model, groups[part])
            errors = []
            for side in (part, test):
                p = predict(fitted, X.iloc[side], target).reshape(len(side), -1)
                errors.append(float(np.mean(((p - Y[side]) / unit) ** 2)))
            rows.append((size, *errors, len(test)))
    table = pd.DataFrame(rows, columns=["n_train", "train_error", "test_error", "weight"])
    means = [
        (size, *np.average(part[["train_error", "test_error"]], axis=0, weights=part["weight"]))
        for size, part in table.groupby("n_train")
    ]
    return pd.DataFrame(means, columns=["n_train", "train_error", "test_error"])


def read_curve(curve):
    """Read a learning curve.

    By two numbers at its end: the gap (how far the test error lies above the training error, as a share
    of it) and the gain (how much of the test error the last doubling of the tracks took away). A gap of
    10 % or more is variance; a smaller gap, with a gain below 1 %, is bias; else neither holds yet.

    Returns
    -------
    verdict : str
        "variance", "bias", "neither", or "unknown" where the curve does not reach over a doubling.
    sentence : str
    """
    if curve.empty or curve["n_train"].iloc[0] > curve["n_train"].iloc[-1] / 2:
        return "unknown", "Too few tracks for a learning curve: it does not reach over a doubling of them."
    last = curve.iloc[-1]
    gap = 1 - last["train_error"] / last["test_error"] if last["test_error"] > 0 else 0.0
    half = np.interp(last["n_train"] / 2, curve["n_train"], curve["test_error"])
    gain = 1 - last["test_error"] / half if half > 0 else 0.0
    lowered = f"lowered it by {gain:.1%}" if gain >= _GAIN else "did not lower it"
    measured = (
        f"with {last['n_train']:,.0f} tracks the training error is {last['train_error']:.4g} and the test error "
        f"{last['test_error']:.4g}; the last doubling of tracks {lowered}"
    )
    if gap >= _GAP and gain >= _GAIN:
        return "variance", f"Variance: {measured}. More tracks or a simpler model should help."
    if gap >= _GAP:
        return (
            "variance",
            f"Variance: {measured}. A simpler model or other inputs may help, more tracks hardly.",
        )
    if gain < _GAIN:
        return "bias", f"Bias: {measured}. More tracks will not help, a richer model or other inputs may."
    return "neither", f"Neither bias nor variance: {measured}. More tracks still help a little."


def _score(target, y, p):
    """The metrics of a fold; NaN for a single track, which cannot be ranked."""
    names = kinds.KINDS[target.kind].compared
    if len(y) < 2:
        return dict.fromkeys(names, np.nan)
    values = kinds.evaluate(target.kind, y, p)
    return {name: values[name] for name in names}


def _folds(y, groups, target, count, seed):
    """Train and test positions of each fold, per scheme, without those that leave one class to fit on."""
    _require_two(groups)
    if target.classes:
        count = max(2, min(count, int(np.unique(y, return_counts=True)[1].min())))
        plain, artist = StratifiedKFold, StratifiedGroupKFold
    else:
        plain, artist = KFold, GroupKFold
    plain = plain(min(count, len(y)), shuffle=True, random_state=seed)
    artist = artist(min(count, groups.max() + 1), shuffle=True, random_state=seed)
    schemes = {"plain": plain.split(y, y), "artist": artist.split(y, y, groups)}
    return {
        name: [
            (train, test)
            for train, test in folds
            if len(test) and (not target.classes or len(np.unique(y[train])) > 1)
        ]
        for name, folds in schemes.items()
    }


def _require_two(groups):
    if len(np.unique(groups)) < 2:
        raise UserError(
            f"baseline: {len(groups)} tracks in one group of artists cannot be tested on other artists; "
            "collect more artists"
        )
