"""The spectrogram as a picture, made from the stored mel: studies 3 (102 x 159) and 5 (224 x 224) look at these.

Nothing is stored twice: a picture costs a fraction of a millisecond, and any size and colouring can be had
from the same store.
"""

from functools import lru_cache

import matplotlib
import numpy as np
from scipy.ndimage import zoom


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
    resized = zoom(
        codes.astype(np.float32), (height / n_mels, width / frames), order=1, grid_mode=True, mode="nearest"
    )
    grey = np.clip(np.rint(resized[::-1]), 0, 255).astype(np.uint8)
    return _colours(colormap)[grey] if colour else grey[..., None]


@lru_cache
def _colours(name):
    """The colours of a map's 256 levels: [shape=(256, 3), uint8]."""
    levels = matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return np.rint(255 * levels).astype(np.uint8)
