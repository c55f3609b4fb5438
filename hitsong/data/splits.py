"""Frozen splits: which tracks train, which validate, which test.

Schemes stand side by side in one table, the last two where the tracks allow them:

artist
    The default. No credited artist, featured guests included, has tracks on two sides: the unit is the
    connected component of tracks over all their credited artists.
random
    Track by track, as in the earlier studies; kept for comparison.
time
    Training on older releases, testing on the newest, artists disjoint as well. The dates between the sides
    are chosen once, such that the tracks of known date have the requested shares. An artist belongs to the
    side of most of their tracks (the older side in case of a tie). Tracks of another period, tracks with
    artists of two sides and tracks of unknown date are `excluded`.
own
    The data set's own division, from a column `split` of the tracks (FMA has one).

The folds of cross-fitting (`hitsong.data.folds`) are made and frozen as the sides of `artist` are.

The table is made once and then only extended; a track never changes side. A new track joins the side of
its artists. If they are on two sides it is `excluded`, since on either side a model would be trained on a
tested artist. A known track becomes `excluded` only if its corrected credits name an artist of another
side. The table stores the shares and the seed that it was made with.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hitsong.data import folds as cross_fitting
from hitsong.data.folds import EXCLUDED
from hitsong.errors import UserError
from hitsong.files import write_table

# In the order in which a very small catalogue fills them.
SIDES = ["train", "test", "validation"]
SCHEMES = ["artist", "random", "time", "own"]
_UNSET = ""
_STRATA = 5
_DATE = r"(?!0000)\d{4}(-\d{2}){0,2}"  # a year at least; as text, dates of any precision sort by time


def artist_groups(tracks):
    """Group tracks that share an artist, directly or through other tracks.

    Parameters
    ----------
    tracks : pd.DataFrame
        With `track_id` and `artist_ids` (all credited artists, guests included).

    Returns
    -------
    pd.Series
        Group name by track_id: the alphabetically first artist of the connected component. A track
        without credits is a group of its own, under its track_id.
    """
    tracks = tracks.reset_index(drop=True)
    credits = _credits(tracks)
    linked = _linked(len(tracks), credits)
    first = credits["artist"].groupby(linked[credits["row"]]).min()
    names = pd.Series(linked).map(first).astype("str").fillna(tracks["track_id"])
    return pd.Series(names.to_numpy(), index=pd.Index(tracks["track_id"], name="track_id"), name="group")


def make_splits(tracks, target, shares, seed, frozen=None, folds=0):
    """Assign every track with a known target to train, validation or test, under each scheme.

    Whole units (components of artists, or single tracks) are assigned greedily, the largest first and in
    seeded order among equals, each to the side that lacks most, counting tracks and tracks per
    fifth of the target. So the sides have nearly the requested shares and similar targets. The last units
    go to sides that have none yet.

    Parameters
    ----------
    tracks : pd.DataFrame
        One row per recording: `track_id`, `artist_ids`, the target, and perhaps `split`.
    target : str
        Column to balance between the sides; tracks where it is missing get no row.
    shares : config.Split
        Wanted shares `train`, `validation` and `test`.
    seed : int
        Order among units of equal size.
    frozen : pd.DataFrame, optional
        The earlier table, whose tracks keep their sides. Rows of tracks that are no longer in `tracks` are
        kept, so that a track that returns has the same side.
    folds : int
        How many folds to make for cross-fitting, 0 for none. Folds that are frozen are extended in any case.

    Returns
    -------
    pd.DataFrame
        Columns `track_id`, `group`, `artist`, `random` and perhaps `time`, `own` and folds, sorted by track_id. It
        does not depend on the order of the rows of `tracks`. Its `attrs` hold the settings that it
        was first made with, and the dates between the sides of `time`; Parquet stores them.

    Raises
    ------
    ValueError
        If a track_id occurs twice.
    """
    if tracks["track_id"].duplicated().any():
        raise ValueError("tracks must hold one row per track_id")
    tracks = tracks[_known(tracks[target])].sort_values("track_id", ignore_index=True)
    if frozen is None:
        frozen = pd.DataFrame(columns=["track_id", "group", "artist", "random"], dtype="str")
    attributes = {"made_with": _settings(shares, seed), **frozen.attrs}
    before = frozen.set_index("track_id").reindex(tracks["track_id"])
    stratum = _strata(tracks[target].to_numpy(float))

    by_side = {name: getattr(shares, name) for name in SIDES if getattr(shares, name) > 0}

    unit, side = _settle(tracks, before["artist"].to_numpy(object, na_value=_UNSET))
    table = pd.DataFrame({"track_id": tracks["track_id"]})
    table["artist"] = _deal(unit, side, stratum, by_side, seed)
    table["random"] = _deal(
        np.arange(len(tracks)), before["random"].to_numpy(object, na_value=_UNSET), stratum, by_side, seed
    )
    dates = _dates(tracks)
    if dates.notna().any():
        cuts = attributes.setdefault("cuts", _cuts(dates, shares))
        frozen_sides = before["time"].to_numpy(object, na_value=_UNSET) if "time" in before else _UNSET
        table["time"] = _by_time(tracks, dates, cuts, np.broadcast_to(frozen_sides, len(tracks)))
    if "split" in tracks and tracks["split"].notna().any():
        own = tracks["split"].map({"training": "train", "validation": "validation", "test": "test"})
        table["own"] = own.fillna(EXCLUDED)
    for count in sorted({*cross_fitting.counts(frozen), folds} - {0}):
        column = cross_fitting.column(count)
        frozen_sides = before[column].to_numpy(object, na_value=_UNSET) if column in before else _UNSET
        unit, side = _settle(tracks, np.broadcast_to(frozen_sides, len(tracks)))
        equal = {str(number): 1 / count for number in range(1, count + 1)}
        table[column] = _deal(unit, side, stratum, equal, seed)

    # Components of the kept tracks only, so that each group is on one side; an excluded track, which would
    # join two groups, belongs to that of its first artist.
    kept = table["artist"] != EXCLUDED
    group = pd.concat([artist_groups(tracks[kept]), _alone(tracks[~kept])])
    table.insert(1, "group", group.reindex(table["track_id"]).to_numpy())

    gone = frozen[~frozen["track_id"].isin(table["track_id"])]
    table = pd.concat([table, gone]).sort_values("track_id", ignore_index=True)
    # Tracks that were gone when folds were made get one when they return.
    table = table.fillna({cross_fitting.column(count): _UNSET for count in cross_fitting.counts(table)})
    table = table.fillna(EXCLUDED).astype("str")
    table.attrs = attributes
    return table


def load_splits(path, tracks, target_column, shares, seed, folds=0, freeze=True):
    """Read the frozen splits, extended by any new tracks; make and freeze them the first time.

    Parameters
    ----------
    path : path-like
        The table (Parquet), written only if it changed. Shares and seed only affect new tracks; delete the
        file to split again.
    tracks, target_column, shares, seed, folds
        As for `make_splits`.
    freeze : bool
        Write the table if it changed.

    Returns
    -------
    table : pd.DataFrame
        As from `make_splits`, for the given tracks.
    counts : dict
        `new` and `known` tracks, tracks `without_target`, the settings that the table was `made_with`, and
        the tracks on each side of each scheme.

    Raises
    ------
    UserError
        If nothing is left to train on or to test on, or a fold would be empty.
    """
    path = Path(path)
    frozen = pd.read_parquet(path) if path.exists() else None
    table = make_splits(tracks, target_column, shares, seed, frozen, folds)
    present = table[table["track_id"].isin(tracks["track_id"][_known(tracks[target_column])])]
    present = present.reset_index(drop=True)
    for scheme in ["artist", "random"]:
        require_sides(present, scheme)
    if folds:
        cross_fitting.require(present, folds)
    if freeze and (frozen is None or not table.equals(frozen) or table.attrs != frozen.attrs):
        write_table(path, table)

    frozen_count = 0 if frozen is None else int(present["track_id"].isin(frozen["track_id"]).sum())
    counts = {
        "new": len(present) - frozen_count,
        "known": frozen_count,
        "without_target": len(tracks) - len(present),
        "made_with": table.attrs["made_with"],
        **({"cuts": table.attrs["cuts"]} if "cuts" in table.attrs else {}),
    }
    for scheme in (name for name in SCHEMES if name in present):
        counts[scheme] = {side: int((present[scheme] == side).sum()) for side in [*SIDES, EXCLUDED]}
    return present, counts


def frozen_origins(path, config, dates, freeze=True):
    """The dates of a rolling origin as they were first made for these months and so many origins.

    Parameters
    ----------
    path : pathlib.Path
        The table of `load_splits`, which stores the dates.
    config : hitsong.config.Config
    dates : list of pandas.Timestamp
        Those to store where there are none.
    freeze : bool
        Store them.

    Returns
    -------
    list of pandas.Timestamp
    """
    months = [config.target.observe_months, *config.target.predict_months]
    key = f"{config.split.origins} origins, months {' '.join(f'{month:g}' for month in months)}"
    table = pd.read_parquet(path) if path.exists() else pd.DataFrame()
    stored = table.attrs.setdefault("origins", {})
    if key not in stored:
        stored[key] = [date.isoformat() for date in dates]
        if freeze:
            write_table(path, table)
    return [pd.Timestamp(date) for date in stored[key]]


def changed_settings(counts, shares, seed):
    """Describe how the settings differ from those that the frozen table was made with; None if they do not.

    Parameters
    ----------
    counts : dict
        From `load_splits`.
    shares, seed
        As for `make_splits`.
    """
    made, now = counts["made_with"], _settings(shares, seed)
    changed = [f"{name} {made[name]:g}, now {now[name]:g}" for name in now if made[name] != now[name]]
    if changed:
        return (
            f"the frozen splits were made with other settings ({'; '.join(changed)}) and are kept; to split "
            "again, delete splits.parquet"
        )
    return None


def require_sides(table, scheme):
    """Check that a scheme leaves tracks to train on and to test on.

    Raises
    ------
    UserError
        If it does not, or if the table has no such scheme.
    """
    if scheme not in table:
        reason = "have no release dates" if scheme == "time" else "have no such split"
        raise UserError(f"split.scheme {scheme}: the tracks {reason}; use artist or random")
    for side in ["train", "test"]:
        if not (table[scheme] == side).any():
            raise UserError(
                f"{scheme} split: nothing is left to {side} on, with {len(table)} tracks in "
                f"{table['group'].nunique()} groups that share no artist; collect more artists"
            )


def _settings(shares, seed):
    return {**{name: getattr(shares, name) for name in SIDES}, "seed": seed}


def _dates(tracks):
    """Release dates as text that sorts by time, missing where unknown."""
    dates = tracks["release_date"] if "release_date" in tracks else pd.Series(index=tracks.index, dtype="str")
    return dates.astype("str").where(lambda d: d.str.fullmatch(_DATE).fillna(False).astype(bool))


def _cuts(dates, shares):
    """The dates from which tracks validate, and from which they test."""
    ordered = np.sort(dates.dropna().to_numpy(str))
    places = np.array([shares.train, shares.train + shares.validation]) * len(ordered)
    return [str(ordered[min(len(ordered) - 1, round(place))]) for place in places]


def _by_time(tracks, dates, cuts, before):
    """Sides under the time scheme, (n,): those of `before` where there are some."""
    order = np.array(["train", "validation", "test"], dtype=object)  # in time
    era = np.searchsorted(cuts, dates.fillna("").to_numpy(str), side="right")
    credits = _credits(tracks)
    row = credits["row"].to_numpy()
    credits["era"], credits["before"] = era[row], before[row]

    # The side of an artist: that of their frozen tracks, else that of most of their new, dated tracks.
    settled = _most_frequent(credits[credits["before"].isin(SIDES)], "before")
    votes = credits[(credits["before"] == _UNSET) & dates.notna().to_numpy()[row]]
    votes = votes.groupby(["artist", "era"]).size().rename("count").reset_index()
    votes = votes.sort_values(["count", "era"], ascending=[False, True]).drop_duplicates("artist")
    voted = pd.Series(order[votes["era"].to_numpy(int)], index=votes["artist"], dtype=object)
    home = credits["artist"].map({**voted, **settled})

    side = np.where(before == _UNSET, np.where(dates.notna(), order[era], EXCLUDED), before)
    side[row[home.to_numpy(object) != side[row]]] = EXCLUDED
    return side


def _known(target):
    """Where a target has a value."""
    return np.isfinite(target.to_numpy(float, na_value=np.nan))


def _credits(tracks):
    """One row per track and credited artist: position of the track, artist."""
    credits = tracks["artist_ids"].reset_index(drop=True).explode().dropna()
    return pd.DataFrame({"row": credits.index.to_numpy(int), "artist": credits.to_numpy(object)})


def _linked(n_tracks, credits):
    """Number the connected components of tracks over credits: (n_tracks,) of int."""
    artist, names = pd.factorize(credits["artist"])
    size = n_tracks + len(names)  # one graph of tracks, then artists
    edges = coo_array((np.ones(len(credits)), (credits["row"], n_tracks + artist)), shape=(size, size))
    return connected_components(edges, directed=False)[1][:n_tracks]


def _most_frequent(credits, column):
    """The most frequent value of a column by artist; in case of a tie the last in alphabetical order."""
    counts = credits.value_counts(["artist", column]).reset_index().sort_values(["count", column])
    return counts.drop_duplicates("artist", keep="last").set_index("artist")[column]


def _alone(tracks):
    """First credited artist by track_id."""
    first = _credits(tracks).groupby("row")["artist"].min()
    return pd.Series(first.to_numpy(), index=tracks["track_id"])


def _strata(target):
    """Number the fifth of the target of each value, without gaps; equal values have the same number."""
    edges = np.quantile(target, np.arange(1, _STRATA) / _STRATA) if len(target) else []
    return np.unique(np.searchsorted(edges, target), return_inverse=True)[1]


def _settle(tracks, side):
    """Find the units of the artist scheme, and the sides that known tracks decide.

    Parameters
    ----------
    tracks : pd.DataFrame
    side : np.ndarray [shape=(n,)]
        Sides of the known tracks, empty for new ones.

    Returns
    -------
    unit : np.ndarray [shape=(n,)]
        Number of the unit each track goes with.
    side : np.ndarray [shape=(n,)]
        Sides decided by known artists, empty for units of new artists alone.
    """
    credits = _credits(tracks)
    credits["side"] = side[credits["row"]]
    # An artist is on the side of most of their tracks; these differ only after corrected credits.
    credits["home"] = credits["artist"].map(
        _most_frequent(credits[~credits["side"].isin([_UNSET, EXCLUDED])], "side")
    )

    # New tracks are linked by artists that are not on any side yet.
    loose = credits[(credits["side"] == _UNSET) & credits["home"].isna()]
    unit = _linked(len(tracks), loose)
    evidence = pd.concat([
        pd.DataFrame({"unit": unit, "side": side}),
        pd.DataFrame({"unit": unit[credits["row"]], "side": credits["home"]}).dropna(),
    ])  # fmt: skip
    evidence = evidence[evidence["side"] != _UNSET].groupby("unit")["side"].agg(["nunique", "first"])
    decided = evidence["first"].where(evidence["nunique"] == 1, EXCLUDED)
    return unit, decided.reindex(unit).to_numpy(object, na_value=_UNSET)


def _deal(unit, side, stratum, shares, seed):
    """Assign each unit without a side to the side that lacks most; returns the sides, (n,)."""
    side, names = np.array(side, dtype=object), list(shares)
    # Counted are tracks, and tracks per stratum.
    content = np.column_stack([np.ones(len(stratum)), np.eye(stratum.max(initial=0) + 1)[stratum]])
    requested = np.outer(list(shares.values()), content[side != EXCLUDED].sum(axis=0)).clip(min=1e-9)
    placed = np.array([content[side == name].sum(axis=0) for name in names])

    new = np.flatnonzero(side == _UNSET)
    units, member = np.unique(unit[new], return_inverse=True)
    size = np.zeros((len(units), content.shape[1]))
    np.add.at(size, member, content[new])
    order = np.random.default_rng(seed).permutation(len(units))
    order = order[np.argsort(-size[order, 0], kind="stable")]

    choice = np.empty(len(units), dtype=object)
    for left, number in zip(range(len(units), 0, -1), order, strict=True):
        # The change of the chi-square distance to the requested counts.
        cost = (size[number] * (size[number] + 2 * (placed - requested)) / requested).sum(axis=1)
        empty = np.flatnonzero(placed[:, 0] == 0)
        open_to = empty[:left] if left <= len(empty) else np.arange(len(names))
        best = open_to[cost[open_to].argmin()]
        placed[best] += size[number]
        choice[number] = names[best]
    side[new] = choice[member]
    return side
