"""Reports of awkward studies: hostile titles, missing files, figures that fail, settings that changed since."""

import re
import shlex
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from hitsong import config
from hitsong.config import Mel
from hitsong.data.targets import Target
from hitsong.evaluation import evaluate
from hitsong.files import read_json, write_json
from hitsong.report import (
    build,
    drawing,
    explanation_figures,
    model_card,
    model_table,
    provenance,
    result_figures,
    sentences,
    training_figures,
)
from hitsong.report.figure import plain
from tests import finished

TITLES = [
    "Cash $ Money $", "$x_{", "$\\frac{1}{$", "snake_case ^ up", "<b>&amp;</b> \"quoted\" 'song'", "夜に駆ける",
    "x" * 500, "two\nlines\tand\x00\x1b[31m control", "%s {0} {{ jinja }}", "🎵", "", "   ",
]  # fmt: skip


def study(folder, **options):
    return finished.study(folder, "popularity", tracks=120, models=1, **options)


@pytest.mark.long
@pytest.mark.parametrize("title", TITLES)
def test_any_title_can_be_drawn(tmp_path, rng, title):
    figure = explanation_figures.over_spectrogram(
        rng.normal(-40, 10, (16, 40)), rng.normal(0, 1, (16, 40)), Mel(n_mels=16), "points", title
    )
    text = drawing.svg(figure, "name")
    root = ElementTree.fromstring(text.replace("xlink:", ""))
    drawn = "".join(root.itertext())
    assert plain(title) in drawn
    drawing.save(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.long
def test_a_study_of_hostile_titles_has_a_whole_report(tmp_path):
    made = study(tmp_path)
    for column in ("name", "artist_name"):
        made["tracks"][column] = [TITLES[row % len(TITLES)] for row in range(len(made["tracks"]))]
    made["tracks"]["genre"] = [("$a_{", "<i>&", "夜" * 90)[row % 3] for row in range(len(made["tracks"]))]
    text = build.build_report(**made).read_text(encoding="utf-8")
    assert "could not be drawn" not in text
    assert "<b>&amp;</b>" not in text
    assert "<i>" not in text
    assert "{{" not in text.replace("{{ jinja }}", "")


@pytest.mark.long
def test_a_figure_that_fails_is_named_and_costs_nothing_else(tmp_path, monkeypatch, capsys):
    made = study(tmp_path)

    def calibration(*_):
        raise RuntimeError("no font at all")

    monkeypatch.setattr(result_figures, "calibration", calibration)
    path = build.build_report(**made)
    text = path.read_text(encoding="utf-8")
    assert "The figure “calibration” could not be drawn: no font at all" in text
    assert "figure calibration: could not be drawn" in capsys.readouterr().err
    assert (path.parent / "comparison.png").exists()
    assert not (path.parent / "calibration.png").exists()


@pytest.mark.long
def test_files_of_models_that_are_missing_leave_out_their_figures(tmp_path):
    made = study(tmp_path)
    for history in made["study"].models.glob("*/history.csv"):
        history.unlink()
    text = build.build_report(**made).read_text(encoding="utf-8")
    assert "Training of crnn" not in text
    training_figures.save_history(made["study"].model("crnn"), made["infos"]["crnn"])
    assert not (made["study"].model("crnn") / "history.png").exists()


@pytest.mark.long
def test_the_report_describes_the_crawl_not_the_config_of_the_run(tmp_path):
    made = study(tmp_path, settings=["collect.genre=hip-hop", "collect.years=2019-2021"])
    made["config"] = config.load(
        "config.yaml", ["study=popularity", f"data={tmp_path}", "collect.genre=tango"]
    )
    text = build.build_report(**made).read_text(encoding="utf-8")
    assert made["result"]["sheet"]["collected_from"] == "hip-hop"
    assert "<title>hip-hop: popularity from audio" in text
    assert "tango" not in text.split('id="repeat-title"')[0]
    first = re.search(r"python 01_collect.py.*", text)[0]
    assert "--set collect.genre=hip-hop --set collect.years=2019-2021" in first


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["study=other"],
        ["collect.genre=[hip-hop, 'drum & bass']", "collect.years=2019-2021", "baseline.folds=3"],
        ["collect.source=table", "collect.table={path: 'my songs.csv'}"],
        ["study='2024'", "train.models=[crnn]", "collect.market=null"],
    ],
)
@pytest.mark.parametrize("options", ["", "--config configs/hiphop.yaml"])
def test_the_commands_give_the_settings_that_each_stage_was_run_with(tmp_path, settings, options):
    path = options.split()[-1] if options else "config.yaml"
    run = config.load(path, [f"data={tmp_path}", *settings])
    made = SimpleNamespace(record=lambda stage: tmp_path / f"{stage}.json")
    record = {"options": options, "config": run.model_dump(mode="json")}
    for stage in ("collect", "baseline"):
        write_json(made.record(stage), record)
    lines = provenance.commands(made, run, ["collect", "download", "baseline"])
    assert [line.split()[1] for line in lines] == ["01_collect.py", "04_baseline.py"]
    for line in lines:
        words = shlex.split(line)[2:]
        given = dict(zip(words[::2], words[1::2], strict=True))
        sets = [value for key, value in zip(words[::2], words[1::2], strict=True) if key == "--set"]
        assert config.load(given.get("--config", "config.yaml"), sets) == run


