"""Occlusion: how much the score falls when a part of the spectrogram is hidden.

M. D. Zeiler and R. Fergus: "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from hitsong.explain.mels import band_medians, predict_batched


@dataclass(frozen=True)
class Occlusion:
    """A map of the contributions of parts to the score.

    Attributes
    ----------
    values : np.ndarray [shape=(n_mels, frames), float32]
        How much the score falls, averaged over the patches that cover a bin; negative where it rises.
    score : float
        Of the whole clip.
    calls : int
        Clips that the model predicted.
    """

    values: np.ndarray
    score: float
    calls: int


def occlusion(predict, mel, patch, overlap=2, replacement=None):
    """Hide one patch after the other, each axis covered `overlap` times.

    The number of predictions is about overlap^2 x n_mels / patch mels x frames / patch frames: 601 for 128 x 323 and
    `hitsong.explain.mels.patch_size`, 169 without overlap.

    Parameters
    ----------
    predict : callable
        From mels in dB, shape (n, n_mels, frames), to scores, shape (n,).
    mel : np.ndarray [shape=(n_mels, frames)]
        In dB.
    patch : (int, int)
        Mels and frames hidden at a time.
    replacement : np.ndarray [shape=(n_mels, frames) or (n_mels, 1)], optional
        What replaces the hidden part, in dB; the bands' medians by default.

    Returns
    -------
    Occlusion
    """
    mel = np.asarray(mel, np.float32)
    hidden = np.broadcast_to(band_medians(mel) if replacement is None else replacement, mel.shape)
    corners = product(*(_starts(n, size, overlap) for n, size in zip(mel.shape, patch, strict=True)))
    windows = [np.s_[top : top + patch[0], left : left + patch[1]] for top, left in corners]

    def variants():
        yield mel
        for window in windows:
            variant = mel.copy()
            variant[window] = hidden[window]
            yield variant

    score, *scores_without = predict_batched(predict, variants())
    falls, counts = np.zeros(mel.shape, np.float32), np.zeros(mel.shape, np.float32)
    for window, score_without in zip(windows, scores_without, strict=True):
        falls[window] += score - score_without
        counts[window] += 1
    return Occlusion(falls / counts, float(score), 1 + len(windows))


def _starts(n, size, overlap):
    """Starts of patches: evenly spaced by at most size / overlap, the last patch at the end."""
    spare = max(0, n - size)
    return np.linspace(0, spare, 1 + int(np.ceil(spare * overlap / size))).round().astype(int)
