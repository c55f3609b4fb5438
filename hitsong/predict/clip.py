"""One audio file, decoded and turned into features exactly as stage 03 does it, without TensorFlow."""

import io
from dataclasses import dataclass, fields

import numpy as np

from hitsong import config
from hitsong.features import mel
from hitsong.features.decode import AudioError, Clip
from hitsong.features.extract import before_network, makers

FULL_SCALE, CLIPPED = 0.999, 1e-3  # a clip is distorted if more than this share of samples is at full scale


@dataclass(frozen=True)
class Heard:
    """What was made of one file.

    Attributes
    ----------
    seconds : float
        Its length.
    peak : float
        Its largest sample, of 1.
    clipped : float
        The share of samples at full scale.
    features : dict of str to np.ndarray
        By kind, as the store holds them; "patches" stands for tags and embedding.
    """

    seconds: float
    peak: float
    clipped: float
    features: dict

    def pack(self):
        """As bytes that hold numbers only."""
        numbers = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "features"}
        file = io.BytesIO()
        np.savez(file, **numbers, **{f"feature:{kind}": values for kind, values in self.features.items()})
        return file.getvalue()

    @classmethod
    def unpack(cls, packed):
        """The inverse of `pack`."""
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        features = {
            name.removeprefix("feature:"): found.pop(name)
            for name in list(found)
            if name.startswith("feature:")
        }
        return cls(**{name: float(value) for name, value in found.items()}, features=features)


def hear(path, settings, picture=False):
    """Decode a file and make its features.

    Parameters
    ----------
    path : path-like
    settings : hitsong.config.Features
        Which kinds, and how.
    picture : bool
        Make a mel-spectrogram of the whole file, "picture", if "mel" is not among the kinds.

    Returns
    -------
    Heard

    Raises
    ------
    hitsong.features.decode.AudioError
        If it cannot be heard.
    """
    return hear_clip(Clip.read(path), settings, picture)


def hear_clip(clip, settings, picture=False):
    """As `hear`, of a decoded file: `hitsong.features.decode.Clip`."""
    seconds = len(clip.channels) / clip.sample_rate
    peak = float(max(clip.channels.max(), -clip.channels.min()))
    if not np.isfinite(peak):
        raise AudioError("holds samples that are no numbers")
    whole = config.Mel(seconds=seconds)
    made = makers(clip, settings) | {"picture": lambda: mel.compute(clip, whole)}
    kinds = before_network(settings.kinds)
    if picture and "mel" not in kinds:
        kinds.append("picture")
    features = {kind: made[kind]() for kind in kinds}
    for kind, values in features.items():  # the store takes no such feature either
        if not np.isfinite(values).all():
            raise AudioError(f"too loud for {kind}: its numbers overflow")
    full = np.count_nonzero(clip.channels >= FULL_SCALE) + np.count_nonzero(clip.channels <= -FULL_SCALE)
    return Heard(seconds, peak, full / clip.channels.size, features)


def pictured(heard, settings):
    """The spectrogram of what was heard of a file, without what was padded.

    Parameters
    ----------
    heard : Heard
        With "mel" or "picture".
    settings : hitsong.config.Features

    Returns
    -------
    codes : np.ndarray [shape=(n_mels, frames), uint8]
    start, end : float
        Where it lies in the file, in seconds.
    """
    if "mel" not in heard.features:
        return heard.features["picture"], 0.0, heard.seconds
    s = settings.mel
    start = max(0.0, (heard.seconds - s.seconds) / 2)
    end = min(heard.seconds, start + s.seconds)
    return heard.features["mel"][:, : 1 + int((end - start) * s.sample_rate / s.hop_length)], start, end
