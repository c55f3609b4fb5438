"""The features of one audio file, made exactly as stage 03 makes them, without TensorFlow."""

import io
from dataclasses import dataclass, field, fields, replace

import numpy as np

from hitsong import config
from hitsong.features import kinds, mel
from hitsong.features.decode import LONGEST, AudioError, Clip, title_and_artist
from hitsong.predict.variants import variants

SILENT = 1e-4  # largest sample, of 1: stage 02 refuses such previews
FULL_SCALE = 0.999  # samples beyond count as clipped
SCORED_SECONDS = 32.0  # the middle of the file, which features are made from
MARGIN = 1.0  # seconds on either side of a variant, so that the edges of filters lie outside
SHORTEST = 5.0  # seconds of sound that a score needs, or the length that the model expects, if that is less

TEXTS, NESTED = ("title", "artist"), ("features", "variants")


@dataclass(frozen=True)
class Variant:
    """Features of a variant of a song, see `hitsong.predict.variants`.

    Attributes
    ----------
    name : str
    start : float
        Where the part that its features are made from begins in the file, in seconds.
    features : dict of str to np.ndarray
        By kind, as the store holds them.
    """

    name: str
    start: float
    features: dict


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
    variants : list of Variant
        Those that were asked for.
    title, artist : str
        From the file's own tags; empty where it has none.
    """

    seconds: float
    clipped: float
    features: dict
    variants: list = field(default_factory=list)
    title: str = ""
    artist: str = ""

    def to_bytes(self):
        """Numbers and text only, no pickle: what a decoder process returns cannot run code."""
        arrays = {name.name: getattr(self, name.name) for name in fields(self) if name.name not in NESTED}
        arrays |= {f"feature:{kind}": values for kind, values in self.features.items()}
        for number, variant in enumerate(self.variants):
            arrays[f"variant:{number}:{variant.name}"] = variant.start
            arrays |= {f"part:{number}:{kind}": values for kind, values in variant.features.items()}
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data):
        """The inverse of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        features = _take(arrays, "feature:")
        starts, parts, made = _take(arrays, "variant:"), _take(arrays, "part:"), []
        for key, start in starts.items():
            number, name = key.split(":")
            kinds_of = {
                kind.partition(":")[2]: values
                for kind, values in parts.items()
                if kind.startswith(f"{number}:")
            }
            made.append(Variant(name, float(start), kinds_of))
        texts = {name: str(arrays.pop(name)) for name in TEXTS}
        return cls(
            **{name: float(value) for name, value in arrays.items()},
            **texts,
            features=features,
            variants=made,
        )


def _take(arrays, prefix):
    """Take the arrays whose names begin with a prefix out of a dict, by the rest of their names."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def read_features(path, settings, whole_mel=False, seconds=LONGEST, groups=(), kinds_of_variants=()):
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
    groups : sequence of str
        Which variants to make as well, see `hitsong.predict.variants.variants`.
    kinds_of_variants : sequence of str
        The kinds of feature to make of variants.

    Returns
    -------
    SongFeatures

    Raises
    ------
    hitsong.features.decode.AudioError
        If the file cannot be decoded, or the part that features are made from has no `SHORTEST` seconds of sound.
    """
    clip = Clip.read(path, seconds)
    _refuse_silence(clip, settings)
    title, artist = title_and_artist(path)
    song = features_of_clip(clip, settings, whole_mel)
    made = _make_variants(clip, song, settings, groups, kinds_of_variants) if groups else []
    return replace(song, title=title, artist=artist, variants=made)


def _make_variants(clip, song, settings, groups, kinds_of_variants):
    """The variants of a song; the unchanged one has the song's own features."""
    chosen = settings.model_copy(update={"kinds": list(kinds_of_variants)})
    used = used_seconds(chosen)
    spare = max(0.0, min(MARGIN, (song.seconds - used) / 2))
    made = []
    for name, start, variant in variants(clip, used + 2 * spare, groups):
        if name == "unchanged":
            features = {product: song.features[product] for product in kinds.products(chosen.kinds)}
        else:
            features = _features(variant, chosen)
        made.append(Variant(name, start + spare, features))
    return made


def used_seconds(settings):
    """How much of the middle of a file its features are made from, in seconds."""
    return settings.mel.seconds if settings.kinds == ["mel"] else max(SCORED_SECONDS, settings.mel.seconds)


def features_of_clip(clip, settings, whole_mel=False):
    """As `read_features`, for a decoded file: `hitsong.features.decode.Clip`."""
    seconds = len(clip.channels) / clip.sample_rate
    # All kinds are made from one part: the kinds themselves would take the middle, or the beginning, of a longer file.
    features = _features(clip.middle(max(SCORED_SECONDS, settings.mel.seconds)), settings)
    if whole_mel and "mel" not in features:
        features["whole_mel"] = mel.compute(clip, config.Mel(seconds=seconds))
    full = np.count_nonzero(clip.channels >= FULL_SCALE) + np.count_nonzero(clip.channels <= -FULL_SCALE)
    return SongFeatures(seconds, full / clip.channels.size, features)


def _features(clip, settings):
    """The features of a clip by kind; the store refuses those that are no numbers as well."""
    features = {product: kinds.make(product, clip, settings) for product in kinds.products(settings.kinds)}
    for kind, values in features.items():
        if not np.isfinite(values).all():
            raise AudioError(f"too loud: {kind} overflows")
    return features


def _refuse_silence(clip, settings):
    """Refuse what has no score: samples that are no numbers, silence, and too little sound."""
    highest, lowest = clip.channels.max(), clip.channels.min()
    if not (np.isfinite(highest) and np.isfinite(lowest)):
        raise AudioError("holds samples that are no numbers")
    if max(highest, -lowest) < SILENT:
        raise AudioError("silence: there is nothing to score")
    middle = clip.middle(SCORED_SECONDS).channels
    if max(middle.max(), -middle.min()) < SILENT:
        raise AudioError(
            f"its middle {SCORED_SECONDS:.0f} s, which the score is made from, are silence: send an excerpt with music"
        )
    least, sound = min(SHORTEST, settings.mel.seconds), _seconds_of_sound(middle, clip.sample_rate)
    if sound < least:
        raise AudioError(f"only {sound:.1f} s of sound: a score needs {least:g} s at least")


def _seconds_of_sound(samples, sample_rate):
    """How long samples are not silent, counted in tenths of a second."""
    starts = np.arange(0, len(samples), max(1, sample_rate // 10))
    peaks = np.maximum.reduceat(np.abs(samples).max(axis=1), starts)
    lengths = np.diff(np.append(starts, len(samples)))
    return float(lengths[peaks >= SILENT].sum() / sample_rate)


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
