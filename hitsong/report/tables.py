"""The numbers behind the figures, as tables: what a figure shows is what its CSV holds."""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import precision_recall_curve, roc_curve

from hitsong.report.figures import LINES, SIDES

FEW_TRACKS, FEW_GROUPS = 10, 3  # below which a cell says too little to believe
_BINS = 10  # deciles, where there are tracks enough
_IN_A_BIN = 15
_GENRES = 12
_ARTIST_SIZES = [1, 2, 5, 10, 20, 50]


def of_model(table, name, names):
    """A model's predictions and the truth, as they were before `hitsong.evaluation.evaluate.table` made them long.

    Parameters
    ----------
    table : pandas.DataFrame
        track_id, model, output, y, prediction.
    name : str
    names : sequence of str
        The target's outputs, in the order wanted.

    Returns
    -------
    y, p : pandas.DataFrame
        By track_id, sorted, a column for each output.
    """
    rows = table[table["model"] == name].pivot(index="track_id", columns="output", values=["y", "prediction"])
    return rows["y"][list(names)], rows["prediction"][list(names)]


def loss(kind, y, p):
    """What a prediction costs on each track: absolute error, or 1 for a wrong class; by track_id."""
    if kind == "popular":
        return ((p.iloc[:, 0] >= 0.5) != y.iloc[:, 0]).astype(float)
    if kind == "buckets":
        return pd.Series(p.to_numpy().argmax(1) != y.to_numpy().argmax(1), index=y.index).astype(float)
    return (y - p).abs().mean(axis=1)


def mean_interval(values, groups, ends=(-np.inf, np.inf), level=0.95):
    """Mean, and its interval when values of a group belong together.

    From the cluster-robust standard error (Liang & Zeger, 1986) with the t distribution of the number of groups
    less one (Cameron & Miller, 2015).

    Parameters
    ----------
    values : array-like [shape=(n,)]
    groups : array-like [shape=(n,)]
    ends : (float, float)
        Between which values can lie; the interval is cut there.
    level : float

    Returns
    -------
    mean, low, high : float
        The ends of the interval are NaN for a single group.
    """
    values = np.asarray(values, dtype=float)
    mean = values.mean()
    codes, names = pd.factorize(np.asarray(groups))
    n_groups = len(names)
    if n_groups < 2:
        return mean, np.nan, np.nan
    pulls = np.bincount(codes, weights=values - mean)
    error = np.sqrt(n_groups / (n_groups - 1) * (pulls**2).sum()) / len(values)
    reach = stats.t.ppf((1 + level) / 2, n_groups - 1) * error
    low, high = np.clip([mean - reach, mean + reach], *ends)
    return mean, low, high


def comparison(result):
    """Each row's main metric: model, value, low, high, reference, chosen."""
    main = result["main"]
    return pd.DataFrame(
        [
            [name, row["metrics"][main], *row["intervals"][main], row["reference"] is not None, name == result["best"]]
            for name, row in result["rows"].items()
        ],
        columns=["model", "value", "low", "high", "reference", "chosen"],
    )  # fmt: skip


def histogram(tracks):
    """Tracks by popularity: low, high, and a column for each side.

    Scores get bins of whole numbers; counts that go beyond a thousand (listens, say) bins that widen.
    """
    values = tracks["popularity"].to_numpy(float)
    low, high = min(0, values.min()), max(values.max(), 1)
    if high > 1000:
        edges = np.expm1(np.linspace(0, np.log1p(high), 41))
        edges[[0, -1]] = low, high
    else:
        width = max(1, np.ceil((high - low) / 40)) if (values == values.round()).all() else (high - low) / 40
        edges = np.arange(np.floor(low), high + width + 1e-9, width)
    table = pd.DataFrame({"low": edges[:-1], "high": edges[1:]})
    for side in SIDES:
        table[side] = np.histogram(tracks.loc[tracks["side"] == side, "popularity"].astype(float), edges)[0]
    return table


