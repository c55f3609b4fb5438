"""Cross-fitting of trained models: what each fold is fitted on, what is served, and what is measured."""

import shutil

import numpy as np
import pandas as pd
import pytest

from hitsong import config
from hitsong.data import folds
from hitsong.data.corpus import Corpus
from hitsong.data.tracks import with_target
from hitsong.errors import UserError
from hitsong.study import Study
from hitsong.training import predictions, stage

ABOUT = {"genre": {"tracks": 90, "popularity": None}, "scheme": "artist", "popularity_source": "invented"}


def settings(folder, *more):
    chosen = [
        "study=folded", f"data={folder}", "train.models=[numeric_mlp]", "train.epochs=3", "train.batch_size=16",
        "train.numeric=spotify", "evaluate.folds=3", "evaluate.draws=100", "baseline.features=[energy, valence]",
    ]  # fmt: skip
    return config.load("config.yaml", [*chosen, *more])


def tracks_of(rng, count=90):
    """Tracks by thirty artists, whose popularity follows their energy."""
    artist = np.arange(count) % 30
    energy = rng.uniform(size=count)
    tracks = pd.DataFrame({
        "track_id": [f"t{n:02}" for n in range(count)], "group": [f"a{n:02}" for n in artist],
        "artist": np.array(["train", "train", "validation", "test"])[artist % 4],
        "popularity": 100 * energy + rng.normal(0, 5, count), "energy": energy, "valence": rng.uniform(size=count),
        "preview_url": None, "audio_path": None, "popularity_source": "invented",
    })  # fmt: skip
    tracks["side"] = tracks["artist"]
    return folds.with_sides(tracks, pd.DataFrame({"folds_3": (artist % 3 + 1).astype(str)}), 3)


def corpus_of(folder, tracks, *more):
    chosen = settings(folder, *more)
    study = Study.of(chosen)
    study.folder.mkdir(parents=True, exist_ok=True)
    tracks.to_parquet(study.tracks)
    labelled, target = with_target(tracks, tracks["side"] == "train", chosen)
    return Corpus(study, chosen, labelled, target, ["numeric"])


def train(corpus, **options):
    names = corpus.config.train.models
    plan = stage.Plan(names, names, names, [])
    return list(stage.train(corpus, plan, ABOUT, report=lambda line: None, **options))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    corpus = corpus_of(folder, tracks_of(np.random.default_rng(0)))
    return corpus, train(corpus)


@pytest.fixture
def copied(trained, tmp_path):
    """The same study in a folder of its own."""
    corpus, _ = trained
    shutil.copytree(corpus.study.folder, tmp_path / "folded")
    return corpus_of(tmp_path, tracks_of(np.random.default_rng(0)))


def measure(corpus):
    return predictions.predict_test_tracks(corpus.study, corpus.config, corpus.tracks, corpus.target)


def test_each_fold_is_fitted_without_its_tracks_and_served_is_the_last(trained):
    corpus, done = trained
    assert [one.served for one in done] == [False, False, False, True]
    assert [one.bundle.folder.relative_to(corpus.study.models).as_posix() for one in done] == [
        "fold-1/numeric_mlp", "fold-2/numeric_mlp", "fold-3/numeric_mlp", "numeric_mlp"
    ]  # fmt: skip
    assert "numeric_mlp, fold 2 of 3: trained" in done[1].line
    for number, one in enumerate(done[:3], start=1):
        validated = pd.read_parquet(one.bundle.folder / "validation.parquet")["track_id"]
        of_next = corpus.tracks.loc[corpus.tracks["fold"] == str(number % 3 + 1), "track_id"]
        assert sorted(validated) == sorted(of_next)
        assert one.bundle.info["trained_on"] == {"train": 30, "validation": 30}


