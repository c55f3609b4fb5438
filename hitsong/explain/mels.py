"""Common parts of the explanations of a mel-spectrogram: scores of many variants, patches, replacements, band edges.

The maps (`occlusion`, `gradients`, `lime`) give a value for every bin, in units of the score. Hidden parts are replaced
by the median of each band in the same clip (`band_medians`): level and colour of the sound stay, events are removed
(docs/DECISIONS.md has the alternatives). So the maps show events; properties of the whole clip, such as its level, are
in no single part of it. Explanations are about the model, and not about what people like.
"""

import librosa
import numpy as np

PATCH_SECONDS, PATCH_SHARE = 1.5, 1 / 8  # size of a hidden part: time, and share of the mel bands
BATCH = 64  # variants of a clip in memory together


def score_function(bundle, output=None):
    """A bundle as a function from features, {input: array (n, ...)}, to scores, shape (n,)."""
    return lambda features: bundle.target.score(bundle.predict_features(features), output)


def score_of_mels(score, features):
    """A score as a function of mels alone, (n, n_mels, frames) in dB; other inputs have the values of one track.

    `score` is from `score_function`; `features` are the track's inputs, without an axis for tracks.
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
    """The median [dB] of each band (n_mels, frames) over the frames that are not padding: shape (n_mels, 1)."""
    sounding = (mel > mel.min()).any(axis=0)
    return np.median(mel[:, sounding] if sounding.any() else mel, axis=1, keepdims=True)


def band_edges(settings):
    """The edges of the mel bands [Hz], halfway between the centres of neighbours: shape (n_mels + 1,)."""
    top = settings.fmax or settings.sample_rate / 2
    # The corners of all filters with one point between neighbours: every second point is an edge.
    points = librosa.mel_frequencies(2 * settings.n_mels + 3, fmin=settings.fmin, fmax=top, htk=settings.htk)
    return points[1::2]
