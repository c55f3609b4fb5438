"""LIME: a linear model of how the score depends on which parts of a clip are present.

M. T. Ribeiro, S. Singh, C. Guestrin: "Why Should I Trust You?", arXiv:1602.04938; on time-frequency segments as in
S. Mishra, B. L. Sturm, S. Dixon: "Local Interpretable Model-Agnostic Explanations for Music Content Analysis",
ISMIR 2017.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV

from hitsong.explain.mels import band_medians, predict_batched

PENALTIES = np.logspace(-3, 2, 11)  # chosen by leave-one-out
WIDTH = 0.25  # of the kernel, in cosine distance


@dataclass(frozen=True)
class Lime:
    """A map of the contributions of segments to the score.

    Attributes
    ----------
    values : np.ndarray [shape=(n_mels, frames), float32]
        The weight of the segment that a bin belongs to.
    score : float
        Of the whole clip.
    r2 : float
        Leave-one-out R2 of the linear model; near 0 or below, the map is meaningless.
    calls : int
        Clips that the model predicted.
    """

    values: np.ndarray
    score: float
    r2: float
    calls: int


def lime(predict, mel, patch, samples=500, seed=0, replacement=None):
    """Hide random sets of segments, and fit a weighted ridge regression to the scores.

    Up to half of the segments are hidden; samples with fewer hidden segments weigh more.

    Parameters
    ----------
    predict : callable
        From mels in dB, shape (n, n_mels, frames), to scores, shape (n,).
    mel : np.ndarray [shape=(n_mels, frames)]
        In dB.
    patch : (int, int)
        Mels and frames of a segment.
    samples : int
        Calls of the model; several times the number of segments.
    replacement : np.ndarray [shape=(n_mels, frames) or (n_mels, 1)], optional
        What replaces the hidden segments, in dB; the bands' medians by default.

    Returns
    -------
    Lime
    """
    mel = np.asarray(mel, np.float32)
    hidden = band_medians(mel) if replacement is None else replacement
    segments = _number_segments(mel.shape, patch)
    rng = np.random.default_rng(seed)
    kept = rng.random((samples, segments.max() + 1)) >= rng.uniform(0, 0.5, (samples, 1))
    kept[0] = True
    scores = predict_batched(predict, (np.where(row[segments], mel, hidden) for row in kept))
    distance = 1 - np.sqrt(kept.mean(axis=1))  # cosine distance from the whole clip
    weights = np.exp(-((distance / WIDTH) ** 2) / 2)
    fit = RidgeCV(PENALTIES).fit(kept, scores, sample_weight=weights)
    variance = np.mean(weights * (scores - np.average(scores, weights=weights)) ** 2)
    r2 = 1 + fit.best_score_ / variance if variance > 0 else 0.0  # best_score_ is minus the squared error
    return Lime(fit.coef_[segments].astype(np.float32), float(scores[0]), float(r2), samples)


def _number_segments(shape, patch):
    """Number the cells of a grid, each about as large as `patch`: (n_mels, frames) of int."""
    counts = [max(1, round(n / size)) for n, size in zip(shape, patch, strict=True)]
    rows, columns = (np.arange(n) * count // n for n, count in zip(shape, counts, strict=True))
    return rows[:, None] * counts[1] + columns
