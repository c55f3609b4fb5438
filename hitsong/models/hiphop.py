"""Study 2's simpler networks, beside which its convolutional recurrent one (`crnn.py`) stands.

Recipes as in github.com/NicholasIndorf/HipHopPopularity. Sizes in the comments, (n_mels, frames, channels),
are for mels of 128 x 1292, as the study's.
"""

from hitsong.backend import keras
from hitsong.errors import UserError

POOLS = ((2, 4), (2, 4), (2, 2), (2, 2))  # along frequency, along time
MIN_MELS, MIN_FRAMES = 16, 64  # the smallest size that leaves one after all poolings


def mlp(x, n_scores):
    """Build the dense network; 21,176,577 parameters at 128 x 1292 with one score.

    Nearly all of them are in the first layer, one for each bin and unit. In the study it collapsed to a
    constant.
    """
    x = keras.layers.Flatten()(x["mel"])  # (165376,)
    x = keras.layers.Dense(128, activation="relu")(x)  # (128,)
    x = keras.layers.Dense(64, activation="relu")(x)  # (64,)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def cnn1(x, n_scores, dropout=0.3):
    """Build the first convolutional network; 2,727,041 parameters at 128 x 1292 with one score.

    In the study it collapsed to a constant, as the dense one did.
    """
    x = _convolutions(x, "cnn1", ((16, 3), (32, 3), (64, 3), (128, 3)))  # (20480,)
    x = keras.layers.Dense(128, activation="relu")(x)  # (128,)
    x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Dense(64, activation="relu")(x)  # (64,)
    x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def cnn2(x, n_scores):
    """Build the second convolutional network; 2,831,137 parameters at 128 x 1292 with one score.

    The 2 x 3 kernels are two mels high and three frames wide. The study gives no padding; its number of
    parameters fits `same`, as in the first network. It has no dropout.
    """
    x = _convolutions(x, "cnn2", ((32, (2, 3)), (64, (2, 3)), (128, (2, 3)), (128, 3)))  # (20480,)
    x = keras.layers.Dense(128, activation="relu")(x)  # (128,)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def _convolutions(x, name, blocks):
    """Four times convolve and pool, then flatten."""
    n_mels, n_frames = x["mel"].shape[1:]
    if n_mels < MIN_MELS or n_frames < MIN_FRAMES:
        raise UserError(
            f"{name} needs mels of at least {MIN_MELS} x {MIN_FRAMES} (n_mels x frames), "
            f"these are {n_mels} x {n_frames}: raise features.mel.n_mels or lower features.mel.hop_length"
        )
    x = keras.layers.Reshape((n_mels, n_frames, 1))(x["mel"])  # (128, 1292, 1)
    for (filters, kernel), pool in zip(blocks, POOLS, strict=True):
        x = keras.layers.Conv2D(filters, kernel, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D(pool)(x)  # (64, 323, _) (32, 80, _) (16, 40, _) (8, 20, 128)
    return keras.layers.Flatten()(x)  # (20480,)
