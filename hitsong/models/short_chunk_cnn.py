"""Short-chunk CNN with residual connections: small kernels, many poolings, a few seconds at a time.

M. Won, A. Ferraro, D. Bogdanov, X. Serra: "Evaluation of CNN-based Automatic Music Tagging Models", SMC 2020,
arXiv:2006.00751. There it was among the best architectures for music tags, by a simple recipe: take 3.7 s at a time,
and average over the clip (`hitsong.models.augment.Crops`).
"""

from hitsong.backend import keras

WIDTHS = (1, 1, 2, 2, 2, 2, 4)  # of the blocks, in units of `channels`


def trunk(x, n_scores, channels=32, dropout=0.5):
    """Build the network.

    Each of seven residual blocks halves both axes by stride, as the authors' code does, until one row or frame
    is left of it; a maximum takes what then remains. The paper has 128 channels, 231 frames of 16 ms and some
    25,000 training clips; here it has a quarter of the channels, for two CPU cores and a few hundred clips.

    Parameters
    ----------
    channels : int
        Of the first blocks.
    dropout : float
        Share of the last layer's inputs that is dropped.
    """
    n_mels, frames = x["mel"].shape[1:]
    # (n_mels, frames, channels) in the comments is for crops of 128 x 40.
    x = keras.layers.Reshape((n_mels, frames, 1))(x["mel"])  # (128, 40, 1)
    x = batch_norm(x)
    for width in WIDTHS:
        # (64, 20, 32) (32, 10, 32) (16, 5, 64) (8, 3, 64) (4, 2, 64) (2, 1, 64) (1, 1, 128)
        x = _block(x, width * channels)
    x = keras.layers.GlobalMaxPooling2D()(x)  # (128,)
    x = keras.layers.Dense(4 * channels)(x)  # (128,)
    x = keras.layers.ReLU()(batch_norm(x))
    x = keras.layers.Dropout(dropout)(x)
    return scores(x, n_scores)  # (n_scores,)


def batch_norm(x):
    """Normalise a batch, with running means over tens of steps.

    A small data set has a dozen steps an epoch: with Keras's own momentum of 0.99 validation would use the
    initial values for many epochs. 0.9 is what the paper's code runs with.
    """
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def scores(x, n_scores):
    """Scores that start near 0, where a head has its means, so that training does not begin with large random ones."""
    return keras.layers.Dense(n_scores, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01))(x)


def _block(x, filters):
    """Two convolutions of 3 x 3 beside one, added; the first of each path halves the axes."""
    strides = tuple(2 if size > 1 else 1 for size in x.shape[1:3])
    shortcut = batch_norm(keras.layers.Conv2D(filters, 3, strides, padding="same")(x))
    x = batch_norm(keras.layers.Conv2D(filters, 3, strides, padding="same")(x))
    x = keras.layers.Conv2D(filters, 3, padding="same")(keras.layers.ReLU()(x))
    return keras.layers.ReLU()(keras.layers.Add()([batch_norm(x), shortcut]))
