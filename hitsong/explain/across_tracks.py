"""What the scores of a model depend on across many tracks: frequency bands, parts of the clip, tags, descriptors.

Bands and parts are measured by exchange: a band of a clip is replaced by the same band of a song by other artists, and
the importance is how much the score moves (A. Fisher, C. Rudin, F. Dominici: "All Models are Wrong, but Many are
Useful", arXiv:1801.01489). The replacement is real music: there is no artificial level to choose.

This shows what a model uses, or what correlates with its predictions, and not what makes songs popular.
"""

import numpy as np
import pandas as pd
from scipy import stats

from hitsong.evaluation import bootstrap
from hitsong.explain.mels import band_edges

CLIPS = 60  # on which bands and parts are measured
PARTS = 8  # bands, and parts of the clip
DISCOVERY_RATE = 0.05


def sample_clips(groups, seed, most=CLIPS):
    """Choose clips to measure on: positions, in order, at most `most` of them."""
    return np.sort(np.random.default_rng(seed).permutation(len(groups))[:most])


def band_importance(score, features, groups, settings, draws, seed):
    """Measure how much scores depend on each of eight frequency bands, of equally many mels, in ten predictions a clip.

    Parameters
    ----------
    score : callable
        From features to (n,), see `hitsong.explain.mels.score_function`.
    features : dict of str to np.ndarray [shape=(n, ...)]
        Inputs of the sampled clips, "mel" among them; the others are not changed.
    groups : array-like [shape=(n,)]
        The artists' group of each clip.
    draws, seed : int
        Of the bootstrap over groups; the seed also draws the exchanged songs.

    Returns
    -------
    pd.DataFrame
        Columns `begin` and `end` (Hz), `importance` (mean absolute change of the score), `low` and `high` (95 %), and
        `share` of the change when the whole clip is exchanged; low frequencies first.

    Raises
    ------
    ValueError
        If there is only one group.
    """
    n_mels = features["mel"].shape[1]
    edges = np.arange(PARTS + 1) * n_mels // PARTS
    windows = [np.s_[low:high, :] for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return _exchange(score, features, groups, windows, band_edges(settings)[edges], draws, seed)


def time_importance(score, features, groups, settings, draws, seed):
    """Measure how much scores depend on each eighth of the clip; as `band_importance`, `begin` and `end` in seconds."""
    frames = features["mel"].shape[2]
    edges = np.arange(PARTS + 1) * frames // PARTS
    windows = [np.s_[:, low:high] for low, high in zip(edges[:-1], edges[1:], strict=True)]
    seconds = edges * settings.hop_length / settings.sample_rate
    return _exchange(score, features, groups, windows, seconds, draws, seed)


def _exchange(score, features, groups, windows, edges, draws, seed):
    """The change of scores when a window of each clip comes from another song."""
    mels, donors = features["mel"], _draw_donors(groups, seed)
    before = score(features)
    changes = []
    for window in [*windows, np.s_[:, :]]:
        mixed = mels.copy()
        mixed[:, *window] = mels[donors][:, *window]
        changes.append(np.abs(score({**features, "mel": mixed}) - before))
    changes = np.column_stack(changes).astype(float)
    names = [str(part) for part in range(len(windows))]
    # A mean with its interval over groups: the mean absolute error of predicting 0.
    intervals = bootstrap.intervals(
        "audio_features", changes[:, :-1], 0 * changes[:, :-1], groups, draws, seed, names=names, only=["mae"]
    )["features"]
    importance = changes[:, :-1].mean(axis=0)
    whole = changes[:, -1].mean()
    return pd.DataFrame(
        {
            "begin": edges[:-1],
            "end": edges[1:],
            "importance": importance,
            "low": [intervals[name]["mae"][0] for name in names],
            "high": [intervals[name]["mae"][1] for name in names],
            "share": importance / whole if whole > 0 else 0.0,
        }
    )


def _draw_donors(groups, seed):
    """For each clip, a random clip of another group."""
    groups, rng = np.asarray(groups), np.random.default_rng(seed)
    if len(np.unique(groups)) < 2:
        raise ValueError("an exchange between artists needs at least 2 groups of them")
    return np.array([rng.choice(np.flatnonzero(groups != group)) for group in groups])


def correlate_columns(predictions, table, groups, draws, seed):
    """Correlate predictions with each tag and descriptor, with intervals and false discovery rates.

    Spearman's correlation, with a 95 % interval by bootstrap over groups (of ranks, computed once). Its p-value is that
    of the interval: D. G. Altman and J. M. Bland, "How to obtain the P value from a confidence interval", BMJ 2011,
    343:d2304, on Fisher's scale. `q` is the expected share of false discoveries among all columns with a q as small
    (Benjamini and Hochberg, 1995).

    Parameters
    ----------
    predictions : array-like [shape=(n,)]
        Scores of the tracks.
    table : pd.DataFrame [shape=(n, columns)]
        Their tags, descriptors, audio features; missing values count as the column's median, constant columns are
        left out.
    groups : array-like [shape=(n,)]
        The artists' group of each track.

    Returns
    -------
    pd.DataFrame
        Columns `column`, `spearman`, `low`, `high`, `p` and `q`, the strongest first.
    """
    table = table.fillna(table.median())
    table = table.loc[:, table.nunique() > 1]
    if table.empty or np.ptp(predictions) == 0:
        return pd.DataFrame(columns=["column", "spearman", "low", "high", "p", "q"])
    columns, level = list(table), 0.95
    ranks = stats.rankdata(table, axis=0)
    predicted = np.repeat(stats.rankdata(predictions)[:, None], len(columns), axis=1)
    intervals = bootstrap.intervals(
        "audio_features", ranks, predicted, groups, draws, seed, level, columns, only=["pearson"]
    )["features"]
    low, high = np.array([intervals[column]["pearson"] for column in columns]).T
    rho = np.array([stats.pearsonr(ranks[:, i], predicted[:, i]).statistic for i in range(len(columns))])
    z, ends = np.arctanh(rho.clip(-0.999, 0.999)), np.arctanh(np.clip([low, high], -0.999, 0.999))
    t = stats.t(len(np.unique(groups)) - 1)
    error = (ends[1] - ends[0]) / (2 * t.ppf((1 + level) / 2))
    p = 2 * t.sf(np.abs(z) / np.maximum(error, 1e-12))
    table = pd.DataFrame({"column": columns, "spearman": rho, "low": low, "high": high, "p": p})
    table["q"] = stats.false_discovery_control(p)
    return table.sort_values("spearman", key=np.abs, ascending=False, ignore_index=True)


def describe_importance(bands, parts, unit):
    """Describe the results of `band_importance` and `time_importance` in two or three sentences."""
    band, part = (table.loc[table["importance"].idxmax()] for table in (bands, parts))
    return (
        "A part of a song was replaced by the same part of another song, and the change of the score was measured. "
        f"Of {len(bands)} frequency bands, {band['begin']:,.0f} to {band['end']:,.0f} Hz matters most: the score "
        f"changes by {_amount(band, unit)}, {100 * band['share']:.0f}\xa0% of its change when the whole song is "
        f"replaced. Of {len(parts)} parts in time, {part['begin']:.0f} to {part['end']:.0f} s matters most: "
        f"{_amount(part, unit)}. "
        "This shows what the model uses, right or wrong. It does not show what makes songs popular."
    )


def describe_correlations(table):
    """Describe the result of `correlate_columns` in two or three sentences."""
    significant = table[table["q"] <= DISCOVERY_RATE]
    if significant.empty:
        return (
            f"None of {len(table)} tags and descriptors correlates with the predictions more than chance allows "
            f"(false discovery rate {DISCOVERY_RATE:.0%})."
        )
    strongest = ", ".join(f"{row.column} ({row.spearman:+.2f})" for row in significant.head(5).itertuples())
    strongest = strongest.replace("(-", "(−")
    return (
        f"{len(significant)} of {len(table)} tags and descriptors correlate with the predictions; about "
        f"{100 * DISCOVERY_RATE:.0f}\xa0% of these are expected to be chance. The strongest (Spearman): {strongest}. "
        "Correlation is not causation: raising one of these in a song need not raise its prediction, and even less its "
        "popularity."
    )


def _amount(row, unit):
    return f"{row['importance']:.2g} {unit} ({row['low']:.2g} to {row['high']:.2g})"
