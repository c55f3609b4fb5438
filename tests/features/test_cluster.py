"""A real Dask scheduler and its workers on loopback, started as the README says, in a folder without the package."""

import json
import math
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from hitsong.config import Compute
from hitsong.errors import UserError
from hitsong.features import cluster as clusters
from hitsong.features.extract import extract
from hitsong.features.parallel import map_ordered
from tests.features.test_features import KINDS, indexed

pytest.importorskip("distributed")
pytestmark = pytest.mark.long


@pytest.fixture
def cluster(tmp_path):
    """Starts a scheduler; gives its address, and a function that starts a worker."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with ExitStack() as stack:

        def start(*arguments):
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                cwd=elsewhere, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        file = elsewhere / "scheduler.json"
        start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
        )
        while not file.exists() or not file.read_text():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        yield address, lambda: start("worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny")


def test_results_come_in_order_and_outlive_a_worker(cluster):
    address, start_worker = cluster
    workers = [start_worker(), start_worker()]
    results = map_ordered(math.sqrt, range(60), workers=2, scheduler=address)
    first = [next(results) for _ in range(5)]
    workers[0].kill()
    assert first + list(results) == [math.sqrt(number) for number in range(60)]


def test_the_stage_on_a_cluster_that_loses_a_worker(cluster, tmp_path, tone):
    address, start_worker = cluster
    workers = [start_worker(), start_worker()]
    clips = {f"t{n:02}": tone(f"{n}.wav", hz=200 + 20 * n) for n in range(40)}
    here, there = (indexed(tmp_path / name, **clips) for name in ("here", "there"))
    expected = extract(here, KINDS, tmp_path, Compute(workers=1))[0]
    killer = threading.Timer(2.0, workers[0].kill)
    killer.start()
    assert extract(there, KINDS, tmp_path, Compute(scheduler=address))[0] == expected
    killer.join()
    for kind in KINDS.kinds:
        assert (there.folder / f"{kind}.npy").read_bytes() == (here.folder / f"{kind}.npy").read_bytes()


def test_no_scheduler_is_an_error_of_the_user():
    with pytest.raises(UserError, match="no Dask scheduler"):
        list(map_ordered(math.sqrt, [1], workers=1, scheduler="tcp://127.0.0.1:9"))


def test_a_scheduler_without_workers_is_not_waited_for_for_ever(cluster, monkeypatch):
    monkeypatch.setattr(clusters, "JOIN_S", 1)
    with pytest.raises(UserError, match="no worker has joined"):
        list(map_ordered(math.sqrt, [1], workers=1, scheduler=cluster[0]))


def test_lost_workers_are_not_waited_for_for_ever(cluster, monkeypatch):
    monkeypatch.setattr(clusters, "STALL_S", 2)
    monkeypatch.setattr(clusters, "POLL_S", 0.5)
    address, start_worker = cluster
    worker = start_worker()
    results = map_ordered(math.sqrt, range(100), workers=1, scheduler=address)
    next(results)
    worker.kill()
    with pytest.raises(UserError, match="no worker for|not finished one clip"):
        list(results)


def test_a_worker_with_other_libraries_is_refused(cluster, monkeypatch):
    address, start_worker = cluster
    start_worker()
    monkeypatch.setattr(clusters, "_versions", lambda: {"numpy": "1.0"})
    with pytest.raises(UserError, match=r"has numpy .*, and this machine has 1\.0"):
        list(map_ordered(math.sqrt, [1], workers=1, scheduler=address))
