"""Progress where standard error is no terminal."""

import pytest

from hitsong import progress


@pytest.fixture
def now(monkeypatch):
    """The clock that progress reads, in a list of one number of seconds."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    return clock


def test_a_line_every_fifteen_seconds_with_count_rate_and_time_left(now, capsys):
    for _ in progress.bar(range(40), desc="features", unit="clip"):
        now[0] += 1
    assert capsys.readouterr().err.splitlines() == [
        "features: 15/40 clips,  1.00clip/s, 00:25 left",
        "features: 30/40 clips,  1.00clip/s, 00:10 left",
    ]


def test_work_resumed_counts_from_where_it_was_and_shows_its_numbers(now, capsys):
    with progress.bar(desc="crnn", unit="step", total=100, initial=50) as bar:
        now[0] += 20
        bar.set_postfix({"loss": 0.25}, refresh=False)
        bar.update(10)
    assert capsys.readouterr().err == "crnn: 60/100 steps,  2.00s/step, 01:20 left, loss 0.25\n"


def test_numbers_can_be_named_as_arguments(now, capsys):
    with progress.bar(desc="previews", unit="clip", total=9) as bar:
        now[0] += 18
        bar.set_postfix(failed=3, refresh=False)
        bar.update(3)
    assert capsys.readouterr().err == "previews: 3/9 clips,  6.00s/clip, 00:36 left, failed 3\n"


def test_work_of_unknown_length_shows_count_and_rate(now, capsys):
    with progress.bar(desc="albums", unit="album") as bar:
        now[0] += 15
        bar.update(30)
    assert capsys.readouterr().err == "albums: 30 albums,  2.00album/s\n"


def test_no_line_where_none_is_asked_for(now, capsys):
    for _ in progress.bar(range(3), desc="features", unit="clip", show=False):
        now[0] += 60
    assert capsys.readouterr().err == ""
