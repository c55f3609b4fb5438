"""Keras on TensorFlow, imported once and quietly: `from hitsong.backend import keras, tf`.

Set `TF_CPP_MIN_LOG_LEVEL=0` to read TensorFlow's own log.
"""

import contextlib
import ctypes
import gc
import os
import sys
import threading

os.environ["KERAS_BACKEND"] = "tensorflow"
LEVEL = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextlib.contextmanager
def _silence():
    """Close standard error for a while: TensorFlow says some things before it reads its log level."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# Keras works without these, and would load them for what is not used here: charts, tables, estimators, sparse matrices.
UNUSED = ("IPython", "matplotlib", "pandas", "scipy", "sklearn")


class _Hide:
    """An import finder that reports `UNUSED` packages as not installed, in the thread that made it."""

    def __init__(self):
        self._thread = threading.get_ident()

    def find_spec(self, name, path=None, target=None):
        if name in UNUSED and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not used by Keras here", name=name)


@contextlib.contextmanager
def _load_quickly():
    """Import Keras in half the time (benchmarks/RESULTS.md), without garbage collection: what it makes stays in use."""
    hide, collecting = _Hide(), gc.isenabled()
    gc.disable()
    sys.meta_path.insert(0, hide)
    try:
        yield
    finally:
        sys.meta_path.remove(hide)
        gc.freeze()
        if collecting:
            gc.enable()


with contextlib.nullcontext() if LEVEL == "0" else _silence(), _load_quickly():
    import keras
    import tensorflow as tf

if LEVEL != "0":
    tf.get_logger().setLevel("ERROR")  # it counts how often small functions are traced

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_memory():
    """Let a process that trains keep the memory of its arrays from step to step, where the C library is glibc.

    As shipped, glibc maps arrays of more than 32 MB anew each time and returns them at once, so that the system
    clears every page again in every step (benchmarks/RESULTS.md). The process then holds its peak until it ends.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 64 << 20)


__all__ = ["keep_memory", "keras", "tf"]
