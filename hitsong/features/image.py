"""The spectrogram as a picture, made from the stored mel: studies 3 (102 x 159) and 5 (224 x 224) look at these.

Nothing is stored twice: a picture costs a fraction of a millisecond, and any size and colouring can be had
from the same store.
"""

from functools import lru_cache

import matplotlib
import numpy as np


def picture(codes, height, width, colour=False, colormap="viridis"):
    """Draw a stored mel-spectrogram.

    Parameters
    ----------
    codes : np.ndarray [shape=(n_mels, frames), uint8]
        As the store holds it: 0 is the quietest, 255 the loudest that there can be, so brightness keeps
        loudness.
    height, width : int
        Of the picture, in pixels; low frequencies are at the bottom.
    colour : bool
        Colour-mapped RGB rather than greyscale.
    colormap : str
        One of matplotlib's.

    Returns
    -------
    np.ndarray [shape=(height, width, 1 or 3), uint8]
    """
    n_mels, frames = codes.shape
    resized = resizing(n_mels, height)[::-1] @ codes.astype(np.float32) @ resizing(frames, width).T
    grey = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    return colours(colormap)[grey] if colour else grey[..., None]


@lru_cache
def resizing(n_in, n_out):
    """Bilinear resizing along one axis, as a matrix.

    Each pixel is where its centre falls between the centres of the input's pixels; beyond the outermost
    centres the input goes on as it ended.

    Parameters
    ----------
    n_in, n_out : int
        Pixels along the axis, before and after.

    Returns
    -------
    np.ndarray [shape=(n_out, n_in), float32]
        Every row has a sum of 1.
    """
    centres = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    centres = np.clip(centres, 0, n_in - 1)
    distances = np.abs(centres[:, None] - np.arange(n_in))
    return np.maximum(1 - distances, 0).astype(np.float32)


@lru_cache
def colours(name):
    """Look up the colours of a map's 256 levels.

    Parameters
    ----------
    name : str
        Of one of matplotlib's maps.

    Returns
    -------
    np.ndarray [shape=(256, 3), uint8]
    """
    levels = matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return np.rint(255 * levels).astype(np.uint8)
