"""Study 1's networks: a convolutional one on mels, a dense one on music tags, and the two averaged.

L.-C. Yu, Y.-H. Yang, Y.-N. Hung, Y.-A. Chen: "Hit Song Prediction for Pop Music by Siamese CNN with
Ranking Loss", arXiv:1710.10814; recipe as in github.com/Irisfee/spotify_analysis.

The study rectifies its outputs too, at popularity 0. Scores here are standardised, so their rectifier bends at `zero`,
the score of popularity 0; for other targets, which have no such score, outputs are linear.
"""

from hitsong.backend import keras
from hitsong.errors import UserError
from hitsong.models.layers import WeightedAverage, require_frames

MIN_FRAMES = 13  # the fewest that leave one frame after both poolings


def trunk(x, n_scores, tag_weight=0.5, dropout=0.25, *, zero):
    """Build the study's model of mels and tags; 176,886 parameters at 128 mels, one score.

    `tag_weight`, 0 to 1, is the weight of the tags; the mels have the rest.
    """
    if not 0 <= tag_weight <= 1:
        raise UserError(f"train.parameters.inception.tag_weight: {tag_weight:g} is not between 0 and 1")
    return WeightedAverage(tag_weight)(
        [cnn(x, n_scores, dropout, zero=zero), tag_dnn(x, n_scores, dropout, zero=zero)]
    )


def cnn(x, n_scores, dropout=0.25, *, zero):
    """Build the inception branch: three full-height filter banks side by side, then a plain stack.

    The published branches b and c pad the frequency axis with zeros and then span all of it, so some weights of their
    filters are only multiplied by padding. Here every filter is a Conv1D over time with the mels as channels: the same
    function without those 3,584 weights, 158,625 parameters at 128 mels, one score.
    """
    require_frames("inception", x["mel"], MIN_FRAMES)
    # (frames, channels) in the comments is for mels of 128 x 323.
    x = keras.layers.Permute((2, 1))(x["mel"])  # (323, 128)
    a = _conv(x, 32, 4)  # (320, 32)
    b = _conv(keras.layers.ZeroPadding1D(2)(x), 16, 8)  # (320, 16)
    c = _conv(keras.layers.ZeroPadding1D(6)(x), 16, 16)  # (320, 16)
    x = keras.layers.Concatenate()([a, b, c])  # (320, 64)
    x = _conv(x, 32, 1)  # (320, 32)
    x = keras.layers.MaxPooling1D(2)(x)  # (160, 32)
    x = _conv(x, 64, 4)  # (157, 64)
    x = keras.layers.MaxPooling1D(2)(x)  # (78, 64)
    x = keras.layers.Dropout(dropout)(x)
    x = _conv(x, 256, 1)  # (78, 256)
    x = keras.layers.Dropout(dropout)(x)
    x = _conv(x, 256, 1)  # (78, 256)
    x = keras.layers.Dropout(dropout)(x)
    x = _rectify_output(keras.layers.Conv1D(n_scores, 1)(x), zero)  # (78, n_scores)
    return keras.layers.GlobalAveragePooling1D()(x)  # (n_scores,)


def tag_dnn(x, n_scores, dropout=0.25, *, zero):
    """Build the dense network on music tags; 18,261 parameters with one score."""
    x = x["tags"]  # (50,)
    for units in (100, 100, 30):
        x = _rectify(keras.layers.Dense(units)(x))  # (100,) (100,) (30,)
        x = keras.layers.Dropout(dropout)(x)
    return _rectify_output(keras.layers.Dense(n_scores)(x), zero)  # (n_scores,)


def _conv(x, filters, width):
    """Convolve over time, without padding, and rectify."""
    return _rectify(keras.layers.Conv1D(filters, width)(x))


def _rectify(x):
    """The study's leaky rectifier."""
    return keras.layers.LeakyReLU(negative_slope=0.1)(x)


def _rectify_output(scores, zero):
    """Rectify scores at the one that stands for popularity 0."""
    if zero is None:
        return scores
    shifted = keras.layers.Rescaling(1.0, offset=-zero)(scores)
    return keras.layers.Rescaling(1.0, offset=zero)(_rectify(shifted))
