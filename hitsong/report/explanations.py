"""Figures of explanations: maps over a spectrogram, what a model listens for, what columns are worth."""

import io

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from PIL import Image

from hitsong.explain.across_tracks import DISCOVERY_RATE
from hitsong.explain.mels import band_edges
from hitsong.report.figures import ACCENT, INK, MUTED, SECOND, plt

HERTZ = (200, 500, 1000, 2000, 5000, 10000, 20000)
STRONGEST = 0.85  # opacity of the largest values: the spectrogram stays visible
SHOWN = 12  # columns in a figure

# What the values of each kind of map are, to be filled with the score's unit.
LABELS = {
    "occlusion": "{} lost\nif this part were not there",
    "gradients": "{}\nthat the part around a bin adds",
    "lime": "{}\nthat a segment adds",
}


def _scale():
    """Blue for what lowers the score and orange for what raises it, the more opaque the more it does.

    Blue and orange stay apart for the colour-blind, and what does nothing cannot be seen.
    """
    strength = np.abs(np.linspace(-1, 1, 255))
    colors = LinearSegmentedColormap.from_list("", [ACCENT, "#9cc9d8", "#f3c6a5", SECOND])(
        np.linspace(0, 1, 255)
    )
    colors[:, 3] = STRONGEST * strength**0.6
    return ListedColormap(colors)


SCALE = _scale()


def limit(values):
    """The value that is drawn strongest: all but one in 200 are smaller, so that single bins do not decide."""
    return float(np.quantile(np.abs(values), 0.995)) or 1.0


def over_spectrogram(mel, values, settings, label, title=""):
    """Draw a map over the spectrogram that it explains.

    Parameters
    ----------
    mel : np.ndarray [shape=(n_mels, frames)]
        In dB.
    values : np.ndarray [shape=(n_mels, frames)]
        Positive where the score is raised.
    settings : hitsong.config.Mel
    label : str
        What the values are, with their unit, for the colour bar.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_mels, frames = mel.shape
    extent = (0, frames * settings.hop_length / settings.sample_rate, 0, n_mels)
    shown = {"origin": "lower", "aspect": "auto", "extent": extent}
    figure, axes = plt.subplots(figsize=(8.6, 3.6), layout="constrained")
    quiet, loud = np.quantile(mel, [0.02, 0.998])
    # Up to a middle grey only: colours lie above.
    axes.imshow(mel, cmap="Greys", vmin=quiet, vmax=loud + 0.6 * (loud - quiet), **shown)
    ends = Normalize(-limit(values), limit(values))
    drawn = axes.imshow(values, cmap=SCALE, norm=ends, interpolation="nearest", **shown)
    bar = figure.colorbar(drawn, ax=axes, extend="both", pad=0.015, aspect=25)
    bar.set_label(label)
    bar.outline.set_edgecolor(MUTED)
    bar.solids.set_edgecolor("face")
    axes.set(xlabel="seconds", ylabel="Hz", title=title)
    _hertz(axes, settings)
    axes.grid(visible=False)
    return figure


def overlay_png(values, height=None, width=None):
    """Paint a map as a transparent PNG, to be laid over a spectrogram.

    Parameters
    ----------
    values : np.ndarray [shape=(n_mels, frames)]
    height, width : int, optional
        In pixels; one for each bin if not given.

    Returns
    -------
    bytes
        Low frequencies are at the bottom; what does nothing is transparent.
    """
    end = limit(values)
    pixels = SCALE(Normalize(-end, end)(values[::-1]), bytes=True)
    image = Image.fromarray(pixels, "RGBA")
    if height or width:
        image = image.resize((width or image.width, height or image.height), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def listening(bands, moments, unit):
    """Draw what a model listens for: the importance of frequency bands, and of moments of the clip.

    Parameters
    ----------
    bands, moments : pandas.DataFrame
        From `hitsong.explain.across_tracks`.
    unit : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.6, 3.8), layout="constrained", width_ratios=(1, 1.1)
    )
    for axes, table, color in ((left, bands, ACCENT), (right, moments, SECOND)):
        middle, importance = np.arange(len(table)), table["importance"]
        errors = [importance - table["low"], table["high"] - importance]
        sideways = axes is left
        bar, low, size = (axes.barh, "xerr", "height") if sideways else (axes.bar, "yerr", "width")
        bar(
            middle,
            importance,
            color=color,
            error_kw={"ecolor": INK, "elinewidth": 1},
            **{low: errors, size: 0.8},
        )
    left.set_yticks(
        np.arange(len(bands) + 1) - 0.5, [_short(hertz) for hertz in [*bands["begin"], bands["end"].iat[-1]]]
    )
    right.set_xticks(
        np.arange(len(moments) + 1) - 0.5,
        [f"{second:.2g}" for second in [*moments["begin"], moments["end"].iat[-1]]],
    )
    left.set(ylabel="Hz", xlabel=f"{unit}, on average", title="A band from another song moves the score by")
    right.set(xlabel="seconds", ylabel=f"{unit}, on average", title="An eighth of another song moves it by")
    left.grid(axis="y", visible=False)
    right.grid(axis="x", visible=False)
    return figure


