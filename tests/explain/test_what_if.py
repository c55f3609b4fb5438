"""What a score becomes with another sound, and when two versions differ by more than noise."""

import numpy as np
import pytest

from hitsong.explain.what_if import variant_scores, within_noise
from hitsong.predict.song_features import Variant

NAMES = ["unchanged", "louder", "softer", "shift", "shift", "excerpt", "excerpt"]


def scores_of(*values):
    made = [Variant(name, float(place), {}) for place, name in enumerate(NAMES)]
    return variant_scores(made, np.array(values, np.float32))


def test_scores_are_sorted_by_what_was_changed():
    scores = scores_of(40, 43, 37.5, 40.3, 39.6, 20, 50)
    assert scores.score == 40
    assert scores.noise == pytest.approx(np.sqrt((0.3**2 + 0.4**2) / 2), rel=1e-4)
    assert scores.sound == {"louder": 43, "softer": 37.5}
    assert scores.curve == [(5.0, 20.0), (6.0, 50.0)]
    assert scores.beyond_noise(43)
    assert not scores.beyond_noise(40.5)


def test_versions_differ_only_beyond_the_noise_of_both():
    quiet, other, far = (
        scores_of(40, 0, 0, 40.3, 39.6, 0, 0),
        scores_of(41, 0, 0, 42, 40, 0, 0),
        scores_of(43, 0, 0, 44, 42, 0, 0),
    )
    assert within_noise(quiet, other)
    assert within_noise(other, quiet)
    assert not within_noise(quiet, far)
