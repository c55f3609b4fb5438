"""What models of named numbers go by: each column's contribution to one prediction, and its worth over many.

Contributions are Shapley values: S. M. Lundberg and S.-I. Lee, "A Unified Approach to Interpreting Model
Predictions", arXiv:1705.07874. Permutation importance: L. Breiman, "Random Forests", 2001.

Both take columns for independent. Columns that say the same share what they are worth, in either; and a permuted
or exchanged value may make a track that cannot be, fast without a beat.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shap
from threadpoolctl import threadpool_limits

from hitsong.evaluation import bootstrap, metrics

BACKGROUND = 50  # tracks
COALITIONS = 1024  # sets of columns, and twice as many as there are columns


@dataclass(frozen=True)
class Contributions:
    """A prediction, divided among the columns.

    Attributes
    ----------
    values : pd.Series
        By column, in units of the prediction; their sum is `prediction - expected`.
    prediction : float
    expected : float
        The mean prediction for the background tracks.
    """

    values: pd.Series
    prediction: float
    expected: float


def contributions(predict, background, row, seed=0):
    """Divide the difference between a track's prediction and the mean prediction among the columns.

    By kernel SHAP: exact for models without interactions, and for any model of ten columns or fewer; otherwise an
    estimate that keeps the exact sum. The cost is some 50,000 predictions.

    Parameters
    ----------
    predict : callable
        From a table of the columns, (n, columns), to (n,).
    background : pd.DataFrame [shape=(m, columns)]
        What the track is compared with: training tracks, of which 50 are drawn if there are more.
    row : pd.Series
        The track: the same columns, NaN where missing.
    seed : int

    Returns
    -------
    Contributions
    """
    columns = list(background)
    track = row[columns].to_numpy(float)
    if len(background) > BACKGROUND:
        background = background.sample(BACKGROUND, random_state=seed)

    def of_array(values):
        return predict(pd.DataFrame(values, columns=columns))

    state = np.random.get_state()  # shap draws from NumPy's global generator
    try:
        np.random.seed(seed)
        # One thread: the tables are small, and threads that wait for each other on a busy machine cost more.
        with threadpool_limits(1):
            explainer = shap.KernelExplainer(of_array, background.to_numpy(float))
            coalitions = COALITIONS + 2 * len(columns)
            values = explainer.shap_values(track, nsamples=coalitions, l1_reg=False, silent=True)
            prediction = float(of_array(track[None])[0])
    finally:
        np.random.set_state(state)
    return Contributions(pd.Series(values, columns), prediction, float(explainer.expected_value))


def permutation_importance(predict, X, y, groups, kind, draws, seed, repeats=5):
    """Measure what a model loses on held-out tracks when a column is shuffled among them.

    Parameters
    ----------
    predict : callable
        From a table like `X` to predictions as `hitsong.evaluation.metrics` wants them for this kind.
    X : pd.DataFrame [shape=(n, columns)]
        Tracks that the model was not fitted on.
    y : array-like [shape=(n,) or (n, k)]
        Their encoded targets.
    groups : array-like [shape=(n,)]
        Their artists' groups.
    kind : str
        Target kind: it says which metric is measured, `hitsong.evaluation.metrics.MAIN`.
    draws, seed : int
        Of the bootstrap over groups; the draws are shared out among the repeats, at least 100 each.
    repeats : int
        Shuffles, over which the loss and the ends of its interval are averaged.

    Returns
    -------
    pd.DataFrame
        Columns `column`, `importance` (by how much the metric falls), `low` and `high` (95 %), largest first.

    Raises
    ------
    ValueError
        As `hitsong.evaluation.bootstrap.paired`: if there is only one group.
    """
    rng, main = np.random.default_rng(seed), metrics.MAIN[kind]
    each, rows = max(100, draws // repeats), []
    with threadpool_limits(1):
        intact = predict(X)
        for column in X:
            losses = []
            for repeat in range(repeats):
                shuffled = X.assign(**{column: rng.permutation(X[column].to_numpy())})
                found = bootstrap.paired(kind, y, intact, predict(shuffled), groups, each, seed + repeat)
                losses.append(found[main])
            means = pd.DataFrame(losses).mean()
            rows.append((column, means["difference"], means["low"], means["high"]))
    table = pd.DataFrame(rows, columns=["column", "importance", "low", "high"])
    return table.sort_values("importance", ascending=False, ignore_index=True)
