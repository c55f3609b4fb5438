"""Clips of one recording: the same excerpt in another encoding, or excerpts that begin seconds apart.

Found in two steps, from the stored mel-spectrograms.

1. Landmarks. Where the sound changes most within half a second, the next 1.5 s are described by 48 numbers: the
   principal components of how the levels of 24 bands leave their running mean. Landmarks depend on the sound alone, so
   two excerpts of a recording have them at the same moments (after A. Wang, "An Industrial-Strength Audio Search
   Algorithm", ISMIR 2003, with a vector for the hash of two peaks). Two landmarks of different clips that are alike
   vote for the pair and for a shift between the clips.
2. Correlation. Clips with two votes for a shift are compared band by band where they overlap, at that shift and at its
   neighbours, half a frame apart. The pair is one recording if the correlation exceeds `THRESHOLD`.

The lower 70 % of the mels and the upper 40 dB are used, which lossy encodings keep; loudness has no effect.
`benchmarks/near_audio.py` measures recall by shift, false pairs and cost.
"""

import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter1d, uniform_filter1d

VERSION = 2  # rises when the same clips would give other pairs
THRESHOLD = 0.7  # of the correlation
FRAME = 0.093  # seconds: shorter frames are averaged
_BANDS, _USED, _RANGE_DB = 24, 0.7, 40  # share of the mels; below the peak
_MEAN, _APART, _LONG = 11, 5, 16  # frames: the running mean, landmarks apart, their length
_COMPONENTS, _ALIKE = 48, 0.75
_EDGE = 2  # frames that are partly before or after the sound
_OVERLAP = 4.0  # seconds, at least
_TRIED = 12  # shifts of a pair, those of most votes
_AT_ONCE = 2048  # rows of the similarity matrix in memory at a time


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
    changes = _changes(array, np.asarray(rows, dtype=int), specification["scale"], pool)
    seconds = pool * hop
    first, second, shifts = _candidates(changes, round(_OVERLAP / seconds))
    correlations = np.array([
        _correlation(changes[a], changes[b], shift) for a, b, shift in zip(first, second, shifts, strict=True)
    ], dtype=float)  # fmt: skip
    same = correlations > THRESHOLD
    pairs = pd.DataFrame({
        "track_id": track_ids[first[same]], "other": track_ids[second[same]],
        "shift": shifts[same] * seconds, "correlation": correlations[same],
    })  # fmt: skip
    pairs = pairs.sort_values(["correlation", "track_id", "other"], ascending=[False, True, True])
    return pairs.drop_duplicates(["track_id", "other"], ignore_index=True)


def _changes(array, rows, scale, pool):
    """How the level of each band leaves its running mean, in dB: (clips, bands, frames)."""
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
        parts.append(levels - uniform_filter1d(levels, _MEAN, axis=2, mode="nearest"))
    return np.concatenate(parts)


def _without_edges(levels):
    """Hold the levels at a clip's first and last sound: that clips begin or end is no likeness."""
    sounds = levels.max(axis=1) > levels.min(axis=(1, 2))[:, None]
    frames = np.arange(levels.shape[2])
    first = np.where(sounds, frames, len(frames)).min(axis=1, keepdims=True) + _EDGE
    last = np.where(sounds, frames, 0).max(axis=1, keepdims=True) - _EDGE
    held = np.clip(np.clip(frames, first, last), 0, len(frames) - 1)
    return np.take_along_axis(levels, held[:, None, :], axis=2)


def _landmarks(changes):
    """The clip, the frame and the vector of every landmark."""
    strength = np.maximum(np.diff(changes, axis=2, prepend=changes[:, :, :1]), 0).sum(axis=1)
    highest = maximum_filter1d(strength, _APART, axis=1, mode="constant")
    peak = (strength == highest) & (strength > 0)
    peak[:, max(0, changes.shape[2] - _LONG) :] = False
    clip, frame = np.nonzero(peak)
    windows = np.lib.stride_tricks.sliding_window_view(changes, min(_LONG, changes.shape[2]), axis=2)
    vectors = windows[clip, :, frame].reshape(len(clip), windows.shape[1] * windows.shape[3])
    if len(clip) > _COMPONENTS:
        some = vectors[:: max(1, len(vectors) // 5000)]
        _, axes = np.linalg.eigh(some.T @ some)
        vectors = vectors @ axes[:, -_COMPONENTS:]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return clip, frame, vectors / np.where(lengths > 0, lengths, 1)


def _candidates(changes, overlap):
    """The pairs of clips with at least two votes for a shift: first, second, shift in frames."""
    clip, frame, vectors = _landmarks(changes)
    frames, votes = changes.shape[2], []
    for start in range(0, len(clip), _AT_ONCE):
        alike = vectors[start : start + _AT_ONCE] @ vectors[start:].T
        a, b = np.nonzero(alike > _ALIKE)
        a, b = a + start, b + start
        a, b = a[clip[a] < clip[b]], b[clip[a] < clip[b]]
        shift = frame[a] - frame[b]
        possible = np.abs(shift) <= frames - overlap
        votes.append(np.column_stack([clip[a], clip[b], shift])[possible])
    first, second, shift = np.concatenate(votes).T if votes else np.zeros((3, 0), int)
    pair, width = first * len(changes) + second, 2 * frames + 3
    # A vote also counts for the neighbouring shifts, since landmarks are rounded to frames.
    keys = np.concatenate([pair * width + shift + frames + 1 + step for step in (-1, 0, 1)])
    keys, counts = np.unique(keys, return_counts=True)
    keys, counts = keys[counts > 1], counts[counts > 1]
    keys = keys[np.lexsort((-counts, keys // width))]
    pair = keys // width
    place = np.arange(len(pair)) - np.searchsorted(pair, pair)
    pair, shift = pair[place < _TRIED], keys[place < _TRIED] % width - frames - 1
    return pair // len(changes), pair % len(changes), shift


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