def cells(tracks):
    """Where each track belongs, by what is known of it.

    Returns
    -------
    dict of str to pandas.Series
        `year` (of the release, in steps of 1, 5 or 10 years), `artist_size` (tracks of its first artist among
        `tracks`), `genre` (the most frequent, and "other"): ordered categories by track_id, missing where
        unknown. Only those in which tracks differ.
    """
    tracks = tracks.set_index("track_id")
    found = {"year": _periods(tracks["release_date"])}
    size = tracks.groupby("artist_id")["artist_id"].transform("size")
    found["artist_size"] = _ranges(size, _ARTIST_SIZES)
    frequent = tracks["genre"].value_counts().index
    if len(frequent) > _GENRES:
        kept = frequent[: _GENRES - 1]
        genre = tracks["genre"].where(tracks["genre"].isin(kept) | tracks["genre"].isna(), "other")
        found["genre"] = pd.Categorical(genre, [*kept, "other"], ordered=True)
    else:
        found["genre"] = pd.Categorical(tracks["genre"], frequent, ordered=True)
    found = {name: pd.Series(values, index=tracks.index) for name, values in found.items()}
    return {name: values for name, values in found.items() if values.nunique() > 1}


def popularity_cells(popularity):
    """Tenths of the tracks by popularity (fewer parts where tracks are few), equal values together."""
    tenths = pd.qcut(popularity, _parts(popularity), labels=False, duplicates="drop")
    names = {}
    for tenth, values in popularity.groupby(tenths):
        low, high = values.min(), values.max()
        names[tenth] = f"{low:,.4g}" if low == high else f"{low:,.4g} to {high:,.4g}"
    return pd.Series(
        pd.Categorical(tenths.map(names), list(dict.fromkeys(names.values())), ordered=True), popularity.index
    )


def counts(tracks, where):
    """Tracks in each cell: cell, and a column for each side."""
    sides = tracks.set_index("track_id")["side"]
    table = pd.crosstab(where, sides).reindex(columns=list(SIDES), fill_value=0)
    return table.rename_axis(index="cell", columns=None).reset_index().astype({"cell": str})


def errors(ours, guessing, groups, where, most=np.inf):
    """A model's mean loss in each cell, beside what guessing would cost there.

    Parameters
    ----------
    ours, guessing : pandas.Series
        From `loss`, by track_id.
    groups : pandas.Series
        The artists' group of each track, by track_id.
    where : pandas.Series
        From `cells`.
    most : float
        The largest loss there can be.

    Returns
    -------
    pandas.DataFrame
        cell, tracks, groups, error, low, high, guessing, few (fewer than 10 tracks or 3 groups).
    """
    frame = pd.DataFrame({"ours": ours, "guessing": guessing, "group": groups.reindex(ours.index)})
    frame["cell"] = where.reindex(ours.index)
    rows = []
    for cell, part in frame.groupby("cell", observed=True):
        n_groups = part["group"].nunique()
        rows.append(
            [
                str(cell),
                len(part),
                n_groups,
                *mean_interval(part["ours"], part["group"], (0, most)),
                part["guessing"].mean(),
                len(part) < FEW_TRACKS or n_groups < FEW_GROUPS,
            ]
        )
    columns = ["cell", "tracks", "groups", "error", "low", "high", "guessing", "few"]
    return pd.DataFrame(rows, columns=columns)


def calibration(y, p, groups, ends=(-np.inf, np.inf)):
    """Mean truth where predictions are similar.

    Parameters
    ----------
    y, p : pandas.DataFrame
        From `of_model`.
    groups : pandas.Series
        By track_id.
    ends : (float, float)
        Between which the truth can lie.

    Returns
    -------
    pandas.DataFrame
        output, predicted, actual, low, high, tracks: a row for each tenth of the predictions, or fewer, larger
        parts where tracks are few.
    """
    groups = groups.reindex(p.index)
    rows = []
    for output in p.columns:
        # Several equal predictions cannot be parted; where all are equal there is one bin.
        bins = pd.qcut(p[output], _parts(p), labels=False, duplicates="drop").fillna(0)
        for _, part in p[output].groupby(bins):
            mean, low, high = mean_interval(y.loc[part.index, output], groups[part.index], ends)
            rows.append([output, part.mean(), mean, low, high, len(part)])
    return pd.DataFrame(rows, columns=["output", "predicted", "actual", "low", "high", "tracks"])


