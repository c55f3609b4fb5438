"""Commands in an unusual order, with other settings, or after a change: never an old number under a new label."""

import contextlib
import io
import json
import runpy
import shutil
import sys

import pandas as pd
import pytest

from hitsong import study as studies
from hitsong.evaluation import metrics
from tests import conftest
from tests.conftest import ROOT
from tests.test_sequences import SCRIPTS, World

OPTIONS = ["--config", "config.yaml"]
TRAINED = ["--set", "train.models=[numeric_mlp]"]
MEL = ["--set", "features.kinds=[mel, descriptors]"]


def run(script, *options):
    """Run a script in this process: exit code, standard output, standard error."""
    out, errors, arguments = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = [script, *OPTIONS, *options]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            runpy.run_path(str(ROOT / script), run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.argv = arguments
    return code, out.getvalue(), errors.getvalue()


def succeed(script, *options):
    code, out, errors = run(script, *options)
    assert code == 0, f"{script} {options}: {errors}"
    return out


def refuse(script, *options):
    """The line of a refusal; nothing but one line, no traceback."""
    code, _, errors = run(script, *options)
    assert code == 2, f"{script} {options} was not refused"
    assert len(errors.splitlines()) == 1, errors
    return errors


def status(*options):
    """What 00_status.py says: stage -> current, stale or missing, and the command to run next."""
    lines = succeed("00_status.py", *options).splitlines()
    stages = [line.split() for line in lines if ".py " in line[:18]]
    return {words[0]: words[1] for words in stages}, lines[-1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a study of a table with audio files, run to its report with one trained model; and a copy."""
    from hitsong.report import build

    folder, copy = (tmp_path_factory.mktemp("stages") / name for name in ("here", "copy"))
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(build, "build_report", not_drawn)
        patch.setattr(studies, "_commit", lambda: "0123456789ab")  # as committed
        World(folder)
        for script in SCRIPTS:
            succeed(script, *TRAINED)
        shutil.copytree(folder, copy)
        yield folder, copy


def not_drawn(study, *_, **__):
    """Figures and pages are drawn in other tests."""
    page = study.report / "report.html"
    page.touch()
    return page


@pytest.fixture
def study(finished):
    """The finished study as it was; the present folder is that of its table."""
    folder, copy = finished
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(copy, folder, dirs_exist_ok=True)
    return folder / "data" / "small"


def edit(column, row, value):
    """Change a cell of the table that the study is made from."""
    table = pd.read_csv("tracks.csv", dtype={"track_id": "str"})
    table.loc[row, column] = value
    table.to_csv("tracks.csv", index=False)


def track_of(study, side):
    """The row of a track of a side in the table."""
    splits = pd.read_parquet(study / "splits.parquet")
    return int(splits.loc[splits["artist"] == side, "track_id"].iloc[-1])


# ---------------------------------------------------------------------- what is current

CHANGES = {
    "nothing": [],
    "target": ["target.kind=popular"],
    "controls": ["baseline.controls=[]"],
    "recipe": ["train.epochs=2"],
    "seeds": ["train.seeds=2"],
    "numbers of the model": ["train.numeric=descriptors"],
    "scheme": ["split.scheme=random"],
    "draws": ["evaluate.draws=200"],
    "another model": ["train.models=[numeric_mlp, features_only]"],
}


@pytest.mark.long
@pytest.mark.parametrize("change", CHANGES)
def test_the_status_is_what_the_stages_find(study, change):
    options = [*TRAINED, *(word for setting in CHANGES[change] for word in ("--set", setting))]
    states, following = status(*options)
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.name != ".lock"}
    assert status(*options)[0] == states
    assert before == {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.name != ".lock"}
    code, out, errors = run("06_evaluate.py", *options)
    if all(state == "current" for state in states.values()):
        assert "nothing has changed" in out
        assert following == "every stage is current"
    else:
        assert "nothing has changed" not in out
    for script in ("04_baseline.py", "05_train.py"):
        if states[script] == "stale":
            assert following.startswith(f"next: python {script} --config config.yaml")
            assert code == 2 or change in ("another model", "seeds")  # those that there are can be measured
            break
    baseline = succeed("04_baseline.py", *options)
    assert (" baselines kept on " in baseline) == (states["04_baseline.py"] == "current")
    trained = succeed("05_train.py", *options)
    assert ("0 models trained" in trained) == (states["05_train.py"] == "current"), trained
    succeed("06_evaluate.py", *options)
    assert status(*options)[1] == "every stage is current"


def test_the_status_names_what_is_stale_and_what_is_missing(study):
    shutil.rmtree(study / "models" / "numeric_mlp")
    out = succeed("00_status.py", *TRAINED)
    assert "05_train.py     stale    data/small/models/numeric_mlp/bundle.json is missing" in out
    assert "06_evaluate.py  stale    05_train.py comes first" in out
    assert out.endswith("next: python 05_train.py --config config.yaml --set 'train.models=[numeric_mlp]'\n")
    out = succeed("00_status.py", *TRAINED, "--set", "target.kind=popular")
    assert "stale    the baselines were fitted for popularity, not for popular (popularity >= " in out


def test_a_study_that_is_not_there_is_missing_and_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    World(tmp_path)
    states, following = status()
    assert set(states.values()) == {"missing"}
    assert following == "next: python 01_collect.py --config config.yaml"
    assert not (tmp_path / "data").exists()


# ---------------------------------------------------------------------- what was changed since


@pytest.mark.long
def test_a_corrected_table_is_read_again_and_trained_on_again(study):
    """The corrected track is one of the last to train on: none of the first 50 of validation."""
    edit("valence", track_of(study, "train"), 0.999)
    for script in SCRIPTS[1:]:
        assert "tracks.csv has changed since 01_collect.py used it; run: python 01_" in refuse(
            script, *TRAINED
        )
    assert status(*TRAINED)[1].startswith("next: python 01_collect.py")
    for script in SCRIPTS[:3]:
        succeed(script, *TRAINED)
    assert "04_baseline.py" in refuse("06_evaluate.py", *TRAINED)
    succeed("04_baseline.py", *TRAINED)
    assert "05_train.py" in refuse("06_evaluate.py", *TRAINED)
    out = succeed("05_train.py", *TRAINED)
    assert "numeric_mlp: its data or settings have changed" in out
    assert "1 models trained, 0 kept" in out
    succeed("06_evaluate.py", *TRAINED)


def test_a_study_goes_on_with_its_own_settings_and_says_what_differs(study, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "OPTIONS", [])  # config.yaml is that of another study
    (study.parent.parent / "config.yaml").write_text("collect: {genre: jazz}\n")
    before = (study / "evaluate.json").read_bytes()
    assert "nothing has changed since" in succeed("06_evaluate.py", "--study", "small")
    out = succeed("05_train.py", "--study", "small", "--set", "train.epochs=2")
    assert "changed since the study's last run: train.epochs 1 -> 2" in out
    assert (study / "evaluate.json").read_bytes() == before
    line = refuse("06_evaluate.py", "--study", "small", "--set", "target.kind=popular")
    assert "run: python 04_baseline.py --study small --set target.kind=popular" in line


def test_a_source_that_is_gone_does_not_take_its_study_along(study):
    (study.parent.parent / "tracks.csv").unlink()
    succeed("06_evaluate.py", "--again", *TRAINED)
    assert "is no file" in refuse("01_collect.py", *TRAINED)


def test_another_least_length_of_clips_is_not_ignored(study):
    longer = [*TRAINED, "--set", "download.min_seconds=0.9"]
    line = refuse("06_evaluate.py", *longer)
    assert "02_download.py with other settings (download.min_seconds 0.5 -> 0.9); run: python 02_" in line
    for script in SCRIPTS[1:]:
        succeed(script, *longer)


def test_new_splits_are_not_scored_with_baselines_of_the_old(study):
    (study / "splits.parquet").unlink()
    line = refuse("06_evaluate.py", *TRAINED, "--set", "seed=2")
    assert "splits.parquet is missing; run: python 04_baseline.py" in line
    succeed("04_baseline.py", *TRAINED, "--set", "seed=2")
    assert "run: python 05_train.py" in refuse("06_evaluate.py", *TRAINED, "--set", "seed=2")


def test_baselines_of_another_target_do_not_stand_in_the_table(study):
    popular = ["--set", "target.kind=popular"]
    assert "fitted for popularity, not for popular" in refuse("06_evaluate.py", *popular)
    succeed("04_baseline.py", *popular)
    assert "not for popularity; run: python 04_baseline.py" in refuse("06_evaluate.py")


@pytest.mark.long
def test_a_model_of_another_target_is_not_measured(study):
    popular = [*TRAINED, "--set", "target.kind=popular"]
    succeed("04_baseline.py", *popular)
    line = refuse("06_evaluate.py", *popular)
    assert "another target (popularity -> popular (popularity >= " in line
    succeed("05_train.py", *popular)
    succeed("06_evaluate.py", *popular)
    # And back: the earlier model is used again, without training.
    succeed("04_baseline.py", *TRAINED)
    assert "kept from an earlier run with these settings" in succeed("05_train.py", *TRAINED)
    succeed("06_evaluate.py", *TRAINED)


@pytest.mark.long
def test_a_report_that_is_older_than_its_data_is_named_in_a_comparison(study):
    shutil.copytree(study, study.parent / "other")
    combined = ["--compare", "data/small", "data/other"]
    succeed("06_evaluate.py", *combined)
    edit("plays", 3, 99)
    for script in SCRIPTS[:3]:
        succeed(script, *TRAINED)
    succeed("06_evaluate.py", *combined)
    page = (study.parent / "compare.html").read_text()
    assert (
        "its report is older than its data (data/small/tracks.parquet has changed since 06_evaluate.py"
        in page
    )


# ---------------------------------------------------------------------- features of an earlier run


@pytest.mark.long
def test_features_of_fewer_clips_do_not_leave_tracks_out(study):
    """A kind that an earlier run made lacks the clips that came later."""
    network = ["--set", "train.models=[cnn1]", "--set", "train.epochs=1"]
    succeed("03_features.py", *MEL)
    World(study.parent.parent).write("grown")
    for script in SCRIPTS[:3]:
        succeed(script)
    succeed("04_baseline.py", *network)
    assert (
        "mel features are there for 48 of 64 clips: is mel among features.kinds? run: python 03_"
        in refuse("05_train.py", *network)
    )
    assert "mel features" in refuse("04_baseline.py", *MEL)


def test_a_kind_that_is_asked_for_is_not_silently_absent(study):
    for script in SCRIPTS[3:]:
        assert "holds no mel features" in refuse(script, *TRAINED, *MEL)


@pytest.mark.long
def test_a_kind_that_is_no_longer_asked_for_is_no_input(study):
    """Without `baseline.inputs`, baselines take what a fresh study of these settings would have."""
    every = ["--set", "baseline.inputs=null"]
    succeed("04_baseline.py", *every)
    models = pd.read_csv(study / "baseline" / "cv.csv")["model"].unique()
    assert "ridge-descriptors" in models
    succeed("03_features.py", "--set", "features.kinds=[mel]")
    succeed("04_baseline.py", *every, "--set", "features.kinds=[mel]")
    models = pd.read_csv(study / "baseline" / "cv.csv")["model"].unique()
    assert "ridge-descriptors" not in models


# ---------------------------------------------------------------------- a target with a few very large values


@pytest.mark.long
def test_a_network_that_a_large_target_collapses_is_named_with_advice(study, monkeypatch):
    """The share of the spread that counts as collapsed is tested where it is defined (test_metrics)."""
    from hitsong.training import fit

    monkeypatch.setattr(metrics, "NARROW", 1e6)
    monkeypatch.setattr(fit, "LONG_TAIL", 1.0)  # a few tracks cannot be more skewed than 2.5
    table = pd.read_csv("tracks.csv", dtype={"track_id": "str"})
    table.assign(plays=(10 ** (table["plays"] / 10)).round()).to_csv("tracks.csv", index=False)
    options = [*TRAINED, "--set", "train.epochs=1"]
    for script in SCRIPTS[:4]:
        succeed(script, *options)
    out = succeed("05_train.py", *options)
    assert "COLLAPSED: it predicts nearly the same for every track" in out
    assert "try --set target.transform=log1p, or percentile" in out
    out = succeed("06_evaluate.py", *options)
    assert "careful: numeric_mlp has collapsed" in out
    assert "careful: numeric_mlp: predictions spread over" in out
    levelled = [*options, "--set", "target.transform=log1p"]
    succeed("04_baseline.py", *levelled)
    succeed("05_train.py", *levelled)
    assert "try --set" not in succeed("06_evaluate.py", *levelled)


# ---------------------------------------------------------------------- tuned parameters, --again


def recipe_of(study, name="numeric_mlp"):
    return json.loads((study / "models" / name / "bundle.json").read_text())["recipe"]


@pytest.mark.long
def test_tuned_parameters_are_used_for_the_data_that_they_were_searched_on_only(study):
    own = recipe_of(study)["learning_rate"]
    assert "the best of 2 trials" in succeed("05_train.py", *TRAINED, "--tune", "2")
    searches = json.loads((study / "tuning" / "numeric_mlp.json").read_text())["searches"]
    (best,) = [search["parameters"]["learning_rate"] for search in searches.values()]
    assert best != own
    assert recipe_of(study)["learning_rate"] == best
    for other in ("target.kind=popular", "split.scheme=random", "train.numeric=descriptors"):
        out = succeed("05_train.py", *TRAINED, "--set", other)
        assert "searched on other data, another target or another split; they are not used" in out
        assert recipe_of(study)["learning_rate"] == own
    succeed("05_train.py", *TRAINED)
    assert recipe_of(study)["learning_rate"] == best
    edit("plays", track_of(study, "train"), 99)
    for script in SCRIPTS[:3]:
        succeed(script, *TRAINED)
    assert "they are not used" in succeed("05_train.py", *TRAINED)


@pytest.mark.long
def test_again_goes_on_where_it_was_stopped_and_deletes_nothing_first(study, monkeypatch):
    from hitsong.training import network

    combined = ["--set", "train.models=[numeric_mlp, features_only]"]
    succeed("05_train.py", *combined)
    names, fit, before = [], network.fit, recipe_of(study)

    def stopped(work, name, *rest):
        names.append(name)
        if len(names) == 2:
            raise KeyboardInterrupt
        return fit(work, name, *rest)

    monkeypatch.setattr(network, "fit", stopped)
    assert run("05_train.py", *combined, "--again")[0] == 130
    assert recipe_of(study, names[0]) == before or recipe_of(study, names[1]) == before  # both are there
    succeed("05_train.py", *combined)  # without --again what is there is kept
    assert len(names) == 2
    succeed("05_train.py", *combined, "--again")
    assert names[2:] == [names[1]]
    succeed("05_train.py", *combined, "--again")
    assert names[3:] == names[:2]


# ---------------------------------------------------------------------- what there is, is measured


def test_what_is_there_is_measured_and_what_is_missing_is_named(study):
    more = ["--set", "train.models=[numeric_mlp, features_only]"]
    out = succeed("06_evaluate.py", *more)
    assert (
        "not trained, so not measured: features_only; run: python 05_train.py features_only --config" in out
    )
    assert "numeric_mlp" in out
    lines = succeed("06_evaluate.py", "--set", "train.models=[]").splitlines()
    assert not any(line.startswith("numeric_mlp") for line in lines)


@pytest.mark.long
def test_a_table_whose_previews_were_not_downloaded_is_measured(tmp_path, monkeypatch):
    from hitsong.report import build

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "build_report", not_drawn)
    world = World(tmp_path)
    address = "http://127.0.0.1:9/" + world.tracks["track_id"] + ".mp3"
    world.tracks.assign(preview_url=address).drop(columns="file").to_csv("tracks.csv", index=False)
    options = ["--set", "collect.table={path: tracks.csv, columns: {popularity: plays}}"]
    for script in ("01_collect.py", "04_baseline.py"):
        succeed(script, *options)
    out = succeed("06_evaluate.py", *options, "--set", "train.models=[numeric_mlp, cnn1]")
    assert "ridge-spotify" in out
    assert "not trained, so not measured: numeric_mlp, cnn1; run: python 05_train.py" in out


# ---------------------------------------------------------------------- refusals leave nothing

REFUSED = {
    "an unknown setting": ("01_collect.py", "--set", "collct.genre=jazz"),
    "an unknown model": ("05_train.py", "crnnn"),
    "a stage before its time": ("06_evaluate.py",),
    "a table that is not there": ("01_collect.py", "--set", "collect.table.path=none.csv"),
    "a preset that is not there": ("01_collect.py", "--config", "none.yaml"),
    "filters that nothing passes": ("01_collect.py", "--set", "collect.years=1800"),
    "nothing to serve": ("07_serve.py",),
    "a port that is none": ("07_serve.py", "--port", "80808"),
    "nothing to compare": ("06_evaluate.py", "--compare", "data/none", "data/other"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_command_leaves_nothing_behind(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    World(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    refused = conftest.script(
        *REFUSED[case], check=False, cwd=tmp_path
    )  # a process of its own: folders go at its exit
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_is_not_asked_for_is_not_taken_for_a_misspelt_one(study):
    line = refuse("05_train.py", "cnn2")
    assert line == "error: cnn2 is not one of train.models; add it: --set 'train.models=[cnn2]'\n"
    assert "there is no model 'inception_cn' - did you mean" in refuse("05_train.py", "inception_cn")


def test_a_refused_ensemble_leaves_the_models_as_they_are(study):
    bundle = (study / "models" / "numeric_mlp" / "bundle.json").read_bytes()
    line = refuse("05_train.py", "--set", "train.models=[ensemble]")
    assert "ensemble: 0 model to combine" in line
    assert (study / "models" / "numeric_mlp" / "bundle.json").read_bytes() == bundle
    assert not list((study / "models").glob(".training/*/state.json"))
