"""Why a track scored as it did, and what a model listens for.

One track, from its mel-spectrogram: `occlusion` (what if this part were not there), `gradients` (integrated
gradients) and `lime` (a linear model of the neighbourhood) give a value for every bin, in units of the score.
From named numbers: `tabular` gives each column's contribution. Over many tracks: `tabular` gives permutation
importance, `listening` the frequency bands, moments and tags that predictions go with.

What is hidden has to be replaced by something, and silence is a trap: a rectangle of -80 dB is louder news to a
network than the music that it hides, since no clip it was trained on has such a hole. The same holds for one level
for all bands: where music is quiet, above 5 kHz, the mean of all bins is a roaring noise. What is put in its place
here is what the band usually does in the same song, see `usual`: the level and the colour of the sound stay, what
happened is gone. This way the maps of `benchmarks/explain.py` find a planted sound 20 to 36 times better than chance,
with silence 10 to 15 times. So these maps are about events; a property of the whole song (its level, its
brightness) is not in any part of it, and hiding one does not take it away.

An explanation is about the model. Whether listeners care for the same things is another question.
"""

import librosa
import numpy as np

PATCH_SECONDS, PATCH_SHARE = 1.5, 1 / 8  # of time, and of the mels
AT_ONCE = 64  # variants of a clip in memory together


def scorer(bundle, output=None):
    """A bundle as a function from features, {input: array (n, ...)}, to scores, shape (n,)."""
    return lambda features: bundle.target.score(bundle.predict_features(features), output)


def of_mels(score, features):
    """A score as a function of mels alone, [shape=(n, n_mels, frames)]; the other inputs stay one track's.

    Tags and descriptors come from the same sound, yet are held as they are: the maps of a model that takes them
    show what it hears by itself.

    Parameters
    ----------
    score : callable
        From features to (n,), see `scorer`.
    features : dict of str to np.ndarray
        One track's inputs, without an axis for tracks.
    """

    def predict(mels):
        others = {name: np.repeat(value[None], len(mels), axis=0) for name, value in features.items()}
        return score({**others, "mel": mels})

    return predict


def patch(settings):
    """The size of what is hidden at a time, an eighth of the mels for 1.5 s: (mels, frames).

    Parameters
    ----------
    settings : hitsong.config.Mel
    """
    frames = round(PATCH_SECONDS * settings.sample_rate / settings.hop_length)
    return max(1, round(PATCH_SHARE * settings.n_mels)), max(1, frames)


def usual(mel):
    """What each band usually does in a clip: its median over the frames that are not padding.

    Parameters
    ----------
    mel : np.ndarray [shape=(n_mels, frames)]
        In dB.

    Returns
    -------
    np.ndarray [shape=(n_mels, 1)]
    """
    heard = (mel > mel.min()).any(axis=0)
    return np.median(mel[:, heard] if heard.any() else mel, axis=1, keepdims=True)


def boundaries(settings):
    """Where each mel band begins, and the last one ends, halfway between the centres of neighbours.

    Parameters
    ----------
    settings : hitsong.config.Mel

    Returns
    -------
    np.ndarray [shape=(n_mels + 1,)]
        In Hz.
    """
    top = settings.fmax or settings.sample_rate / 2
    # The filters' corners with a point between any two: every second of all is a boundary.
    points = librosa.mel_frequencies(2 * settings.n_mels + 3, fmin=settings.fmin, fmax=top, htk=settings.htk)
    return points[1::2]


def batched(predict, variants):
    """Score an iterable of mels, `AT_ONCE` in memory at a time: (n,)."""
    scores, waiting = [], []
    for variant in variants:
        waiting.append(variant)
        if len(waiting) == AT_ONCE:
            scores.append(predict(np.stack(waiting)))
            waiting = []
    if waiting:
        scores.append(predict(np.stack(waiting)))
    return np.concatenate(scores)
