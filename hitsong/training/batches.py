"""Batches of examples as TensorFlow streams them: read from the memory-mapped store, a few ahead of the model."""

import numpy as np

from hitsong.backend import tf
from hitsong.models.augment import mixup

AHEAD = 4  # batches that wait for the model
POSITIONS = "positions"  # beside names of inputs
SMALL = 8 * 2**20  # bytes of an input that is held in memory: tables, and mels of a few clips


def stream_inputs(examples, batch_size):
    """Stream the raw inputs, in the order of the examples: dicts of float32 tensors by name."""
    stream = tf.data.Dataset.from_tensor_slices(_rows(examples)).batch(batch_size)
    if read := _reader(examples):
        stream = stream.map(read)
    return stream.prefetch(AHEAD)


def stream_examples(examples, batch_size, outputs, weights=None, mixing=0.0, seed=0, classes=None):
    """Stream the raw inputs with the targets of the named outputs.

    Parameters
    ----------
    examples : hitsong.data.examples.Examples
        In the order in which they are to be used.
    batch_size : int
    outputs : list of str
        Names of the model's outputs, in the order of the target's columns.
    weights : np.ndarray [shape=(n,)], optional
        Of each example in the loss.
    mixing : float
        Alpha of mixup's Beta distribution; 0 mixes nothing.
    seed : int
        Of the mixing.
    classes : int, optional
        How many buckets there are, if they are mixed.

    Returns
    -------
    tf.data.Dataset
        Of (inputs, targets) or (inputs, targets, weights).
    """
    columns = examples.y.astype(np.float32).reshape(len(examples), -1, 1)
    y = {output: columns[:, number] for number, output in enumerate(outputs)}
    w = () if weights is None else (dict.fromkeys(outputs, weights.astype(np.float32)),)
    stream = tf.data.Dataset.from_tensor_slices((_rows(examples), y, *w)).batch(batch_size)
    if read := _reader(examples):
        stream = stream.map(lambda rows, *others: (read(rows), *others))
    if mixing:
        stream = stream.enumerate().map(
            lambda number, parts: (*mixup(*parts[:2], mixing, [seed, number], classes), *parts[2:])
        )
    return stream.prefetch(AHEAD)


def _is_ready(values):
    """Whether an input is a small table, of which batches are cut without a step of their own."""
    return values.array.dtype == np.float32 and _is_small(values)


def _is_small(values):
    return values.rows.size * values.array[:1].nbytes <= SMALL


def _rows(examples):
    """What batches are cut from: small tables as they are, and positions in the other inputs."""
    ready = {name: values.read() for name, values in examples.inputs.items() if _is_ready(values)}
    return ready if len(ready) == len(examples.inputs) else {POSITIONS: np.arange(len(examples)), **ready}


def _reader(examples):
    """From a batch of `_rows` to raw inputs, or None where it holds them all.

    Only the codes of a batch pass through Python, and TensorFlow widens them.
    """
    others = {name: values for name, values in examples.inputs.items() if not _is_ready(values)}
    small = {
        name: tf.constant(values.array[values.rows]) for name, values in others.items() if _is_small(values)
    }

    def read_input(name, values, positions):
        if name in small:
            stored = tf.gather(small[name], positions)
        else:
            rows = tf.gather(tf.constant(values.rows), positions)
            stored = tf.numpy_function(
                lambda rows: values.array[rows], [rows], values.array.dtype, stateful=False
            )
        stored = tf.cast(tf.ensure_shape(stored, (None, *values.shape)), tf.float32)
        return stored * values.scale + values.offset

    def read(rows):
        return {
            name: read_input(name, others[name], rows[POSITIONS]) if name in others else rows[name]
            for name in examples.inputs
        }

    return read if others else None
