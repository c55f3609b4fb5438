"""Ordered parallel map over many clips: in processes on this machine, or on a Dask cluster.

Only a window of calls runs at a time, so that memory does not grow with the number of clips. Worker processes have one
thread each: with multi-threaded linear algebra two workers run slower than one.
"""

import os
import threading
import time
from collections import deque
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from itertools import islice

from joblib import cpu_count
from joblib.externals.loky import ProcessPoolExecutor

CRASHED = "the worker process crashed while decoding this file"
AHEAD = 4  # calls under way per worker
# Without MALLOC_TOP_PAD_, glibc returns the arrays of each clip to the system, which is slow. Only memory that a worker
# has touched is real.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "MALLOC_TOP_PAD_": str(256 << 20),
}  # fmt: skip


def map_ordered(function, arguments, workers, scheduler=None):
    """Call a function for each argument.

    Where a worker process crashes, the running calls are repeated one by one in another process, and only the call that
    crashes again is lost.

    Parameters
    ----------
    arguments : iterable
        Taken only as far as `AHEAD` calls per worker beyond the results.
    workers : int
        Processes; -1 is one per core, 1 is this process.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers see the same files.

    Yields
    ------
    object
        Results, in the order of the arguments; `CRASHED` in place of a result whose process crashed.
    """
    workers = cpu_count() if workers == -1 else workers
    if scheduler is not None:
        from hitsong.features.cluster import connect  # for Dask, which is optional

        executor = connect(function, scheduler)
    elif workers == 1:
        yield from map(function, arguments)
        return
    else:
        executor = _processes(function, workers)
    arguments, window = iter(arguments), deque()
    with executor as calls:
        while True:
            room = AHEAD * calls.workers() - len(window)
            window.extend(calls.submit(argument) for argument in islice(arguments, max(0, room)))
            if not window:
                return
            yield calls.result(window.popleft())


@contextmanager
def _processes(function, workers):
    """Worker processes on this machine, ended with the block."""
    processes = _Processes(function, workers)
    try:
        yield processes
    finally:
        processes.end()


class _Processes:
    """Calls of one function in worker processes; a call whose process crashed is repeated in one of its own."""

    def __init__(self, function, workers):
        self.function, self._workers = function, workers
        self._pool, self._single = _pool(workers), None

    def workers(self):
        return self._workers

    def submit(self, argument):
        try:
            return argument, self._pool.submit(self.function, argument)
        except BrokenExecutor:
            self._pool = _pool(self._workers)
            return argument, self._pool.submit(self.function, argument)

    def result(self, call):
        argument, future = call
        try:
            return future.result()
        except BrokenExecutor:
            return self._repeat(argument)

    def _repeat(self, argument):
        self._single = self._single or _pool(1)
        try:
            return self._single.submit(self.function, argument).result()
        except BrokenExecutor:
            self._single = None
            return CRASHED

    def end(self):
        for pool in (self._pool, self._single):
            if pool is not None:
                pool.shutdown()  # after the few calls that still run


def _pool(workers):
    return ProcessPoolExecutor(
        workers, initializer=_end_with_parent, initargs=(os.getpid(),), env=ENVIRONMENT
    )


def _end_with_parent(parent):
    """End a worker when its parent has been killed; otherwise it would wait minutes for work."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
