"""Split-conformal calibration: how sure a prediction is, learnt from tracks that the model was not fitted on.

V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2005; J. Lei et al.,
"Distribution-Free Predictive Inference for Regression", arXiv:1604.04173. Among n validation tracks the absolute
error of rank ceil((n + 1) level) is the half-width of an interval that holds a new track's truth with probability
`level` at least, whatever the model, if the tracks are exchangeable. For classes the error is 1 - p of the true
class, and the answer a set of classes (M. Sadinle, J. Lei, L. Wasserman, "Least Ambiguous Set-Valued Classifiers with
Bounded Error Levels", arXiv:1609.00451); it is empty where no class is probable enough.

Tracks come by artists, and those of one artist resemble each other, so a track of a new artist is no exchangeable draw
among tracks; if anything is exchangeable, it is artists (R. Dunn, L. Wasserman, A. Ramdas, "Distribution-Free
Prediction Sets for Two-Layer Hierarchical Models", arXiv:1809.07441). So each error is ranked among those of the
*other* artists, as a new artist's will be, and the quantile is the one at which the share `level` of tracks is inside.
Where every artist has one track, this is the rank above. `benchmarks/intervals.py` measures the coverage.

What remains: the same tracks chose the epoch, so their errors are a little smaller than those of new ones; and coverage
is an average over all tracks, while hits may be covered less than others. So read `coverage` on test tracks beside the
level.
"""

import math

import numpy as np

from hitsong.errors import UserError

LEVELS = (0.5, 0.8, 0.9, 0.95)


def calibrate(target, y, p, groups=None):
    """Learn how far predictions are off.

    Parameters
    ----------
    target : hitsong.data.targets.Target
    y, p : array-like
        Truth and prediction of the validation tracks, as for `kinds.evaluate`.
    groups : array-like [shape=(n,)], optional
        The group of artists of each track. Without them every track is a group.

    Returns
    -------
    dict
        In JSON's types: `form` ("interval", or "set" for classes), `tracks` and `groups` (how many), and `quantiles`:
        by level ("0.9") the error that is not exceeded, one for each output; None where it is infinite, because the
        tracks are too few. Those levels are listed again in `unbounded`.
    """
    from hitsong.evaluation.kinds import validate  # with scikit-learn, which predictions do without

    y, p = validate(target.kind, y, p)
    errors = 1 - _of_classes(p)[np.arange(len(y)), y.astype(int)] if target.classes else np.abs(y - p)
    errors = errors.reshape(len(y), -1)
    groups = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    ordered, ranks = np.sort(errors, axis=0), np.apply_along_axis(_rank_among_others, 0, errors, groups)
    ranks.sort(axis=0)
    quantiles = {}
    for level in LEVELS:
        # Rounded first, since 0.9 * 10 may come out above 9.
        place = math.ceil(round((len(y) + 1) * level, 9))
        quantiles[_key(level)] = None
        if place <= len(y):
            rows = np.floor(np.round(ranks[place - 1] * len(y), 9)).astype(int)
            quantiles[_key(level)] = ordered[rows, np.arange(errors.shape[1])].tolist()
    return {
        "form": "set" if target.classes else "interval",
        "tracks": len(y),
        "groups": int(groups.max()) + 1,
        "quantiles": quantiles,
        "unbounded": [level for level, quantile in quantiles.items() if quantile is None],
    }


def _rank_among_others(errors, groups):
    """The share of other groups' errors that are smaller than each error; the error itself counts as one of them."""
    smaller = np.searchsorted(np.sort(errors), errors)
    own = np.empty(len(errors), int)
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        own[rows] = np.searchsorted(np.sort(errors[rows]), errors[rows])
    return (smaller - own) / (len(errors) - np.bincount(groups)[groups] + 1)


