"""Images of a song as PNG: its spectrogram, and the overlay of what raises and lowers its score."""

import io

import matplotlib
import numpy as np
from PIL import Image

WIDEST = 1200  # pixels; a spectrogram of a whole file may have more frames


def spectrogram_png(codes):
    """A spectrogram with a pixel for each bin, brighter where it is louder: bytes.

    Parameters
    ----------
    codes : np.ndarray [shape=(n_mels, frames), uint8]
    """
    n_mels, frames = codes.shape
    picture = Image.fromarray(matplotlib.colormaps["magma"](codes[::-1], bytes=True)[:, :, :3])
    file = io.BytesIO()
    picture.resize((min(frames, WIDEST), n_mels), Image.Resampling.BILINEAR).save(file, "PNG")
    return file.getvalue()


def explanation_png(predict, features, target, settings, frames, output=None):
    """How the score changes where a part of the spectrogram is hidden, as a transparent overlay: bytes.

    Parameters
    ----------
    predict : callable
        From features, {input: array (n, ...)}, to predictions.
    features : dict of str to np.ndarray
        One track's inputs, "mel" among them.
    target : hitsong.data.targets.Target
    settings : hitsong.config.Mel
    frames : int
        Of the spectrogram that are not padding.
    output : str, optional
        Which of several audio features.
    """
    from hitsong.explain import mels  # with Matplotlib and librosa, half a second that no prediction needs
    from hitsong.explain.occlusion import occlusion
    from hitsong.report.explanation_figures import overlay_png

    score = mels.score_of_mels(lambda inputs: target.score(predict(inputs), output), features)
    result = occlusion(score, features["mel"], mels.patch_size(settings), overlap=1)
    return overlay_png(np.ascontiguousarray(result.values[:, :frames]))
