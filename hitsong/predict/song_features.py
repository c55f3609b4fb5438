"""The features of one audio file, made exactly as stage 03 makes them, without TensorFlow."""

import io
from dataclasses import dataclass, fields

import numpy as np

from hitsong import config
from hitsong.features import kinds, mel
from hitsong.features.decode import LONGEST, AudioError, Clip

SILENT = 1e-4  # largest sample, of 1: stage 02 refuses such previews
FULL_SCALE = 0.999  # samples beyond count as clipped
SCORED_SECONDS = 32.0  # the middle of the file, which features are made from


@dataclass(frozen=True)
class SongFeatures:
    """Features and measurements of one audio file.

    Attributes
    ----------
    seconds : float
        Length of the file.
    clipped : float
        The share of samples at full scale.
    features : dict of str to np.ndarray
        By kind, as the store holds them; "patches" is the input of the tagging network.
    """

    seconds: float
    clipped: float
    features: dict

    def to_bytes(self):
        """Numbers only, no pickle: what a decoder process returns cannot run code."""
        numbers = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name != "features"
        }
        file = io.BytesIO()
        np.savez(file, **numbers, **{f"feature:{kind}": values for kind, values in self.features.items()})
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data):
        """The inverse of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        features = {
            name.removeprefix("feature:"): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("feature:")
        }
        return cls(**{name: float(value) for name, value in arrays.items()}, features=features)


def read_features(path, settings, whole_mel=False, seconds=LONGEST):
    """Decode a file and make its features.

    Parameters
    ----------
    path : path-like
    settings : hitsong.config.Features
        Which kinds, and their parameters.
    whole_mel : bool
        If "mel" is not among the kinds, add a mel-spectrogram of the whole file, "whole_mel", to be shown.
    seconds : float
        The longest file that is decoded.

    Returns
    -------
    SongFeatures

    Raises
    ------
    hitsong.features.decode.AudioError
        If the file cannot be decoded, or the part that features are made from is silent.
    """
    return features_of_clip(Clip.read(path, seconds), settings, whole_mel)


def features_of_clip(clip, settings, whole_mel=False):
    """As `read_features`, for a decoded file: `hitsong.features.decode.Clip`."""
    seconds = len(clip.channels) / clip.sample_rate
    _refuse_silence(clip, seconds)
    features = {product: kinds.make(product, clip, settings) for product in kinds.products(settings.kinds)}
    if whole_mel and "mel" not in features:
        features["whole_mel"] = mel.compute(clip, config.Mel(seconds=seconds))
    for kind, values in features.items():  # the store refuses such features as well
        if not np.isfinite(values).all():
            raise AudioError(f"too loud: {kind} overflows")
    full = np.count_nonzero(clip.channels >= FULL_SCALE) + np.count_nonzero(clip.channels <= -FULL_SCALE)
    return SongFeatures(seconds, full / clip.channels.size, features)


def _refuse_silence(clip, seconds):
    """Refuse what has no score: samples that are no numbers, and silence."""
    highest, lowest = clip.channels.max(), clip.channels.min()
    if not (np.isfinite(highest) and np.isfinite(lowest)):
        raise AudioError("holds samples that are no numbers")
    if max(highest, -lowest) < SILENT:
        raise AudioError("silence: there is nothing to score")
    start = max(0, round((seconds - SCORED_SECONDS) / 2 * clip.sample_rate))
    middle = clip.channels[start : len(clip.channels) - start]
    if max(middle.max(), -middle.min()) < SILENT:
        raise AudioError(
            f"its middle {SCORED_SECONDS:.0f} s, which the score is made from, are silence: send an excerpt with music"
        )


def shown_mel(song, settings):
    """The mel-spectrogram to show for a song, without padding.

    Parameters
    ----------
    song : SongFeatures
        With "mel" or "whole_mel".
    settings : hitsong.config.Features

    Returns
    -------
    codes : np.ndarray [shape=(n_mels, frames), uint8]
    start, end : float
        The part of the file that it covers, in seconds.
    """
    if "mel" not in song.features:
        return song.features["whole_mel"], 0.0, song.seconds
    s = settings.mel
    start = max(0.0, (song.seconds - s.seconds) / 2)
    end = min(song.seconds, start + s.seconds)
    return song.features["mel"][:, : 1 + int((end - start) * s.sample_rate / s.hop_length)], start, end
