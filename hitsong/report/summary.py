"""The result of a run on one page, as PDF and PNG: for those who do not open HTML."""

import textwrap
from dataclasses import dataclass, field

import vl_convert
from markupsafe import escape

from hitsong.files import replacing
from hitsong.report import charts
from hitsong.report.figure import CARD, GRID, INK, MUTED, SECOND, plain

_WIDTH, _HEIGHT, _MARGIN = 595, 842, 40  # A4, in points
_LETTER = 0.49  # the mean width of a letter of this font, in its size
_FONT = "Liberation Sans, Arial, Noto Sans CJK SC, sans-serif"
_CAUTIONS = 5


@dataclass
class _Sheet:
    """An SVG of the page's size that is filled from the top."""

    y: float = _MARGIN
    parts: list = field(default_factory=list)

    def write(self, text, size, colour=INK, bold=False, gap=4.0, width=_WIDTH - 2 * _MARGIN, x=_MARGIN):
        """Add a paragraph, and move down by its height."""
        weight = ' font-weight="bold"' if bold else ""
        for line in textwrap.wrap(str(text), int(width / (size * _LETTER * (1.06 if bold else 1)))):
            self.y += 1.32 * size
            self.parts.append(
                f'<text x="{x}" y="{self.y:.1f}" font-size="{size}" fill="{colour}"{weight}>{escape(line)}</text>'
            )
        self.y += gap

    def place(self, chart, x, width):
        """Put a chart's picture at the present height, and return its height."""
        picture = vl_convert.vegalite_to_svg(charts.spec(chart))
        w, h = (float(size) for size in picture.split('viewBox="0 0 ')[1].split('"')[0].split())
        height = width * h / w
        inner = picture.replace("<svg ", f'<svg x="{x}" y="{self.y:.1f}" ', 1)
        inner = inner.replace(f'width="{w:g}" height="{h:g}"', f'width="{width}" height="{height:.1f}"', 1)
        self.parts.append(inner)
        return height

    def rule(self):
        """Add a line across the page."""
        self.y += 6
        self.parts.append(f'<path d="M{_MARGIN} {self.y:.1f}H{_WIDTH - _MARGIN}" stroke="{GRID}"/>')
        self.y += 4

    def svg(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{_WIDTH}" '
            f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="{_FONT}">'
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="{CARD}"/>{"".join(self.parts)}</svg>'
        )


def write(folder, title, question, verdict, sentences, cautions, pictures, rows, facts):
    """Write `summary.pdf` and `summary.png`.

    Parameters
    ----------
    folder : pathlib.Path
    title, question, verdict : str
    sentences, cautions : list of str
        Below the verdict; of many cautions the first are written.
    pictures : list of altair.Chart
        Two, side by side.
    rows : list of (str, str, str)
        Models with their main metric and its interval; the first is the heading.
    facts : dict of str to str
    """
    sheet = _Sheet()
    sheet.write(f"Hitsong · {title}", 9, MUTED, gap=2)
    sheet.write(question, 19, bold=True, gap=6)
    sheet.write(verdict, 13, SECOND, bold=True, gap=2)
    for sentence in sentences:
        sheet.write(sentence, 10)
    for caution in cautions[:_CAUTIONS]:
        sheet.write(f"Caution: {caution}.", 9, MUTED, gap=2)
    if len(cautions) > _CAUTIONS:
        sheet.write(f"{len(cautions) - _CAUTIONS} more cautions stand in the report.", 9, MUTED)
    sheet.rule()
    half = (_WIDTH - 2 * _MARGIN - 16) / 2
    heights = [
        sheet.place(picture, _MARGIN + place * (half + 16), half)
        for place, picture in enumerate(pictures[:2])
    ]
    sheet.y += max(heights, default=0)
    sheet.rule()
    _write_table(sheet, rows)
    sheet.rule()
    for name, fact in facts.items():
        sheet.write(f"{name}: {fact}", 8, MUTED, gap=0.5)
    text = sheet.svg()
    for path, content in (
        (folder / "summary.pdf", vl_convert.svg_to_pdf(text)),
        (folder / "summary.png", vl_convert.svg_to_png(text, scale=2)),
    ):
        with replacing(path) as temporary:
            temporary.write_bytes(content)


def _write_table(sheet, rows):
    """Names at the left, numbers at the right; as many rows as leave place for the facts."""
    fitting = max(3, int((_HEIGHT - _MARGIN - 110 - sheet.y) / 14))
    for place, (name, value, bounds) in enumerate(rows[:fitting]):
        sheet.y += 14
        bold = ' font-weight="bold"' if place == 0 else ""
        for x, text, anchor in ((_MARGIN, plain(name), "start"), (340, value, "end"), (460, bounds, "end")):
            sheet.parts.append(
                f'<text x="{x}" y="{sheet.y:.1f}" font-size="9.5" fill="{INK}" text-anchor="{anchor}"{bold}>'
                f"{escape(text)}</text>"
            )
