"""musicnn, the auto-tagger whose outputs and last hidden layer are features here. It is not trained here.

J. Pons and X. Serra: "musicnn: Pre-trained Convolutional Neural Networks for Music Audio Tagging",
arXiv:1909.06654; the architecture is that of J. Pons, O. Nieto, M. Prockup, E. M. Schmidt, A. F. Ehmann,
X. Serra: "End-to-end Learning for Music Audio Tagging at Scale", ISMIR 2018, arXiv:1711.02520. Its weights are
TensorFlow 1 checkpoints in the package `musicnn`, which is read but never imported: its code would put TensorFlow into
graph mode for the whole process.
"""

import numpy as np

from hitsong.backend import tf

EPSILON = 1e-3

# Kernels as in the checkpoints: frames, height, channels, filters. Timbral filters span much frequency and little
# time, temporal filters one mel and much time.
FRONT = ((7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51))
MIDDLE = ((7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64))
DENSE = ((1506, 200), (200, 50))
NORMS = (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)  # channels of the batch norms
PARTS = ("gamma", "beta", "moving_mean", "moving_variance")  # of a batch norm

# Variables of the optimiser in a checkpoint, which a trained network does not need.
OPTIMISER = ("Adam", "Adam_1", "beta1_power", "beta2_power")


class Network:
    """The network with trained weights; called on tensors, eagerly or in a `tf.function`.

    Written in TensorFlow's operations rather than in layers of Keras: nothing is trained here, so that a batch norm is
    a factor and an offset for each channel, and the service starts half a second earlier. Dropout acts in training only
    and is left out.

    Parameters
    ----------
    weights : dict of str to np.ndarray
        By name and shape as `shapes` gives them.
    """

    def __init__(self, weights):
        self._kernels, self._biases, self._turns = {}, {}, {}
        for layer, kernels in (("conv2d", (*FRONT, *MIDDLE)), ("dense", DENSE)):
            for number in range(len(kernels)):
                name = _name(layer, number)
                self._kernels[name] = tf.constant(weights[f"{name}/kernel"])
                self._biases[name] = tf.constant(weights[f"{name}/bias"])
        self._norms = []
        for number in range(len(NORMS)):
            name = _name("batch_normalization", number)
            gamma, beta, mean, variance = (weights[f"{name}/{part}"].astype(float) for part in PARTS)
            factor = gamma / np.sqrt(variance + EPSILON)
            self._norms.append(
                (tf.constant(factor, tf.float32), tf.constant(beta - mean * factor, tf.float32))
            )
        # The maximum over frequency is taken directly after the convolution, which is faster: rectifier and batch norm
        # are monotonic. Where a batch norm has a negative factor, the kernel changes its sign before, the result after.
        for number in range(len(FRONT)):
            name = _name("conv2d", number)
            self._turns[name] = tf.where(self._norms[number + 1][0] < 0, -1.0, 1.0)
            self._kernels[name] *= self._turns[name]

    def __call__(self, log_mels):
        """Score patches.

        Parameters
        ----------
        log_mels : tf.Tensor [shape=(n, 187, 96), float32]

        Returns
        -------
        dict of str to tf.Tensor
            "tags", shape (n, 50), from 0 to 1; and "embedding", shape (n, 200), the last hidden layer after its batch
            norm ("penultimate" in the paper).
        """
        x = self._norm(0, log_mels[..., None])  # (n, frames, mels, 1)
        front = tf.concat([self._filter(number, x) for number in range(len(FRONT))], -1)  # (n, 187, 561)
        mid_1 = self._middle(5, front)  # (n, 187, 64)
        mid_2 = self._middle(6, mid_1) + mid_1
        mid_3 = self._middle(7, mid_2) + mid_2
        x = tf.concat([front, mid_1, mid_2, mid_3], -1)  # (n, 187, 753)
        x = tf.stack([tf.reduce_max(x, 1), tf.reduce_mean(x, 1)], -1)  # (n, 753, 2)
        x = self._norm(9, tf.reshape(x, (-1, NORMS[9])))  # (n, 1506): highest 0, mean 0, highest 1, ...
        embedding = self._norm(10, tf.nn.relu(self._dense(0, x)))  # (n, 200)
        return {"tags": tf.sigmoid(self._dense(1, embedding)), "embedding": embedding}

    def _filter(self, number, x):
        """A filter bank of the front end, the highest value over frequency: (n, 187, filters)."""
        name = _name("conv2d", number)
        length = FRONT[number][0]
        padding = [[0, 0], [(length - 1) // 2, length // 2], [0, 0], [0, 0]]  # over time only
        x = tf.nn.conv2d(x, self._kernels[name], 1, padding)  # (n, 187, any, filters)
        x = tf.nn.max_pool2d(x, (1, x.shape[2]), 1, "VALID")[:, :, 0]
        return self._norm(number + 1, tf.nn.relu(x * self._turns[name] + self._biases[name]))

    def _middle(self, number, x):
        """Convolve over time; two-dimensional in the paper, with kernels as high as their input: (n, 187, 64)."""
        name = _name("conv2d", number)
        kernel = tf.squeeze(self._kernels[name], 2)  # (7, channels, 64)
        return self._norm(number + 1, tf.nn.relu(tf.nn.conv1d(x, kernel, 1, "SAME") + self._biases[name]))

    def _dense(self, number, x):
        name = _name("dense", number)
        return x @ self._kernels[name] + self._biases[name]

    def _norm(self, number, x):
        factor, offset = self._norms[number]
        return x * factor + offset


def shapes():
    """The shapes of a trained network's weights by their names in a checkpoint, which numbers layers in order of use.

    792,079 values, with the batch norms' moving statistics.
    """
    by_name = {}
    for layer, kernels in (("conv2d", (*FRONT, *MIDDLE)), ("dense", DENSE)):
        for number, kernel in enumerate(kernels):
            name = _name(layer, number)
            by_name |= {f"{name}/kernel": kernel, f"{name}/bias": kernel[-1:]}
    for number, channels in enumerate(NORMS):
        name = _name("batch_normalization", number)
        by_name |= {f"{name}/{part}": (channels,) for part in PARTS}
    return by_name


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
    """Make the network with the trained weights of a checkpoint.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If the weights of the checkpoint are not those that the network needs.
    """
    trained, needed = weights(folder), shapes()
    if trained.keys() != needed.keys():
        raise ValueError(f"{folder} is no musicnn: it differs in {sorted(trained.keys() ^ needed.keys())}")
    for name, value in trained.items():
        if value.shape != needed[name]:
            raise ValueError(
                f"{folder} is no musicnn: {name} has the shape {value.shape}, not {needed[name]}"
            )
    return Network(trained)
