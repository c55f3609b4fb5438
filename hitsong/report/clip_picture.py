"""A picture of the features of one clip, the inputs of the models."""

import librosa
import numpy as np
import pandas as pd

from hitsong.features import decode
from hitsong.report import drawing
from hitsong.report.figure import ACCENT

TAGS_SHOWN = 10


def draw(store, settings, folder):
    """Draw waveform, chroma and features of the store's first clip as `sheet.png`; paths are relative to `folder`."""
    features = {kind: store.read(kind) for kind in settings.kinds}
    complete = set.intersection(*(set(feature.rows) for feature in features.values()))
    clips = store.index[store.index["current"] & store.index["track_id"].isin(complete)]
    if clips.empty:
        return
    track_id, path = clips[["track_id", "path"]].iloc[0]
    clip = decode.Clip.read(folder / path)
    values = {
        kind: feature.array[feature.rows[track_id]] * feature.specification["scale"]
        + feature.specification["offset"]
        for kind, feature in features.items()
    }
    panels = [_waveform, _chroma, *(_PANELS[kind] for kind in settings.kinds if kind in _PANELS)]
    figure, axes = drawing.new_figure(2.1 * len(panels), 8, rows=len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        panel(axis, clip, values, features, settings)
    figure.suptitle(f"Features of {track_id}", fontweight="bold")
    drawing.save(figure, store.folder / "sheet.png")


def _waveform(axis, clip, *_):
    samples = decode.mono(clip.channels)
    seconds = np.arange(len(samples)) / clip.sample_rate
    step = max(1, len(samples) // 4000)
    axis.plot(seconds[::step], samples[::step], color=ACCENT, linewidth=0.4)
    axis.set(title="Waveform", ylabel="amplitude", ylim=(-1, 1), xlim=(0, seconds[-1]))


def _chroma(axis, clip, *_):
    chroma = librosa.feature.chroma_stft(y=clip.at(22050), sr=22050, n_fft=4096, hop_length=2048)
    seconds = chroma.shape[1] * 2048 / 22050
    _image(axis, chroma, seconds, 12, "magma")
    axis.set(title="Chroma", ylabel="pitch class", yticks=np.arange(0, 12, 2) + 0.5)
    axis.set_yticklabels(["C", "D", "E", "F♯", "G♯", "A♯"])


def _mel(axis, clip, values, features, settings):
    s = settings.mel
    _image(axis, values["mel"], s.seconds, s.n_mels, "magma")
    hertz = librosa.mel_frequencies(s.n_mels, fmin=s.fmin, fmax=s.fmax or s.sample_rate / 2, htk=s.htk)
    ticks = np.linspace(0, s.n_mels - 1, 5).round().astype(int)
    axis.set(title="Mel-spectrogram as stored (dB)", ylabel="Hz", yticks=ticks + 0.5)
    axis.set_yticklabels([f"{hertz[tick]:,.0f}" for tick in ticks])


def _mfcc(axis, clip, values, features, settings):
    s = settings.mfcc
    coefficients = values["mfcc"].T
    _image(axis, coefficients[1:], s.frames * s.hop_length / s.sample_rate, s.n_mfcc - 1, "RdBu")
    axis.set(title="MFCC (from the second on)", ylabel="coefficient", xlabel="seconds")


def _tags(axis, clip, values, features, settings):
    scores = pd.Series(values["tags"], features["tags"].specification["columns"]).nlargest(TAGS_SHOWN)
    axis.bar(range(len(scores)), scores, color=ACCENT)
    axis.set(title=f"Music tags ({settings.tags.model})", ylabel="score", ylim=(0, 1))
    axis.set_xticks(range(len(scores)), scores.index, rotation=30, ha="right")
    axis.grid(axis="x", visible=False)


def _image(axis, values, seconds, height, colormap):
    axis.imshow(values, origin="lower", aspect="auto", extent=(0, seconds, 0, height), cmap=colormap)
    axis.grid(visible=False)


_PANELS = {"mel": _mel, "mfcc": _mfcc, "tags": _tags}