def companions(table):
    """Draw the columns that go most with the predictions, and whether that may be chance.

    Parameters
    ----------
    table : pandas.DataFrame
        From `hitsong.explain.across_tracks.correlate_columns`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = table.head(SHOWN).iloc[::-1]
    sure = (shown["q"] <= DISCOVERY_RATE).to_numpy()
    figure, axes = plt.subplots(figsize=(6.8, 0.9 + 0.32 * len(shown)), layout="constrained")
    axes.axvline(0, color=INK, linewidth=0.8)
    for kind, color, label in (
        (sure, ACCENT, f"false discovery rate up to {DISCOVERY_RATE:.0%}"),
        (~sure, MUTED, "may be chance"),
    ):
        _points(axes, np.flatnonzero(kind), shown[kind], "spearman", color, label)
    axes.set_yticks(range(len(shown)), shown["column"])
    axes.set(xlabel="Spearman's correlation with the prediction, 95 % interval over artists")
    axes.set_title("What goes with high predictions")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="best", fontsize=9)
    return figure


def importance(table, metric):
    """Draw what a model loses without each column.

    Parameters
    ----------
    table : pandas.DataFrame
        From `hitsong.explain.permutation.permutation_importance`.
    metric : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = table.head(SHOWN).iloc[::-1]
    figure, axes = plt.subplots(figsize=(6.8, 0.9 + 0.32 * len(shown)), layout="constrained")
    axes.axvline(0, color=INK, linewidth=0.8)
    _points(axes, np.arange(len(shown)), shown, "importance", ACCENT, None)
    axes.set_yticks(range(len(shown)), shown["column"])
    axes.set(xlabel=f"{metric} lost if the column is shuffled, 95 % interval over artists")
    axes.set_title("What the model needs")
    axes.grid(axis="y", visible=False)
    return figure


def _points(axes, places, rows, value, color, label):
    axes.hlines(places, rows["low"], rows["high"], color=color, linewidth=2.5)
    axes.plot(rows[value], places, "o", color=color, markersize=7, label=label)


def _hertz(axes, settings):
    """Ticks at round frequencies, where they lie among the mels."""
    edges = band_edges(settings)
    ticks = [hertz for hertz in HERTZ if edges[0] <= hertz <= edges[-1]]
    axes.set_yticks(np.interp(ticks, edges, np.arange(len(edges))), [_short(hertz) for hertz in ticks])


def _short(hertz):
    """
    >>> [_short(hertz) for hertz in (428.2, 1000, 5512.5)]
    ['430', '1k', '5.5k']
    """
    hertz = float(f"{hertz:.2g}")
    return f"{hertz:.0f}" if hertz < 1000 else f"{hertz / 1000:.2g}k"
