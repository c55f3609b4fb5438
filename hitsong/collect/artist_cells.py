"""Parsing of table cells that list artists, in the notations of Python, NumPy and JSON or with separators."""

import ast
import html
import json
import re
import warnings

import pandas as pd

from hitsong.collect.cells import find_matches, shorten

_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|None|nan|null"
_QUOTED_ITEM = re.compile(_QUOTED, re.DOTALL)
_QUOTED_LIST = re.compile(rf"[\[({{]\s*(?:{_QUOTED})(?:[\s,]+(?:{_QUOTED}))*[\s,]*[\])}}]", re.DOTALL)
_DICT_KEYS = {"name": ("name", "artist_name", "artist"), "id": ("id", "artist_id", "uri")}
DIVIDERS = [", ", " & ", " / ", " feat. ", " feat ", " ft. ", " featuring ", " with ", "|"]


def parse_artists(cell, separators=(), key="name"):
    """The artists (or artist ids) in a cell.

    Reads lists of names or of dictionaries in the notation of Python, NumPy and JSON; other cells are split at the
    separators, in upper or lower case. A cell without a list or separator is one artist.

    Parameters
    ----------
    separators : sequence of str
    key : str
        "name" or "id": the value of a dictionary to use.

    Returns
    -------
    list of str

    >>> parse_artists("['Nelly', \\"Destiny's Child\\"]")
    ['Nelly', "Destiny's Child"]
    >>> parse_artists("['Nelly' 'Ciara']")
    ['Nelly', 'Ciara']
    >>> parse_artists("Nelly Featuring Ciara", [" featuring "])
    ['Nelly', 'Ciara']
    """
    text = cell.strip()
    if "&" in text and ";" in text:
        text = html.unescape(text)  # or its ";" would divide artists
    names = _parse_list(text, key) if text[:1] in ("[", "(", "{", "a") else None
    if names is None:
        pattern = "|".join(map(re.escape, separators))
        names = re.split(pattern, text, flags=re.IGNORECASE) if pattern else [text]
    names = (str(name).encode("utf-8", "replace").decode("utf-8").strip() for name in names)
    return [name for name in names if name]


def _parse_list(text, key):
    """The items of a list in Python's, NumPy's or JSON's notation; None if the text is no such list."""
    if text.startswith("array(") and (
        array := re.fullmatch(r"array\((\[.*\])(?:,\s*dtype=.*)?\)", text, re.DOTALL)
    ):
        text = array[1]
    if "np.str_(" in text:
        text = re.sub(rf"np\.str_\(({_QUOTED})\)", r"\1", text)
    try:
        if _QUOTED_LIST.fullmatch(text):  # item by item: Python would join NumPy's 'A' 'B' to 'AB'
            items = [_quoted(item) for item in _QUOTED_ITEM.findall(text)]
        else:
            items = _evaluated(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None  # such as the band [Alexandros]
    if isinstance(items, dict):
        items = [items]
    if not isinstance(items, list | tuple):
        return None
    names = [_value(item, key) if isinstance(item, dict) else item for item in items]
    if any(isinstance(name, list | tuple | set | dict) for name in names):
        return None
    return [name for name in names if name is not None]


def _evaluated(text):
    """A list as JSON or else as Python writes it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _as_python(text)


def _quoted(item):
    """A quoted text without its quotes; None for a missing value."""
    if item in ("None", "nan", "null"):
        return None
    if "\\" not in item:
        return item[1:-1]
    try:
        return json.loads(item)  # joins surrogate pairs
    except ValueError:
        return _as_python(item)


def _as_python(text):
    """A value as Python writes it. A backslash that begins no escape (AC\\DC) stays, without Python's warning."""
    with warnings.catch_warnings(action="ignore"):
        return ast.literal_eval(text)


def _value(item, key):
    """The name or id in a dictionary; the whole item if it has no known key."""
    return next((item[k] for k in _DICT_KEYS[key] if k in item), item)


def artist_remarks(cells, lists, name, separators):
    """Remarks on how the distinct cells of a column of artists were read, from the lists of `parse_artists`.

    `separators` are those that the user set, or None.
    """
    cells = pd.Series(cells, dtype="str")
    begins = cells[find_matches(cells, r"^\s*(?:\[\s*['\"{]|\{\s*['\"])")]
    # A list that was read does not begin with its own bracket and quote.
    broken = [cell for row, cell in begins.items() if lists[row] and lists[row][0][:2] == cell.strip()[:2]]
    remarks = []
    if broken:
        remarks.append(
            f"{name}: {len(broken):,} lists are broken (for example {shorten(broken[0])}); each was read as one artist"
        )
    if separators is not None:
        return remarks
    plain = cells.drop(begins.index)
    if divided := int(plain.str.replace("&[#a-z0-9]+;", "", regex=True).str.contains(";", regex=False).sum()):
        remarks.append(
            f"{name}: {divided:,} distinct cells were divided at ';' (collect.table.artist_separator)"
        )
    for divider in DIVIDERS:
        held = plain[plain.str.lower().str.contains(divider, regex=False)]
        if len(held) > 1 and len(held) >= 0.01 * len(plain):
            remarks.append(
                f"{name}: {len(held):,} distinct cells hold {divider!r} (for example {shorten(held.iat[0])}) and were "
                "read as one artist each; if it divides artists, name it as collect.table.artist_separator"
            )
    return remarks
