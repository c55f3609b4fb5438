"""Parsing of table cells: numbers in several notations, and dates.

Every function takes a whole column and parses each distinct cell once.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hitsong.errors import UserError

_GROUPING = " \u00a0\u2009\u202f'\u2019"  # thousands separators besides point and comma
_SIGN = r"^\s*[+-]?\s*"
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?\s*$"
_DATE = r"^\s*([0-9]{4})(?:[-/]([0-9]{1,2})(?:[-/]([0-9]{1,2}))?)?(?:\.0|[^0-9/.-].*)?$"
_PRECISION = {4: "year", 7: "month", 10: "day"}


# ---------------------------------------------------------------------- numbers


@dataclass(frozen=True)
class Notation:
    """The decimal sign of a table, "." or ",", and the cell that shows it (None if no cell does, or it was set)."""

    decimal: str = "."
    example: str | None = None

    @property
    def other(self):
        """Point or comma, whichever is not the decimal sign."""
        return "," if self.decimal == "." else "."


def find_notation(columns, decimal=None):
    """Find the decimal sign of a table from all of its numeric columns.

    "1.234" alone may be 1.234 or 1234. "0.5", "12.34", "1,234.5" and "1,234,567" can only be read with a decimal
    point, and "0,5" and "1.234,5" with a decimal comma.

    Parameters
    ----------
    columns : dict of str to pandas.Series
        Text by column name; numeric columns are skipped.
    decimal : str, optional
        The decimal sign, if the user set it.

    Raises
    ------
    UserError
        If cells contradict each other or the given sign, if thousands are divided by different signs, or if no
        cell shows whether a point (or comma) is a decimal sign.
    """
    examples, ambiguous, grouping = {}, {}, {}
    for name, column in columns.items():
        if pd.api.types.is_numeric_dtype(column):
            continue
        holding = {
            sign: column[column.str.contains(sign, regex=False, na=False)] for sign in ".," + _GROUPING
        }
        for sign, cells in holding.items():
            if sign in ".,":
                other = "," if sign == "." else "."
                _find(examples, sign, name, cells, _definite(sign))
                _find(examples, other, name, cells, rf"{_SIGN}[0-9]{{1,3}}(?:[{sign}][0-9]{{3}}){{2,}}\s*$")
                _find(ambiguous, sign, name, cells, rf"{_SIGN}[1-9][0-9]{{0,2}}[{sign}][0-9]{{3}}\s*$")
            else:
                kind = "'" if sign in "'\u2019" else " "
                _find(
                    grouping,
                    kind,
                    name,
                    cells,
                    rf"{_SIGN}[0-9]{{1,3}}(?:{sign}[0-9]{{3}})+(?:[.,][0-9]*)?\s*$",
                )
    given = {decimal: f"collect.table.decimal {decimal!r}"} if decimal else {}
    if len(signs := examples | given) > 1:
        raise UserError(f"numbers are written in two ways: {signs['.']} and {signs[',']}; write them in one")
    if ambiguous and not signs:
        raise UserError(
            f"{next(iter(ambiguous.values()))} may have a decimal sign or divide thousands, and no other cell shows "
            "which: set collect.table.decimal to '.' or ','"
        )
    notation = Notation(next(iter(signs), "."), None if decimal else next(iter(signs.values()), None))
    if notation.other in ambiguous:
        grouping[notation.other] = ambiguous[notation.other]
    if len(grouping) > 1:
        raise UserError(
            f"thousands are divided in two ways: {' and '.join(grouping.values())}; write them in one"
        )
    return notation


def _find(examples, key, name, cells, pattern):
    """Store the first cell that matches a pattern, unless there is an example already."""
    for part in (cells.iloc[:1000], cells.iloc[1000:]):  # the first rows usually have one
        if key not in examples and (matching := find_matches(part, pattern)).any():
            examples[key] = f"{name} {part[matching].iat[0].strip()!r}"


def find_matches(cells, pattern):
    """Which cells match a pattern; by Arrow, which is faster than pandas."""
    matching = pc.match_substring_regex(pa.array(cells, pa.large_string()), pattern=pattern)
    return matching.fill_null(False).to_numpy(zero_copy_only=False).astype(bool)


def parse_numbers(column, notation, name):
    """Parse a column of numbers.

    Parameters
    ----------
    column : pandas.Series
        Text, or numbers already.
    name : str
        Of the column, for remarks.

    Returns
    -------
    numbers : pandas.Series [dtype=float64]
        NaN where the cell is missing or no finite number.
    remarks : list of str
        On cells with thousands separators, ambiguous cells and cells that are no numbers.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float).replace([np.inf, -np.inf], np.nan), []
    if notation.decimal == ".":
        numbers = pd.to_numeric(column, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)
    else:
        numbers = pd.Series(np.nan, column.index)
    rest = column[numbers.isna() & column.notna()]
    remarks = []
    if len(rest):
        d, o = re.escape(notation.decimal), re.escape(notation.other)
        whole = rf"(?:[0-9]+|[0-9]{{1,3}}(?:[{o}{_GROUPING}][0-9]{{3}})+)"
        fits = find_matches(rest, rf"{_SIGN}(?:{whole}(?:{d}[0-9]*)?|{d}[0-9]+){_EXPONENT}")
        text = rest[fits].str.replace(rf"[{o}{_GROUPING}]", "", regex=True)
        parsed = pd.to_numeric(text.str.replace(notation.decimal, ".", regex=False), errors="coerce")
        numbers[parsed.index] = parsed.astype(float).replace([np.inf, -np.inf], np.nan)
        grouped = rest[fits][rest[fits].str.contains(rf"[0-9][{o}{_GROUPING}][0-9]")]
        if len(grouped):
            cell, value = grouped.iat[0].strip(), numbers[grouped.index[0]]
            remarks.append(
                f"{name}: {len(grouped):,} cells divide thousands; {cell!r} was read as {value:.15g}"
            )
        wrong = rest[numbers[rest.index].isna()]
        if len(wrong):
            remarks.append(
                f"{name}: not a number in {len(wrong):,} cells, for example {shorten(wrong.iat[0])}; left out"
            )
    return numbers, [*remarks, *_doubt(column, notation, name)]


