"""What stands on two sides of a split although it should not.

Each check counts what two of train, validation and test have in common:

artists
    Artists credited on tracks of two sides, guests included.
same_audio
    Recordings of the same bytes (sha256 of the download).
same_title
    Pairs of tracks with the same normalised title and artist's name, within 2 s of duration.
near_audio
    Pairs of clips that sound (nearly) the same, by their fingerprints.

A fingerprint says how loudness moves in each of 24 bands over a clip: the magnitudes of the slowest 60
modulations, which do not depend on where in the clip something happens. Only the lower part of the
mels and the upper 40 dB count, which poor encodings leave alone. From each fingerprint the mean over all clips
is taken; what is left points in its own direction for each song. Measured on 30 clips of the Free Music Archive
with altered copies of them, and on 434 synthetic ones: of 94,000 pairs of different clips none comes
above 0.78; copies at half the loudness, at the poorest MP3 quality, low-passed at 5.5 kHz or begun a second later
stay above 0.96, those begun five seconds later mostly between 0.7 and 0.92. So the threshold of 0.9 finds a
recording's other editions, but not every other excerpt of it.
"""

import numpy as np
import pandas as pd
from scipy.fft import rfft

from hitsong.collect.deduplicate import TOLERANCE_MS, normalised

SIDES = ("train", "validation", "test")
CHECKS = {
    "artists": "artists",
    "same_audio": "recordings by hash",
    "same_title": "pairs of equal title, artist and duration",
    "near_audio": "pairs of clips that sound the same",
}
THRESHOLD = 0.9
_BANDS, _MODULATIONS = 24, 60
_HEARD, _RANGE_DB = 0.7, 40  # share of the mels; below the peak
_AT_ONCE = 1024  # rows of the similarity matrix in memory at a time


def count_leaks(tracks, sides, hashes=None, near=None):
    """Count what stands on two sides.

    Parameters
    ----------
    tracks : pandas.DataFrame
        `track_id`, `artist_ids`, `artist_name`, `name`, `duration_ms`.
    sides : pandas.Series
        The side of each track, by track_id; others than `SIDES` are left out.
    hashes : pandas.Series, optional
        Hash of each track's audio, by track_id.
    near : pandas.DataFrame, optional
        From `near_duplicates`: pairs of track ids.

    Returns
    -------
    dict
        A count for each of `CHECKS`; None where there was nothing to check.
    """
    tracks = tracks.assign(side=tracks["track_id"].map(sides))
    tracks = tracks[tracks["side"].isin(SIDES)]
    side = tracks.set_index("track_id")["side"]
    counts = {
        "artists": _on_two_sides(tracks[["artist_ids", "side"]].explode("artist_ids"), "artist_ids"),
        "same_audio": None,
        "same_title": _same_title(tracks),
        "near_audio": None,
    }
    if hashes is not None:
        hashed = pd.DataFrame({"hash": hashes, "side": side.reindex(hashes.index)}).dropna()
        counts["same_audio"] = _on_two_sides(hashed, "hash")
    if near is not None:
        a, b = (side.reindex(near[column]).to_numpy(object) for column in ("track_id", "other"))
        counts["near_audio"] = int((pd.notna(a) & pd.notna(b) & (a != b)).sum())
    return counts


def leaks_line(counts):
    """The counts of a scheme in a line."""
    found = [f"{count:,} {CHECKS[name]}" for name, count in counts.items() if count is not None]
    missing = [CHECKS[name] for name, count in counts.items() if count is None]
    line = f"on two sides: {', '.join(found)}"
    return f"{line}; not checked: {', '.join(missing)}" if missing else line


def leak_warnings(counts):
    """Lines on what of the counts a reader must know before believing the headline."""
    return [
        f"{count:,} {CHECKS[name]} {'stands' if count == 1 else 'stand'} on two sides of the split"
        for name, count in counts.items()
        if count
    ]


def fingerprints(array, rows, scale):
    """Reduce mels to vectors that are alike for clips that sound the same.

    Parameters
    ----------
    array : np.ndarray [shape=(clips, n_mels, frames)]
        Stored mels, perhaps memory-mapped.
    rows : array-like of int
        Which clips.
    scale : float
        dB per stored unit.

    Returns
    -------
    np.ndarray [shape=(len(rows), dimensions), dtype=float32]
        Of unit length, the mean over the clips taken out.
    """
    rows = np.asarray(rows, dtype=int)
    n_mels, frames = array.shape[1:]
    heard = max(1, int(_HEARD * n_mels))  # the top is what poor encodings lose
    bands = np.array_split(np.arange(heard), min(_BANDS, heard))
    coarse = np.array([np.isin(np.arange(heard), band) / len(band) for band in bands], np.float32) * scale
    window = np.hanning(frames).astype(np.float32)
    parts = []
    for start in range(0, len(rows), _AT_ONCE // 4):
        clips = array[rows[start : start + _AT_ONCE // 4], :heard].astype(np.float32)
        levels = coarse @ clips  # (clips, bands, frames)
        peak = levels.max(axis=(1, 2), keepdims=True)
        levels = np.maximum(levels, peak - _RANGE_DB)
        levels -= levels.mean(axis=2, keepdims=True)
        parts.append(np.abs(rfft(levels * window, axis=2))[:, :, 1 : _MODULATIONS + 1])
    vectors = np.concatenate(parts).reshape(len(rows), -1) if parts else np.zeros((0, 1), np.float32)
    vectors = vectors - vectors.mean(axis=0) if len(vectors) else vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def near_duplicates(track_ids, vectors, threshold=THRESHOLD):
    """Find pairs of clips whose fingerprints point the same way.

    Parameters
    ----------
    track_ids : sequence of str
    vectors : np.ndarray [shape=(n, dimensions)]
        From `fingerprints`.
    threshold : float
        Cosine from which a pair counts.

    Returns
    -------
    pandas.DataFrame
        `track_id`, `other`, `cosine`, strongest first.
    """
    track_ids = np.asarray(track_ids, dtype=object)
    first, second, cosines = [], [], []
    for start in range(0, len(vectors), _AT_ONCE):
        similarity = vectors[start : start + _AT_ONCE] @ vectors[start:].T
        a, b = np.nonzero(similarity >= threshold)
        after = b > a
        first.append(a[after] + start)
        second.append(b[after] + start)
        cosines.append(similarity[a[after], b[after]])
    if not first:
        return pd.DataFrame({"track_id": [], "other": [], "cosine": []})
    pairs = pd.DataFrame({
        "track_id": track_ids[np.concatenate(first)], "other": track_ids[np.concatenate(second)],
        "cosine": np.concatenate(cosines),
    })  # fmt: skip
    return pairs.sort_values("cosine", ascending=False, ignore_index=True)


def _on_two_sides(rows, key):
    """How many values of a column occur on more than one side."""
    return int((rows.dropna().groupby(key)["side"].nunique() > 1).sum())


def _same_title(tracks):
    """Pairs, next to each other in duration, of equal title and artist on two sides."""
    keyed = pd.DataFrame({
        "title": tracks["name"].fillna("").map(normalised),
        "artist": tracks["artist_name"].fillna("").map(normalised),
        "duration": tracks["duration_ms"],
        "side": tracks["side"],
    })  # fmt: skip
    keyed = keyed[keyed["title"] != ""].sort_values(["title", "artist", "duration"])
    before = keyed.shift()
    same = (keyed["title"] == before["title"]) & (keyed["artist"] == before["artist"])
    close = keyed["duration"] - before["duration"] <= TOLERANCE_MS
    return int((same & close & (keyed["side"] != before["side"])).sum())
