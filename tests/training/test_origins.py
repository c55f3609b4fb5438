"""Networks at each date of a rolling origin: fitted on what had been read by then."""

import numpy as np
import pandas as pd
import pytest

from hitsong import config
from hitsong.data import folds, growth, origins
from hitsong.data.corpus import Corpus
from hitsong.data.tracks import with_target
from hitsong.study import Study
from hitsong.training import predictions, stage
from tests.careers import careers

ABOUT = {"genre": {"tracks": 90, "popularity": None}, "scheme": "time", "popularity_source": "invented"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network of four numbers, fitted at two dates, and once to be served: corpus, fits."""
    chosen = config.load(
        "config.yaml",
        [
            "study=dates", f"data={tmp_path_factory.mktemp('data')}", "train.models=[numeric_mlp]", "train.epochs=3",
            "train.numeric=spotify", "target.kind=growth", "split.scheme=time", "split.origins=2",
            "baseline.features=[energy, valence]", "evaluate.draws=100",
        ],
    )  # fmt: skip
    data = careers(300, 120)
    readings = growth.select_quantity(data.history, chosen)
    tracks = growth.with_growth(data.tracks.join(data.sound, on="track_id"), readings, chosen.target)
    tracks = growth.with_first_weeks(tracks, readings, chosen.target)
    tracks = origins.with_sides(tracks, origins.origin_dates(tracks, 2), chosen.split, 1)
    tracks = tracks.assign(
        group=tracks["artist_id"], side=tracks["fold-1"], preview_url=None, audio_path=None
    )
    study = Study.of(chosen)
    study.folder.mkdir(parents=True)
    tracks.to_parquet(study.tracks)
    corpus = Corpus(study, chosen, *with_target(tracks, tracks["side"] == "train", chosen), ["numeric"])
    names = chosen.train.models
    return corpus, list(
        stage.train(corpus, stage.Plan(names, names, names, []), ABOUT, report=lambda line: None)
    )


def test_a_fit_for_each_date_and_one_to_be_served(trained):
    corpus, done = trained
    assert [one.served for one in done] == [False, False, True]
    assert "numeric_mlp, origin 2 of 2: trained" in done[1].line
    for name, one in zip(folds.names(corpus.tracks), done[:2], strict=True):
        validated = pd.read_parquet(one.bundle.folder / "validation.parquet")["track_id"]
        assert sorted(validated) == sorted(corpus.tracks.loc[corpus.tracks[name] == "validation", "track_id"])
        assert one.bundle.info["trained_on"]["train"] == (corpus.tracks[name] == "train").sum()
        assert one.bundle.info["target"]["kind"] == "growth"


@pytest.mark.long
def test_each_track_is_predicted_by_the_models_of_its_date(trained):
    corpus, done = trained
    found = predictions.predict_test_tracks(corpus.study, corpus.config, corpus.tracks, corpus.target)
    [series] = found.predictions["numeric_mlp"]
    assert sorted(series.index) == sorted(corpus.tracks.loc[corpus.tracks["fold"] != "excluded", "track_id"])
    for number, one in enumerate(done[:2], start=1):
        clips = corpus.fold(number).side(["numeric"], "test")
        np.testing.assert_allclose(series[clips.track_ids], one.bundle.predict(clips), rtol=1e-5)
