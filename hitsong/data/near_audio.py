"""Clips of one recording: the same excerpt in another encoding, or excerpts that begin seconds apart.

Found in two steps, from the stored mel-spectrograms. Both look at how the levels of 24 bands leave their running mean,
smoothed over three frames, and at the contrasts between the bands.

1. Landmarks. Moments of two clips that are alike vote for the pair and for a shift (`hitsong.data.landmarks`). The
   comparisons grow with the power 1.5 of the clips.
2. Correlation. Clips with two votes for a shift are compared where they overlap, at that shift and at its neighbours,
   half a frame apart. The pair is one recording if the correlation of the contrasts exceeds `THRESHOLD`.

The lower 70 % of the mels and the upper 40 dB are used, which lossy encodings keep; loudness has no effect. Clips are
read some hundreds at a time. `benchmarks/near_audio.py` measures recall by shift, false pairs and cost.
"""

import numpy as np
import pandas as pd
from scipy.ndimage import convolve1d, uniform_filter1d

from hitsong.data import landmarks
from hitsong.progress import bar

VERSION = 3  # rises when the same clips would give other pairs
THRESHOLD = 0.7  # of the correlation
FRAME = 0.093  # seconds: shorter frames are averaged
_BANDS, _USED, _RANGE_DB = 24, 0.7, 40  # share of the mels; below the peak
_MEAN = 11  # frames of the running mean
_SMOOTH = [0.25, 0.5, 0.25]  # excerpts that begin half a frame apart are then nearly the same
_EDGE = 2  # frames that are partly before or after the sound
_OVERLAP = 4.0  # seconds, at least
_COMPARED, _SHOWN = 4096, 50_000  # candidates at a time, and for which progress is shown


def find_pairs(track_ids, array, rows, specification):
    """Find the pairs of clips that are of one recording.

    Parameters
    ----------
    track_ids : sequence of str [length=n]
    array : np.ndarray [shape=(clips, n_mels, frames)]
        Stored mels, perhaps memory-mapped.
    rows : array-like of int [shape=(n,)]
        The clip of each track.
    specification : dict
        Of the stored feature: `scale` [dB per unit] and the parameters `hop_length` and `sample_rate`.

    Returns
    -------
    pandas.DataFrame
        `track_id`, `other`, `shift` (by how many seconds the other's clip begins later in the recording; where music
        repeats itself, one of several) and `correlation`, the largest first.
    """
    track_ids = np.asarray(track_ids, dtype=object)
    parameters = specification["parameters"]
    hop = parameters["hop_length"] / parameters["sample_rate"]
    pool = max(1, round(FRAME / hop))
    rows, seconds = np.asarray(rows, dtype=int), pool * hop

    def changes_of(clips):
        return _changes(array, rows[clips], specification["scale"], pool)

    frames = array.shape[2] // pool
    first, second, shifts = landmarks.find_candidates(
        changes_of, len(rows), frames, round(_OVERLAP / seconds)
    )
    correlations = _correlations(changes_of, first, second, shifts)
    same = correlations > THRESHOLD
    pairs = pd.DataFrame({
        "track_id": track_ids[first[same]], "other": track_ids[second[same]],
        "shift": shifts[same] * seconds, "correlation": correlations[same],
    })  # fmt: skip
    pairs = pairs.sort_values(["correlation", "track_id", "other"], ascending=[False, True, True])
    return pairs.drop_duplicates(["track_id", "other"], ignore_index=True)


def _changes(array, rows, scale, pool):
    """How the level of each band leaves its running mean, smoothed, in dB: (clips, bands, frames)."""
    n_mels, frames = array.shape[1:]
    used = max(1, int(_USED * n_mels))
    bands = np.array_split(np.arange(used), min(_BANDS, used))
    coarse = np.array([np.isin(np.arange(used), band) / len(band) for band in bands], np.float32) * scale
    kept = frames // pool * pool
    parts = [np.zeros((0, len(bands), kept // pool), np.float32)]
    for start in range(0, len(rows), 256):
        clips = array[rows[start : start + 256], :used, :kept].astype(np.float32)
        levels = (coarse @ clips).reshape(len(clips), len(bands), -1, pool).mean(axis=3)
        levels = np.maximum(levels, levels.max(axis=(1, 2), keepdims=True) - _RANGE_DB)
        levels = _without_edges(levels)
        levels -= uniform_filter1d(levels, _MEAN, axis=2, mode="nearest")
        parts.append(convolve1d(levels, _SMOOTH, axis=2, mode="nearest"))
    return np.concatenate(parts)


def _without_edges(levels):
    """Hold the levels at a clip's first and last sound: that clips begin or end is no likeness."""
    sounds = levels.max(axis=1) > levels.min(axis=(1, 2))[:, None]
    frames = np.arange(levels.shape[2])
    first = np.where(sounds, frames, len(frames)).min(axis=1, keepdims=True) + _EDGE
    last = np.where(sounds, frames, 0).max(axis=1, keepdims=True) - _EDGE
    held = np.clip(np.clip(frames, first, last), 0, len(frames) - 1)
    return np.take_along_axis(levels, held[:, None, :], axis=2)


def _correlations(changes_of, first, second, shifts):
    """The correlation of each candidate; clips are read once for some thousand candidates."""
    parts = [np.zeros(0)]
    with bar(desc="compare", unit="pair", total=len(first), show=len(first) > _SHOWN) as progress:
        for start in range(0, len(first), _COMPARED):
            part = slice(start, start + _COMPARED)
            clips = np.unique([first[part], second[part]])
            values = landmarks.contrasts(changes_of(clips))
            places = np.searchsorted(clips, [first[part], second[part]])
            parts.append(
                [_correlation(values[a], values[b], n) for a, b, n in zip(*places, shifts[part], strict=True)]
            )
            progress.update(len(parts[-1]))
    return np.concatenate(parts)


def _correlation(a, b, shift):
    """The correlation of two clips where they overlap, at the best of the shifts near `shift`."""
    best = _at_shift(a, b, shift)
    if best < THRESHOLD / 2:
        return best
    return max(best, _at_shift(a, b, shift - 1), _at_shift(a, b, shift + 1))


def _at_shift(a, b, shift):
    """The correlation at a shift, and at half a frame more."""
    frames, best = a.shape[1], 0.0
    start, end = max(0, shift), min(frames, frames + shift)
    x, y = a[:, start:end], b[:, start - shift : end - shift]
    for first, second in ((x, y), (x[:, 1:], (y[:, 1:] + y[:, :-1]) / 2)):
        norm = np.linalg.norm(first) * np.linalg.norm(second)
        best = max(best, float((first * second).sum() / norm)) if norm > 0 else best
    return best
