"""The numbers behind the figures, as tables; each is also written as a CSV file."""

import numpy as np
import pandas as pd
from scipy import stats

from hitsong.data.leakage import SIDES
from hitsong.report.formats import short

FEW_TRACKS, FEW_GROUPS = 10, 3  # below which the mean of a cell is too uncertain
_BINS = 10  # deciles, where there are tracks enough
_IN_A_BIN = 15
_GENRES = 12
_ARTIST_SIZES = [1, 2, 5, 10, 20, 50]


def loss(kind, y, p):
    """The loss of each track, by track_id: absolute error, or 1 for a wrong class."""
    if kind == "popular":
        return ((p.iloc[:, 0] >= 0.5) != y.iloc[:, 0]).astype(float)
    if kind == "buckets":
        return pd.Series(p.to_numpy().argmax(1) != y.to_numpy().argmax(1), index=y.index).astype(float)
    return (y - p).abs().mean(axis=1)


def mean_interval(values, groups, ends=(-np.inf, np.inf), level=0.95):
    """Mean, low and high end of its interval (NaN for a single group) where values of a group are not independent.

    From the cluster-robust standard error (Liang & Zeger, 1986) with the t distribution of the number of groups
    less one (Cameron & Miller, 2015); cut at the limits of the values, `ends`.
    """
    values = np.asarray(values, dtype=float)
    mean = values.mean()
    codes, names = pd.factorize(np.asarray(groups))
    n_groups = len(names)
    if n_groups < 2:
        return mean, np.nan, np.nan
    sums = np.bincount(codes, weights=values - mean)
    error = np.sqrt(n_groups / (n_groups - 1) * (sums**2).sum()) / len(values)
    reach = stats.t.ppf((1 + level) / 2, n_groups - 1) * error
    low, high = np.clip([mean - reach, mean + reach], *ends)
    return mean, low, high


def histogram(tracks):
    """Tracks by popularity: low, high, and a column for each side.

    Bins are whole numbers for scores, and logarithmic for counts that exceed a thousand (listens, say).
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
    """Sort tracks into cells by year of release, size of the artist, and genre.

    Returns
    -------
    dict of str to pandas.Series
        `year` (of the release, in steps of 1, 5 or 10 years), `artist_size` (tracks of its first artist among
        `tracks`), `genre` (the most frequent, and "other"): ordered categories by track_id, missing where
        unknown. Only those with two categories or more.
    """
    tracks = tracks.set_index("track_id")
    by_name = {"year": _periods(tracks["release_date"])}
    size = tracks.groupby("artist_id")["artist_id"].transform("size")
    by_name["artist_size"] = _ranges(size, _ARTIST_SIZES)
    frequent = tracks["genre"].value_counts().index
    if len(frequent) > _GENRES:
        kept = frequent[: _GENRES - 1]
        genre = tracks["genre"].where(tracks["genre"].isin(kept) | tracks["genre"].isna(), "other")
        by_name["genre"] = pd.Categorical(genre, [*kept, "other"], ordered=True)
    else:
        by_name["genre"] = pd.Categorical(tracks["genre"], frequent, ordered=True)
    series = {name: pd.Series(values, index=tracks.index) for name, values in by_name.items()}
    return {name: values for name, values in series.items() if values.nunique() > 1}


def popularity_cells(popularity):
    """Tenths of the tracks by popularity (fewer, larger parts for few tracks); equal values stay together."""
    tenths = pd.qcut(popularity, _parts(popularity), labels=False, duplicates="drop")
    names = {}
    for tenth, values in popularity.groupby(tenths):
        low, high = values.min(), values.max()
        names[tenth] = short(low) if low == high else f"{short(low)} to {short(high)}"
    return pd.Series(
        pd.Categorical(tenths.map(names), list(dict.fromkeys(names.values())), ordered=True), popularity.index
    )


def counts(tracks, cells):
    """Tracks in each cell: cell, and a column for each side."""
    sides = tracks.set_index("track_id")["side"]
    table = pd.crosstab(cells, sides).reindex(columns=list(SIDES), fill_value=0)
    return table.rename_axis(index="cell", columns=None).reset_index().astype({"cell": str})


def errors(losses, of_mean, groups, cells, largest=np.inf):
    """The mean loss of a model in each cell (from `cells`), beside that of the training mean (from `loss`).

    `groups` are those of artists, by track_id; `largest` is the largest possible loss. Returns a table of cell, tracks,
    groups, error, low, high, of_mean, few (fewer than 10 tracks or 3 groups).
    """
    frame = pd.DataFrame({"loss": losses, "of_mean": of_mean, "group": groups.reindex(losses.index)})
    frame["cell"] = cells.reindex(losses.index)
    rows = []
    for cell, part in frame.groupby("cell", observed=True):
        n_groups = part["group"].nunique()
        rows.append(
            [
                str(cell),
                len(part),
                n_groups,
                *mean_interval(part["loss"], part["group"], (0, largest)),
                part["of_mean"].mean(),
                len(part) < FEW_TRACKS or n_groups < FEW_GROUPS,
            ]
        )
    columns = ["cell", "tracks", "groups", "error", "low", "high", "of_mean", "few"]
    return pd.DataFrame(rows, columns=columns)


def calibration(y, p, groups, ends=(-np.inf, np.inf)):
    """Mean truth of tracks with similar predictions, for each output (a column of `y` and `p`), all by track_id.

    Returns a table of output, predicted, actual, low, high, tracks: a row for each tenth of the predictions, or fewer,
    larger parts where tracks are few. `ends` are the limits of the truth.
    """
    groups = groups.reindex(p.index)
    rows = []
    for output in p.columns:
        # Equal predictions stay in one bin; where all are equal there is one.
        bins = pd.qcut(p[output], _parts(p), labels=False, duplicates="drop").fillna(0)
        for _, part in p[output].groupby(bins):
            mean, low, high = mean_interval(y.loc[part.index, output], groups[part.index], ends)
            rows.append([output, part.mean(), mean, low, high, len(part)])
    return pd.DataFrame(rows, columns=["output", "predicted", "actual", "low", "high", "tracks"])


def ordered_pairs(y, p):
    """The share of pairs in the right order among those that differ in truth: Harrell's concordance index.

    Equal predictions count half. Computed from Kendall's tau-b.

    Parameters
    ----------
    y, p : array-like [shape=(n,)]
    >>> round(ordered_pairs([1, 2, 2, 3], [10, 20, 15, 12]), 3)
    0.6
    >>> ordered_pairs([1, 2, 3], [5, 5, 5])
    0.5
    """
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)

    def different_pairs(values):
        _, times = np.unique(values, return_counts=True)
        return (len(values) * (len(values) - 1) - (times * (times - 1)).sum()) / 2

    if different_pairs(y) == 0 or different_pairs(p) == 0:
        return 0.5
    return float(
        (1 + stats.kendalltau(y, p).statistic * np.sqrt(different_pairs(p) / different_pairs(y))) / 2
    )


def _parts(tracks):
    """How many parts tracks are divided into, so that none is small."""
    return int(np.clip(len(tracks) // _IN_A_BIN, 2, _BINS))


def _periods(dates):
    """Years of release, in steps of five or ten where they span many."""
    years = pd.to_numeric(dates.astype("str").str.extract(r"^(\d{4})")[0], errors="coerce")
    years = years.where(years > 1000).to_numpy(float)
    finite = years[np.isfinite(years)]
    if len(finite) == 0:
        return pd.Categorical([None] * len(years))
    span = np.ptp(finite)
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
