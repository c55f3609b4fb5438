"""The divisions of the tracks into training, validation and test: one for each split scheme, fold and origin."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hitsong.data import folds
from hitsong.data.targets import Target
from hitsong.data.tracks import split_schemes, with_target
from hitsong.errors import UserError


@dataclass(frozen=True, eq=False)
class Division:
    """The tracks under one split scheme, or while one fold tests, with the target fitted on its training side."""

    scheme: str
    tracks: pd.DataFrame
    target: Target

    def rows(self, side):
        """Which of the tracks are on a side: (n,) of bool."""
        return (self.tracks[self.scheme] == side).to_numpy()


def divide(tracks, config):
    """The tracks under every split scheme that leaves something to fit on, and for every fold.

    Parameters
    ----------
    tracks : pandas.DataFrame
        As `hitsong.data.tracks.load_tracks` gives them.
    config : hitsong.config.Config

    Returns
    -------
    divisions : list of Division
        That of `split.scheme` first; the folds, if there are any, last.
    left_out : list of str
        Lines on other schemes that leave too little.

    Raises
    ------
    UserError
        If the target cannot be fitted under `split.scheme`, or in a fold.
    """
    divisions, left_out, needed = [], [], [config.split.scheme, *folds.names(tracks)]
    for scheme in dict.fromkeys([config.split.scheme, *split_schemes(tracks), *needed]):
        train = tracks[scheme] == "train"
        try:
            if train.sum() < 2:
                raise UserError(f"{train.sum()} training tracks")
            divisions.append(Division(scheme, *with_target(tracks, train, config)))
        except UserError as error:
            if scheme == config.split.scheme:
                raise
            if scheme in needed:
                raise UserError(f"{config.rounds_setting}: {scheme}: {error}") from None
            left_out.append(f"{scheme} split: {error}, so it is left out")
    return divisions, left_out


def headline(divisions):
    """The divisions that the results come from: the folds, or else the single split of `split.scheme`."""
    return [division for division in divisions if division.scheme.startswith("fold-")] or divisions[:1]


def joined(divisions, side, values):
    """Truth or predictions of the tracks on a side of several divisions, one after the other.

    Parameters
    ----------
    divisions : list of Division
        In which every track is on this side once at most.
    side : str
    values : sequence of array-like
        For each division those of its tracks on the side.

    Returns
    -------
    values : np.ndarray
    tracks : pandas.DataFrame
        `track_id`, `group` and `fold`: the scheme of the division.
    """
    tracks = [
        division.tracks.loc[division.rows(side), ["track_id", "group"]].assign(fold=division.scheme)
        for division in divisions
    ]
    return np.concatenate([np.asarray(part) for part in values]), pd.concat(tracks, ignore_index=True)
