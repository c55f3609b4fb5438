"""The style of pictures with spectrograms, drawn by Matplotlib, and their PNG files and `<svg>` elements.

Figures are about as wide as a phone, so that their text is readable there and two fit side by side on a desktop. In a
page the colours of the palette become CSS variables, for a light and a dark page.
"""

import io
import re
import warnings

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure as Drawing

from hitsong.files import replacing
from hitsong.report.figure import (
    CARD,
    GRID,
    INK,
    MUTED,
    with_variables,
)

WIDTH = 4.5  # inches

_RASTER_DPI = 180  # of pixels inside an SVG
_CJK = {
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Source Han Sans SC",
    "PingFang SC",
    "SimHei",
}

matplotlib.rcParams.update(
    {
        "figure.facecolor": CARD,
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "axes.facecolor": CARD,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titleweight": "bold",
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.titlecolor": INK,
        "axes.formatter.useoffset": False,
        "axes.unicode_minus": True,
        "grid.color": GRID,
        "text.color": INK,
        "text.parse_math": False,  # a `$` in the title of a song is no formula
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "font.family": ["DejaVu Sans", *sorted(_CJK & set(font_manager.get_font_names()))],
        "font.size": 9.5,
        "figure.constrained_layout.h_pad": 0.07,
        "figure.constrained_layout.w_pad": 0.07,
        "svg.fonttype": "none",
    }
)


def new_figure(height=3.2, width=WIDTH, rows=1, columns=1, **options):
    """An empty figure of a size in inches, and its axes (an array of them if there are several)."""
    drawing = Drawing(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(rows, columns, **options)


def save(drawing, path):
    """Write a figure as PNG."""
    with replacing(path) as temporary:
        _savefig(drawing, temporary, format="png")


def svg(drawing, name):
    """A figure as an `<svg>` element (str) whose colours are the page's variables.

    The name becomes part of the ids, which must differ within a page. The layout is fixed from here on, so that a PNG
    saved later has the same.
    """
    stream = io.StringIO()
    nothing = dict.fromkeys(["Creator", "Date", "Format", "Type"])
    with matplotlib.rc_context({"svg.hashsalt": name}):
        _savefig(drawing, stream, format="svg", transparent=True, metadata=nothing, dpi=_RASTER_DPI)
    drawing.set_layout_engine("none")
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # matplotlib counts them anew in each figure
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--font)", text)
    text = re.sub(r"<!--.*?-->|\n\s*", lambda match: "" if match[0][0] == "<" else " ", text, flags=re.DOTALL)
    return with_variables(text)


def _savefig(drawing, target, **options):
    with (
        warnings.catch_warnings()
    ):  # a character without a glyph is a box in the PNG; browsers have more fonts
        warnings.filterwarnings("ignore", "Glyph .* missing")
        drawing.savefig(target, **options)