def _doubt(column, notation, name):
    """A remark if only another column shows that the signs of this column do not divide thousands."""
    if not notation.example or notation.example.startswith(f"{name} "):
        return []
    signed = column[column.str.contains(notation.decimal, regex=False, na=False)]
    pattern = rf"{_SIGN}[1-9][0-9]{{0,2}}{re.escape(notation.decimal)}[0-9]{{3}}\s*$"
    if (
        not len(signed)
        or not signed.iloc[:1000].str.match(pattern).all()
        or not signed.str.match(pattern).all()
    ):
        return []
    cell = signed.iat[0].strip()
    value = float(cell.replace(notation.decimal, "."))
    return [
        f"{name}: {cell!r} was read as {value:g}, with the decimal sign of {notation.example}; if it divides "
        "thousands, write the numbers in one way"
    ]


def _definite(sign):
    """A pattern of numbers that can only be read with `sign` as the decimal sign."""
    s, o = re.escape(sign), "," if sign == "." else r"\."
    return (
        rf"{_SIGN}(?:[0-9]+{s}(?:[0-9]{{0,2}}|[0-9]{{4,}})|{s}[0-9]+|(?:0[0-9]*|[0-9]{{4,}}){s}[0-9]{{3}}"
        rf"|[0-9]{{1,3}}(?:[{o}{_GROUPING}][0-9]{{3}})+{s}[0-9]+"
        rf"|[0-9]+{s}[0-9]+[eE][+-]?[0-9]+){_EXPONENT}"
    )


def shorten(cell):
    """A cell in quotes, cut after 60 characters."""
    return repr(cell if len(cell) <= 60 else cell[:57] + "...")


# ---------------------------------------------------------------------- dates


def parse_dates(column, name, date_format=None):
    """Dates as year, year-month or year-month-day.

    Parameters
    ----------
    column : pandas.Series
        Text.
    name : str
        Of the column, for remarks.
    date_format : str, optional
        As `datetime.strptime` has it, for dates that do not begin with the year.

    Returns
    -------
    dates : pandas.Series
        "YYYY", "YYYY-MM" or "YYYY-MM-DD"; missing where a cell is no date.
    precision : pandas.Series
        "year", "month", "day" or missing.
    remarks : list of str
    """
    codes, cells = pd.factorize(column)
    cells = pd.Series(cells, dtype="str")
    dates = pd.Series(np.nan, cells.index, dtype="str")
    if date_format:
        parts = {"%Y": "Yy", "%m": "mbB", "%d": "d"}
        precision = [
            part for part, signs in parts.items() if any(f"%{sign}" in date_format for sign in signs)
        ]
        read = pd.to_datetime(cells.str.strip(), format=date_format, errors="coerce")
        dates = read.dt.strftime("-".join(precision)).astype("str")
    text = cells.where(dates.isna()).str.extract(_DATE)
    text = text[0] + ("-" + text[1].str.zfill(2)).fillna("") + ("-" + text[2].str.zfill(2)).fillna("")
    day = text + text.str.len().map({4: "-01-01", 7: "-01", 10: ""})
    exists = pd.to_datetime(day, format="%Y-%m-%d", errors="coerce").notna()
    exists &= text.str[:4] != "0000"
    dates = dates.fillna(text.where(exists))
    every = pd.Series(pd.api.extensions.take(dates.array, codes, allow_fill=True), column.index)
    unread = column[every.isna() & column.notna()]
    remarks = []
    if len(unread):
        advice = _date_format(unread) if date_format is None else f"not written {date_format}"
        remarks.append(
            f"{name}: {len(unread):,} dates were left out (for example {unread.iat[0]!r}): {advice}"
        )
    return every, every.str.len().map(_PRECISION), remarks


def _date_format(cells):
    """Advice on dates that do not begin with the year."""
    parts = cells.str.extract(r"^\s*([0-9]{1,2})([/.-])([0-9]{1,2})[/.-]([0-9]{4})").dropna()
    if parts.empty:
        return "not written year-month-day; see collect.table.date_format"
    first, second = parts[0].astype(int).max(), parts[2].astype(int).max()
    sign = parts[1].iat[0]
    day_first, month_first = f"'%d{sign}%m{sign}%Y'", f"'%m{sign}%d{sign}%Y'"
    if first > 12 or second > 12:
        return f"set collect.table.date_format: {day_first if first > 12 else month_first}"
    return f"set collect.table.date_format: {day_first} or {month_first}"
