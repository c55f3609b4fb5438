"""Pages of one HTML file each, with their figures and their style inside."""

import base64
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hitsong.files import replacing, write_table
from hitsong.report import figures


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    html: Markup
    caption: str


class Gallery:
    """Leaves every figure as `<folder>/<name>.png` and its numbers as `<folder>/data/<name>.csv`.

    Parameters
    ----------
    folder : pathlib.Path
    """

    def __init__(self, folder):
        self.folder = folder

    def add(self, name, figure, table, alt, caption=""):
        """Keep a figure and give it to the page.

        Parameters
        ----------
        name : str
            The files' name, without suffix.
        figure : matplotlib.figure.Figure
        table : pandas.DataFrame
            What it shows.
        alt : str
            What it says, to somebody who does not see it.
        caption : str
            How to read it.

        Returns
        -------
        Picture
        """
        write_table(self.folder / "data" / f"{name}.csv", table)
        drawn = picture(figure, name, alt, caption)
        figures.save(figure, self.folder / f"{name}.png")
        return drawn

    def keep(self, name, path, alt, table):
        """Give the page a figure that lies there as PNG, and keep its numbers."""
        write_table(self.folder / "data" / f"{name}.csv", table)
        data = base64.b64encode(Path(path).read_bytes()).decode()
        html = Markup(
            '<div class="scroll" tabindex="0" role="region" aria-label="{}">'
            '<img class="paper" src="data:image/png;base64,{}" alt="{}"></div>'
        )
        return Picture(html.format(f"Figure: {name}", data, alt), "")


def picture(figure, name, alt, caption=""):
    """A figure for the page alone."""
    html = Markup('<div class="drawing" role="img" aria-label="{}">{}</div>')
    return Picture(html.format(alt, Markup(figures.svg(figure, name))), caption)


def write(path, template, **content):
    """Render a page.

    Parameters
    ----------
    path : pathlib.Path
    template : str
        A file beside this module.
    **content
        What the template shows; every name it uses must be there.
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
        "number": number,
        "interval": interval,
        "count": "{:,}".format,
        "percent": percent,
    }
    css = Markup((here / "report.css").read_text(encoding="utf-8"))
    page = environment.get_template(template).render(css=css, **content)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def number(value):
    """A metric: three decimals, fewer for large numbers, and a true minus.

    >>> [number(v) for v in (0.12345, -0.0004, -0.5, 12.345, 1234.5, None)]
    ['0.123', '0.000', '−0.500', '12.3', '1,234', '–']
    """
    if value is None:
        return "–"
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:z,.{digits}f}".replace("-", "−")


def short(value):
    """A quantity in a sentence: three significant digits, or the whole part.

    >>> [short(v) for v in (0.0, 1.6543, 59.0, -12.34, 12345.6)]
    ['0', '1.65', '59', '−12.3', '12,346']
    """
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "−")


def percent(share):
    """A share in percent, without decimals.

    >>> percent(0.654)
    '65\xa0%'
    """
    return f"{100 * share:.0f}\xa0%"


def interval(bounds):
    """`low to high`."""
    return f"{number(bounds[0])} to {number(bounds[1])}"


def dates(popularity):
    """When popularity was read: a day, a span of days, or that it is unknown."""
    if popularity["first_fetched"] is None:
        return "on an unknown day"
    first, last = popularity["first_fetched"][:10], popularity["last_fetched"][:10]
    return first if first == last else f"{first} to {last}"
