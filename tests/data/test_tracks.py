"""Tracks with targets and sides, and the tables that baselines are fitted on."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hitsong import config
from hitsong.collect import deduplicate
from hitsong.data import near_audio
from hitsong.data.corpus import Corpus, content_hash
from hitsong.data.tables import baseline_tables, read_table
from hitsong.data.targets import Target
from hitsong.data.tracks import find_leaks, load_tracks, united_line
from hitsong.errors import UserError
from hitsong.features.kinds import parameters
from hitsong.study import Study
from hitsong.training.recipe import fingerprint, inputs_of_all

POPULARITY = Target("popularity")


@pytest.fixture
def study(tmp_path):
    """A study of 30 tracks by 15 artists, and its config."""
    n = np.arange(30)
    tracks = pd.DataFrame({
        "track_id": [f"t{i:02}" for i in n], "artist_id": [f"a{i // 2}" for i in n],
        "artist_ids": [[f"a{i // 2}"] for i in n], "artist_name": [f"A {i // 2}" for i in n],
        "name": [f"song {i}" for i in n], "popularity": n.astype(float), "duration_ms": 180_000,
        "release_date": ["2020-07-01"] * 15 + [None] * 15, "fetched_at": "2022-01-01T00:00:00+00:00",
        "energy": np.where(n < 25, n / 30, np.nan), "valence": n / 60, "popularity_source": "test",
        "aliases": [[] for _ in n],
    }).reindex(columns=deduplicate.SCHEMA.names)  # fmt: skip
    study_object = Study(tmp_path)
    deduplicate.write(study_object.tracks, tracks)
    return study_object


def store(study, kind, columns, values):
    """Leave a kind of feature as 03 does, the third clip failed."""
    study.features.mkdir(exist_ok=True)
    ids = [f"t{i:02}" for i in range(len(values))]
    pd.DataFrame({"track_id": ids, "sha256": "x", "path": "y"}).to_parquet(study.features / "index.parquet")
    (study.features / f"{kind}.json").write_text(
        json.dumps({"kind": kind, "parameters": parameters(kind, config.Features()), "columns": columns})
    )
    np.save(study.features / f"{kind}.npy", np.asarray(values, np.float32))
    (study.features / "failures.csv").write_text(f"kind,row,track_id,reason\n{kind},2,t02,silent\n")


def test_tables_are_read_by_name_without_failures(study):
    assert read_table(study, "descriptors", config.Features()) is None
    store(study, "descriptors", ["tempo", "flatness"], [[100, 0.5], [120, 0.25], [0, 0], [90, 1]])
    table = read_table(study, "descriptors", config.Features())
    assert list(table.columns) == ["tempo", "flatness"]
    assert table.index.tolist() == ["t00", "t01", "t03"]
    assert table.loc["t03"].tolist() == [90, 1]


def test_inputs_are_what_is_there(study):
    settings = config.Config()
    tracks, target, _ = load_tracks(study, settings)
    tables = baseline_tables(study, settings, tracks, target)
    assert list(tables) == ["spotify", "age", "artist"]
    assert list(tables["spotify"]) == ["energy", "valence", "duration_ms"]
    assert tables["age"]["age"].iloc[0] == pytest.approx(1.5)
    assert tables["age"]["age"].isna().sum() == 15
    store(study, "tags", ["rock"], [[0.1], [0.2], [0.0], [0.4]])
    assert "tags" not in baseline_tables(study, settings, tracks, target)  # left from other settings
    settings = config.Config(features=config.Features(kinds=["tags"]))
    tables = baseline_tables(study, settings, tracks, target)
    assert list(tables) == ["spotify", "tags", "age", "artist"]
    assert tables["tags"].index.equals(tables["spotify"].index)
    assert tables["tags"]["rock"].isna().sum() == 27


def test_inputs_that_are_asked_for_must_be_there(study):
    settings = config.Config(baseline=config.Baseline(inputs=["tags"], controls=[]))
    tracks, target, _ = load_tracks(study, settings)
    with pytest.raises(UserError, match="baseline.inputs tags: .*features.kinds"):
        baseline_tables(study, settings, tracks, target)
    store(study, "tags", ["rock"], [[0.1], [0.2], [0.0], [0.4]])
    assert list(baseline_tables(study, settings, tracks, target)) == ["tags"]


def test_a_target_of_audio_features_is_no_input_of_its_own(study):
    settings = config.Config(target=config.Target(kind="audio_features", features=["energy"]))
    tracks, target, counts = load_tracks(study, settings)
    assert len(tracks) == 25
    assert counts["without_features"] == 5
    np.testing.assert_allclose(tracks["y_energy"], tracks["energy"], rtol=1e-6)
    assert list(baseline_tables(study, settings, tracks, target)["spotify"]) == ["valence", "duration_ms"]
    missing = config.Config(target=config.Target(kind="audio_features", features=["liveness"]))
    with pytest.raises(UserError, match="no track has all of liveness"):
        load_tracks(study, missing)


def test_leaks_use_hashes_and_clips_where_they_are(study, rng):
    settings = config.Config()
    tracks, _, _ = load_tracks(study, settings)
    leaks = find_leaks(study, tracks)
    assert set(leaks) == {"artist", "random", "time"}
    assert leaks["artist"] == {"artists": 0, "same_audio": None, "same_title": 0, "near_audio": None}
    assert leaks["random"]["artists"] > 0
    pd.DataFrame({"track_id": tracks["track_id"], "sha256": "same"}).to_parquet(study.downloads)
    store(study, "mel", None, rng.integers(0, 255, (30, 8, 40)))
    np.save(study.features / "mel.npy", rng.integers(0, 255, (30, 8, 40)).astype(np.uint8))
    description = {
        "kind": "mel",
        "parameters": parameters("mel", config.Features()),
        "scale": 0.3,
        "offset": -80,
    }
    (study.features / "mel.json").write_text(json.dumps(description))
    leaks = find_leaks(study, tracks)
    assert leaks["artist"]["same_audio"] == 1
    assert leaks["artist"]["near_audio"] == 0


def test_clips_of_one_recording_share_a_group_from_the_first_split_on(study, rng, monkeypatch):
    store(study, "mel", None, rng.integers(0, 255, (30, 8, 40)))
    np.save(study.features / "mel.npy", rng.integers(0, 255, (30, 8, 40)).astype(np.uint8))
    description = {
        "kind": "mel",
        "parameters": parameters("mel", config.Features()),
        "scale": 0.3,
        "offset": -80,
    }
    (study.features / "mel.json").write_text(json.dumps(description))
    before, _, counts = load_tracks(study, config.Config())
    assert (counts["united"], counts["copies_excluded"]) == (0, 0)
    assert united_line(counts) is None
    groups = before.set_index("track_id")["group"]
    a = groups.index[0]
    b = groups.index[groups != groups[a]][0]
    searched = []

    def find_pairs(track_ids, *_):
        searched.append(len(track_ids))
        return pd.DataFrame({"track_id": [a], "other": [b], "shift": [1.5], "correlation": [0.9]})

    monkeypatch.setattr(near_audio, "find_pairs", find_pairs)
    study.splits.unlink()
    shutil.rmtree(study.folder / ".cache")
    for _ in range(2):
        tracks, _, counts = load_tracks(study, config.Config())
        groups = tracks.set_index("track_id")["group"]
        assert groups[a] == groups[b]
        assert counts["united"] == 1
    assert searched == [29]  # one clip failed; the second time they are read
    assert "share a group" in united_line(counts)
    assert counts["copies_excluded"] == 0


def test_clips_that_turn_out_to_be_one_recording_are_not_left_on_two_sides(study, monkeypatch):
    before = load_tracks(study, config.Config())[0].set_index("track_id")["artist"]
    a, b = (before.index[before == side][0] for side in ("train", "test"))
    near = pd.DataFrame({"track_id": [a], "other": [b], "shift": [1.5], "correlation": [0.9]})
    monkeypatch.setattr("hitsong.data.tracks.near_pairs", lambda _: near)
    tracks, _, counts = load_tracks(study, config.Config())
    after = tracks.set_index("track_id")["artist"]
    assert sorted(after[[a, b]]) in (["excluded", "train"], ["excluded", "test"])
    assert (counts["united"], counts["copies_excluded"]) == (1, 1)
    assert "older than their pair" in united_line(counts)


def test_tracks_without_an_age_are_counted_where_the_target_is_relative_to_it(study):
    tracks = pd.read_parquet(study.tracks)
    tracks["release_date"] = [None] * 4 + ["2020-07-01"] * 26
    deduplicate.write(study.tracks, tracks)
    left, _, counts = load_tracks(study, config.Config(target={"relative_to": "age"}))
    assert (len(left), counts["without_age"]) == (26, 4)


# --- What models take -------------------------------------------------------------------------------


def corpus(study, *names, **train):
    settings = config.Config(train={"models": list(names), **train})
    tracks, target, _ = load_tracks(study, settings)
    return Corpus(study, settings, tracks, target, inputs_of_all(names, study, settings))


def test_examples_are_joined_by_track_id_and_miss_nothing_but_what_is_missing(study):
    loaded = corpus(study, "numeric_mlp")
    examples = loaded.side(["numeric"], "train")
    values = examples.table(["numeric"])
    assert list(values) == ["numeric:energy", "numeric:valence", "numeric:duration_ms"]
    tracks = loaded.tracks.set_index("track_id").loc[values.index]
    np.testing.assert_allclose(values["numeric:valence"], tracks["valence"], rtol=1e-6)
    np.testing.assert_allclose(
        values["numeric:energy"], tracks["energy"], rtol=1e-6
    )  # NaN where there is none
    np.testing.assert_allclose(examples.y, tracks["popularity"])
    assert (examples.groups == tracks["group"]).all()


def test_only_tracks_that_all_models_can_hear_are_kept(study):
    store(study, "tags", ["rock"], [[0.1], [0.2], [0.0], [0.4]] * 5)
    specification = {
        "kind": "tags",
        "parameters": parameters("tags", config.Features()),
        "columns": ["rock"],
        "scale": 1.0,
        "offset": 0.0,
    }
    (study.features / "tags.json").write_text(json.dumps(specification))
    examples = corpus(study, "tag_dnn", "numeric_mlp")
    assert sorted(examples.tracks["track_id"]) == [f"t{i:02}" for i in range(20) if i != 2]
    assert len(corpus(study, "numeric_mlp").tracks) == 30


def test_a_feature_that_a_model_needs_must_be_there_and_be_the_one_asked_for(study):
    with pytest.raises(UserError, match="holds no tags features.*features.kinds"):
        corpus(study, "tag_dnn")
    store(study, "tags", ["rock"], [[0.1]] * 4)
    path = study.features / "tags.json"
    path.write_text(path.read_text().replace('"version": ', '"version": 1000'))
    with pytest.raises(UserError, match="tags features were made with other settings"):
        corpus(study, "tag_dnn")


def test_a_fit_is_identified_by_its_data_recipe_and_parts(study):
    examples = corpus(study, "numeric_mlp", "features_only", "ensemble")
    item = fingerprint(examples, "numeric_mlp")
    assert item == fingerprint(examples, "numeric_mlp")
    assert item != fingerprint(examples, "numeric_mlp", 2)  # another seed
    assert item != fingerprint(
        corpus(study, "numeric_mlp", "features_only", "ensemble", epochs=3), "numeric_mlp"
    )
    whole = fingerprint(examples, "ensemble")
    assert set(whole["parts"]) == {"numeric_mlp", "features_only"}
    changed = corpus(
        study, "numeric_mlp", "features_only", "ensemble", parameters={"features_only": {"dropout": 0.1}}
    )
    assert fingerprint(changed, "ensemble")["parts"]["features_only"] != whole["parts"]["features_only"]


def test_what_a_bundle_says_of_its_data(study):
    about = corpus(study, "numeric_mlp").about()
    assert about["fetched"] == "2022-01-01"
    assert about["genre"]["tracks"] == 30
    assert np.interp(15, *np.transpose(about["genre"]["popularity"])) == pytest.approx(50, abs=3)
    assert sum(about["trained_on"].values()) < 30  # the test tracks are no part of it


# --- What a fit depends on --------------------------------------------------------------------------


def test_a_fingerprint_follows_every_number_that_a_fit_depends_on(study):
    def identity():
        return fingerprint(corpus(study, "numeric_mlp"), "numeric_mlp")

    first = identity()
    tracks = deduplicate.read(study.tracks)
    sides = pd.read_parquet(study.splits).set_index("track_id")["artist"]
    deduplicate.write(study.tracks, tracks.sample(frac=1, random_state=0))
    assert identity() == first  # the order of the table does not matter
    for side, depends in (("train", True), ("validation", True), ("test", False)):
        track_id = sides.index[sides == side][-1]
        changed = tracks.copy()
        changed.loc[changed["track_id"] == track_id, "valence"] += 0.01  # a corrected number
        deduplicate.write(study.tracks, changed)
        assert (identity() != first) == depends
        changed = tracks.copy()
        changed.loc[changed["track_id"] == track_id, "popularity"] += 1
        deduplicate.write(study.tracks, changed)
        assert (identity() != first) == depends
    deduplicate.write(study.tracks, tracks)
    splits = pd.read_parquet(study.splits)
    moved = splits["artist"].replace({"train": "validation", "validation": "train"})
    splits.assign(artist=moved).to_parquet(study.splits)
    assert identity() != first
    splits.to_parquet(study.splits)
    assert identity() == first
    item, other = tracks.index[tracks["track_id"].isin(sides.index[sides == "train"])][[0, -1]]
    changed = tracks.copy()
    changed.at[item, "artist_ids"] = [*tracks.at[item, "artist_ids"], *tracks.at[other, "artist_ids"]]
    deduplicate.write(study.tracks, changed)
    assert identity() != first  # a guest more: inner folds keep the two artists together


def test_a_fingerprint_follows_the_audio_behind_a_feature(study):
    specification = {
        "kind": "tags", "parameters": parameters("tags", config.Features()), "columns": ["rock"],
        "scale": 1.0, "offset": 0.0,
    }  # fmt: skip
    store(study, "tags", ["rock"], [[0.1]] * 30)
    (study.features / "tags.json").write_text(json.dumps(specification))
    first = fingerprint(corpus(study, "tag_dnn"), "tag_dnn")
    index = pd.read_parquet(study.features / "index.parquet")
    splits = pd.read_parquet(study.splits).set_index("track_id")["artist"]
    changed = index["track_id"] == splits.index[splits == "train"][-1]
    index.assign(sha256=index["sha256"].where(~changed, "z")).to_parquet(study.features / "index.parquet")
    assert fingerprint(corpus(study, "tag_dnn"), "tag_dnn") != first


def test_targets_and_splits_are_those_of_tracks_that_models_can_use(study):
    status = ["ok"] * 20 + ["dead"] * 10
    downloads = pd.DataFrame({"track_id": [f"t{i:02}" for i in range(30)], "status": status, "sha256": "x"})
    downloads.to_parquet(study.downloads)
    settings = config.Config(target={"kind": "popular"})
    tracks, target, counts = load_tracks(study, settings)
    assert sorted(tracks["track_id"]) == [f"t{i:02}" for i in range(20)]
    assert counts["without_clip"] == 10
    assert target.threshold == tracks.loc[tracks["side"] == "train", "popularity"].median()
    store(study, "descriptors", ["tempo"], [[1.0]] * 12)  # of eight clips they could not be made, one failed
    tracks, target, _ = load_tracks(study, settings, ["descriptors"])
    assert sorted(tracks["track_id"]) == [f"t{i:02}" for i in range(12) if i != 2]
    assert target.threshold == tracks.loc[tracks["side"] == "train", "popularity"].median()


def test_content_hashes_tell_values_names_and_shapes_apart():
    table = pd.DataFrame({"a": [1.0, np.nan], "b": [2.0, 3.0]})
    assert content_hash(table) == content_hash(table.copy())
    others = [table + 1e-12, table.rename(columns={"a": "c"}), table.iloc[:1], table[["b", "a"]], table.T]
    assert len({content_hash(other) for other in [table, *others]}) == 6
    assert content_hash(np.array(["ab", "c"])) != content_hash(np.array(["a", "bc"]))


@pytest.mark.parametrize(("source", "highest"), [("spotify, published table", 100), ("plays", None)])
def test_predictions_end_where_spotifys_scale_ends(study, source, highest):
    tracks = deduplicate.read(study.tracks)
    deduplicate.write(study.tracks, tracks.assign(popularity_source=source))
    _, target, _ = load_tracks(study, config.Config())
    assert target.highest == highest
