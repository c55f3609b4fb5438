"""Listens per song from dumps of every form, beside pandas; kills, broken files, and a Dask cluster."""

import multiprocessing
import random
import shutil

import numpy as np
import pandas as pd
import pytest

from hitsong.collect.listens import Dump
from hitsong.config import Config
from hitsong.errors import UserError
from standin import dump as synthetic
from standin.identities import recording_mbids
from standin.world import World
from tests.features.test_cluster import cluster  # noqa: F401

SETTINGS = Config.model_validate({"standin": {"artists": 6, "recordings": 30, "seconds": 1.0}}).standin


@pytest.fixture(scope="module")
def world():
    return World(SETTINGS, "mandopop")


@pytest.fixture(scope="module")
def listens(world):
    return synthetic.draw_listens(world, np.random.default_rng(1))


@pytest.fixture(scope="module")
def songs(world):
    rows = [
        (mbid, f"song {number}")
        for number, recording in enumerate(world.recordings)
        for mbid in recording_mbids(world, recording)
    ]
    return pd.DataFrame(rows, columns=["recording_mbid", "key"])


def reference(listens, songs):
    """What pandas counts: totals and months."""
    named = listens.merge(songs, on="recording_mbid")
    time = pd.to_datetime(named["listened_at"], unit="s")
    named["month"] = time.dt.year * 100 + time.dt.month

    def counts(keys):
        groups = named.groupby(keys)["user_id"]
        return groups.agg(listens="size", users="nunique").reset_index()

    return counts(["key"]), counts(["key", "month"])


def assert_equal(counted, expected):
    for item, other in zip(counted, expected, strict=True):
        pd.testing.assert_frame_equal(item, other, check_dtype=False)


FORMS = {
    "parquet": synthetic.write_parquet,
    "tar": synthetic.write_tar,
    "json in tar.zst": synthetic.write_json,
    "json lines": lambda folder, listens: (folder / "1.listens").write_text(synthetic.json_lines(listens)),
}


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_dump_gives_the_counts_of_pandas(tmp_path, listens, songs, form):
    (tmp_path / "dump").mkdir()
    FORMS[form](tmp_path / "dump", listens)
    dump = Dump(tmp_path / "dump", tmp_path / "cache")
    rows, mapped, last = dump.describe()
    assert (rows, mapped) == (len(listens), listens["recording_mbid"].notna().sum())
    assert pd.Timestamp(last).timestamp() == listens["listened_at"].max()
    assert_equal(dump.count_songs(songs), reference(listens, songs))
    each = songs.assign(key=songs["recording_mbid"])
    pd.testing.assert_frame_equal(dump.count_recordings(), reference(listens, each)[0], check_dtype=False)
    left = {path.name.partition("-")[0] for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert left <= {"listens", "archive", "songs.parquet", "totals.parquet", "months.parquet"}


def test_a_user_of_two_recordings_in_two_files_counts_once(tmp_path):
    columns = ["user_id", "listened_at", "recording_mbid", "recording_name", "artist_name"]
    listens = pd.DataFrame(
        [(1, 10, "A", "x", "y"), (1, 20, "b", "x", "y"), (2, 30, None, "x", "y"), (3, 40, "b", "x", "y")],
        columns=columns,
    )
    synthetic.write_parquet(tmp_path / "dump", listens, files=4)
    songs = pd.DataFrame({"recording_mbid": ["a", "b"], "key": ["song", "song"]})
    totals, months = Dump(tmp_path / "dump", tmp_path / "cache").count_songs(songs)
    assert totals.to_numpy().tolist() == [["song", 3, 2]]
    assert months.to_numpy().tolist() == [["song", 197001, 3, 2]]


def test_counts_are_made_anew_when_the_dump_or_the_songs_change(tmp_path, listens, songs):
    synthetic.write_parquet(tmp_path / "dump", listens)
    dump = Dump(tmp_path / "dump", tmp_path / "cache")
    first = dump.count_songs(songs)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.parquet")}
    assert_equal(dump.count_songs(songs), first)
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.parquet")}
    few = songs.head(5)
    assert_equal(dump.count_songs(few), reference(listens, few))
    shutil.rmtree(tmp_path / "dump")
    half = listens.head(len(listens) // 2)
    synthetic.write_parquet(tmp_path / "dump", half)
    assert_equal(Dump(tmp_path / "dump", tmp_path / "cache").count_songs(songs), reference(half, songs))


def test_what_is_no_dump_is_refused_in_a_line(tmp_path, listens):
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match="is no folder"):
        Dump(tmp_path / "nothing", cache)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no"):
        Dump(tmp_path / "empty", cache)
    whole = synthetic.write_json(tmp_path / "empty", listens).read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "a.tar.zst").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"a\.tar\.zst"):
        Dump(cut, cache).describe()
    (cut / "a.tar.zst").unlink()
    (cut / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="cannot be read"):
        Dump(cut, cache).describe()


def test_two_dumps_of_the_same_listens_are_refused(tmp_path, listens):
    synthetic.write_parquet(tmp_path, listens)
    synthetic.write_json(tmp_path, listens)
    with pytest.raises(UserError, match="repeat listens"):
        Dump(tmp_path, tmp_path / "cache")


def _child(folder, cache, songs):
    Dump(folder, cache).count_songs(songs)


@pytest.mark.long
def test_thirty_kills_change_nothing(tmp_path, listens, songs):
    (tmp_path / "dump").mkdir()
    synthetic.write_json(tmp_path / "dump", listens)
    context, chance, kills = multiprocessing.get_context("forkserver"), random.Random(1), 0
    context.set_forkserver_preload(["tests.collect.test_listens"])
    while kills < 30:
        child = context.Process(target=_child, args=(tmp_path / "dump", tmp_path / "cache", songs))
        child.start()
        child.join(chance.uniform(0.1, 1.0))
        if child.is_alive():
            child.kill()
            kills += 1
        else:
            assert child.exitcode == 0
            shutil.rmtree(tmp_path / "cache")
        child.join()
    assert_equal(Dump(tmp_path / "dump", tmp_path / "cache").count_songs(songs), reference(listens, songs))


@pytest.mark.long
def test_two_dask_workers_count_the_same(cluster, tmp_path, listens, songs):  # noqa: F811
    address, start_worker = cluster
    for _ in range(2):
        start_worker()
    synthetic.write_parquet(tmp_path / "dump", listens, files=6)
    dump = Dump(tmp_path / "dump", tmp_path / "cache", address)
    assert_equal(dump.count_songs(songs), reference(listens, songs))
