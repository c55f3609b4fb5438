"""A rolling origin: dates at which models are fitted anew, each of which predicts until the next.

A track is predicted as soon as its first months have been read, by the models of the last date before. These were
fitted on the tracks whose outcome had been read by that date; no artist of a predicted track is among them. In the
order of their prediction the first third of the tracks only trains, and the dates divide the others into equal parts.
`fold-1`, `fold-2`, ... are the sides of the tracks at each date, as in cross-fitting (`hitsong.data.folds`).

L. J. Tashman: "Out-of-sample tests of forecasting accuracy", International Journal of Forecasting 16, 2000.
"""

import hashlib

import numpy as np
import pandas as pd

from hitsong.data.folds import EXCLUDED
from hitsong.errors import UserError

FEWEST = 10  # tracks that train, and that test, at each date


def origin_dates(tracks, count):
    """The dates of a rolling origin, so that about equally many tracks are predicted at each.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `predicted_at`.
    count : int

    Returns
    -------
    list of pandas.Timestamp
        In time, at midnight.
    """
    ordered = tracks["predicted_at"].sort_values(ignore_index=True)
    first = len(ordered) // 3
    places = [first + (len(ordered) - first) * number // count for number in range(count)]
    return [date.normalize() for date in ordered[places]]


def with_sides(tracks, dates, shares, seed):
    """Add the sides of the tracks as of each date (`fold-1`, ...), where each tests (`fold`), and its date (`origin`).

    Parameters
    ----------
    tracks : pandas.DataFrame
        From `hitsong.data.growth.with_growth`, with `artist_ids`.
    dates : sequence of pandas.Timestamp
    shares : config.Split
        Of which `train` and `validation` divide the artists that are not predicted.
    seed : int

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    UserError
        If at a date there are too few tracks to train or to test on.
    """
    credits = tracks["artist_ids"].reset_index(drop=True).explode().dropna()
    row, artist = credits.index.to_numpy(int), credits.to_numpy(object).astype(str)
    by_artist = sides_by_artist(tracks, shares, seed)
    # The number of the origin by which each track is predicted, 0 for none.
    number_of = np.searchsorted(dates, tracks["predicted_at"], side="right")
    fold, sides = np.where(number_of > 0, number_of.astype(str).astype(object), EXCLUDED), {}
    for number, date in enumerate(dates, start=1):
        test = number_of == number
        is_apart = np.bincount(row, np.isin(artist, artist[test[row]]), minlength=len(tracks)) == 0
        is_known = (tracks["late_read_at"] <= date).to_numpy()
        side = np.where(is_known & is_apart, by_artist, EXCLUDED)
        side[test] = "test"
        _require(side, date, tracks)
        sides[f"fold-{number}"] = side
    origin = pd.Series(fold).map({str(number): date for number, date in enumerate(dates, start=1)})
    return tracks.assign(fold=fold, origin=pd.to_datetime(origin).to_numpy(), **sides)


def read_before(tracks, date, shares, seed):
    """The sides of the time scheme where training ends at a date: what was read later is on no side.

    The tracks released last before the date would validate, and have not been read by then; so others do, by artists of
    their own.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `time`, `artist_ids` and `late_read_at`.
    date : str
        From which tracks test.
    shares, seed
        As for `with_sides`.

    Returns
    -------
    np.ndarray [shape=(n,)]
    """
    is_used = tracks["time"].isin(["train", "validation"]) & (tracks["late_read_at"] <= pd.Timestamp(date))
    return np.where(
        tracks["time"] == "test", "test", np.where(is_used, sides_by_artist(tracks, shares, seed), EXCLUDED)
    )


def sides_by_artist(tracks, shares, seed):
    """Divide artists into those who train and those who validate: the side of each track, (n,).

    Tracks by artists of both are `excluded`. An artist has the same side whatever other tracks there are.
    """
    credits = tracks["artist_ids"].reset_index(drop=True).explode().dropna()
    row, validating = credits.index.to_numpy(int), shares.validation / (shares.train + shares.validation)
    artists = np.bincount(row, minlength=len(tracks))
    artists_validating = np.bincount(row, _share_of(credits, seed) < validating, minlength=len(tracks))
    side = np.full(len(tracks), EXCLUDED, object)
    side[artists_validating == 0] = "train"
    side[(artists_validating == artists) & (artists > 0)] = "validation"
    return side


def _share_of(names, seed):
    """A number from 0 to 1 for each name, the same whatever other names there are."""
    numbers = {
        name: int(hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()[:8], 16) / 16**8
        for name in names.unique()
    }
    return names.map(numbers).to_numpy(float)


def _require(side, date, tracks):
    for name in ("train", "test"):
        if (side == name).sum() < FEWEST:
            raise UserError(
                f"split.origins: as of {date:%Y-%m-%d} there are {(side == name).sum()} tracks to {name} on, of "
                f"{len(tracks):,} whose growth is known; choose fewer origins, or collect more tracks"
            )
