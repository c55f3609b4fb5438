"""The pictures that go with a prediction, as PNG: the spectrogram, and what mattered in it to lay over it."""

import io

import numpy as np
from PIL import Image

from hitsong import explain
from hitsong.explain.occlusion import occlusion
from hitsong.features.image import picture
from hitsong.report.explanations import overlay_png

WIDEST = 1200  # pixels; a spectrogram of a whole file may have more frames


def spectrogram(codes):
    """A spectrogram with a pixel for each bin, brighter where it is louder.

    Parameters
    ----------
    codes : np.ndarray [shape=(n_mels, frames), uint8]

    Returns
    -------
    bytes
    """
    n_mels, frames = codes.shape
    file = io.BytesIO()
    Image.fromarray(picture(codes, n_mels, min(frames, WIDEST), colour=True, colormap="magma")).save(
        file, "PNG"
    )
    return file.getvalue()


def mattered(answer, features, target, settings, frames, output=None):
    """How the answer changes where a part of the spectrogram is hidden, as a transparent overlay of its size.

    Parameters
    ----------
    answer : callable
        From features, {input: array (n, ...)}, to predictions.
    features : dict of str to np.ndarray
        One track's inputs, "mel" among them.
    target : hitsong.data.targets.Target
    settings : hitsong.config.Mel
    frames : int
        Of the spectrogram that are not padding.
    output : str, optional
        Which of several audio features.

    Returns
    -------
    bytes
    """
    predict = explain.of_mels(lambda inputs: target.score(answer(inputs), output), features)
    found = occlusion(predict, features["mel"], explain.patch(settings), overlap=1)
    return overlay_png(np.ascontiguousarray(found.values[:, :frames]))
