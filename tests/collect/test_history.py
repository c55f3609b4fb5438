"""Readings of popularity over time: one row per reading, none without a value, none twice."""

import pandas as pd
import pytest

from hitsong.collect import history


def _reading(track_id, value, read_at, start=None, **others):
    row = {"track_id": track_id, "source": "spotify", "quantity": "popularity", "value": value}
    return row | {"start": start, "read_at": read_at} | others


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.parquet"


def test_readings_are_read_as_written_sorted_and_in_utc(path):
    rows = [
        _reading("b", 7, "2026-02-01T00:00:00+00:00"),
        _reading("a", 5, "2026-03-01T01:00:00+01:00"),
        _reading("a", 4, "2026-02-01", source="listenbrainz", quantity="listens", start="2026-01-01"),
        _reading("a", 3, None),
    ]
    for row in rows:
        row["read_at"] = pd.to_datetime(row["read_at"], utc=True)
    assert history.write(path, pd.DataFrame(rows))
    readings = history.read(path)
    assert list(readings.columns) == history.SCHEMA.names
    assert readings["value"].tolist() == [4, 3, 5, 7]
    assert readings["read_at"].iloc[2] == pd.Timestamp("2026-03-01", tz="UTC")
    assert readings["start"].notna().tolist() == [True, False, False, False]
    assert readings["read_at"].isna().tolist() == [False, True, False, False]


def test_a_reading_without_a_value_has_no_row_and_the_first_of_two_is_kept(path):
    day = pd.Timestamp("2026-02-01", tz="UTC")
    rows = [_reading("a", None, day), _reading("b", 5, day), _reading("b", 6, day)]
    history.write(path, pd.DataFrame(rows))
    assert history.read(path)[["track_id", "value"]].to_numpy().tolist() == [["b", 5.0]]


def test_an_unchanged_history_is_not_written_again(path):
    frame = pd.DataFrame([_reading("a", 5, pd.Timestamp("2026-02-01", tz="UTC"))])
    assert history.write(path, frame)
    before = path.stat().st_mtime_ns
    assert not history.write(path, frame)
    assert path.stat().st_mtime_ns == before


def test_counts_of_a_month_are_known_at_its_end_and_those_of_the_last_when_counting_ended():
    months = pd.DataFrame(
        {"track_id": ["a", "a", "b"], "month": [202511, 202512, 202601], "users": [1, 2, 3]}
    )
    last = pd.Timestamp("2026-01-20", tz="UTC")
    readings = history.of_months(months, last, "listenbrainz", ["users"])
    assert readings["start"].dt.strftime("%Y-%m-%d").tolist() == ["2025-11-01", "2025-12-01", "2026-01-01"]
    assert readings["read_at"].dt.strftime("%Y-%m-%d").tolist() == ["2025-12-01", "2026-01-01", "2026-01-20"]
    assert readings["value"].tolist() == [1, 2, 3]


def test_no_file_is_no_reading(path):
    assert history.read(path).empty
    assert list(history.read(path).columns) == history.SCHEMA.names
