import json

import numpy as np
import pytest

from hitsong import config, targets
from hitsong.errors import UserError


def fit(train, **settings):
    return targets.fit(config.Target(**settings), train)


def test_popularity_passes_through():
    target = fit([3, 50, 0], kind="popularity", threshold=20.0)
    encoded = target.encode([7, 0, 100])
    assert encoded.dtype == np.float32
    assert list(encoded) == [7, 0, 100]
    assert target.threshold is None


def test_median_of_train_decides():
    target = fit([0, 0, 10, 20, 90], kind="popular")
    assert target.threshold == 10
    assert target.encode([9, 10, 11, 0]).tolist() == [0, 1, 1, 0]
    assert target.encode([9]).dtype == np.float32


def test_fixed_threshold():
    target = fit([10, 39, 80], kind="popular", threshold=39.0)
    assert target.encode([38.9, 39]).tolist() == [0, 1]
    assert str(target) == "popular (popularity >= 39)"


def test_description_survives_json():
    for kind in ["popularity", "popular"]:
        target = fit([0, 1, 2], kind=kind)
        assert targets.Target(**json.loads(json.dumps(target.description()))) == target


@pytest.mark.parametrize("train", [[0, 0, 0, 5], [4, 4]])
def test_median_with_one_class(train):
    # A median at the minimum: every track reaches it.
    with pytest.raises(UserError, match="target.threshold median: all . training tracks"):
        fit(train, kind="popular")


def test_threshold_nobody_reaches():
    with pytest.raises(UserError, match="set target.threshold above 1 and up to 50"):
        fit([1, 50], kind="popular", threshold=60.0)


def test_missing_popularity_is_refused():
    with pytest.raises(ValueError, match="must not be missing"):
        fit([1, np.nan], kind="popular")
    with pytest.raises(ValueError, match="must not be missing"):
        targets.Target("popular", 5.0).encode([np.nan])
    with pytest.raises(ValueError, match="at least one"):
        fit([], kind="popularity")
