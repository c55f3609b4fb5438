"""Landmarks: the moments of a clip by which other excerpts of its recording are sought.

Where the sound changes most within half a second, the next 1.5 s are described by 48 numbers: the principal components
of the contrasts between bands. Landmarks depend on the sound alone, so two excerpts of a recording have them at the
same moments (after A. Wang, "An Industrial-Strength Audio Search Algorithm", ISMIR 2003, with a vector for the hash of
two peaks). Two landmarks of different clips that are alike vote for the pair and for a shift between the clips.

Up to `EXACT` landmarks are all compared with each other. More of them are divided into cells, each around a landmark
drawn as its centre, and every landmark is compared with those in the cells nearest to it. Cells are as many as the
square root of the landmarks, so that comparisons grow with the power 1.5 of the clips. Landmarks that are alike by
chance grow with the square of the clips: in large collections landmarks must be more alike, so that each has about
`VOTES` of them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from hitsong.progress import bar

EXACT = 30_000
VOTES = 10  # by chance, of a landmark in all clips
ALIKE = 0.75  # cosine, at least
SAMPLED = 1000  # clips from which axes, centres and similarity by chance are taken
PROBED = 4  # cells
MOST = 32  # votes of a landmark in one cell, on average: memory is bounded whatever the sound
TRIED = 12  # shifts of a pair, those of most votes
_APART, _LONG = 5, 16  # frames: landmarks apart, their length
_COMPONENTS = 48
_READ, _SEARCHED = 256, 1000  # clips at a time
_AT_ONCE = 2**23  # similarities in memory
_SHOWN = 2000  # clips for which progress is shown


@dataclass(frozen=True)
class Space:
    """In what landmarks are compared.

    Attributes
    ----------
    axes : np.ndarray [shape=(bands * frames, components), dtype=float32]
    centres : np.ndarray [shape=(cells, components), dtype=float32]
    alike : float
        The cosine from which two landmarks are alike.
    """

    axes: np.ndarray
    centres: np.ndarray
    alike: float

    def project(self, windows):
        """Vectors of length 1; of length 0 where there is no sound."""
        vectors = windows @ self.axes
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)

    def nearest_cells(self, vectors):
        """The cells nearest to each vector, the nearest first: (n, probed)."""
        count = min(PROBED, len(self.centres))
        if len(self.centres) == 1:
            return np.zeros((len(vectors), 1), np.int32)
        cells = np.empty((len(vectors), count), np.int32)
        rows = max(1, _AT_ONCE // len(self.centres))
        for start in range(0, len(vectors), rows):
            part = slice(start, start + rows)
            alike = compare(vectors[part], self.centres)
            for place in range(count):
                cells[part, place] = alike.argmax(axis=1)
                np.put_along_axis(alike, cells[part, place, None], -2, axis=1)
        return cells


def find_candidates(changes_of, clips, frames, overlap):
    """Find the pairs of clips with at least two votes for a shift.

    Parameters
    ----------
    changes_of : callable
        Gives the changes of some clips by their numbers: (n, bands, frames).
    clips, frames : int
    overlap : int
        Frames that two excerpts share, at least.

    Returns
    -------
    first, second, shift : np.ndarray [shape=(n,), dtype=int]
        `first` < `second`; the shift in frames; at most `TRIED` of a pair.
    """
    space = _measure_space(changes_of, clips)
    clip, frame, vectors, cells = _landmarks(changes_of, clips, space)
    order = np.argsort(cells[:, 0], kind="stable")
    ends = np.searchsorted(cells[order, 0], np.arange(len(space.centres) + 1))
    parts = [np.zeros((3, 0), int)]
    with bar(desc="search", unit="clip", total=clips, show=clips > _SHOWN) as progress:
        for start in range(0, clips, _SEARCHED):
            low, high = np.searchsorted(clip, [start, start + _SEARCHED])
            votes = [np.zeros((3, 0), int)]
            for a, b in _alike(vectors, cells, order, ends, low, high, space.alike):
                shift = frame[a] - frame[b]
                possible = (clip[a] < clip[b]) & (np.abs(shift) <= frames - overlap)
                votes.append(np.stack([clip[a], clip[b], shift])[:, possible])
            parts.append(_count(*np.concatenate(votes, axis=1), clips, frames))
            progress.update(min(_SEARCHED, clips - start))
    return np.concatenate(parts, axis=1)


def contrasts(changes):
    """The difference of each band to the next but one.

    Drums sound in many bands at once, so the differences are small there: songs of equal tempo and rhythm, which have
    nothing else in common, are not alike.
    """
    return changes[..., 2:, :] - changes[..., :-2, :]


def compare(vectors, others):
    """The cosines of all pairs of two sets of vectors."""
    return vectors @ others.T


def _find(changes):
    """The clip, the frame and the window of every landmark."""
    strength = np.maximum(np.diff(changes, axis=2, prepend=changes[:, :, :1]), 0).sum(axis=1)
    highest = maximum_filter1d(strength, _APART, axis=1, mode="constant")
    peak = (strength == highest) & (strength > 0)
    peak[:, max(0, changes.shape[2] - _LONG) :] = False
    clip, frame = np.nonzero(peak)
    windows = np.lib.stride_tricks.sliding_window_view(
        contrasts(changes), min(_LONG, changes.shape[2]), axis=2
    )
    return clip, frame, windows[clip, :, frame].reshape(len(clip), windows.shape[1] * windows.shape[3])


def _measure_space(changes_of, clips):
    """Axes, centres and the similarity asked, from clips all over the collection."""
    sampled = np.unique(np.linspace(0, max(0, clips - 1), min(clips, SAMPLED)).astype(int))
    clip, _, windows = _find(changes_of(sampled))
    axes = np.eye(windows.shape[1], dtype=np.float32)
    if len(clip) > _COMPONENTS:
        some = windows[:: max(1, len(clip) // 5000)]
        axes = np.linalg.eigh(some.T @ some)[1][:, -_COMPONENTS:]
    space = Space(axes, np.zeros((1, axes.shape[1]), np.float32), ALIKE)
    expected = len(clip) * clips / max(1, len(sampled))  # landmarks
    if expected <= EXACT:
        return space
    vectors = space.project(windows)
    centres = np.random.default_rng(0).choice(vectors, min(len(vectors), round(expected**0.5)), replace=False)
    return Space(axes, centres, _similarity_asked(clip, vectors, VOTES / expected))


def _similarity_asked(clip, vectors, share):
    """The cosine that this share of the pairs of landmarks of different clips exceed; `ALIKE` at least."""
    high, pairs = [], 0
    for rows in np.array_split(np.arange(0, len(clip), 8), max(1, len(clip) // 1000)):
        alike, apart = compare(vectors[rows], vectors), clip[rows, None] != clip
        high.append(alike[apart & (alike > ALIKE)])
        pairs += np.count_nonzero(apart)
    high, allowed = np.sort(np.concatenate(high))[::-1], int(share * pairs)
    return float(high[allowed]) if allowed < len(high) else ALIKE


def _landmarks(changes_of, clips, space):
    """The clip, the frame, the vector and the nearest cells of every landmark, in the order of the clips."""
    parts = []
    with bar(desc="landmarks", unit="clip", total=clips, show=clips > _SHOWN) as progress:
        for start in range(0, max(1, clips), _READ):
            numbers = np.arange(start, min(clips, start + _READ))
            clip, frame, windows = _find(changes_of(numbers))
            vectors = space.project(windows)
            kept = vectors.astype(np.float16) if len(space.centres) > 1 else vectors  # half the memory
            parts.append((clip + start, frame, kept, space.nearest_cells(vectors)))
            progress.update(len(numbers))
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]


def _alike(vectors, cells, order, ends, low, high, alike):
    """Yield pairs of landmarks that are alike, the first from `low` to `high`, the second not before it."""
    probed = cells[low:high].ravel()
    by_cell = np.argsort(probed, kind="stable")
    query_ends = np.searchsorted(probed[by_cell], np.arange(len(ends)))
    queries = low + by_cell // cells.shape[1]
    for cell in np.flatnonzero(np.diff(query_ends)):
        rows = queries[query_ends[cell] : query_ends[cell + 1]]
        members = order[ends[cell] : ends[cell + 1]]
        members = members[np.searchsorted(members, low) :]
        if not len(members):
            continue
        stored = vectors[members].astype(np.float32)
        for part in np.array_split(rows, len(rows) * len(members) // _AT_ONCE + 1):
            first = np.searchsorted(members, part[0])
            cosines = compare(vectors[part].astype(np.float32), stored[first:]).ravel()
            pairs, limit = np.flatnonzero(cosines > alike), MOST * len(part)
            if len(pairs) > limit:
                pairs = pairs[np.argpartition(cosines[pairs], -limit)[-limit:]]
            a, b = np.divmod(pairs, len(members) - first)
            yield part[a], members[first + b]


def _count(first, second, shift, clips, frames):
    """The shifts of each pair with at least two votes, those of most votes first: first, second, shift."""
    pair, width = first * clips + second, 2 * frames + 3
    # A vote also counts for the neighbouring shifts, since landmarks are rounded to frames.
    keys = np.concatenate([pair * width + shift + frames + 1 + step for step in (-1, 0, 1)])
    keys, counts = np.unique(keys, return_counts=True)
    keys, counts = keys[counts > 1], counts[counts > 1]
    keys = keys[np.lexsort((-counts, keys // width))]
    pair = keys // width
    place = np.arange(len(pair)) - np.searchsorted(pair, pair)
    pair, shift = pair[place < TRIED], keys[place < TRIED] % width - frames - 1
    return np.stack([pair // clips, pair % clips, shift])
