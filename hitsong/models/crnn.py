"""Study 2's convolutional recurrent network: convolutions over the mel, then recurrence over time.

K. Choi, G. Fazekas, M. Sandler, K. Cho: "Convolutional Recurrent Neural Networks for Music
Classification", ICASSP 2017, arXiv:1609.04243, in the variant of Z. Nasrullah and Y. Zhao, "Music
Artist Classification with Convolutional Recurrent Neural Networks", arXiv:1901.04555, without its
batch normalisation, as in github.com/NicholasIndorf/HipHopPopularity.
"""

from hitsong.backend import keras
from hitsong.models.layers import require_frames

WIDTHS = (1, 2, 2, 2)  # of the blocks, in units of `filters`
POOLS = (2, 4, 4, 4)  # along frequency: 128 mels -> 64 -> 16 -> 4 -> 1
MIN_FRAMES = 16  # every block halves the time axis


def trunk(x, n_scores, filters=64, dropout=0.1, gru_dropout=0.3):
    """Build the network; 391,585 parameters with one score, whatever the size of the mels.

    The study's poolings bring 128 mels down to 1. For other heights none pools more than is left, and
    the last takes all that is left: 96 mels -> 48 -> 12 -> 3 -> 1, 64 mels -> 32 -> 8 -> 2 -> 1.

    Parameters
    ----------
    filters : int
        Of the first block; the study's is 64.
    dropout : float
        After each pooling.
    gru_dropout : float
        Of the inputs of the recurrent layers.
    """
    require_frames("crnn", x["mel"], MIN_FRAMES)
    n_mels, n_frames = x["mel"].shape[1:]
    # (n_mels, frames, channels) in the comments is for mels of 128 x 1292.
    x = keras.layers.Reshape((n_mels, n_frames, 1))(x["mel"])  # (128, 1292, 1)
    for width, pool in zip(WIDTHS, frequency_pools(n_mels), strict=True):
        x = keras.layers.Conv2D(width * filters, 3, padding="same", activation="elu")(x)
        x = keras.layers.MaxPooling2D((pool, 2))(x)  # (64, 646, 64) (16, 323, 128) (4, 161, 128) (1, 80, 128)
        x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Reshape((-1, WIDTHS[-1] * filters))(x)  # (80, 128)
    x = keras.layers.GRU(32, dropout=gru_dropout, return_sequences=True)(x)  # (80, 32)
    x = keras.layers.GRU(32, dropout=gru_dropout)(x)  # (32,)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def frequency_pools(n_mels):
    """Choose the four poolings that leave one row of `n_mels`, as near to the study's as they can be."""
    pools, height = [], n_mels
    for pool in POOLS[:-1]:
        pools.append(min(pool, height))
        height //= pools[-1]
    return [*pools, height]
