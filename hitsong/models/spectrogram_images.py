"""Study 3's networks: the spectrogram as a picture of 102 x 159 pixels, two to six convolutions, three classes.

As in Rossi and Pleus (Stanford), whose shapes give the kernels. The picture is drawn inside the model, from
the mel scaled to 0..1. Of the smaller networks the study gives only the number of convolutions and whether
their input has colours: here they are the first blocks of the largest, with its ending.
"""

from hitsong.backend import keras
from hitsong.models.layers import Picture

HEIGHT, WIDTH = 102, 159

# Filters, kernel (rows x columns), steps of the 2 x 2 pooling. Behind the last block stands a pooling of all that
# is left instead.
BLOCKS = (
    (32, (2, 5), 2),  # (50, 77, 32)
    (64, (2, 5), 2),  # (24, 36, 64)
    (128, (2, 2), 2),  # (11, 17, 128)
    (256, (2, 2), 2),  # (5, 8, 256)
    (512, (2, 2), 1),  # (3, 6, 512)
    (1024, (3, 5), None),  # (1, 2, 1024)
)


def conv2_mono(x, n_scores, dropout=0.4):
    """Build the network of two convolutions on a grey picture; 55,715 parameters with three scores."""
    return _network(x, n_scores, BLOCKS[:2], False, dropout)


def conv4_mono(x, n_scores, dropout=0.4):
    """Build the network of four convolutions on a grey picture; 318,243 parameters with three scores."""
    return _network(x, n_scores, BLOCKS[:4], False, dropout)


def conv4_rgb(x, n_scores, dropout=0.4):
    """Build the network of four convolutions on a picture in colours; 318,883 parameters with three scores."""
    return _network(x, n_scores, BLOCKS[:4], True, dropout)


def conv6_rgb(x, n_scores, dropout=0.4):
    """Build the network of six convolutions on a picture in colours; 9,102,243 parameters with three scores.

    Parameters
    ----------
    dropout : float
        After the fully connected layer.
    """
    return _network(x, n_scores, BLOCKS, True, dropout)


def _network(x, n_scores, blocks, colour, dropout):
    x = Picture(HEIGHT, WIDTH, colour)(x["mel"])  # (102, 159, 1 or 3)
    for filters, kernel, step in blocks:
        x = keras.layers.Conv2D(filters, kernel, activation="relu")(x)
        if step:
            x = keras.layers.MaxPooling2D(2, step)(x)
    x = keras.layers.GlobalMaxPooling2D()(x)  # (64,) (256,) (1024,)
    x = keras.layers.Dense(512, activation="relu")(x)  # (512,)
    x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)
