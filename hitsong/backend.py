"""Keras on TensorFlow, imported once and quietly: `from hitsong.backend import keras, tf`.

Set `TF_CPP_MIN_LOG_LEVEL=0` to read TensorFlow's own log.
"""

import contextlib
import ctypes
import os

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


with contextlib.nullcontext() if LEVEL == "0" else _silence():
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
