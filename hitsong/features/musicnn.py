"""musicnn, the auto-tagger whose outputs and last hidden layer are features here. It is not trained here.

J. Pons and X. Serra: "musicnn: Pre-trained Convolutional Neural Networks for Music Audio Tagging",
arXiv:1909.06654; the architecture is that of J. Pons, O. Nieto, M. Prockup, E. M. Schmidt, A. F. Ehmann,
X. Serra: "End-to-end Learning for Music Audio Tagging at Scale", ISMIR 2018, arXiv:1711.02520. Its weights are
TensorFlow 1 checkpoints in the package `musicnn`, which is read but never imported: its code would put TensorFlow into
graph mode for the whole process.
"""

import numpy as np

from hitsong.backend import keras, tf

FRAMES, MELS = 187, 96  # a patch: 3 s
TAGS, EMBEDDING = 50, 200
EPSILON = 1e-3

# Variables of the optimiser in a checkpoint, which a trained network does not need.
OPTIMISER = ("Adam", "Adam_1", "beta1_power", "beta2_power")


def network():
    """Build the network, with random weights; 792,079 values with the batch norms' moving statistics.

    Convolutions and batch norms have the names that they have in the checkpoints, which number them in
    order of use. Dropout acts in training only and is left out.

    Returns
    -------
    keras.Model
        From log-mels, shape (batch, 187, 96), to a dict: "tags", shape (batch, 50), from 0 to 1; and "embedding",
        shape (batch, 200), the last hidden layer after its batch norm ("penultimate" in the paper).
    """
    log_mels = keras.Input((FRAMES, MELS), dtype="float32", name="log_mels")
    # (frames, mels, channels), later (frames, channels)
    x = keras.layers.Reshape((FRAMES, MELS, 1))(log_mels)  # (187, 96, 1)
    x = _norm(0)(x)

    # Timbral filters span much frequency and little time, temporal filters one mel and much time.
    padded = keras.layers.ZeroPadding2D((3, 0))(x)  # (193, 96, 1)
    front = keras.layers.Concatenate()(
        [
            Filters(0, 204, (7, 38))(padded),  # (187, 204)
            Filters(1, 204, (7, 67))(padded),  # (187, 204)
            Filters(2, 51, (128, 1), "same")(x),  # (187, 51)
            Filters(3, 51, (64, 1), "same")(x),  # (187, 51)
            Filters(4, 51, (32, 1), "same")(x),  # (187, 51)
        ]
    )  # (187, 561)

    # Two-dimensional in the paper, each kernel as high as its input: the same as over time alone.
    mid_1 = _norm(6)(_conv(5)(front))  # (187, 64)
    mid_2 = keras.layers.Add()([_norm(7)(_conv(6)(mid_1)), mid_1])  # (187, 64)
    mid_3 = keras.layers.Add()([_norm(8)(_conv(7)(mid_2)), mid_2])  # (187, 64)

    x = keras.layers.Concatenate()([front, mid_1, mid_2, mid_3])  # (187, 753)
    highest = keras.layers.GlobalMaxPooling1D()(x)  # (753,)
    mean = keras.layers.GlobalAveragePooling1D()(x)  # (753,)
    x = keras.ops.stack([highest, mean], axis=-1)  # (753, 2)
    x = _norm(9)(keras.layers.Flatten()(x))  # (1506,): highest 0, mean 0, highest 1, ...
    x = keras.layers.Dense(EMBEDDING, activation="relu", name="dense")(x)  # (200,)
    embedding = _norm(10)(x)  # (200,)
    tags = keras.layers.Dense(TAGS, activation="sigmoid", name="dense_1")(embedding)  # (50,)
    return keras.Model(log_mels, {"tags": tags, "embedding": embedding}, name="musicnn")


class Filters(keras.layers.Layer):
    """A filter bank of the front end: convolution, rectifier, batch norm, maximum over frequency.

    The maximum is taken directly after the convolution, which is faster and gives the same values: rectifier and batch
    norm are monotonic. Where a channel's batch norm has a negative factor, the kernel changes its sign before the
    maximum, and the result changes it back.

    Parameters
    ----------
    number : int
        Of the convolution in the checkpoint; its batch norm has the next.
    kernel : tuple of int
        Frames, mels.
    padding : str
        Over time and frequency.
    """

    def __init__(self, number, filters, kernel, padding="valid"):
        super().__init__(name=f"filters_{number}")
        self.conv = keras.layers.Conv2D(filters, kernel, padding=padding, name=_name("conv2d", number))
        self.norm = _norm(number + 1)

    def build(self, shape):
        self.conv.build(shape)
        self.norm.build((*shape[:2], self.conv.filters))

    def call(self, x):
        turn = keras.ops.where(self.norm.gamma < 0, -1.0, 1.0)  # (filters,)
        x = keras.ops.conv(x, self.conv.kernel * turn, padding=self.conv.padding)  # (187, any, filters)
        x = keras.ops.max_pool(x, (1, x.shape[2]))[:, :, 0]  # (187, filters)
        return self.norm(keras.ops.relu(x * turn + self.conv.bias))


def _conv(number):
    """Convolve over seven frames with 64 filters, rectified."""
    return keras.layers.Conv1D(64, 7, padding="same", activation="relu", name=_name("conv2d", number))


def _norm(number):
    return keras.layers.BatchNormalization(epsilon=EPSILON, name=_name("batch_normalization", number))


def _name(layer, number):
    return f"{layer}_{number}" if number else layer


def weights(folder):
    """Read a trained network's weights from its TensorFlow 1 checkpoint, without the optimiser's.

    Parameters
    ----------
    folder : path-like
        Of the checkpoint, whose files have no name but their ending.

    Returns
    -------
    dict of str to np.ndarray
        By name: "conv2d/kernel", "batch_normalization_1/gamma", "dense/bias" ...
    """
    reader = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
    names = [n for n in reader.get_variable_to_shape_map() if n.rpartition("/")[2] not in OPTIMISER]
    return {name: reader.get_tensor(name) for name in sorted(names)}


def load(folder):
    """Build the network with the trained weights of a checkpoint; each must be used exactly once.

    Returns
    -------
    keras.Model
        See `network`.

    Raises
    ------
    ValueError
        If the weights of the checkpoint are not those that the network needs.
    """
    model, trained = network(), weights(folder)
    slots = {"/".join(slot.path.split("/")[-2:]): slot for slot in model.weights}
    if len(slots) != len(model.weights) or slots.keys() != trained.keys():
        raise ValueError(f"{folder} is no musicnn: it differs in {sorted(slots.keys() ^ trained.keys())}")
    for name, slot in slots.items():
        value = trained[name]
        if value.ndim == 4 and len(slot.shape) == 3:  # a full-height kernel: (7, height, 1, filters)
            value = np.squeeze(value, axis=2)
        if value.shape != tuple(slot.shape):
            raise ValueError(f"{folder}: {name} has the shape {value.shape}, not {tuple(slot.shape)}")
        slot.assign(value)
    return model
