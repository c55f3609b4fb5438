"""A function over many clips: in processes on this machine, or on a Dask cluster, in order, whatever dies.

Worker processes keep to one thread each (joblib's loky sees to that): with the linear algebra libraries
left to themselves, two workers run slower than one.
"""

import os
import threading
import time
from contextlib import contextmanager

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

from hitsong.errors import UserError

DIED = "the decoder died of it"
BATCH = 4  # clips handed over at a time
TOP_PAD = 256 << 20  # bytes that a worker keeps at hand; only what it has used once is real


def over(function, arguments, workers, scheduler=None):
    """Call a function for each argument.

    A file that kills its worker takes nothing with it: the clips that were in the air are then tried one by
    one in another process, and whoever dies again is named.

    Parameters
    ----------
    function : callable
    arguments : list
    workers : int
        Processes; -1 is one per core.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers see the same files.

    Yields
    ------
    object
        Results, in the order of the arguments; `DIED` in place of a result that no process lived to give.
    """
    in_the_air = BATCH * 2 * (cpu_count() if workers == -1 else workers)
    start = 0
    with _backend(scheduler):
        while start < len(arguments):
            calls = (delayed(function)(argument) for argument in arguments[start:])
            results = Parallel(
                n_jobs=workers, return_as="generator", batch_size=BATCH, pre_dispatch="2*n_jobs"
            )(calls)
            try:
                for result in results:
                    start += 1
                    yield result
            except BrokenProcessPool:
                suspects = arguments[start : start + in_the_air]
                start += len(suspects)
                yield from _one_by_one(function, suspects)


def _one_by_one(function, arguments):
    """Call a function for each argument in another process, and in a new one after each that dies."""
    left = list(arguments)
    while left:
        with ProcessPoolExecutor(max_workers=1) as pool:
            died = False
            while left and not died:
                try:
                    yield pool.submit(function, left.pop(0)).result()
                except BrokenProcessPool:
                    died = True
                    yield DIED


def _end_with_parent(parent):
    """Let a worker end soon after a parent that was killed; left alone it would wait minutes for work."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _backend(scheduler):
    """Let joblib work on a Dask cluster, if there is one."""
    if scheduler is None:
        # Inherited by the workers: without it glibc hands each clip's arrays back to the system, and a fifth of
        # the time goes into asking for the pages again.
        os.environ.setdefault("MALLOC_TOP_PAD_", str(TOP_PAD))
        with parallel_config(backend="loky", initializer=_end_with_parent, initargs=(os.getpid(),)):
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "compute.scheduler needs Dask: pip install distributed (the version that the scheduler runs)"
        ) from None
    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except OSError:
        raise UserError(f"compute.scheduler: no Dask scheduler answers at {scheduler}") from None
    with client, parallel_config(backend="dask", client=client):
        yield
