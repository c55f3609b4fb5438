"""What all explanations of a mel-spectrogram share: scores of many variants, patches, replacements, band edges.

The maps (`occlusion`, `gradients`, `lime`) give a value for every bin, in units of the score. A hidden part has to be
replaced by something. Silence is a bad choice: no clip of the training set has a rectangle of -80 dB, so the network
reacts to the rectangle rather than to the missing music. One level for all bands is as bad: above 5 kHz, where music is
quiet, the mean of all bins is loud noise. Here the replacement is the median of each band in the same clip
(`band_medians`): level and colour of the sound stay, events are removed. `benchmarks/explain.py` compares the choices
on planted sounds. The maps are therefore about events; a property of the whole clip (level, brightness) lies in no
single part of it.

An explanation is about the model. Whether people care for the same things is another question.
"""

import librosa
import numpy as np

PATCH_SECONDS, PATCH_SHARE = 1.5, 1 / 8  # size of a hidden part: time, and share of the mel bands
BATCH = 64  # variants of a clip in memory together


def score_function(bundle, output=None):
    """A bundle as a function from features, {input: array (n, ...)}, to scores, shape (n,)."""
    return lambda features: bundle.target.score(bundle.predict_features(features), output)


def score_of_mels(score, features):
    """A score as a function of mels alone; all other inputs keep the values of one track.

    Parameters
    ----------
    score : callable
        From features to (n,), see `score_function`.
    features : dict of str to np.ndarray
        One track's inputs, without an axis for tracks.

    Returns
    -------
    callable
        From mels in dB, shape (n, n_mels, frames), to scores, shape (n,).
    """

    def predict(mels):
        others = {name: np.repeat(value[None], len(mels), axis=0) for name, value in features.items()}
        return score({**others, "mel": mels})

    return predict


def predict_batched(predict, variants):
    """Score an iterable of mels, `BATCH` in memory at a time: (n,)."""
    scores, batch = [], []
    for variant in variants:
        batch.append(variant)
        if len(batch) == BATCH:
            scores.append(predict(np.stack(batch)))
            batch = []
    if batch:
        scores.append(predict(np.stack(batch)))
    return np.concatenate(scores)


def patch_size(settings):
    """The size of a hidden part, an eighth of the mels for 1.5 s: (mels, frames)."""
    frames = round(PATCH_SECONDS * settings.sample_rate / settings.hop_length)
    return max(1, round(PATCH_SHARE * settings.n_mels)), max(1, frames)


def band_medians(mel):
    """The median of each band over the frames that are not padding.

    Parameters
    ----------
    mel : np.ndarray [shape=(n_mels, frames)]
        In dB.

    Returns
    -------
    np.ndarray [shape=(n_mels, 1)]
    """
    sounding = (mel > mel.min()).any(axis=0)
    return np.median(mel[:, sounding] if sounding.any() else mel, axis=1, keepdims=True)


def band_edges(settings):
    """Where each mel band begins, and the last one ends, halfway between the centres of neighbours.

    Returns
    -------
    np.ndarray [shape=(n_mels + 1,)]
        In Hz.
    """
    top = settings.fmax or settings.sample_rate / 2
    # The corners of all filters with one point between neighbours: every second point is an edge.
    points = librosa.mel_frequencies(2 * settings.n_mels + 3, fmin=settings.fmin, fmax=top, htk=settings.htk)
    return points[1::2]