def test_what_is_served_is_fitted_on_training_and_validation_for_the_median_of_the_epochs(trained):
    corpus, done = trained
    info, fold_infos = done[-1].bundle.info, [one.bundle.info for one in done[:-1]]
    epochs = round(np.median([one["best_epoch"] for one in fold_infos]))
    assert info["refit"] == {"folds": 3, "epochs": epochs}
    assert info["epochs"] == info["best_epoch"] == epochs
    assert info["stopped"] == "folds"
    assert info["trained_on"]["train"] == corpus.tracks["side"].isin(["train", "validation"]).sum()
    assert f"{epochs} epoch" in done[-1].line
    assert "the median of 3 fits" in done[-1].line
    # Its accuracy and its intervals are those of the folds.
    assert info["validation"]["spearman"] == pytest.approx(
        np.mean([one["validation"]["spearman"] for one in fold_infos])
    )
    held_out = pd.read_parquet(done[-1].bundle.folder / "validation.parquet")
    assert sorted(held_out["track_id"]) == sorted(corpus.tracks["track_id"])
    assert info["calibration"]["tracks"] == len(corpus.tracks)
    done[-1].bundle.verify(corpus.side(["numeric"], "validation"))


def test_predictions_of_all_tracks_are_out_of_fold(trained):
    corpus, done = trained
    found = measure(corpus)
    [series] = found.predictions["numeric_mlp"]
    assert sorted(series.index) == sorted(corpus.tracks["track_id"])
    for number, one in enumerate(done[:3], start=1):
        clips = corpus.fold(number).side(["numeric"], "test")
        np.testing.assert_allclose(series[clips.track_ids], one.bundle.predict(clips), rtol=1e-5)
    assert found.bundles["numeric_mlp"].folder == corpus.study.model("numeric_mlp")
    assert found.validated["numeric_mlp"].error > 0
    assert 0 <= found.coverage["numeric_mlp"]["0.9"]["coverage"] <= 1


def test_finished_folds_are_kept_and_a_lost_one_is_fitted_again(copied):
    assert not any(one.trained for one in train(copied))
    shutil.rmtree(copied.study.model("numeric_mlp", fold=2))
    assert measure(copied).predictions == {}  # not measured in part
    assert "not trained in all 3 folds" in measure(copied).missing[0]
    assert [one.trained for one in train(copied)] == [False, True, False, False]


@pytest.mark.long
def test_folds_of_other_tracks_are_refused_and_fitted_anew(trained, tmp_path):
    corpus, _ = trained
    shutil.copytree(corpus.study.folder, tmp_path / "folded")
    tracks = tracks_of(np.random.default_rng(0))
    moved = tracks["group"] == "a00"  # from fold 1 to fold 2
    fold = tracks["fold"].where(~moved, "2").rename("folds_3").to_frame()
    changed = corpus_of(
        tmp_path, folds.with_sides(tracks.drop(columns=["fold", *folds.names(tracks)]), fold, 3)
    )
    with pytest.raises(
        UserError, match="numeric_mlp, fold 1 of 3 was trained on other data.*05_train.py numeric_mlp"
    ):
        measure(changed)
    assert [one.trained for one in train(changed)] == [True, True, True, True]


def test_a_single_split_and_folds_are_never_taken_for_each_other(copied, tmp_path):
    single = corpus_of(tmp_path, copied.tracks.drop(columns=["y"]), "evaluate.folds=0")
    with pytest.raises(
        UserError, match="the model numeric_mlp was trained on other data or with other settings"
    ):
        measure(single)
    assert [one.trained for one in train(single)] == [True]
    with pytest.raises(UserError, match="the model numeric_mlp to be served was trained"):
        measure(copied)
    assert not any(one.trained for one in train(copied))  # what was served before was kept aside
    assert list(measure(copied).predictions) == ["numeric_mlp"]


def test_the_cost_is_told_beforehand(copied):
    plan = stage.Plan(["numeric_mlp"], ["numeric_mlp"], ["numeric_mlp"], [])
    assert stage.describe_cost(copied, plan).endswith("4 fits, 4 of them finished")
    shutil.rmtree(copied.study.model("numeric_mlp", fold=3))
    assert "4 fits, 2 of them finished; the other 2 take about" in stage.describe_cost(copied, plan)
    shutil.rmtree(copied.study.models)
    assert "they take about 3 times as long as a single split" in stage.describe_cost(copied, plan)
