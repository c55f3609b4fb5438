"""Study 4's networks: Spotify's audio features from MFCCs, from the other features, and from both.

Recipes as in github.com/Naaafis/Song_Feature_Pred. Sizes in the comments are for MFCCs of 160 frames x 20
coefficients. The layer "trunk" of each network computes the features before the scores; `combiner` is built from two
trained networks as far as that layer (`layers.cut_before_scores`).
"""

from hitsong.backend import keras
from hitsong.errors import UserError
from hitsong.models.layers import Inference

MIN_SIDE = 16  # the fewest frames and coefficients that leave one after both of mfcc_cnn's blocks


def numeric_mlp(x, n_scores):
    """Build the dense network on a table of numbers; 2,693 parameters with six columns and five scores."""
    x = keras.layers.Dense(64, activation="relu")(x["numeric"])  # (64,)
    x = keras.layers.Dense(32, activation="relu", name="trunk")(x)  # (32,)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def mfcc_cnn(x, n_scores, dropout=0.25, dense_dropout=0.5):
    """Build the deep convolutional network; 2,485,765 parameters with five scores.

    Parameters
    ----------
    dropout : float
        After each pooling.
    dense_dropout : float
        After the dense layer.
    """
    if min(x["mfcc"].shape[1:]) < MIN_SIDE:
        frames, n_mfcc = x["mfcc"].shape[1:]
        raise UserError(
            f"mfcc_cnn needs MFCCs of at least {MIN_SIDE} x {MIN_SIDE} (frames x coefficients), "
            f"these are {frames} x {n_mfcc}: raise features.mfcc.frames or features.mfcc.n_mfcc"
        )
    x = _image(x["mfcc"])  # (160, 20, 1)
    for filters in (32, 128):
        x = keras.layers.Conv2D(filters, 3, activation="relu")(x)  # (158, 18, 32) (76, 6, 128)
        x = keras.layers.Conv2D(2 * filters, 3, activation="relu")(x)  # (156, 16, 64) (74, 4, 256)
        x = keras.layers.MaxPooling2D(2)(x)  # (78, 8, 64) (37, 2, 256)
        x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.AdaptiveAveragePooling2D((8, 8))(x)  # (8, 8, 256)
    x = keras.layers.Flatten()(x)  # (16384,)
    x = keras.layers.Dense(128, activation="relu", name="trunk")(x)  # (128,)
    x = keras.layers.Dropout(dense_dropout)(x)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def mfcc_cnn_simple(x, n_scores, convolutions=1):
    """Build the simple convolutional network, meant for one target; 819,489 parameters with one score.

    The study says one convolution and dense layers. The sizes are of its notebook on danceability, which has
    16 filters, and behind them 32 more: `convolutions=2`.

    Parameters
    ----------
    convolutions : int
        Each has twice the filters of the one before, and halves both axes.
    """
    smallest = min(x["mfcc"].shape[1:])
    if 2**convolutions > smallest:
        raise UserError(
            f"train.parameters.mfcc_cnn_simple.convolutions: {smallest} coefficients or frames "
            f"cannot be halved {convolutions} times"
        )
    x = _image(x["mfcc"])  # (160, 20, 1)
    for number in range(convolutions):
        x = keras.layers.Conv2D(16 * 2**number, 3, padding="same", activation="relu")(x)  # (160, 20, 16)
        x = keras.layers.MaxPooling2D(2)(x)  # (80, 10, 16)
    x = keras.layers.Flatten()(x)  # (12800,)
    x = keras.layers.Dense(64, activation="relu", name="trunk")(x)  # (64,)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def mfcc_rnn(x, n_scores, units=64):
    """Build the recurrent network: an LSTM over the clip, scores from its last step.

    The study has two of this form: `mfcc_rnn` for one target, and `mfcc_rnn_multitask` for all five at once.
    With 64 units, 21,825 parameters and one score, or 22,085 and five.
    """
    x = keras.layers.LSTM(units, name="trunk")(x["mfcc"])  # (64,)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def combiner(x, n_scores, parts):
    """Build a network on the features of two trained ones.

    As usual in transfer learning, the parts are frozen: they run in inference mode and only the 3,461
    parameters behind them are trained (64 and 32 features, five scores). They are saved with the combiner.

    Parameters
    ----------
    parts : dict of str to keras.Model
        From `layers.cut_before_scores`: mfcc_rnn_multitask, from its raw inputs to 64 features, and numeric_mlp, to 32.
    """
    streams = []
    for part in parts.values():
        part.trainable = False
        features = Inference(part)({name: x[name] for name in part.input})  # (64,) (32,)
        streams.append(keras.layers.Dense(32, activation="relu")(features))  # (32,) (32,)
    x = keras.layers.Concatenate(name="trunk")(streams)  # (64,)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)


def _image(x):
    """Give MFCCs a single channel."""
    return keras.layers.Reshape((*x.shape[1:], 1))(x)
