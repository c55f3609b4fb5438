"""Comparing runs: paired where that is possible, and said why where it is not."""

import shutil

import numpy as np
import pandas as pd
import pytest

from hitsong.errors import UserError
from hitsong.evaluation import bootstrap, compare, results
from hitsong.report import comparison
from tests import browser, finished


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Finished runs: one twice, of another skill, of another target."""
    root = tmp_path_factory.mktemp("runs")
    good = finished.study(root / "good", "popularity", skill=0.8)["study"].folder
    poor = finished.study(root / "poor", "popularity", skill=0.1, seed=3)["study"].folder
    classes = finished.study(root, "buckets", source="synthetic")["study"].folder
    return good, poor, classes


def changed(folder, to, change):
    """A copy of a run in which its results file, or its tables, are changed."""
    shutil.copytree(folder, to)
    change(to)
    return to


def test_differences_are_those_of_the_shared_tracks(folders):
    good, poor, _ = folders
    comparison = compare.compare_runs([good, poor])
    (pair,) = comparison["pairs"]
    rows = [
        pd.read_parquet(item / "report" / "predictions.parquet")
        .query("model == 'crnn'")
        .set_index("track_id")
        for item in (good, poor)
    ]
    joined = rows[0].join(rows[1][["prediction"]].add_suffix("_poor")).sort_index()
    groups = pd.read_parquet(good / "splits.parquet").set_index("track_id")["group"].reindex(joined.index)
    expected = bootstrap.paired(
        "popularity",
        joined["y"],
        joined["prediction"],
        joined["prediction_poor"],
        groups,
        compare.DRAWS,
        compare.SEED,
    )
    first = pair["differences"][0]
    assert first["what"] == "best: crnn minus crnn"
    assert first["metrics"]["spearman"]["difference"] == pytest.approx(expected["spearman"]["difference"])
    assert first["metrics"]["mse"]["high"] == pytest.approx(expected["mse"]["high"], rel=0.1)
    assert pair["tracks"] == len(joined)
    assert pair["verdict"].endswith("neither is called better with fewer than 3 seeds")
    assert {row["what"] for row in pair["differences"][1:]} == {"inception", "ridge-spotify"}
    assert [run["name"] for run in comparison["runs"]] == ["good/popularity", "poor/popularity"]


def test_a_run_is_called_better_from_three_seeds_on(folders, tmp_path):
    def three_seeds(folder):
        path = folder / "report" / "metrics.json"
        content = results.read(path).model_dump(mode="json", exclude_unset=True)
        content["rows"]["crnn"]["repetitions"] = 3
        results.write(path, content)

    good, poor = (
        changed(item, tmp_path / name, three_seeds)
        for item, name in zip(folders, ("good", "poor"), strict=False)
    )
    assert compare.compare_runs([good, poor])["pairs"][0]["verdict"].endswith("good is better")
    assert compare.compare_runs([poor, good])["pairs"][0]["verdict"].endswith("good is better")
    assert "fewer than 3" in compare.compare_runs([folders[0], poor])["pairs"][0]["verdict"]
    assert compare.verdict({"low": -0.1, "high": 0.2}, 5) == "not distinguishable"
    assert compare.verdict({"low": 0.1, "high": 0.2}) == "better"


def test_a_run_is_not_better_than_its_copy(folders, tmp_path):
    twin = changed(folders[0], tmp_path / "twin", lambda folder: None)
    comparison = compare.compare_runs([folders[0], twin])
    (pair,) = comparison["pairs"]
    assert pair["differences"][0]["metrics"]["spearman"] == {"difference": 0, "low": 0, "high": 0}
    assert pair["verdict"].endswith("the two cannot be distinguished")
    assert sorted(comparison["flags"]) == sorted(compare.compare_runs([twin, folders[0]])["flags"])


def test_it_says_why_only_intervals_can_be_compared(folders, tmp_path):
    good, _, classes = folders

    def edit(name, change):
        def of(folder):
            path = folder / "report" / "predictions.parquet"
            change(pd.read_parquet(path)).to_parquet(path)

        return changed(good, tmp_path / name, of)

    later = edit(
        "later", lambda rows: rows.assign(y=rows["y"] + (rows["track_id"] == rows["track_id"].iat[0]))
    )
    others = edit("others", lambda rows: rows.assign(track_id="other" + rows["track_id"]))
    few = edit("few", lambda rows: rows[rows["track_id"] <= rows["track_id"].min()])
    for other, why in [
        (classes, "they predict different things"),
        (later, "for 1 of these the truth is not the same"),
        (others, "no test track in common"),
        (few, "they share only 1 test tracks of 1 groups"),
    ]:
        (pair,) = compare.compare_runs([good, other])["pairs"]
        assert why in pair["why"]
        assert pair["why"].endswith("only their intervals can be compared")
        assert pair["differences"] == []
        assert pair["verdict"] is None


def test_what_differs_between_runs_is_flagged(folders, tmp_path):
    def edit(folder):
        path = folder / "report" / "metrics.json"
        result = results.read(path).model_dump(mode="json", exclude_unset=True)
        result["sheet"]["popularity"] |= {"source": "deezer", "last_fetched": "2025-01-01"}
        result["sheet"]["split"]["scheme"] = "random"
        results.write(path, result)

    good, _, classes = folders
    flags = "\n".join(compare.compare_runs([good, changed(good, tmp_path / "other", edit)])["flags"])
    for what in ("different sources", "at different times", "the splits differ"):
        assert what in flags
    assert "synthetic" not in flags
    assert "some songs are synthetic" in "\n".join(compare.compare_runs([good, classes])["flags"])


def test_out_of_fold_predictions_are_compared_fold_by_fold(folders, tmp_path):
    """Models of different folds may lie at different levels, which says nothing of their order within a fold."""

    def shift(by):
        def edit(folder):
            path = folder / "report" / "predictions.parquet"
            rows = pd.read_parquet(path)
            first = rows["track_id"] < sorted(rows["track_id"])[len(rows) // 2]
            rows["fold"] = np.where(first, "fold-1", "fold-2")
            rows.loc[first, "prediction"] += by
            rows.to_parquet(path)

        return edit

    level, shifted = (
        changed(folders[0], tmp_path / name, shift(by)) for name, by in (("level", 0), ("shifted", 1000))
    )
    poor = changed(folders[1], tmp_path / "poor", shift(0))
    expected, found = (
        compare.compare_runs([one, poor])["pairs"][0]["differences"][0]["metrics"]["spearman"]
        for one in (level, shifted)
    )
    assert found == expected


def test_groups_hold_in_both_runs():
    ids = pd.Index(list("abcdef"))
    first = pd.DataFrame({"track_id": list("fedcba"), "group": list("332211")})
    second = pd.DataFrame({"track_id": list("abcdef"), "group": list("xyyzvw")})
    result = compare._unite_groups(ids, first, second)
    # a-b by the first, b-c by the second, c-d by the first; e-f by the first.
    assert len(np.unique(result[:4])) == 1
    assert result[4] == result[5]
    assert result[0] != result[4]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (lambda good, poor, tmp: [good], "at least two"),
        (lambda good, poor, tmp: [good, good / ".." / good.name], "named twice"),
        (lambda good, poor, tmp: [good, tmp], r"metrics\.json is missing.*06_evaluate"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(folders, tmp_path, chosen, message):
    with pytest.raises(UserError, match=message):
        compare.compare_runs(chosen(*folders[:2], tmp_path))


@pytest.mark.long
def test_the_terminal_and_the_page_say_the_same(folders, tmp_path):
    compared = compare.compare_runs(folders)
    text = compare.format_text(compared)
    path = comparison.write_page(compared, tmp_path / "compare.html")
    content = path.read_text(encoding="utf-8")
    for pair in compared["pairs"]:
        message = pair["verdict"] or pair["why"]
        assert message in text
        assert message in content
    with browser.page(*browser.PHONE) as (shown, trouble):
        shown.goto(path.as_uri())
        for width, height in (browser.PHONE, browser.DESK):
            for scheme in ("light", "dark"):
                shown.set_viewport_size({"width": width, "height": height})
                shown.emulate_media(color_scheme=scheme)
                assert browser.overflowing(shown) == []
                assert browser.faults(shown) == []
        assert shown.evaluate(
            "[...document.querySelectorAll('.drawing svg')].every(one => one.getBBox().width > 0)"
        )
        assert trouble == []