def roc(table, models):
    """Points of each model's ROC curve: model, false_positive_rate, true_positive_rate."""
    return _curves(
        table, models, ["false_positive_rate", "true_positive_rate"], lambda y, p: roc_curve(y, p)[:2]
    )


def precision_recall(table, models):
    """Points of each model's precision against recall: model, recall, precision."""

    def curve(y, p):
        precision, recall, _ = precision_recall_curve(y, p, drop_intermediate=True)
        return recall, precision

    return _curves(table, models, ["recall", "precision"], curve)


def _curves(table, models, columns, curve):
    parts = []
    for name in models[: len(LINES)]:
        rows = table[table["model"] == name]
        points = np.transpose(curve(rows["y"].to_numpy(), rows["prediction"].to_numpy()))
        parts.append(pd.DataFrame(points, columns=columns).assign(model=name))
    return pd.concat(parts, ignore_index=True)[["model", *columns]]


def coverage(rows, models):
    """How often models' intervals held the truth: model, nominal, coverage, width."""
    return pd.DataFrame(
        [
            [name, float(nominal), found["coverage"], found["width"]]
            for name in models
            for nominal, found in rows[name]["coverage"].items()
        ],
        columns=["model", "nominal", "coverage", "width"],
    )


def sorted_pairs(y, p):
    """The share of pairs that a prediction puts in the right order, among pairs that differ in truth.

    Equal predictions count half, as a coin would. This is Harrell's concordance index, by way of Kendall's tau-b.

    Parameters
    ----------
    y, p : array-like [shape=(n,)]

    >>> round(sorted_pairs([1, 2, 2, 3], [10, 20, 15, 12]), 3)
    0.6
    >>> sorted_pairs([1, 2, 3], [5, 5, 5])
    0.5
    """
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)

    def apart(values):
        _, times = np.unique(values, return_counts=True)
        return (len(values) * (len(values) - 1) - (times * (times - 1)).sum()) / 2

    if apart(y) == 0 or apart(p) == 0:
        return 0.5
    return float((1 + stats.kendalltau(y, p).statistic * np.sqrt(apart(p) / apart(y))) / 2)


def _parts(tracks):
    """Into how many parts tracks are divided, so that each has some."""
    return int(np.clip(len(tracks) // _IN_A_BIN, 2, _BINS))


def _periods(dates):
    """Years of release, together in fives or tens where they span many."""
    years = pd.to_numeric(dates.astype("str").str.extract(r"^(\d{4})")[0], errors="coerce")
    years = years.where(years > 1000).to_numpy(float)
    known = years[np.isfinite(years)]
    if len(known) == 0:
        return pd.Categorical([None] * len(years))
    span = np.ptp(known)
    step = 1 if span < 12 else 5 if span < 60 else 10
    first = (years // step) * step
    names = {
        start: f"{start:.0f}" if step == 1 else f"{start:.0f}–{(start + step - 1) % 100:02.0f}"
        for start in np.unique(first[np.isfinite(first)])
    }
    return pd.Categorical(pd.Series(first).map(names), list(names.values()), ordered=True)


def _ranges(values, begin):
    """Whole numbers in ranges that begin at `begin`."""
    ends = [*(start - 1 for start in begin[1:]), None]
    names = [
        f"{low} or more" if high is None else f"{low}" if low == high else f"{low} to {high}"
        for low, high in zip(begin, ends, strict=True)
    ]
    return pd.Categorical.from_codes(np.searchsorted(begin, values, side="right") - 1, names, ordered=True)
