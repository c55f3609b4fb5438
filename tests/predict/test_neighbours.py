"""The nearest tracks of a study: themselves first, and only where they may be shown."""

import numpy as np
import pytest

from hitsong.predict.neighbours import FILE, Neighbours, write_neighbours
from hitsong.predict.predictor import Predictor
from hitsong.predict.song_features import read_features
from hitsong.study import Study
from tests.small_study import bundle_of, small_study


@pytest.fixture(scope="module")
def study():
    return Study.of(small_study()[0])


@pytest.mark.long
def test_a_track_of_the_study_is_nearest_to_itself_and_test_tracks_are_not_named(study):
    _, tracks = small_study()
    predictor = Predictor(bundle_of("popularity"), ["descriptors"])
    trained = tracks[tracks["side"] != "test"]
    for track in trained.iloc[[0, 20]].itertuples():
        song = read_features(study.folder / track.path, predictor.settings)
        nearest = predictor.predict(song).neighbours
        assert nearest[0] == {
            "name": track.name, "artist": "Planted & Sons", "popularity": track.popularity
        }  # fmt: skip
        assert len(nearest) == 5
    assert set(predictor.neighbours.name) == set(trained["name"])


def test_the_order_is_that_of_standardised_distances(rng):
    vectors = rng.normal(size=(30, 4)) * [1, 10, 100, 1000]
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    table = Neighbours(
        "descriptors", mean, deviation, (vectors - mean) / deviation,
        np.array([f"track {row}" for row in range(30)]), np.full(30, "A"), np.arange(30.0),
    )  # fmt: skip
    song = rng.normal(size=4) * [1, 10, 100, 1000]
    distances = ((vectors - song) ** 2 / vectors.var(axis=0)).sum(axis=1)
    assert [track["popularity"] for track in table.nearest(song, 7)] == list(np.argsort(distances)[:7])


def test_tracks_that_may_not_be_passed_on_are_not_written(study, tmp_path):
    config, tracks = small_study()
    spotify = tracks.assign(popularity_source="spotify")
    assert not write_neighbours(tmp_path, study, config.features, spotify)
    assert not (tmp_path / FILE).exists()
    assert Neighbours.read(tmp_path, config.features) is None
    assert write_neighbours(tmp_path, study, config.features, tracks.assign(popularity_source="fma listens"))
    assert len(Neighbours.read(tmp_path, config.features).name) == (tracks["side"] != "test").sum()
