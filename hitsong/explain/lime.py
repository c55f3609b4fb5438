"""LIME: a linear model of how the score depends on which parts of a clip are there.

M. T. Ribeiro, S. Singh, C. Guestrin: "Why Should I Trust You?", arXiv:1602.04938; on time-frequency segments as in
S. Mishra, B. L. Sturm, S. Dixon: "Local Interpretable Model-Agnostic Explanations for Music Content Analysis",
ISMIR 2017.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV

from hitsong.explain import batched, usual

PENALTIES = np.logspace(-3, 2, 11)  # to choose from, by leaving one sample out
WIDTH = 0.25  # of the kernel, in cosine distance


@dataclass(frozen=True)
class Lime:
    """A map of what each segment adds to the score.

    Attributes
    ----------
    values : np.ndarray [shape=(n_mels, frames), float32]
        The weight of the segment that a bin belongs to.
    score : float
        Of the whole clip.
    r2 : float
        How well the linear model tells the scores of samples that it was not fitted on: near 0 (or below), the map
        says nothing.
    calls : int
        Clips that the model had to hear.
    """

    values: np.ndarray
    score: float
    r2: float
    calls: int


def lime(predict, mel, patch, samples=500, seed=0, replacement=None):
    """Hide random sets of segments, and fit a weighted ridge regression to the scores.

    From none to half of the segments are hidden; the fewer, the more a sample counts. The penalty and `r2` are those
    of leaving one sample out.

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
    seed : int
    replacement : np.ndarray [shape=(n_mels, frames) or (n_mels, 1)], optional
        What stands in the place of what is hidden, in dB; `hitsong.explain.usual` if not given.

    Returns
    -------
    Lime
    """
    mel = np.asarray(mel, np.float32)
    hidden = usual(mel) if replacement is None else replacement
    segment = _grid(mel.shape, patch)
    rng = np.random.default_rng(seed)
    kept = rng.random((samples, segment.max() + 1)) >= rng.uniform(0, 0.5, (samples, 1))
    kept[0] = True
    scores = batched(predict, (np.where(row[segment], mel, hidden) for row in kept))
    distance = 1 - np.sqrt(kept.mean(axis=1))  # of cosines, to the whole clip
    weights = np.exp(-((distance / WIDTH) ** 2) / 2)
    fit = RidgeCV(PENALTIES).fit(kept, scores, sample_weight=weights)
    variance = np.mean(weights * (scores - np.average(scores, weights=weights)) ** 2)
    r2 = 1 + fit.best_score_ / variance if variance > 0 else 0.0  # the best score is minus an error
    return Lime(fit.coef_[segment].astype(np.float32), float(scores[0]), float(r2), samples)


def _grid(shape, patch):
    """Number the cells of a grid of nearly equal cells, about as large as `patch`: (n_mels, frames) of int."""
    counts = [max(1, round(n / size)) for n, size in zip(shape, patch, strict=True)]
    rows, columns = (np.arange(n) * count // n for n, count in zip(shape, counts, strict=True))
    return rows[:, None] * counts[1] + columns
