"""No step's work grows with the square of the number of artists: counted, not timed."""

import sys

import numpy as np
import pandas as pd
import pytest

from hitsong.config import Config
from hitsong.data import splits
from hitsong.data.targets import fit_target
from hitsong.evaluation import crossvalidation
from hitsong.evaluation.bootstrap import Resampling
from hitsong.evaluation.conformal import calibrate

FEW, MANY = 20_000, 40_000
N_LOG_N = 2.3  # doubling n makes n log n 2.14 times as large, and n squared 4 times


class Name(str):
    """The name of an artist's group that counts how often names are compared or hashed."""

    count = 0

    def _counted(method):
        def count(self, *others):
            Name.count += 1
            return method(self, *others)

        return count

    __eq__, __lt__, __hash__ = map(_counted, (str.__eq__, str.__lt__, str.__hash__))


def count_work(function, *arguments):
    """How many names were compared or hashed, and how many lines of the package were executed."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if "hitsong" not in frame.f_code.co_filename:
            return None
        lines += event == "line"
        return trace

    Name.count, before = 0, sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return Name.count, lines


def catalogue(artists):
    """Two tracks per artist, and their audio features."""
    rng = np.random.default_rng(artists)
    names = [Name(f"artist {number}") for number in rng.permutation(artists)] * 2
    tracks = pd.DataFrame({
        "track_id": [f"t{number:06d}" for number in range(len(names))],
        "artist_ids": [[name] for name in names],
        "release_date": "2020-01-01",
        "popularity": rng.uniform(0, 100, len(names)),
    })  # fmt: skip
    tracks["group"] = pd.Series(names, dtype=object)
    return tracks, pd.DataFrame(rng.normal(size=(len(names), 3)), columns=["x", "y", "z"])


def split(tracks, _):
    splits.make_splits(tracks, "popularity", Config().split, 1)


def cross_validate(tracks, features):
    config = Config.model_validate(
        {"baseline": {"models": ["ridge"], "alphas": [1.0]}, "evaluate": {"draws": 100}}
    )
    target = fit_target(config.target, tracks["popularity"])
    crossvalidation.diagnose({"spotify": features}, target.write(tracks.assign(side="train")), target, config)


def resample(tracks, features):
    y = tracks["popularity"].to_numpy()
    Resampling(tracks["group"].to_numpy(), 20, 1).measure(
        "popularity", y, [features["x"].to_numpy()], ["mse"]
    )


def conformal(tracks, features):
    target = fit_target(Config().target, tracks["popularity"])
    calibrate(target, tracks["popularity"].to_numpy(), features["x"].to_numpy(), tracks["group"].to_numpy())


@pytest.mark.long
@pytest.mark.parametrize("step", [split, cross_validate, resample, conformal])
def test_twice_the_artists_are_not_four_times_the_work(step):
    few, many = (count_work(step, *catalogue(artists)) for artists in (FEW, MANY))
    assert few[0] + few[1] > 0
    assert all(b <= N_LOG_N * max(a, 1000) for a, b in zip(few, many, strict=True)), (few, many)


def test_comparing_every_name_with_every_track_is_noticed():
    def compare_all(tracks, _):
        names = tracks["group"].to_numpy()
        for name in names:
            _ = names == name

    few, many = (count_work(compare_all, *catalogue(artists))[0] for artists in (200, 400))
    assert many > N_LOG_N * few
