"""Cells of tables: what was written is read back, or the user is asked; never another value."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitsong.collect.artist_cells import artist_remarks, parse_artists
from hitsong.collect.cells import find_notation, parse_dates, parse_numbers
from hitsong.errors import UserError


def column(*cells):
    return pd.Series(cells, dtype="str")


def numbers(*cells, decimal=None, **others):
    """The numbers of a column `popularity` in a table with other columns, and the remarks."""
    cells = column(*cells)
    columns = {"popularity": cells} | {name: column(*other) for name, other in others.items()}
    values, remarks = parse_numbers(cells, find_notation(columns, decimal), "popularity")
    return values.tolist(), remarks


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,234", "0.5"], [1234, 0.5]),
        (["1.234", "0,5"], [1234, 0.5]),
        (["1.234", "0.5"], [1.234, 0.5]),
        (["1,234,567", "1,234"], [1234567, 1234]),
        (["1.234.567", "1.234"], [1234567, 1234]),
        (["1,234.5", "12"], [1234.5, 12]),
        (["1.234,5", "12"], [1234.5, 12]),
        (["1 234", "1 234 567"], [1234, 1234567]),
        (["1\u00a0234,5", "7"], [1234.5, 7]),
        (["1\u202f234.567", "7"], [1234.567, 7]),
        (["1'234", "1\u2019234"], [1234, 1234]),
        (["1,5E+03", "2"], [1500, 2]),
        ([" +7 ", "-1.5"], [7, -1.5]),
        (["104.851", "99.2"], [104.851, 99.2]),
    ],
)
def test_a_notation_is_recognised_from_all_cells(cells, values):
    assert numbers(*cells)[0] == values


def test_what_was_taken_for_thousands_is_said():
    remark = "popularity: 2 cells divide thousands; '1,234' was read as 1234"
    assert numbers("1,234", "5,678", "0.5")[1] == [remark]
    assert numbers("1.234", "5.678", decimal=",")[1] == [remark.replace("1,234", "1.234")]


def test_another_column_decides_and_is_named():
    values, remarks = numbers("1.234", "12", energy=["0.645"])
    assert values == [1.234, 12]
    assert "'1.234' was read as 1.234, with the decimal sign of energy '0.645'" in remarks[0]
    assert numbers("1.234", "12", energy=["0,645"])[0] == [1234, 12]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            ["1.234", "12"],
            "popularity '1.234' may have a decimal sign or divide thousands.*collect.table.decimal",
        ),
        (
            ["1,234", "12"],
            "popularity '1,234' may have a decimal sign or divide thousands.*collect.table.decimal",
        ),
        (["1.234", "1,234"], "collect.table.decimal"),
        (["0,5", "0.5"], "in two ways: popularity '0.5' and popularity '0,5'"),
        (["1,234.5", "1.234,5"], "in two ways"),
        (["1,234,567", "1.234.567"], "in two ways"),
        (["1 234", "1,234", "0.5"], "thousands are divided in two ways"),
        (["1 234", "1'234"], "thousands are divided in two ways"),
    ],
)
def test_what_is_ambiguous_or_mixed_is_refused(cells, message):
    with pytest.raises(UserError, match=message):
        numbers(*cells)


def test_a_decimal_sign_that_the_table_contradicts_is_refused():
    assert numbers("1.234", decimal=".")[0] == [1.234]
    assert numbers("1.234", decimal=",")[0] == [1234]
    with pytest.raises(UserError, match=r"'12,5'"):
        numbers("12,5", decimal=".")


@pytest.mark.parametrize(
    "cell", ["high", "1e400", "inf", "nan", "12 345 6", "1,23,456", "--1", "1.2.3", "0x10", "5%"]
)
def test_what_is_no_number_is_left_out_and_said(cell):
    values, remarks = numbers(cell, "3")
    assert np.isnan(values[0])
    assert remarks == [f"popularity: not a number in 1 cells, for example {cell!r}; left out"]


def formatted(value, decimal, thousands):
    return f"{value:,}".replace(",", "T").replace(".", decimal).replace("T", thousands)


NUMBERS = st.lists(
    st.integers(-(10**12), 10**12) | st.decimals(-(10**9), 10**9, places=3).map(float), min_size=1, max_size=8
)


@given(NUMBERS, st.sampled_from(".,"), st.sampled_from(["", "other", " ", "\u00a0", "'"]))
def test_numbers_are_read_back_or_asked_for(values, decimal, thousands):
    if thousands == "other":
        thousands = "," if decimal == "." else "."
    cells = [formatted(value, decimal, thousands) for value in values]
    assert numbers(*cells, decimal=decimal)[0] == values
    try:
        read = numbers(*cells)[0]
    except UserError as error:
        read, message = values, str(error)
    else:
        message = "collect.table.decimal"
    assert (read, "collect.table.decimal" in message) == (values, True)


@given(
    st.lists(st.text("0123456789.,' eE+-x\u00a0", max_size=9), max_size=6), st.sampled_from([None, ".", ","])
)
def test_any_cells_give_finite_numbers_or_an_error_of_the_user(cells, decimal):
    try:
        values, _ = numbers(*cells, decimal=decimal)
    except UserError:
        return
    assert not np.isinf(values).any()


# ---------------------------------------------------------------------- artists


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("Nelly", ["Nelly"]),
        ("['A', 'B, C']", ["A", "B, C"]),
        ("['A' 'B']", ["A", "B"]),
        ("['A'\n \"B's\"]", ["A", "B's"]),
        ("['A' None]", ["A"]),
        ("['A', nan]", ["A"]),
        ("array(['A', 'B'], dtype=object)", ["A", "B"]),
        ("[np.str_('A'), np.str_('B')]", ["A", "B"]),
        ("('A', 'B')", ["A", "B"]),
        ("{'B', 'A'}", ["B", "A"]),
        ('["A", null]', ["A"]),
        ('["\\ud83d\\ude00", "\\u00e9"]', ["😀", "é"]),
        ("[{'name': 'A', 'id': 'x'}, {'name': 'B', 'id': None}]", ["A", "B"]),
        ('[{"name": "A"}, null]', ["A"]),
        ("{'name': 'A'}", ["A"]),
        ('["It\'s"]', ["It's"]),
        ("[]", []),
        ("[311]", ["311"]),
        ("[Alexandros]", ["[Alexandros]"]),
        ("(hed) p.e.", ["(hed) p.e."]),
        ("a-ha", ["a-ha"]),
        ("[broken, 'list]", ["[broken, 'list]"]),
        ("A FEATURING B x C", ["A", "B", "C"]),
        ("Simon &amp; Garfunkel", ["Simon & Garfunkel"]),
        ("[" * 500 + "]" * 500, ["[" * 500 + "]" * 500]),
        ("AC/DC", ["AC/DC"]),
    ],
)
def test_artists_of_a_cell(cell, names):
    assert parse_artists(cell, [" featuring ", " X "]) == names


def test_ids_come_from_the_ids_of_dictionaries():
    assert parse_artists("[{'name': 'A', 'id': 'x'}, {'name': 'B', 'id': 'y'}]", key="id") == ["x", "y"]


NAMES = st.lists(
    st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1, max_size=8), max_size=4
)


@given(NAMES.map(lambda names: [name.strip() for name in names if name.strip()]))
def test_a_written_list_is_read_back(names):
    for text in (
        repr(names),
        json.dumps(names),
        json.dumps(names, ensure_ascii=False),
        repr(tuple(names) + ("z",)),
    ):
        assert parse_artists(text) == (names if text[0] == "[" else [*names, "z"])
    assert parse_artists(str([{"name": name, "n": 1} for name in names])) == names
    assert parse_artists(json.dumps([{"name": name} for name in names] + [None])) == names
    if names:
        assert parse_artists(str(np.array(names, dtype=object))) == names
        assert parse_artists(repr(np.array(names, dtype=object))) == names


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cell", [r"['AC\DC', 'B']", r"""['AC\DC', {'name': 'B'}]"""])
def test_a_backslash_stays_without_a_warning(cell):
    assert parse_artists(cell) == [r"AC\DC", "B"]


@given(st.text("[](){}'\",\\; Anul", max_size=30))
@pytest.mark.filterwarnings("error")
def test_any_cell_gives_names(cell):
    names = parse_artists(cell, [";"])
    assert all(isinstance(name, str) and name for name in names)


def remarks(cells, separators=None):
    lists = [parse_artists(cell, [";"] if separators is None else separators) for cell in cells]
    return artist_remarks(cells, lists, "artist_name", separators)


def test_cells_that_may_hold_several_artists_are_named():
    assert remarks(["Nelly", "['A', 'B']"]) == []
    assert "1 distinct cells were divided at ';'" in remarks(["A;B", "['A; B']"])[0]
    (remark,) = remarks(["Ed Sheeran, Justin Bieber", "A, B", "C"])
    assert "2 distinct cells hold ', ' (for example 'Ed Sheeran, Justin Bieber')" in remark
    assert "collect.table.artist_separator" in remark
    assert remarks(["Ed Sheeran, Justin Bieber", "A, B", "C"], separators=[]) == []
    assert "1 lists are broken (for example \"['A', 'B\")" in remarks(["['A', 'B", "['A']"], separators=[])[0]


# ---------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("2019-06-14", "2019-06-14"),
        ("2019-6-4", "2019-06-04"),
        ("2019/06/14", "2019-06-14"),
        ("2019-06", "2019-06"),
        ("2019", "2019"),
        ("2019.0", "2019"),
        ("2019-06-14T07:00:00Z", "2019-06-14"),
        ("2019-06-14 00:00:00", "2019-06-14"),
        ("2019-13", None),
        ("2019-02-30", None),
        ("2019-06-140", None),
        ("43630", None),
        ("0000", None),
        ("14/06/2019", None),
    ],
)
def test_dates_that_begin_with_the_year(cell, read):
    dates, precision, messages = parse_dates(column(cell, "1999"), "release_date")
    assert dates.astype(object).where(dates.notna(), None).tolist() == [read, "1999"]
    assert (len(messages) == 1) == (read is None)
    if read:
        assert precision[0] == {4: "year", 7: "month", 10: "day"}[len(read)]


def test_other_dates_need_a_format_and_the_message_names_it():
    dates, _, messages = parse_dates(column("14/06/2019", "01/02/2020"), "release_date")
    assert dates.isna().all()
    assert messages == [
        "release_date: 2 dates were left out (for example '14/06/2019'): set collect.table.date_format: '%d/%m/%Y'"
    ]
    assert parse_dates(column("1.6.2019"), "release_date")[2][0].endswith("'%d.%m.%Y' or '%m.%d.%Y'")
    assert parse_dates(column("14/06/2019", "2018"), "d", "%d/%m/%Y")[0].tolist() == ["2019-06-14", "2018"]
    assert parse_dates(column("06/2019"), "d", "%m/%Y")[0].tolist() == ["2019-06"]


@pytest.mark.long
@given(st.lists(st.dates(date(1900, 1, 1), date(2099, 12, 31)), min_size=1, max_size=5))
def test_dates_are_read_back(days):
    iso = [day.isoformat() for day in days]
    assert parse_dates(column(*iso), "d")[0].tolist() == iso
    for form in ("%d/%m/%Y", "%m-%d-%Y", "%d %B %Y", "%Y%m%d"):
        assert parse_dates(column(*(day.strftime(form) for day in days)), "d", form)[0].tolist() == iso


@given(st.lists(st.none() | st.text("0123456789-/.T :Z", max_size=12), max_size=5))
def test_any_cells_give_dates_or_nothing(cells):
    dates, precision, _ = parse_dates(pd.Series(cells, dtype="str"), "d")
    assert dates.dropna().str.fullmatch(r"\d{4}(-\d{2}){0,2}").all()
    assert (precision.isna() == dates.isna()).all()
