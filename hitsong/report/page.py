"""The report as one HTML file, with its figures inside."""

import base64
from math import asin, pi, sin
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hitsong.files import replacing

COLUMNS = {
    "popularity": ["spearman", "kendall", "r2", "mse", "mae", "ndcg@100"],
    "popular": ["roc_auc", "pr_auc", "accuracy", "balanced_accuracy", "brier"],
    "buckets": ["quadratic_kappa", "accuracy", "macro_f1"],
    "audio_features": ["pearson", "r2", "mse", "mae", "rmse"],
}


def write(path, **content):
    """Render `report.html`.

    Parameters
    ----------
    path : pathlib.Path
    **content
        What the template shows; every name it uses must be there. Figures are paths of PNG files
        beside the report, and go into the page itself.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "embedded": embedded,
        "count": "{:,}".format,
    }
    page = environment.get_template("report.html").render(**content)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def number(value):
    """Three significant digits, or as many as the whole part needs.

    >>> [number(v) for v in (0.12345, -0.0004, 12.345, 1234.5, None)]
    ['0.123', '-0.000', '12.3', '1,234', '–']
    """
    if value is None:
        return "–"
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f}"


def interval(bounds):
    """`low to high`."""
    return f"{number(bounds[0])} to {number(bounds[1])}"


def embedded(path):
    """A PNG as a data address."""
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def pairs_sorted_correctly(spearman):
    """How often a rank correlation sorts two random tracks correctly.

    For normal scores a correlation r corresponds to Kendall's tau of 2/pi arcsin(r) (with Spearman's
    2 sin(pi rho / 6) for r), and a pair is sorted correctly (1 + tau) / 2 of the time.

    >>> round(pairs_sorted_correctly(0.3), 2), pairs_sorted_correctly(0.0)
    (0.6, 0.5)
    """
    return 0.5 + asin(2 * sin(pi * spearman / 6)) / pi
