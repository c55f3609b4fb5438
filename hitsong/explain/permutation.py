"""Permutation importance: what a model loses on held-out tracks when one column is shuffled.

L. Breiman: "Random Forests", 2001. Columns with the same information share their importance, and shuffled values may be
an impossible combination.
"""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hitsong.evaluation import bootstrap, kinds


def permutation_importance(predict, X, y, groups, kind, draws, seed, repeats=5):
    """Measure how much the main metric falls on held-out tracks when a column is shuffled among them.

    scikit-learn's function of this name has no interval over groups of artists.

    Parameters
    ----------
    predict : callable
        From a table like `X` to predictions in the form of `hitsong.evaluation.kinds.evaluate` for this kind.
    X : pd.DataFrame [shape=(n, columns)]
        Tracks that the model was not fitted on.
    y : array-like [shape=(n,) or (n, k)]
        Their encoded targets.
    groups : array-like [shape=(n,)]
        Their artists' groups.
    kind : str
        Target kind; its main metric is measured.
    draws, seed : int
        Of the bootstrap over groups; the draws are divided among the repeats, at least 100 each.
    repeats : int
        Shuffles, over which the loss and the ends of its interval are averaged.

    Returns
    -------
    pd.DataFrame
        Columns `column`, `importance` (how much the metric falls), `low` and `high` (95 %), largest first.
    """
    rng, main = np.random.default_rng(seed), kinds.main(kind)
    draws_each, rows = max(100, draws // repeats), []
    with threadpool_limits(1):
        intact = predict(X)
        for column in X:
            losses = []
            for repeat in range(repeats):
                shuffled = X.assign(**{column: rng.permutation(X[column].to_numpy())})
                paired = bootstrap.paired(
                    kind, y, intact, predict(shuffled), groups, draws_each, seed + repeat
                )
                losses.append(paired[main])
            means = pd.DataFrame(losses).mean()
            rows.append((column, means["difference"], means["low"], means["high"]))
    table = pd.DataFrame(rows, columns=["column", "importance", "low", "high"])
    return table.sort_values("importance", ascending=False, ignore_index=True)
