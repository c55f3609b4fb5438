"""What all figures share: their record, the colours of figures and pages, and titles that fit."""

import unicodedata
from dataclasses import dataclass

import numpy as np
import pandas as pd

INK, MUTED, GRID, CARD = "#1f2933", "#616e7c", "#dfe3e8", "#ffffff"
ACCENT, SECOND, THIRD = "#0b6e8f", "#c2571f", "#8a963a"
LINES = [ACCENT, SECOND, THIRD, MUTED]
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "line", CARD: "card", ACCENT: "accent", SECOND: "second", THIRD: "third",
}  # fmt: skip
LONGEST, LONGEST_ROW = 60, 28  # Latin characters of a title, and of a label beside a row


@dataclass(frozen=True)
class Figure:
    """A figure with its numbers and description.

    Attributes
    ----------
    name : str
        Of its files, without suffix.
    drawing : matplotlib.figure.Figure or altair.Chart
    table : pandas.DataFrame
        Its numbers.
    alt : str
        The same in words, for screen readers.
    caption : str
    """

    name: str
    drawing: object
    table: pd.DataFrame
    alt: str
    caption: str = ""


def plain(text, longest=LONGEST):
    """Any text as a label: one line without control characters, shortened if it is long.

    >>> plain("A\\n\\x00 song"), len(plain("x" * 100))
    ('A song', 60)
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    ends = np.cumsum([1 + (unicodedata.east_asian_width(c) in "WF") for c in text])
    return text if not text or ends[-1] <= longest else text[: np.searchsorted(ends, longest)] + "…"


def with_variables(text):
    """The same text, of an SVG or a chart, with the page's CSS variables in place of the colours above."""
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return text
