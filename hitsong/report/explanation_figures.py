"""Figures of explanations: maps over a spectrogram."""

import io

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from PIL import Image

from hitsong.explain.mels import band_edges
from hitsong.report.drawing import new_figure
from hitsong.report.figure import ACCENT, MUTED, SECOND, plain

HERTZ = (200, 500, 1000, 2000, 5000, 10000, 20000)
STRONGEST = 0.85  # opacity of the largest values: the spectrogram stays visible

# What the values of each kind of map are, to be filled with the unit of the score.
LABELS = {
    "occlusion": "{} lost\nif this part is hidden",
    "gradients": "{}\nadded by the part around a bin",
    "lime": "{}\nadded by a segment",
}


def _scale():
    """Blue for parts that lower the score, orange for parts that raise it (for the colour-blind, too); 0 is clear."""
    strength = np.abs(np.linspace(-1, 1, 255))
    colours = LinearSegmentedColormap.from_list("", [ACCENT, "#9cc9d8", "#f3c6a5", SECOND])(
        np.linspace(0, 1, 255)
    )
    colours[:, 3] = STRONGEST * strength**0.6
    return ListedColormap(colours)


SCALE = _scale()


def limit(values):
    """The value of the strongest colour: the 99.5 % quantile, so that single bins do not decide."""
    return float(np.quantile(np.abs(values), 0.995)) or 1.0


def over_spectrogram(mel, values, settings, label, title=""):
    """Draw a map over the spectrogram that it explains.

    Parameters
    ----------
    mel : np.ndarray [shape=(n_mels, frames)]
        In dB.
    values : np.ndarray [shape=(n_mels, frames)]
        Positive where the score is raised.
    label : str
        Of the colour bar, with the unit of the values.
    """
    n_mels, frames = mel.shape
    extent = (0, frames * settings.hop_length / settings.sample_rate, 0, n_mels)
    placement = {"origin": "lower", "aspect": "auto", "extent": extent}
    drawing, axes = new_figure(3.4)
    quiet, loud = np.quantile(mel, [0.02, 0.998])
    # Up to a middle grey only: colours lie above.
    axes.imshow(mel, cmap="Greys", vmin=quiet, vmax=loud + 0.6 * (loud - quiet), **placement)
    ends = Normalize(-limit(values), limit(values))
    image = axes.imshow(values, cmap=SCALE, norm=ends, interpolation="nearest", **placement)
    bar = drawing.colorbar(image, ax=axes, extend="both", orientation="horizontal", pad=0.03, aspect=35)
    bar.set_label(label)
    bar.outline.set_edgecolor(MUTED)
    bar.solids.set_edgecolor("face")
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)", title=plain(title))
    edges = band_edges(settings)
    ticks = [hertz for hertz in HERTZ if edges[0] <= hertz <= edges[-1]]
    axes.set_yticks(np.interp(ticks, edges, np.arange(len(edges))), [short_hertz(hertz) for hertz in ticks])
    axes.grid(visible=False)
    return drawing


def overlay_png(values):
    """A map (n_mels, frames) as a transparent PNG (bytes) to lay over a spectrogram: a pixel for each bin."""
    end = limit(values)
    pixels = SCALE(Normalize(-end, end)(values[::-1]), bytes=True)
    image = Image.fromarray(pixels, "RGBA")
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def short_hertz(hertz):
    """A frequency as the label of an axis.

    >>> [short_hertz(hertz) for hertz in (428.2, 1000, 5512.5)]
    ['430', '1k', '5.5k']
    """
    hertz = float(f"{hertz:.2g}")
    return f"{hertz:.0f}" if hertz < 1000 else f"{hertz / 1000:.2g}k"
