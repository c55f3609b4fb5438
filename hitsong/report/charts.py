"""Charts in Vega-Lite: their style, the rows and lines that figures share, their pictures, and their form in a page.

A chart is one Altair object. A `Rendering` draws it without a browser; from its `program` and `javascript` a page draws
it as wide as its place, so that readers can point at its values.
"""

import json
import re

import altair as alt
import vl_convert

from hitsong.files import replacing
from hitsong.report.figure import ACCENT, CARD, GRID, INK, MUTED, plain, with_variables

WIDTH = 440  # pixels of a picture; in a page a chart is as wide as its place
ROW = 21  # pixels, the height of a row
_FONT = "DejaVu Sans, Noto Sans CJK SC, sans-serif"
_STYLE = {
    "background": None,
    "aria": False,  # the place of a chart in a page has its description
    "locale": {
        "number": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["", ""], "percent": "\xa0%"}
    },
    "font": _FONT,
    "padding": {"left": 4, "top": 4, "right": 8, "bottom": 4},
    "view": {"stroke": None},
    "title": {"anchor": "start", "frame": "group", "color": INK, "fontSize": 14, "fontWeight": "bold", "offset": 8},
    "axis": {
        "labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED, 
        "labelFontSize": 11.5, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 7, "labelLimit": 190,
        "labelOverlap": "greedy", "labelFlush": False, "tickCount": 5,
    },
    "legend": {
        "orient": "top", "title": None, "labelColor": INK, "labelFontSize": 12, "symbolStrokeWidth": 2, "offset": 4,
        "columnPadding": 14, "labelLimit": 300,
    },
    "point": {"filled": True, "size": 55, "color": ACCENT, "opacity": 1},
    "bar": {"color": ACCENT},
    "line": {"color": ACCENT, "strokeWidth": 2},
    "rule": {"color": ACCENT},
}  # fmt: skip


def framed(chart, title, height=250):
    """A chart with its title and its height in pixels."""
    return chart.properties(title=plain(title), height=height)


def rule(value, axis="x", dashed=False):
    """A line through the whole chart at a value of an axis: chance, or no difference."""
    dash = {"strokeDash": [5, 4], "color": MUTED} if dashed else {"color": INK, "strokeWidth": 0.9}
    return alt.Chart(alt.InlineData([{"value": value}])).mark_rule(**dash).encode(**{axis: "value:Q"})


def diagonal(low, high):
    """The dashed line on which x and y are equal."""
    ends = alt.InlineData([{"x": low, "y": low}, {"x": high, "y": high}])
    return alt.Chart(ends).mark_line(strokeDash=[5, 4], color=MUTED, strokeWidth=1.2).encode(x="x:Q", y="y:Q")


def colours(names, values, **options):
    """The colour of each of several named series, with a legend."""
    return {"scale": alt.Scale(domain=list(names), range=list(values)), **options}


def number_format(values):
    """The d3 format of an axis or a tooltip: three digits, thousands and millions as k and M."""
    return ".3~s" if max(map(abs, values), default=0) >= 10_000 else ",.3~r"


def axis(form, **options):
    """An axis whose labels have a d3 format, each with a unit of its own."""
    return alt.Axis(labelExpr=f"format(datum.value, '{form}')", **options)


def intervals(table, row, value, title, x_title, colour=None, at=None, ends=None, rings=None):
    """Rows with a dot for a value and a line for its interval (columns `low`, `high`), from top to bottom.

    Parameters
    ----------
    table : pandas.DataFrame
    row, value : str
        Columns with the name of a row and its value.
    colour : altair.Color or altair condition, optional
        Of dot and line; the accent colour if not given.
    at : float, optional
        Where a vertical line stands: chance, or no difference.
    ends : (float, float), optional
        Of the axis.
    rings : (str, str), optional
        A column of values to compare with, drawn as rings, and what readers are shown as its name.

    Returns
    -------
    altair.LayerChart
    """
    table = table.assign(_label=[plain(name, 34) for name in table[row]])
    numbers = [number for column in (value, "low", "high") for number in table[column].dropna()]
    form = number_format(numbers)
    y = alt.Y(
        "_label:N",
        sort=list(dict.fromkeys(table["_label"])),
        title=None,
        axis=alt.Axis(grid=False, ticks=False, domain=False, labelPadding=8),
    )
    scale = alt.Scale(domain=list(ends), nice=False) if ends else alt.Scale(zero=False)
    x = alt.X(f"{value}:Q", title=x_title, scale=scale, axis=axis(form))
    tooltip = [
        alt.Tooltip(f"{row}:N"),
        *(alt.Tooltip(f"{column}:Q", format=form) for column in (value, "low", "high")),
        *([alt.Tooltip(f"{rings[0]}:Q", title=rings[1], format=form)] if rings else []),
    ]
    base = alt.Chart(table).encode(
        y=y, tooltip=tooltip, color=alt.value(ACCENT) if colour is None else colour
    )
    lines = base.mark_rule(strokeWidth=2.5, clip=True).encode(
        x=alt.X("low:Q", title=x_title, scale=scale), x2="high:Q"
    )
    layers = [lines, base.mark_point().encode(x=x)]
    if rings:
        ring = base.mark_point(filled=False, strokeWidth=1.5).encode(
            x=f"{rings[0]}:Q", color=alt.value(MUTED)
        )
        layers.insert(1, ring)
    if at is not None:
        layers.insert(0, rule(at))
    return framed(alt.layer(*layers), title, ROW * len(table))


def spec(chart):
    """The Vega-Lite document of a chart (dict)."""
    document = chart.to_dict()
    document["config"] = _STYLE
    if not is_fixed(chart):
        document |= {"width": WIDTH, "autosize": {"type": "fit-x", "contains": "padding"}}
    return document


def is_fixed(chart):
    """Whether a chart has panels side by side, whose width cannot follow their place."""
    return isinstance(chart, alt.ConcatChart)


class Rendering:
    """A chart that is laid out once, for its picture and its page.

    Parameters
    ----------
    chart : altair.TopLevelMixin
    """

    def __init__(self, chart):
        self._document = spec(chart)
        self._svg = vl_convert.vegalite_to_svg(self._document)

    def svg(self, name):
        """An `<svg>` element (str) whose colours are the page's variables and whose ids begin with a name."""
        text = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", self._svg, count=1)
        text = re.sub(r' (role|aria-roledescription|aria-hidden)="[^"]*"', "", text)
        text = re.sub(r'(id="|url\(#|href="#)', rf"\1{name}-", text)
        text = re.sub(r'font-family="[^"]*"', 'font-family="var(--font)"', text)
        return with_variables(text)

    def save(self, path):
        """Write the picture as PNG, on white."""
        paper = f'<rect width="100%" height="100%" fill="{CARD}"/>'
        picture = vl_convert.svg_to_png(self._svg.replace(">", f">{paper}", 1), scale=2)
        with replacing(path) as temporary:
            temporary.write_bytes(picture)

    def program(self, without=None):
        """The chart as wide as its place in a page, as JSON for a script element (str).

        `without` names data that the page itself adds.
        """
        document = {**self._document, "width": "container"}
        if without:
            document["layer"] = [
                layer | {"data": {"name": without}} if layer.get("data", {}).get("name") == without else layer
                for layer in document["layer"]
            ]
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return with_variables(text.replace("<", "\\u003c"))


def save(chart, path):
    """Write a chart as PNG."""
    Rendering(chart).save(path)


def javascript():
    """The JavaScript of Vega, Vega-Lite and Vega-Embed (str), which defines `vegaEmbed` in a page."""
    return f"(() => {{{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}}})();"
