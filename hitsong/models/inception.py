"""Study 1's convolutional network: three full-height filter banks side by side, then a plain stack.

L.-C. Yu, Y.-H. Yang, Y.-N. Hung, Y.-A. Chen: "Hit Song Prediction for Pop Music by Siamese CNN with
Ranking Loss", arXiv:1710.10814; recipe as in github.com/Irisfee/spotify_analysis.
"""

from hitsong.errors import UserError
from hitsong.models.backend import keras

MIN_FRAMES = 13  # the fewest that leave one frame after both poolings


def trunk(x, n_scores):
    """Build the inception branch.

    The published branches b and c pad the frequency axis with zeros and then span all of it, so their
    filters have weights that only ever meet padding. Every filter here is a Conv1D over time with the
    mels as channels: the same function without those 3,584 weights, 158,625 parameters at 128 mels.

    Parameters
    ----------
    x : tensor [shape=(batch, n_mels, frames)]
        Normalised mels.
    n_scores : int
        How many scores to give for each clip.

    Returns
    -------
    tensor [shape=(batch, n_scores)]

    Raises
    ------
    UserError
        If the clips have fewer than 13 frames.
    """
    n_frames = x.shape[2]
    if n_frames < MIN_FRAMES:
        raise UserError(
            f"inception needs mels of at least {MIN_FRAMES} frames, these have {n_frames}: "
            "lower features.mel.hop_length or raise features.mel.seconds"
        )
    # (frames, channels) in the comments is for mels of 128 x 323.
    x = keras.layers.Permute((2, 1))(x)  # (323, 128)
    a = _conv(x, 32, 4)  # (320, 32)
    b = _conv(keras.layers.ZeroPadding1D(2)(x), 16, 8)  # (320, 16)
    c = _conv(keras.layers.ZeroPadding1D(6)(x), 16, 16)  # (320, 16)
    x = keras.layers.Concatenate()([a, b, c])  # (320, 64)
    x = _conv(x, 32, 1)  # (320, 32)
    x = keras.layers.MaxPooling1D(2)(x)  # (160, 32)
    x = _conv(x, 64, 4)  # (157, 64)
    x = keras.layers.MaxPooling1D(2)(x)  # (78, 64)
    x = keras.layers.Dropout(0.25)(x)
    x = _conv(x, 256, 1)  # (78, 256)
    x = keras.layers.Dropout(0.25)(x)
    x = _conv(x, 256, 1)  # (78, 256)
    x = keras.layers.Dropout(0.25)(x)
    x = _conv(x, n_scores, 1)  # (78, n_scores)
    return keras.layers.GlobalAveragePooling1D()(x)  # (n_scores,)


def _conv(x, filters, width):
    """Convolve over time, without padding, and pass through the study's leaky rectifier."""
    x = keras.layers.Conv1D(filters, width)(x)
    return keras.layers.LeakyReLU(negative_slope=0.1)(x)
