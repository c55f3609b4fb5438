"""What a model listens for, over many tracks: frequency bands, moments of the clip, tags and descriptors.

Bands and moments are measured by exchange: a band of a clip is replaced by the same band of a song by other
artists, and by how much the score moves is how much the model goes by it (A. Fisher, C. Rudin, F. Dominici: "All
Models are Wrong, but Many are Useful", arXiv:1801.01489). What is put in was really recorded, so there is no choice
of a level to hide behind.

None of this says what makes songs popular: it says what a model goes by, or what goes along with its answers.
"""

import numpy as np
import pandas as pd
from scipy import stats

from hitsong.evaluation import bootstrap
from hitsong.explain import boundaries

CLIPS = 60  # that bands and moments are measured on
PARTS = 8  # bands, and moments
DISCOVERY_RATE = 0.05


def sample(groups, seed, most=CLIPS):
    """Choose clips to measure on: positions, in order, at most `most` of them."""
    return np.sort(np.random.default_rng(seed).permutation(len(groups))[:most])


def bands(score, features, groups, settings, draws, seed):
    """Measure how much scores depend on each of eight frequency bands, of equally many mels.

    The cost is ten clips heard for each of the sample, and as many for `moments`: for 60 clips of study 1's mels on two
    cores a second with `inception`, six with `crnn`.

    Parameters
    ----------
    score : callable
        From features to (n,), see `hitsong.explain.scorer`.
    features : dict of str to np.ndarray [shape=(n, ...)]
        Inputs of the sampled clips, "mel" among them; the others are held as they are.
    groups : array-like [shape=(n,)]
        The artists' group of each clip.
    settings : hitsong.config.Mel
    draws, seed : int
        Of the bootstrap over groups; the seed also chooses who exchanges with whom.

    Returns
    -------
    pd.DataFrame
        Columns `begin` and `end` (Hz), `importance` (by how much scores move on average, in their units), `low` and
        `high` (95 %), and `share` of what they move if the whole clip is exchanged; low frequencies first.

    Raises
    ------
    ValueError
        If there is only one group.
    """
    n_mels = features["mel"].shape[1]
    edges = np.arange(PARTS + 1) * n_mels // PARTS
    windows = [np.s_[low:high, :] for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return _exchanged(score, features, groups, windows, boundaries(settings)[edges], draws, seed)


def moments(score, features, groups, settings, draws, seed):
    """Measure how much scores depend on each eighth of the clip; as `bands`, with `begin` and `end` in seconds."""
    frames = features["mel"].shape[2]
    edges = np.arange(PARTS + 1) * frames // PARTS
    windows = [np.s_[:, low:high] for low, high in zip(edges[:-1], edges[1:], strict=True)]
    seconds = edges * settings.hop_length / settings.sample_rate
    return _exchanged(score, features, groups, windows, seconds, draws, seed)


def _exchanged(score, features, groups, windows, edges, draws, seed):
    """By how much scores move when a window of each clip comes from another song."""
    mels, donors = features["mel"], _donors(groups, seed)
    before = score(features)
    moved = []
    for window in [*windows, np.s_[:, :]]:
        mixed = mels.copy()
        mixed[:, *window] = mels[donors][:, *window]
        moved.append(np.abs(score({**features, "mel": mixed}) - before))
    moved = np.column_stack(moved).astype(float)
    names = [str(part) for part in range(len(windows))]
    # A mean with its interval over groups: the mean absolute error, with nothing as the prediction.
    found = bootstrap.intervals(
        "audio_features", moved[:, :-1], 0 * moved[:, :-1], groups, draws, seed, names=names, only=["mae"]
    )["features"]
    importance = moved[:, :-1].mean(axis=0)
    whole = moved[:, -1].mean()
    return pd.DataFrame(
        {
            "begin": edges[:-1],
            "end": edges[1:],
            "importance": importance,
            "low": [found[name]["mae"][0] for name in names],
            "high": [found[name]["mae"][1] for name in names],
            "share": importance / whole if whole > 0 else 0.0,
        }
    )


def _donors(groups, seed):
    """For each clip, a clip of another group, at random."""
    groups, rng = np.asarray(groups), np.random.default_rng(seed)
    if len(np.unique(groups)) < 2:
        raise ValueError("an exchange between artists needs at least 2 groups of them")
    return np.array([rng.choice(np.flatnonzero(groups != group)) for group in groups])


def companions(predictions, table, groups, draws, seed):
    """Find the tags and descriptors that go with high predictions, and say how sure one can be of each.

    Spearman's correlation, with a 95 % interval by bootstrap over groups (of ranks, taken once). Its p-value is that
    of the interval: D. G. Altman and J. M. Bland, "How to obtain the P value from a confidence interval", BMJ 2011,
    343:d2304, on Fisher's scale. Among many columns some are bound to pass by chance: `q` is the share of false ones
    to be expected among all columns that are at least as sure (Benjamini and Hochberg, 1995).

    Parameters
    ----------
    predictions : array-like [shape=(n,)]
        Scores of the tracks.
    table : pd.DataFrame [shape=(n, columns)]
        Their tags, descriptors, audio features; what is missing counts as the column's median. Columns that are the
        same for all tracks are left out.
    groups : array-like [shape=(n,)]
        The artists' group of each track.
    draws, seed : int

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
    found = bootstrap.intervals(
        "audio_features", ranks, predicted, groups, draws, seed, level, columns, only=["pearson"]
    )["features"]
    low, high = np.array([found[column]["pearson"] for column in columns]).T
    rho = np.array([stats.pearsonr(ranks[:, i], predicted[:, i]).statistic for i in range(len(columns))])
    z, ends = np.arctanh(rho.clip(-0.999, 0.999)), np.arctanh(np.clip([low, high], -0.999, 0.999))
    count = len(np.unique(groups))
    t = stats.t(count - 1)
    error = (ends[1] - ends[0]) / (2 * t.ppf((1 + level) / 2))
    p = 2 * t.sf(np.abs(z) / np.maximum(error, 1e-12))
    table = pd.DataFrame({"column": columns, "spearman": rho, "low": low, "high": high, "p": p})
    table["q"] = stats.false_discovery_control(p)
    return table.sort_values("spearman", key=np.abs, ascending=False, ignore_index=True)


def in_words(bands, moments, unit):
    """Say what `bands` and `moments` show, and what they do not, in two or three sentences."""
    band, moment = (table.loc[table["importance"].idxmax()] for table in (bands, moments))
    return (
        f"With the band from {band['begin']:,.0f} to {band['end']:,.0f} Hz of another song the score moves by "
        f"{_amount(band, unit)}, {band['share']:.0%} of what a whole other song does and the most of {len(bands)} "
        f"bands; with another song's {moment['begin']:.0f} to {moment['end']:.0f} s by {_amount(moment, unit)}, the "
        f"most of {len(moments)} parts of the clip. This is what the model goes by, right or wrong; it does not say "
        "what makes songs popular."
    )


def companions_in_words(table):
    """Say what `companions` found, and what it does not mean, in two or three sentences."""
    sure = table[table["q"] <= DISCOVERY_RATE]
    if sure.empty:
        return (
            f"None of {len(table)} tags and descriptors goes with the predictions more than chance would have it "
            f"(false discovery rate {DISCOVERY_RATE:.0%})."
        )
    named = ", ".join(f"{row.column} ({row.spearman:+.2f})" for row in sure.head(5).itertuples())
    return (
        f"{len(sure)} of {len(table)} tags and descriptors go with the predictions; about {DISCOVERY_RATE:.0%} of them "
        f"would be expected to by chance. The strongest, by Spearman's correlation: {named}. A correlation is no "
        "cause: raising one of these in a song need not raise its prediction, let alone its popularity."
    )


def _amount(row, unit):
    return f"{row['importance']:.2g} {unit} ({row['low']:.2g} to {row['high']:.2g})"
