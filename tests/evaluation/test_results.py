"""The results file: what it holds is what its schema says, and looks at the test tracks are counted."""

import json

import pytest
from pydantic import ValidationError

from hitsong.errors import UserError
from hitsong.evaluation import results


@pytest.fixture
def content():
    row = {
        "metrics": {"quadratic_kappa": 0.3, "accuracy": 0.5, "confusion": [[1, 2], [0, 3]]},
        "intervals": {"quadratic_kappa": (0.1, 0.5)}, "collapsed": False, "reference": None,
    }  # fmt: skip
    several = {
        "metrics": {"mse": 0.1, "features": {"energy": {"mse": 0.1}}},
        "intervals": {"mse": (0.0, 0.2), "features": {"energy": {"mse": (0.0, 0.2)}}},
        "collapsed": False, "reference": "in words",
    }  # fmt: skip
    measured = {
        "kind": "buckets", "main": "quadratic_kappa", "rows": {"crnn": row, "mean": several}, "best": "crnn",
        "paired": {"mean": {"accuracy": {"difference": 0.1, "low": 0.0, "high": 0.2}}}, "flags": [],
    }  # fmt: skip
    sheet = {
        "study": "s", "collected_from": "x", "synthetic": False,
        "popularity": {"source": "spotify", "first_fetched": "2024-01-01", "last_fetched": "2024-01-02"},
        "target": {"kind": "buckets"}, "funnel": [{"step": "tracks", "tracks": 7}],
        "split": {
            "scheme": "artist", "made_with": {"train": 0.8, "seed": 1}, "differs": None,
            "sides": {"artist": {"train": 5, "test": 2}}, "leakage": {"artist": {"artists": 0, "near_audio": None}},
        },
        "test_groups": 2, "seeds": {"run": 1}, "draws": 100, "test_looks": 1, "commit": None, "python": "3.11",
        "versions": {}, "inputs": {"tracks.parquet": "00"},
    }  # fmt: skip
    return {**measured, "schemes": {"random": measured}, "sheet": sheet}


def test_written_and_read_back(content, tmp_path):
    path = tmp_path / "metrics.json"
    written = results.write(path, content)
    assert json.loads(path.read_text()) == written
    assert written["version"] == results.VERSION
    result = results.read(path)
    assert result.rows["crnn"].metrics["confusion"] == [[1, 2], [0, 3]]
    assert result.rows["mean"].intervals["features"]["energy"]["mse"] == (0.0, 0.2)
    assert result.schemes["random"].best == "crnn"
    assert result.sheet.split.leakage["artist"]["near_audio"] is None
    assert results.write(path, result.model_dump()) == results.read(path).model_dump(mode="json")


@pytest.mark.parametrize(
    ("where", "value"),
    [("best", "unknown"), ("kind", "hits"), ("extra", 1), ("paired", {"unknown": {}}), ("sheet", {})],
)
def test_what_does_not_fit_is_not_written(content, tmp_path, where, value):
    with pytest.raises(ValidationError):
        results.write(tmp_path / "metrics.json", {**content, where: value})
    assert not list(tmp_path.iterdir())


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"rows": {}}')
    with pytest.raises(UserError, match="version None.*06_evaluate"):
        results.read(path)


def test_looks_that_tell_nothing_new_do_not_count(tmp_path):
    path = tmp_path / "test_looks.json"
    assert results.count_looks(path, {"crnn": 0.3}) == 1
    assert results.count_looks(path, {"crnn": 0.3}) == 1
    assert results.count_looks(path, {"crnn": 0.31}) == 2
    assert results.count_looks(path, {"crnn": 0.3}) == 2
