"""Pages of one HTML file each, with their figures and their style inside."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import altair as alt
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hitsong.files import replacing, write_table
from hitsong.report import charts, drawing, formats, model_table

_PICTURE = Markup('<div class="{}" role="img" aria-label="{}">{}</div>')


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    html: Markup
    caption: str


class Gallery:
    """Writes each figure as `<folder>/<name>.png` and its numbers as `<folder>/data/<name>.csv`.

    Attributes
    ----------
    failures : list of str
        A line for each figure that could not be drawn; such a figure never stops the report.
    """

    def __init__(self, folder):
        self.folder = folder
        self.failures = []

    def add(self, draw, *arguments, data=None):
        """Draw figures, write their files and embed them: a list of `Picture`.

        `draw(*arguments)` returns a `hitsong.report.figure.Figure`, a list of them, or None; `data` names
        data that the page adds to a chart.
        """
        try:
            figures = draw(*arguments) or []
            return [
                self._write(figure, data) for figure in (figures if isinstance(figures, list) else [figures])
            ]
        except Exception as error:  # of any kind: the page names it
            name = draw.__name__.lstrip("_").replace("_", " ")
            self.failures.append(f"figure {name}: could not be drawn ({type(error).__name__}: {error})")
            print(f"careful: {self.failures[-1]}", file=sys.stderr)
            text = Markup("<p>The figure “{}” could not be drawn: {}</p>").format(name, str(error))
            return [Picture(text, "")]

    def add_each(self, draw, rows):
        """`add` once for each row of arguments."""
        return [picture for arguments in rows for picture in self.add(draw, *arguments)]

    def _write(self, figure, data):
        write_table(self.folder / "data" / f"{figure.name}.csv", figure.table)
        path = self.folder / f"{figure.name}.png"
        if isinstance(figure.drawing, alt.TopLevelMixin):
            rendering = charts.Rendering(figure.drawing)
            picture = _embed_chart(figure, rendering, data)
            rendering.save(path)
        else:
            picture = embed(figure)
            drawing.save(figure.drawing, path)
        return picture


def embed(figure):
    """A figure as a part of a page: its picture, and for a chart what `report.js` needs to draw it."""
    if isinstance(figure.drawing, alt.TopLevelMixin):
        return _embed_chart(figure, charts.Rendering(figure.drawing))
    kind = "drawing map" if any(axes.images for axes in figure.drawing.axes) else "drawing"
    return Picture(
        _PICTURE.format(kind, figure.alt, Markup(drawing.svg(figure.drawing, figure.name))), figure.caption
    )


def _embed_chart(figure, rendering, data=None):
    """A chart as a part of a page; `data` names data that the page adds to it."""
    fixed = charts.is_fixed(figure.drawing)
    kind = "drawing" if fixed else f"drawing chart {data or ''}".strip()
    picture = _PICTURE.format(kind, figure.alt, Markup(rendering.svg(figure.name)))
    script = Markup('<script type="application/json" class="chart">{}</script>')
    program = "" if fixed else script.format(Markup(rendering.program(data)))
    return Picture(picture + program, figure.caption)


def write(path, template, with_charts=True, **content):
    """Render a page.

    `template` is a file in the folder of this module; `content` must have every name that it uses. A page
    without charts needs no code of Vega, which is most of a page.
    """
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formats.number,
        "interval": formats.interval,
        "count": "{:,}".format,
        "percent": formats.percent,
        "linked": _linked,
    }
    environment.tests["undefined_in"] = model_table.is_undefined
    css = Markup((here / "report.css").read_text(encoding="utf-8"))
    template = environment.get_template(template)
    page = template.render(css=css, scripts=_scripts(here, with_charts), **content)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _scripts(here, with_charts):
    """The JavaScript of a page."""
    ours = (here / "report.js").read_text(encoding="utf-8")
    return [Markup(text) for text in ([charts.javascript()] if with_charts else []) + [ours]]


def _linked(text):
    """The same text with its arXiv numbers as links."""
    link = r'<a href="https://arxiv.org/abs/\2" rel="noreferrer">\1</a>'
    return Markup(re.sub(r"(arXiv[: ](\d{4}\.\d{4,5}))", link, str(escape(text))))
