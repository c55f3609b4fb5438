"""A song's spectrogram, and what raises and lowers its score: as PNG, and as numbers."""

import io

import numpy as np

WIDEST = 1200  # pixels; a spectrogram of a whole file may have more frames


def spectrogram_png(codes):
    """A spectrogram with a pixel for each bin, brighter where it is louder: bytes.

    Parameters
    ----------
    codes : np.ndarray [shape=(n_mels, frames), uint8]
    """
    import matplotlib  # as below
    from PIL import Image

    n_mels, frames = codes.shape
    picture = Image.fromarray(matplotlib.colormaps["magma"](codes[::-1], bytes=True)[:, :, :3])
    file = io.BytesIO()
    picture.resize((min(frames, WIDEST), n_mels), Image.Resampling.BILINEAR).save(file, "PNG")
    return file.getvalue()


def occlusion_of(predict, features, target, settings, output=None):
    """How the score changes where a part of the spectrogram is hidden: a `hitsong.explain.occlusion.Occlusion`.

    Parameters
    ----------
    predict : callable
        From features, {input: array (n, ...)}, to predictions.
    features : dict of str to np.ndarray
        One track's inputs, "mel" among them.
    target : hitsong.data.targets.Target
    settings : hitsong.config.Mel
    output : str, optional
        Which of several audio features.
    """
    from hitsong.explain import mels  # with Matplotlib and librosa, half a second that no prediction needs
    from hitsong.explain.occlusion import occlusion

    score = mels.score_of_mels(lambda inputs: target.score(predict(inputs), output), features)
    return occlusion(score, features["mel"], mels.patch_size(settings), overlap=1)


def overlay(values):
    """A map (n_mels, frames) as a transparent picture of the spectrogram's size: bytes of a PNG."""
    from hitsong.report.explanation_figures import overlay_png

    return overlay_png(np.ascontiguousarray(values))


def occlusion_table(values, score, settings, start):
    """A map of equal rectangles as numbers.

    Parameters
    ----------
    values : np.ndarray [shape=(n_mels, frames)]
    score : float
        Of the whole excerpt.
    settings : hitsong.config.Mel
    start : float
        Of the excerpt in the file, in seconds.

    Returns
    -------
    dict
        In the form of `hitsong.service.schemas.Occlusion`.
    """
    from hitsong.explain.mels import band_edges

    rows, columns = _edges(values), _edges(values.T)
    return {
        "score": score,
        "hertz": band_edges(settings)[rows].tolist(),
        "seconds": (start + columns * settings.hop_length / settings.sample_rate).tolist(),
        "values": values[np.ix_(rows[:-1], columns[:-1])].tolist(),
    }


def _edges(values):
    """Where rows differ from the row before, with both ends."""
    changes = np.flatnonzero((np.diff(values, axis=0) != 0).any(axis=1)) + 1
    return np.concatenate([[0], changes, [len(values)]])
