"""Cross-validation of the baselines, plain and by artist, and their learning curves.

All of it on the tracks that are not for testing.
"""

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from hitsong.errors import UserError
from hitsong.evaluation import bootstrap, kinds
from hitsong.evaluation.baseline import alpha, candidates, fit, matrix, mean_of, permuted, predict

_HELD_OUT = 0.2
_CURVE_POINTS = 10
_GAP, _GAIN = 0.10, 0.01  # what `read_curve` calls a gap, and what still falling


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
        the numbers of these folds.

    Raises
    ------
    UserError
        If there are fewer than two groups.
    """
    y, groups = np.asarray(y, dtype=float), np.asarray(groups)
    rng = np.random.default_rng(seed)
    first = next(iter(inputs.values()))
    rows, pooled = [], {}
    for scheme, folds in _folds(y, groups, target, settings.folds, seed).items():
        for number, (train, test) in enumerate(folds, start=1):
            scores, penalties = {}, {}
            for candidate in candidates(inputs, settings, target):
                X = inputs[candidate.input]
                fitted = fit(X.iloc[train], y[train], target, settings, seed, candidate.model)
                p = predict(fitted, X.iloc[test], target)
                key = (scheme, candidate.name)
                _, fold = pooled.setdefault(key, (np.empty((len(y), *p.shape[1:])), np.zeros(len(y), int)))
                pooled[key][0][test], fold[test] = p, number
                scores[candidate.name] = _score(target, y[test], p)
                penalties[candidate.name] = alpha(fitted)
                if candidate.model == "ridge" and "shuffled" not in penalties:
                    penalties["shuffled"], linear = alpha(fitted), fitted
            if "shuffled" in penalties:
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
    """Each metric by model and scheme: its mean over folds, and how sure one can be of it.

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
    wanted = list(kinds.KINDS[target.kind].compared)
    by = table.groupby(["model", "scheme"], sort=False)[wanted]
    found = by.mean().join(by.std(ddof=1).add_suffix("_sd"))
    for (scheme, model), (p, fold) in pooled.items():
        bounds = bootstrap.intervals(target.kind, y, p, groups, draws, seed, only=wanted, folds=fold)
        for name in wanted:
            found.loc[(model, scheme), [f"{name}_low", f"{name}_high"]] = bounds[name]
    ends = [f"{name}{end}" for name in wanted for end in ("", "_sd", "_low", "_high")]
    return found.reindex(columns=ends).reset_index()


def text(summary, target):
    """The summary as a table for the terminal."""
    wanted = list(kinds.KINDS[target.kind].compared)
    lines = [f"{'':22}{'folds':8}" + "".join(f"{name:>17}{'95 % interval':>20}" for name in wanted)]
    for row in summary.to_dict("records"):
        line = f"{row['model']:22}{row['scheme']:8}"
        for name in wanted:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            line += f"{row[name]:17.3f}" + (f"{low:12.3f}{high:8.3f}" if low == low else " " * 20)
        lines.append(line.rstrip())
    return "\n".join(lines)


def learning_curve(X, y, groups, target, settings, seed, model="ridge"):
    """Fit on ever more tracks: does the error come from too few tracks, or from too simple a model?

    A fifth of the artist groups is held out once; the rest, in seeded order, gives about ten nested
    training sets.

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
    y, groups = np.asarray(y, dtype=float), np.asarray(groups)
    _need_two(groups)
    holding_out = GroupShuffleSplit(1, test_size=_HELD_OUT, random_state=seed)
    pool, test = next(holding_out.split(X, y, groups))
    pool = np.random.default_rng(seed).permutation(pool)
    # At least two tracks per coefficient: below, the curve shows only the accident of the draw.
    smallest = min(len(pool), max(len(pool) // _CURVE_POINTS, 2 * X.shape[1]))
    Y = matrix(y, target)
    unit = np.maximum(Y[pool].std(axis=0), 1e-9) if target.kind == "audio_features" else 1.0
    rows = []
    for size in np.unique(np.linspace(smallest, len(pool), _CURVE_POINTS).round().astype(int)):
        train = pool[:size]
        if target.classes and len(np.unique(y[train])) < 2:
            continue
        fitted = fit(X.iloc[train], y[train], target, settings, seed, model)
        errors = []
        for part in (train, test):
            p = predict(fitted, X.iloc[part], target).reshape(len(part), -1)
            errors.append(float(np.mean(((p - Y[part]) / unit) ** 2)))
        rows.append({"n_train": len(train), "train_error": errors[0], "test_error": errors[1]})
    return pd.DataFrame(rows)


def read_curve(curve):
    """Read a learning curve.

    By two numbers at its end: the gap (how far the test error lies above the training error, as a share
    of it) and the gain (how much of the test error the last doubling of the tracks took away). A gap of
    10 % or more is variance; a smaller gap, with a gain below 1 %, is bias; else neither holds yet.

    Returns
    -------
    verdict : str
        "variance", "bias" or "neither".
    sentence : str
    """
    last = curve.iloc[-1]
    gap = 1 - last["train_error"] / last["test_error"] if last["test_error"] > 0 else 0.0
    half = np.interp(last["n_train"] / 2, curve["n_train"], curve["test_error"])
    gain = 1 - last["test_error"] / half if half > 0 else 0.0
    measured = (
        f"with {last['n_train']:,.0f} tracks the training error is {last['train_error']:.4g} and the test error "
        f"{last['test_error']:.4g}, of which the last doubling of tracks took {gain:.1%}"
    )
    if gap >= _GAP:
        return "variance", f"Variance: {measured}; more tracks or a simpler model should help."
    if gain < _GAIN:
        return "bias", f"Bias: {measured}; more tracks will not help, a richer model or other inputs may."
    return "neither", f"Neither bias nor variance: {measured}; more tracks still help a little."


def _score(target, y, p):
    """The metrics of a fold; NaN for a single track, which cannot be ranked."""
    if len(y) < 2:
        return dict.fromkeys(kinds.KINDS[target.kind].compared, np.nan)
    values = kinds.evaluate(target.kind, y, p)
    return {name: values[name] for name in kinds.KINDS[target.kind].compared}


def _folds(y, groups, target, wanted, seed):
    """Train and test positions of each fold, per scheme."""
    _need_two(groups)
    n_groups = len(np.unique(groups))
    if target.classes:
        wanted = max(2, min(wanted, int(np.unique(y, return_counts=True)[1].min())))
        plain, artist = StratifiedKFold, StratifiedGroupKFold
    else:
        plain, artist = KFold, GroupKFold
    plain = plain(min(wanted, len(y)), shuffle=True, random_state=seed)
    artist = artist(min(wanted, n_groups), shuffle=True, random_state=seed)
    return {"plain": list(plain.split(y, y)), "artist": list(artist.split(y, y, groups))}


def _need_two(groups):
    if len(np.unique(groups)) < 2:
        raise UserError(
            f"baseline: {len(groups)} tracks in one group of artists cannot be tested on other artists; "
            "collect more artists"
        )
