"""The study's folder: one writer at a time, the chain of stages, the settings that it keeps."""

import multiprocessing

import pandas as pd
import pytest

from hitsong import study as studies
from hitsong.collect import sources
from hitsong.config import Config
from hitsong.errors import UserError
from hitsong.files import read_json, write_table
from hitsong.study import Stage, Study, differences, problem


@pytest.fixture
def config(tmp_path):
    return Config(data=str(tmp_path), study="small")


def run_stage(name, config, *paths, needs=(), content=1):
    """One stage that leaves tables at some paths of the study."""
    study = Study.of(config)
    stage = Stage(study, name, config, needs)
    for path in paths:
        write_table(study.folder / path, pd.DataFrame({"x": [content]}))
    stage.finish([study.folder / path for path in paths], {})
    stage._lock.close()
    return study


def test_every_stage_checks_the_whole_chain_before_it(config):
    run_stage("collect", config, "tracks.parquet")
    run_stage("download", config, "downloads.parquet", needs=["collect"])
    run_stage("features", config, "features/index.parquet", needs=["download"])
    study = run_stage("train", config, needs=["features"])
    run_stage("collect", config, "tracks.parquet", content=2)  # more tracks
    for stage in ("features", "train", "baseline"):  # two stages back, too
        with pytest.raises(
            UserError, match=r"tracks\.parquet has changed since 02_download\.py used it; run: "
        ):
            Stage(study, stage, config)
    run_stage("download", config, "downloads.parquet", needs=["collect"])
    with pytest.raises(
        UserError, match=r"has changed since 03_features\.py used it; run: python 03_features\.py"
    ):
        Stage(study, "train", config)


def test_another_choice_of_previews_needs_another_download(config):
    run_stage("collect", config, "tracks.parquet")
    study = run_stage("download", config, "downloads.parquet", needs=["collect"])
    other = config.model_copy(
        update={"download": config.download.model_copy(update={"previews": ["source"]})}
    )
    with pytest.raises(UserError, match=r"download\.previews .*; run: python 02_download\.py"):
        Stage(study, "features", other, ["download"])


def test_an_interrupted_or_edited_result_is_not_used(config):
    study = run_stage("collect", config, "tracks.parquet")
    write_table(study.tracks, pd.DataFrame({"x": [5]}))
    with pytest.raises(UserError, match=r"not as 01_collect\.py left it"):
        Stage(study, "download", config, ["collect"])
    study.tracks.unlink()
    with pytest.raises(UserError, match="is missing"):
        Stage(study, "baseline", config, ["collect"])


def test_songs_are_called_synthetic_by_their_source_and_not_by_what_a_stand_in_left(config):
    study = Study.of(config)
    for source, synthetic in (("synthetic spotify", True), ("spotify", False)):
        write_table(study.tracks, pd.DataFrame({"popularity_source": [source]}))
        write_table(study.planted, pd.DataFrame({"track_id": ["a"]}))
        assert study.synthetic == synthetic


def test_messages_repeat_the_options_that_were_given(config, monkeypatch):
    monkeypatch.setattr(studies, "_options", "--study small --set collect.genre=jazz")
    with pytest.raises(
        UserError, match=r"run: python 01_collect\.py --study small --set collect\.genre=jazz$"
    ):
        Stage(Study.of(config), "download", config, ["collect"])
    assert not Study.of(config).folder.exists()


def test_tracks_of_another_crawl_are_not_used(config):
    study = run_stage("collect", config, "tracks.parquet")
    other = Config(**config.model_dump(exclude_unset=True) | {"collect": {"genre": "jazz"}})
    with pytest.raises(UserError, match=r"other settings \(collect\.genre mandopop -> jazz\); run: "):
        Stage(study, "download", other, ["collect"])
    slower = Config(**config.model_dump(exclude_unset=True) | {"collect": {"gap_s": 1.0}})
    assert problem(study, "collect", slower) is None  # how a crawl asks does not change what it finds


def test_two_sources_do_not_share_a_folder(config):
    study = run_stage("collect", config, "tracks.parquet")
    for collect in ({"api": "live"}, {"source": "fma", "root": "x"}):
        other = Config(**config.model_dump(exclude_unset=True) | {"collect": collect})
        with pytest.raises(UserError, match=r"was collected from spotify \(standin\).*--set study=NAME"):
            Stage(study, "collect", other)
    assert read_json(study.record("collect"))["config"]["collect"]["api"] == "standin"


def _hold(config, ready, release):
    stage = Stage(Study.of(config), "collect", config)
    ready.set()
    release.wait(20)
    del stage


def test_a_study_has_one_writer_and_the_message_names_it(config):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(config, ready, release))
    process.start()
    try:
        assert ready.wait(20)
        with pytest.raises(UserError, match=rf"in use by 01_collect\.py \(process {process.pid}, since "):
            Stage(Study.of(config), "collect", config)
    finally:
        process.kill()
        process.join()
    Stage(Study.of(config), "collect", config)  # a killed process holds nothing


def test_differences_name_each_setting():
    before = {"a": 1, "b": {"c": [1, 2], "d": None}}
    assert differences(before, before) == []
    assert differences(before, {"a": 1, "b": {"c": [1], "d": 2.5}}) == [
        "b.c [1, 2] -> [1]",
        "b.d none -> 2.5",
    ]


@pytest.mark.parametrize("most", [studies.MOST_HASHED, 1])
def test_a_changed_source_outside_the_study_is_noticed(config, tmp_path, monkeypatch, most):
    monkeypatch.setattr(studies, "MOST_HASHED", most)  # a dump is known by size and time
    dump = tmp_path / "dump" / "1.listens"
    dump.parent.mkdir()
    dump.write_text("listens")
    (dump.parent / "COPYING").touch()
    collect = {"source": "listenbrainz", "listens": str(dump.parent)}
    chosen = Config(data=str(tmp_path), study="open", collect=collect)
    assert sources.files(chosen) == [dump]
    stage = Stage(Study.of(chosen), "collect", chosen)
    stage.add_inputs(sources.files(chosen))
    stage.finish([], {})
    assert problem(stage.study, "collect", chosen) is None
    dump.write_text("more listens")
    assert "1.listens has changed since 01_collect.py used it" in problem(stage.study, "collect", chosen)