def test_a_record_of_another_version_is_refused(tmp_path):
    made = study(tmp_path)["study"]
    record = read_json(made.record("collect"))
    record["config"]["collect"]["no_such_setting"] = 1
    write_json(made.record("collect"), record)
    with pytest.raises(provenance.UserError, match=r"collect\.json is of another version.*01_collect"):
        provenance.describe_data(made)


def test_the_table_of_models_is_written_for_programs_and_papers(tmp_path):
    made = study(tmp_path)
    model_table.write_tables(tmp_path, made["result"])
    table = pd.read_csv(tmp_path / "models.csv").set_index("model")
    row = made["result"]["rows"]["crnn"]
    assert table.loc["crnn", "spearman"] == pytest.approx(row["metrics"]["spearman"])
    assert table.loc["crnn", "spearman_low"] == pytest.approx(row["intervals"]["spearman"][0])
    assert np.isnan(table.loc["mean", "spearman"])  # one value for all tracks has no order
    assert table.loc["mean", "mse"] > 0
    latex = (tmp_path / "models.tex").read_text(encoding="utf-8")
    assert latex.count(r"\\") == len(table) + 1
    assert not re.search(r"(?<!\\)[_%]", latex)
    assert latex.isascii()


def test_the_lift_is_counted_as_by_hand():
    ids = [f"t{number}" for number in range(40)]
    popularity = np.arange(40.0)
    p = popularity.copy()
    p[[39, 0]] = p[[0, 39]]  # the best is put last, the worst first
    tracks = pd.DataFrame({"track_id": ids, "popularity": popularity})
    target = Target("popularity")
    series = pd.Series(popularity, index=pd.Index(ids, name="track_id"))
    table = evaluate.table(target, series, {"m": pd.Series(p, index=ids), "c": pd.Series(3.0, index=ids)})
    text = sentences.lift(table, target, "m", tracks)
    assert text.startswith(
        "Of the 10 test tracks with the highest predictions, 9 are among the 10 most popular;"
    )
    assert text.endswith("by chance it would be 2.5 (3.6 times as many).")
    assert sentences.lift(table, target, "c", tracks) is None


def test_the_choice_says_what_another_would_have_given():
    def row(validation, test):
        return {
            "metrics": {"spearman": test}, "intervals": {"spearman": (test - 0.2, test + 0.2)}, "reference": None,
            "validation": {"spearman": validation},
        }  # fmt: skip

    result = {
        "main": "spearman", "best": "a", "rows": {"a": row(0.5, 0.3), "b": row(0.4, 0.35)},
        "choice": {"highest": "a", "standard_error": 0.1, "within": ["a", "b"]},
        "paired": {"b": {"spearman": {"difference": -0.05, "low": -0.2, "high": 0.1}}},
    }  # fmt: skip
    assert "it has the highest Spearman correlation on validation, 0.50" in sentences.choice(result)
    assert "changed the Spearman correlation by: b (best on test) 0.05 (−0.10 to 0.20)." in sentences.choice(
        result
    )
    result["rows"]["b"] = row(0.55, 0.2)
    result["choice"]["highest"] = "b"
    text = sentences.choice(result)
    assert (
        "a was chosen among 2 models: it is the simplest of 2 whose Spearman correlation on validation is within "
        in text
    )
    assert "one standard error (0.10) of the highest (0.55, b); its own is 0.50" in text
    assert "b (highest on validation)" in text
    result["rows"]["b"], result["choice"]["highest"] = row(0.4, 0.2), "a"
    assert "also the best" in sentences.choice(result)
    del result["rows"]["b"]
    assert sentences.choice(result) is None


def test_cards_hold_validation_and_test_results(tmp_path):
    made = study(tmp_path)
    info = made["infos"]["crnn"] | {
        "study": "popularity", "collected_from": "hip-hop", "synthetic": False, "scheme": "artist", "fetched": None,
        "licences": [], "validation": {"spearman": 0.1234}, "collapsed": False, "advice": "try log1p",
    }  # fmt: skip
    bundle = SimpleNamespace(folder=made["study"].model("crnn"), info=info)
    model_card.write_new_card(bundle)
    card = (bundle.folder / "card.md").read_text(encoding="utf-8")
    assert "Not evaluated on the test tracks yet" in card
    assert "hip-hop" in card
    assert "an unknown day" in card
    assert "Try log1p." in card
    assert (bundle.folder / "history.png").exists()
    model_card.write_card(bundle, made["result"]["rows"]["crnn"])
    assert "Not evaluated" not in (bundle.folder / "card.md").read_text(encoding="utf-8")
