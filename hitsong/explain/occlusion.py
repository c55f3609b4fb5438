"""Occlusion: how the score falls when a part of the spectrogram is not there.

M. D. Zeiler and R. Fergus: "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from hitsong.explain import batched, usual


@dataclass(frozen=True)
class Occlusion:
    """A map of what each part adds to the score.

    Attributes
    ----------
    values : np.ndarray [shape=(n_mels, frames), float32]
        By how much the score falls, on average over the patches that cover a bin; negative where it rises.
    score : float
        Of the whole clip.
    calls : int
        Clips that the model had to hear.
    """

    values: np.ndarray
    score: float
    calls: int


def occlusion(predict, mel, patch, overlap=2, replacement=None):
    """Hide one patch after the other, each axis covered `overlap` times.

    The number of patches, and so the cost, is near overlap^2 x n_mels / mels x frames / frames of a patch: 601 calls
    for 128 x 323 and the patch of `hitsong.explain.patch`, 169 without overlap.

    Parameters
    ----------
    predict : callable
        From mels in dB, shape (n, n_mels, frames), to scores, shape (n,).
    mel : np.ndarray [shape=(n_mels, frames)]
        In dB.
    patch : (int, int)
        Mels and frames hidden at a time.
    overlap : int
    replacement : np.ndarray [shape=(n_mels, frames) or (n_mels, 1)], optional
        What stands in the place of what is hidden, in dB; `hitsong.explain.usual` if not given.

    Returns
    -------
    Occlusion
    """
    mel = np.asarray(mel, np.float32)
    hidden = np.broadcast_to(usual(mel) if replacement is None else replacement, mel.shape)
    corners = product(*(_starts(n, size, overlap) for n, size in zip(mel.shape, patch, strict=True)))
    windows = [np.s_[top : top + patch[0], left : left + patch[1]] for top, left in corners]

    def variants():
        yield mel
        for window in windows:
            variant = mel.copy()
            variant[window] = hidden[window]
            yield variant

    whole, *others = batched(predict, variants())
    fall, times = np.zeros(mel.shape, np.float32), np.zeros(mel.shape, np.float32)
    for window, score in zip(windows, others, strict=True):
        fall[window] += whole - score
        times[window] += 1
    return Occlusion(fall / times, float(whole), 1 + len(windows))


def _starts(n, size, overlap):
    """Where patches begin: evenly, a patch's `overlap`-th part apart or a little less, the last one at the end."""
    spare = max(0, n - size)
    return np.linspace(0, spare, 1 + int(np.ceil(spare * overlap / size))).round().astype(int)
