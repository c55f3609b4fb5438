"""Variants of one song: other levels and sound colours, small shifts in time, and other excerpts of it.

They are made from decoded samples, so that one decoding serves all of them. Every variant has the length of the part
that the song itself is scored by, and its features are made in the same way.
"""

import numpy as np

from hitsong.features.decode import Clip

STEP_DB = 3.0  # of level and of shelves
TREBLE_HZ, BASS_HZ = 3000.0, 150.0  # where the shelves are halfway
SHIFTS = (-1.0, -0.5, 0.5, 1.0)  # seconds
EXCERPTS = 16  # at most
LEAST_STEP = 5.0  # seconds between excerpts

SOUND = ("louder", "softer", "brighter", "darker", "more bass", "less bass")
GROUPS = ("sound", "shift", "excerpt")


def variants(clip, seconds, groups):
    """Make variants of a clip.

    Parameters
    ----------
    clip : hitsong.features.decode.Clip
        The whole file.
    seconds : float
        The length of the part that scores are made from: the middle of a longer file.
    groups : sequence of str
        Of `GROUPS`: "sound" (one variant for each of `SOUND`), "shift" (the part begins up to a second earlier or
        later) and "excerpt" (parts along the whole file).

    Yields
    ------
    name : str
        "unchanged" first; then one of `SOUND`, "shift" or "excerpt".
    start : float
        Where the variant begins in the file, in seconds.
    clip : hitsong.features.decode.Clip
    """
    length = len(clip.channels) / clip.sample_rate
    middle, start = clip.middle(seconds), max(0.0, (length - seconds) / 2)
    yield "unchanged", start, middle
    if "sound" in groups:
        for name in SOUND:
            yield name, start, Clip(change_sound(middle.channels, clip.sample_rate, name), clip.sample_rate)
    if "shift" in groups:
        for shift in SHIFTS:
            yield "shift", start + shift, _shifted(clip, seconds, shift)
    if "excerpt" in groups and length > seconds:
        for begin in excerpt_starts(length, seconds):
            yield "excerpt", begin, _part(clip, begin, seconds)


def change_sound(samples, sample_rate, name):
    """Change the level or the sound colour.

    Samples may leave the range of -1 to 1: nothing is clipped or limited.

    Parameters
    ----------
    samples : np.ndarray [shape=(n, channels), float32]
    sample_rate : int
        In Hz.
    name : str
        One of `SOUND`. Levels change by `STEP_DB`; brighter and darker are shelves above `TREBLE_HZ`, more and less
        bass below `BASS_HZ`.

    Returns
    -------
    np.ndarray [shape=(n, channels), float32]
    """
    gain = STEP_DB if name in ("louder", "brighter", "more bass") else -STEP_DB
    if name in ("louder", "softer"):
        return samples * np.float32(10 ** (gain / 20))
    from scipy.signal import sosfilt  # as in `hitsong.features.stft.power_spectra`

    high = name in ("brighter", "darker")
    section = shelf(TREBLE_HZ if high else BASS_HZ, gain, sample_rate, high)
    return sosfilt(section, samples, axis=0).astype(np.float32)


def shelf(hertz, gain, sample_rate, high):
    """A shelving filter of slope 1, from R. Bristow-Johnson's "Audio EQ Cookbook".

    Parameters
    ----------
    hertz : float
        Where half of the gain [dB] is reached.
    gain : float
        In dB.
    sample_rate : int
        In Hz.
    high : bool
        Whether frequencies above are changed, else those below.

    Returns
    -------
    np.ndarray [shape=(1, 6)]
        A second-order section.
    """
    a = 10 ** (gain / 40)
    angle = 2 * np.pi * min(hertz, 0.45 * sample_rate) / sample_rate
    sign = -1.0 if high else 1.0  # the high shelf is the low shelf mirrored in frequency
    cosine, root = sign * np.cos(angle), np.sqrt(2 * a) * np.sin(angle)
    b = [
        a * (a + 1 - (a - 1) * cosine + root),
        sign * 2 * a * (a - 1 - (a + 1) * cosine),
        a * (a + 1 - (a - 1) * cosine - root),
    ]
    c = [
        a + 1 + (a - 1) * cosine + root,
        sign * -2 * (a - 1 + (a + 1) * cosine),
        a + 1 + (a - 1) * cosine - root,
    ]
    return np.array([[*b, *c]]) / c[0]


def excerpt_starts(length, seconds):
    """Where the excerpts of a file begin: evenly from its start to its end, at most `EXCERPTS` [s]."""
    spare = length - seconds
    count = min(EXCERPTS, 1 + int(np.ceil(spare / LEAST_STEP)))
    return np.linspace(0.0, spare, count).tolist()


def _shifted(clip, seconds, shift):
    """The scored part, beginning earlier or later; of a file that is no longer, its end goes to its beginning."""
    spare = len(clip.channels) / clip.sample_rate - seconds
    if spare < 2 * abs(shift):
        moved = np.roll(clip.middle(seconds).channels, -round(shift * clip.sample_rate), axis=0)
        return Clip(moved, clip.sample_rate)
    return _part(clip, spare / 2 + shift, seconds)


def _part(clip, start, seconds):
    first = round(start * clip.sample_rate)
    return Clip(clip.channels[first : first + round(seconds * clip.sample_rate)], clip.sample_rate)