def interval(calibration, p, level=0.9):
    """The interval around predicted numbers.

    It is symmetric, and is not cut to the range of the target.

    Parameters
    ----------
    calibration : dict
        From `calibrate`.
    p : array-like [shape=(n,) or (n, k)]
    level : float
        One of `LEVELS`.

    Returns
    -------
    low, high : np.ndarray [shape=(n,) or (n, k)]
        Infinite where the validation tracks were too few for the level.

    Raises
    ------
    UserError
        If the level was not calibrated, or the model predicts classes.
    """
    half = _quantile(calibration, level, "interval")
    p = np.asarray(p, dtype=float)
    return p - half, p + half


def sets(calibration, p, level=0.9):
    """The set of classes that a track may belong to.

    Parameters
    ----------
    calibration : dict
        From `calibrate`.
    p : array-like [shape=(n,) or (n, classes)]
        Probability of each class, or of "popular".
    level : float
        One of `LEVELS`.

    Returns
    -------
    np.ndarray [shape=(n, classes), dtype=bool]
        All classes where the validation tracks were too few for the level.

    Raises
    ------
    UserError
        If the level was not calibrated, or the model predicts numbers.
    """
    return 1 - _of_classes(np.asarray(p, dtype=float)) <= _quantile(calibration, level, "set")


def coverage(target, calibration, y, p):
    """Measure how often the truth lies inside, and how much room that takes.

    Parameters
    ----------
    target : hitsong.data.targets.Target
    calibration : dict
        From `calibrate`.
    y, p : array-like
        Truth and prediction of other tracks, as for `kinds.evaluate`.

    Returns
    -------
    dict
        By level ("0.9"): `coverage`, the share of tracks inside, and `width`, of the interval or the mean number of
        classes in the set; None if infinite. For "audio_features" both are means over the features, and `features`
        has the same for each.
    """
    from hitsong.evaluation.kinds import validate  # with scikit-learn, which predictions do without

    y, p = validate(target.kind, y, p)
    by_level = {}
    for level in map(float, calibration["quantiles"]):
        if target.classes:
            chosen = sets(calibration, p, level)
            inside, width = chosen[np.arange(len(y)), y.astype(int)], chosen.sum(axis=1)
        else:
            low, high = interval(calibration, p, level)
            if _key(level) not in calibration["unbounded"]:  # as a bundle gives them
                low, high = target.clip(low), target.clip(high)
            inside, width = (low <= y) & (y <= high), high - low
        by_level[_key(level)] = _summary(inside, width)
        if target.kind == "audio_features":
            by_level[_key(level)]["features"] = {
                name: _summary(inside[:, column], width[:, column])
                for column, name in enumerate(target.names)
            }
    return by_level


def average_coverage(folds):
    """The coverage over several folds.

    Parameters
    ----------
    folds : list of (int, dict)
        Tracks of each fold, and what `coverage` gives for it.

    Returns
    -------
    dict
        As from `coverage`; a width is None if it is infinite in a fold.
    """
    counts, first = [count for count, _ in folds], folds[0][1]
    averaged = {}
    for key in first:
        values = [part[key] for _, part in folds]
        if isinstance(first[key], dict):
            averaged[key] = average_coverage(list(zip(counts, values, strict=True)))
        else:
            averaged[key] = None if None in values else float(np.average(values, weights=counts))
    return averaged


def _summary(inside, width):
    mean = float(np.mean(width))
    return {"coverage": float(np.mean(inside)), "width": mean if math.isfinite(mean) else None}


def _quantile(calibration, level, form):
    """The errors not exceeded at a level: one for each output."""
    if calibration["form"] != form:
        other = {"interval": "numbers", "set": "classes"}[calibration["form"]]
        raise UserError(f"this model predicts {other}: there is no {form}, only the {calibration['form']}")
    if _key(level) not in calibration["quantiles"]:
        raise UserError(f"level {level:g} was not calibrated; choose {', '.join(calibration['quantiles'])}")
    quantile = calibration["quantiles"][_key(level)]
    return np.inf if quantile is None else np.asarray(quantile)


def _of_classes(p):
    """The probability of each class, also where only that of "popular" is given."""
    return np.column_stack([1 - p, p]) if p.ndim == 1 else p


def _key(level):
    return f"{level:g}"
