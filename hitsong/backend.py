"""Keras on TensorFlow, imported once and quietly: `from hitsong.backend import keras, tf`.

Set `TF_CPP_MIN_LOG_LEVEL=0` to read TensorFlow's own log.
"""

import contextlib
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

__all__ = ["keras", "tf"]
