"""Augmentation: random changes of training clips, against overfitting.

`SpecAugment`, and `Crops` with `CropMean`, are layers, inactive outside training; `mixup` changes batches before the
model. Layers draw from `keras.random.SeedGenerator`, whose state the training loop sets anew each epoch; `mixup` draws
from the seed that it is given.
"""

import numpy as np

from hitsong.backend import keras, tf


@keras.saving.register_keras_serializable("hitsong")
class SpecAugment(keras.layers.Layer):
    """Mask bands of mels and stretches of time in training, for each clip its own.

    D. S. Park et al.: "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition",
    arXiv:1904.08779, without its time warping. A mask's width is drawn evenly from 0 to a share of its axis,
    then its place. What is masked becomes 0: the mean of standardised mels, silence in mels scaled to 0..1.

    Parameters
    ----------
    time, frequency : float
        The widest mask, as a share of the axis. The paper's is 27 of 80 mels and 100 frames of 10 ms, whatever
        the utterance's length.
    masks : int
        How many of each, 1 as in the paper's policy LB; several may overlap.
    """

    def __init__(self, time=0.2, frequency=0.3, masks=1, **options):
        super().__init__(**options)
        self.time, self.frequency, self.masks = time, frequency, masks
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x, training=False):
        if not training:
            return x
        n_mels, frames = x.shape[1:]
        bands = self._kept(x, n_mels, self.frequency)
        stretches = self._kept(x, frames, self.time)
        return x * bands[:, :, None] * stretches[:, None, :]

    def _kept(self, x, size, share):
        """1 where an axis is kept and 0 where masked: (batch, size)."""
        shape = (keras.ops.shape(x)[0], self.masks, 1)
        width = keras.ops.floor(keras.random.uniform(shape, seed=self.seed_generator) * (share * size + 1))
        start = keras.ops.floor(keras.random.uniform(shape, seed=self.seed_generator) * (size - width + 1))
        place = np.arange(size, dtype=np.float32)
        masked = keras.ops.logical_and(place >= start, place < start + width)  # (batch, masks, size)
        return keras.ops.cast(keras.ops.logical_not(keras.ops.any(masked, axis=1)), x.dtype)

    def get_config(self):
        return super().get_config() | {"time": self.time, "frequency": self.frequency, "masks": self.masks}


@keras.saving.register_keras_serializable("hitsong")
class Crops(keras.layers.Layer):
    """Take crops of `frames` frames: one at random in training, else `count`, evenly spaced over the clip.

    Crops of a clip follow each other along the batch axis, so that any trunk takes them; `CropMean` averages
    their scores.
    """

    def __init__(self, frames, count, **options):
        super().__init__(**options)
        self.frames, self.count = frames, count
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, shape):
        if shape[2] < self.frames:
            raise ValueError(f"crops of {self.frames} frames of clips that have {shape[2]}")

    def call(self, x, training=False):
        """From (batch, n_mels, clip) to (batch, n_mels, frames), or (batch * count, n_mels, frames)."""
        slack = x.shape[2] - self.frames
        if training:
            start = keras.random.randint((tf.shape(x)[0], 1), 0, slack + 1, seed=self.seed_generator)
            return tf.gather(x, start + np.arange(self.frames, dtype=np.int32), axis=2, batch_dims=1)
        starts = np.linspace(0, slack, self.count).round().astype(int)
        crops = keras.ops.stack([x[:, :, start : start + self.frames] for start in starts], axis=1)
        return keras.ops.reshape(crops, (-1, x.shape[1], self.frames))

    def compute_output_shape(self, shape):
        return None, shape[1], self.frames

    def get_config(self):
        return super().get_config() | {"frames": self.frames, "count": self.count}


@keras.saving.register_keras_serializable("hitsong")
class CropMean(keras.layers.Layer):
    """Average the scores of a clip's crops, as `Crops` of the same `count` made them."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count

    def call(self, scores, training=False):
        """From (batch * count, n_scores) to (batch, n_scores); in training there is one crop a clip."""
        if training:
            return scores
        return keras.ops.mean(keras.ops.reshape(scores, (-1, self.count, scores.shape[1])), axis=1)

    def compute_output_shape(self, shape):
        return None, shape[1]

    def get_config(self):
        return super().get_config() | {"count": self.count}


def mixup(inputs, y, alpha, seed, classes=None):
    """Mix each clip of a batch, and its targets, with another's.

    H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz: "mixup: Beyond Empirical Risk Minimization",
    arXiv:1710.09412. As in the authors' code, one weight, drawn from Beta(alpha, alpha), and one permutation are used
    for the whole batch. Class numbers (`buckets`) become shares of each class first, since a mean of numbers would be
    another class.

    Parameters
    ----------
    inputs, y : dict of str to tf.Tensor [shape=(batch, ...), dtype=float32]
        A value that is missing (NaN) in one of two clips is missing in the mix.
    alpha : float
        Above 0; small values mix little.
    seed : tf.Tensor [shape=(2,), dtype=int32 or int64]
        Two integers; the same seed mixes in the same way.
    classes : int, optional
        How many buckets there are.

    Returns
    -------
    inputs, y : dict of str to tf.Tensor
        Of the same shapes, but (batch, classes) for `buckets`.
    """
    if "buckets" in y:
        if classes is None:
            raise ValueError("mixup cannot average the numbers of buckets: give the number of classes")
        numbers = tf.cast(tf.squeeze(y["buckets"], -1), tf.int32)
        y = {**y, "buckets": tf.one_hot(numbers, classes)}
    of_order, of_first, of_second = tf.unstack(tf.random.split(seed, 3))
    first, second = (tf.random.stateless_gamma([], part, alpha) for part in (of_first, of_second))
    weight = first / (first + second)  # of Beta(alpha, alpha)
    size = tf.shape(next(iter(inputs.values())))[0]
    other = tf.random.experimental.stateless_shuffle(tf.range(size), of_order)
    return tf.nest.map_structure(lambda x: weight * x + (1 - weight) * tf.gather(x, other), (inputs, y))
