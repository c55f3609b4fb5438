"""Ensembles: a weighted mean of what other models predict, the weights learnt on validation.

L. Breiman: "Stacked Regressions", Machine Learning 24, 1996: weights that may not be negative do well where free
ones overfit, since members agree so much. Here they also sum to one, so that numbers stay on their scale and
probabilities stay probabilities. Weights minimise the squared error: for classes that is the Brier score, for
several audio features each counts in units of its variance.

Learnt on the tracks of a few artists, weights are mostly noise, and equal ones hard to beat (J. Smith and K. F. Wallis,
"A Simple Explanation of the Forecast Combination Puzzle", 2009). So the weights are shrunk towards equal ones, as if
`PRIOR` more groups of artists had given equal weights.
"""

import shutil

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from sklearn.model_selection import GroupKFold

from hitsong.evaluation.baseline import matrix
from hitsong.training import workspace
from hitsong.training.bundle import weighted_mean

PRIOR = 30  # groups of artists
FOLDS = 5  # of the ensemble's own validation


def fit(folder, validation, target, parts):
    """Weight the members by their predictions for validation, and copy them into the ensemble's folder.

    Parameters as for `hitsong.training.fit.fit`.

    Returns
    -------
    predictions : np.ndarray [shape=(n,) or (n, k)]
        For the validation tracks.
    info : dict
        What the bundle says of the fit; `out_of_fold` holds predictions with weights of other artists, if the
        validation tracks are of more than one group.
    """
    copy_members(folder, parts)
    members = {}
    for name, path in parts.items():
        table = pd.read_parquet(path / "validation.parquet").set_index("track_id").loc[validation.track_ids]
        predictions = table.filter(regex="^prediction").to_numpy()
        members[name] = predictions[:, 0] if len(target.names) == 1 else predictions
    weights = fit_weights(members, validation.y, validation.groups, target)
    info = {"form": "ensemble", "weights": weights}
    if len(np.unique(validation.groups)) > 1:
        info["out_of_fold"] = predict_out_of_fold(members, validation.y, validation.groups, target, seed=1)
    return weighted_mean(weights, members), info


def copy_members(folder, parts):
    """Copy the bundles of the members into the ensemble's folder."""
    for name, path in parts.items():
        shutil.rmtree(folder / "members" / name, ignore_errors=True)
        shutil.copytree(
            path,
            folder / "members" / name,
            ignore=shutil.ignore_patterns(*workspace.WORK_FILES, "neighbours.npz"),
        )


def fit_weights(members, y, groups, target):
    """Learn the weights.

    Parameters
    ----------
    members : dict of str to np.ndarray [shape=(n,) or (n, k)]
        What each member predicts for the same tracks, none of which it was fitted on.
    y : array-like [shape=(n,) or (n, k)]
        Their encoded targets.
    groups : array-like [shape=(n,)]
        The artists' group of each track.
    target : hitsong.data.targets.Target

    Returns
    -------
    dict of str to float
        By member; not negative, sum 1.
    """
    y = np.asarray(y, dtype=float)
    units = np.std(y, axis=0) if target.kind == "audio_features" else 1.0
    truth = matrix(y, target)
    errors = np.column_stack(
        [
            ((np.reshape(p, truth.shape) - truth) / np.where(units == 0, 1, units)).ravel()
            for p in members.values()
        ]
    )
    # The best point of the simplex is that of the cone, brought back to sum 1: with v = t w and sum w = 1,
    # |errors v|^2 + (1 - sum v)^2 is, at the best t, q / (1 + q) for q = |errors w|^2, and rises with q.
    errors /= np.linalg.norm(errors) or 1.0
    rows = np.vstack([errors, np.ones(len(members))])
    weights, _ = nnls(rows, np.append(np.zeros(len(errors)), 1.0))
    count = len(np.unique(groups))
    weights = (count * weights / weights.sum() + PRIOR / len(members)) / (count + PRIOR)
    return dict(zip(members, weights.tolist(), strict=True))


def predict_out_of_fold(members, y, groups, target, seed):
    """Predict each track with weights learnt on the tracks of other artists.

    These predictions tell how good the ensemble is, where those of `fit_weights` on the same tracks would flatter it.

    Parameters
    ----------
    members, y, groups, target
        As for `fit_weights`; at least two groups.
    seed : int

    Returns
    -------
    np.ndarray [shape=(n,) or (n, k)]
    """
    y, groups = np.asarray(y, dtype=float), np.asarray(groups)
    members = {name: np.asarray(p, dtype=float) for name, p in members.items()}
    predictions = np.empty_like(next(iter(members.values())))
    _, groups = np.unique(groups, return_inverse=True)  # integers: strings make the division quadratic
    folds = GroupKFold(min(FOLDS, groups.max() + 1), shuffle=True, random_state=seed)
    for rest, held_out in folds.split(y, groups=groups):
        weights = fit_weights({name: p[rest] for name, p in members.items()}, y[rest], groups[rest], target)
        predictions[held_out] = weighted_mean(weights, {name: p[held_out] for name, p in members.items()})
    return predictions
