"""Figures of the tracks: popularity, years of release and genres, by side of the split."""

import altair as alt

from hitsong.data.leakage import SIDES
from hitsong.report import charts, tables
from hitsong.report.figure import ACCENT, LONGEST_ROW, SECOND, THIRD, Figure, plain
from hitsong.report.formats import percent, short

_COLOURS = dict(zip(SIDES, (ACCENT, THIRD, SECOND), strict=True))


def popularity(tracks, source):
    """Stacked histogram of popularity (of a `source`), on a logarithmic scale for counts beyond a thousand."""
    table = tables.histogram(tracks)
    last = table["high"].iat[-1]
    scale = alt.Scale(type="symlog" if last > 1000 else "linear", nice=False)
    ticks = (
        {"values": [0, *(10**power for power in range(1, 13) if 10**power <= last)]} if last > 1000 else {}
    )
    axis, form = charts.axis("~s", grid=False, **ticks), charts.number_format([last])
    bars = _stack(
        table,
        x=alt.X("low:Q", title=f"popularity ({plain(source)})", scale=scale, axis=axis),
        x2="high:Q",
        y=alt.Y("tracks:Q", title="tracks", stack="zero", axis=charts.axis("~s", tickMinStep=1)),
        tooltip=[
            alt.Tooltip("low:Q", title="from", format=form),
            alt.Tooltip("high:Q", title="to", format=form),
        ],
    )
    values = tracks["popularity"]
    text = (
        f"Half of the tracks have a popularity of at most {short(values.median())}; "
        f"{percent((values == 0).mean())} have 0."
    )
    chart = charts.framed(bars, "Popularity")
    return Figure("popularity", chart, table, f"Histogram of popularity by side of the split. {text}", text)


def counts(tracks, name, cells):
    """Stacked bars of the tracks in each cell (`hitsong.report.tables.cells`)."""
    table, title = tables.counts(tracks, cells), {"year": "Year of release", "genre": "Genre"}[name]
    chart_rows = table.assign(cell=[plain(cell, LONGEST_ROW) for cell in table["cell"]])
    order, count = list(dict.fromkeys(chart_rows["cell"])), charts.axis("~s", tickMinStep=1)
    if table["cell"].str.len().max() > 7:
        y = alt.Y("cell:N", sort=order, title=None, axis=alt.Axis(grid=False))
        bars = _stack(
            chart_rows,
            y=y,
            x=alt.X("tracks:Q", title="tracks", axis=count),
            tooltip=["cell:N"],
            orient="horizontal",
        )
        chart = charts.framed(bars, title, charts.ROW * len(table))
    else:
        x = alt.X("cell:N", sort=order, title=None, axis=alt.Axis(labelAngle=-40 if len(table) > 5 else 0))
        bars = _stack(chart_rows, x=x, y=alt.Y("tracks:Q", title="tracks", axis=count), tooltip=["cell:N"])
        chart = charts.framed(bars, title)
    largest = table.loc[table[list(SIDES)].sum(axis=1).idxmax(), "cell"]
    text = f"Tracks by {title.lower()} and side of the split; the largest group is {largest}."
    return Figure(f"tracks_by_{name}", chart, table, text)


def _stack(table, tooltip, orient="vertical", **channels):
    """Bars with a part for each side."""
    long = table.melt([name for name in table if name not in SIDES], list(SIDES), "side", "tracks")
    long["order"] = long["side"].map(list(SIDES).index)
    return (
        alt.Chart(long)
        .mark_bar(orient=orient)
        .encode(
            color=alt.Color("side:N", sort=list(SIDES), **charts.colours(_COLOURS, _COLOURS.values())),
            order="order:Q",
            tooltip=[*tooltip, "side:N", alt.Tooltip("tracks:Q", format=",")],
            **channels,
        )
    )
