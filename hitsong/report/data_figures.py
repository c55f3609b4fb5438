"""Figures of the tracks: popularity, years of release and genres, by side of the split."""

import numpy as np

from hitsong.data.leakage import SIDES
from hitsong.report import tables
from hitsong.report.drawing import ACCENT, SECOND, THIRD, Figure, name_rows, new_figure, plain
from hitsong.report.formats import percent, short

_COLOURS = dict(zip(SIDES, (ACCENT, THIRD, SECOND), strict=True))


def popularity(tracks, source):
    """Stacked histogram of popularity (of a `source`), on a logarithmic scale for counts beyond a thousand."""
    table = tables.histogram(tracks)
    drawing, axes = new_figure()
    _stack(axes.bar, table["low"], table, "bottom", width=table["high"] - table["low"], align="edge")
    if table["high"].iat[-1] > 1000:
        axes.set_xscale("function", functions=(np.log1p, np.expm1))
        ticks = 10.0 ** np.arange(0, np.log10(table["high"].iat[-1]) + 1e-9)
        axes.set_xticks([0, *ticks], ["0", *(_in_thousands(tick) for tick in ticks)])
    axes.set(xlabel=f"popularity ({plain(source)})", ylabel="tracks", title="Popularity")
    axes.grid(axis="x", visible=False)
    values = tracks["popularity"]
    text = (
        f"Half of the tracks have a popularity of at most {short(values.median())}; "
        f"{percent((values == 0).mean())} have 0."
    )
    return Figure("popularity", drawing, table, f"Histogram of popularity by side of the split. {text}", text)


def counts(tracks, name, cells):
    """Stacked bars of the tracks in each cell (`hitsong.report.tables.cells`)."""
    table, title = tables.counts(tracks, cells), {"year": "Year of release", "genre": "Genre"}[name]
    places = np.arange(len(table))
    sideways = table["cell"].str.len().max() > 7
    if sideways:
        drawing, axes = new_figure(0.9 + 0.27 * len(table))
        _stack(axes.barh, places[::-1], table, "left")
        name_rows(axes, places[::-1], table["cell"])
        axes.set(xlabel="tracks", title=title)
    else:
        drawing, axes = new_figure()
        _stack(axes.bar, places, table, "bottom", width=0.8)
        axes.set_xticks(places, [plain(cell) for cell in table["cell"]])
        if len(table) > 5:
            axes.tick_params("x", rotation=40)
        axes.grid(axis="x", visible=False)
        axes.set(ylabel="tracks", title=title)
    largest = table.loc[table[list(SIDES)].sum(axis=1).idxmax(), "cell"]
    alt = f"Tracks by {title.lower()} and side of the split; the largest group is {largest}."
    return Figure(f"tracks_by_{name}", drawing, table, alt)


def _stack(bar, places, table, below, **options):
    """A bar for each row, with a part for each side."""
    base = np.zeros(len(table))
    for side, colour in _COLOURS.items():
        bar(places, table[side], color=colour, label=side, **{below: base}, **options)
        base = base + table[side].to_numpy()
    axes = bar.__self__
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.97), ncols=3, columnspacing=1, handlelength=1)


def _in_thousands(tick):
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if tick >= unit:
            return f"{tick / unit:,.0f}{letter}"
    return f"{tick:.0f}"
