"""The scripts as a user runs them: whole runs, one stage again, other settings, wrong ones, and kill -9."""

import contextlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from tests.conftest import ROOT, script

pytestmark = pytest.mark.long

STAGES = [
    "01_collect.py",
    "02_download.py",
    "03_features.py",
    "04_baseline.py",
    "05_train.py",
    "06_evaluate.py",
]

TINY = """
study: tiny
data: {data}
standin: {{artists: 14, recordings: 60, seconds: 6.0}}
download: {{min_seconds: 2.0}}
features: {{mel: {{n_mels: 40, n_fft: 2048, hop_length: 1024, seconds: 6.0}}}}
train: {{epochs: 3, models: [inception_cnn, crnn, ensemble]}}
evaluate: {{draws: 100}}
compute: {{workers: 2}}
"""


def tiny(folder):
    path = folder / "config.yaml"
    path.write_text(TINY.format(data=folder / "data"))
    return path


def run(stage, config, *arguments, **options):
    return script(stage, "--config", config, *arguments, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An undisturbed run of all six stages: its folder, its config, and what each stage printed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    config = tiny(folder)
    printed = {stage: run(stage, config).stdout for stage in STAGES}
    return folder / "data" / "tiny", config, printed


# ---------------------------------------------------------------------- a whole run


def test_every_stage_leaves_what_it_promises(finished):
    study, _, printed = finished
    for name in [
        "catalog.sqlite", "tracks.parquet", "downloads.parquet", "features/mel.npy", "features/index.parquet",
        "features/failures.csv", "splits.parquet", "baseline/metrics.json", "baseline/cv.csv",
        "baseline/learning_curve.png", "models/inception_cnn/model.keras", "models/crnn/card.md",
        "models/ensemble/bundle.json",
        "report/report.html", "report/metrics.json", "report/predictions.parquet", "report/comparison.png",
    ]:  # fmt: skip
        assert (study / name).stat().st_size > 0, name
    for stage in ["collect", "download", "features", "baseline", "train", "evaluate"]:
        record = json.loads((study / f"{stage}.json").read_text())
        assert record["config"]["study"] == "tiny"
        assert record["versions"]["numpy"]
        assert record["outputs"]
        assert all(len(value) == 64 for value in [*record["inputs"].values(), *record["outputs"].values()])
    assert printed["06_evaluate.py"].strip().endswith("report.html")


def test_output_that_is_piped_holds_no_progress_bars(finished):
    _, config, printed = finished
    again = run("03_features.py", config)
    assert "\r" not in again.stdout + again.stderr
    assert again.stderr == ""
    assert all(len(text.splitlines()) < 32 for text in printed.values())


def test_results_are_for_all_models_on_the_same_test_tracks(finished):
    study, _, _ = finished
    metrics = json.loads((study / "report" / "metrics.json").read_text())
    assert set(metrics["rows"]) == {
        "inception_cnn", "crnn", "ensemble", "ridge-spotify", "trees-spotify", "age", "artist",
        "mean", "shuffled", "artist_mean", "planted",
    }  # fmt: skip
    predictions = pd.read_parquet(study / "report" / "predictions.parquet")
    splits = pd.read_parquet(study / "splits.parquet").set_index("track_id")
    per_model = predictions.groupby("model")["track_id"].agg(frozenset)
    assert len(set(per_model)) == 1
    assert set(splits.loc[list(per_model.iloc[0]), "artist"]) == {"test"}
    tracks = pd.read_parquet(study / "tracks.parquet").set_index("track_id")
    truth = predictions.drop_duplicates("track_id").set_index("track_id")["y"]
    assert (tracks.loc[truth.index, "popularity"] == truth).all()


def test_no_artist_is_on_two_sides(finished):
    study, _, _ = finished
    tracks = pd.read_parquet(study / "tracks.parquet").merge(
        pd.read_parquet(study / "splits.parquet"), on="track_id"
    )
    sides = (
        tracks[tracks["artist"] != "excluded"].explode("artist_ids").groupby("artist_ids")["artist"].nunique()
    )
    assert sides.max() == 1
    assert (tracks["artist_ids"].map(len) > 1).any()  # guests there are


def test_the_report_stands_alone_and_says_synthetic(finished):
    study, _, _ = finished
    page = (study / "report" / "report.html").read_text()
    assert "Synthetic data." in page
    written = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # without the code of Vega
    for outside in ['src="http', "src='http", "url(http", "<script src"]:
        assert outside not in written
    assert set(re.findall(r'href="(https?://[^/"]+)', written)) <= {"https://arxiv.org"}
    assert written.count('role="img"') >= 8
    assert written.count("<img") == written.count('alt="')
    assert len(page) < 10e6


def test_no_secret_is_written(finished):
    study, _, _ = finished
    from standin.spotify import CLIENT_SECRET

    for path in study.rglob("*"):
        if path.is_file():
            assert CLIENT_SECRET.encode() not in path.read_bytes(), path


# ---------------------------------------------------------------------- one stage again


def test_stages_that_ran_do_nothing_again(finished):
    study, config, _ = finished
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.suffix in (".mp3", ".npy")}
    tracks = (study / "tracks.parquet").stat().st_mtime_ns
    assert "60 recordings" in (collect := run("01_collect.py", config).stdout)
    assert "nothing new" in collect
    assert ": 0 new clips, " in run("02_download.py", config).stdout
    assert "mel: 0 new clips, " in run("03_features.py", config).stdout
    assert "0 models trained, 3 kept as they were" in run("05_train.py", config).stdout
    assert (study / "tracks.parquet").stat().st_mtime_ns == tracks
    changed = [
        path
        for path, time_ns in before.items()
        if path.suffix == ".mp3" and path.stat().st_mtime_ns != time_ns
    ]
    assert not changed


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished study, to be changed."""
    import shutil

    study, _, _ = finished
    shutil.copytree(study, tmp_path / "data" / "tiny")
    return tmp_path / "data" / "tiny", tiny(tmp_path)


def test_other_mel_parameters_redo_features_and_what_follows(copied):
    study, config = copied
    other = ["--set", "features.mel.n_mels=32"]
    assert ": 0 new clips, " in run("02_download.py", config, *other).stdout
    refused = run("05_train.py", config, *other, check=False)
    assert refused.returncode == 2
    assert "03_features.py" in refused.stderr
    assert ", 0 kept as they were" in run("03_features.py", config, *other).stdout
    assert np.load(study / "features" / "mel.npy", mmap_mode="r").shape[1] == 32
    for stale in ("04_baseline.py", "05_train.py"):
        refused = run("06_evaluate.py", config, *other, check=False)
        assert refused.returncode == 2
        assert stale in refused.stderr
        run(stale, config, *other, *(["--set", "train.epochs=1"] if stale == "05_train.py" else []))


def test_another_genre_is_collected_beside_the_first(copied):
    study, config = copied
    other = ["--set", "collect.genre=jazz"]
    assert "nothing new" not in run("01_collect.py", config, *other).stdout
    stale = run("03_features.py", config, *other, check=False)
    assert stale.returncode == 2
    assert "02_download.py" in stale.stderr
    downloaded = run("02_download.py", config, *other).stdout
    assert ", 0 kept as they were" in downloaded
    features = run("03_features.py", config, *other).stdout
    assert "0 done" not in features
    # And back: the catalogue, the previews and the features of the first genre are still there.
    assert "requests" not in run("01_collect.py", config).stdout
    run("02_download.py", config)
    assert "mel: 0 new clips, " in run("03_features.py", config).stdout


def test_popular_or_not_runs_to_the_report(copied):
    study, config = copied
    popular = [
        "--set",
        "target.kind=popular",
        "--set",
        "train.epochs=1",
        "--set",
        "train.models=[inception_cnn]",
    ]
    for stage in STAGES[3:]:
        printed = run(stage, config, *popular).stdout
    assert "roc_auc" in printed
    rows = json.loads((study / "report" / "metrics.json").read_text())["rows"]
    assert {"inception_cnn", "logistic-spotify", "mean"} <= set(rows)
    assert np.shape(rows["inception_cnn"]["metrics"]["confusion"]) == (2, 2)


def test_a_search_goes_on_where_it_was_and_what_it_found_is_used_with_every_seed(copied):
    study, config = copied
    options = ["--set", "train.models=[inception_cnn]", "--set", "train.epochs=1", "--set", "train.seeds=2"]
    folders = [study / "models" / "inception_cnn", study / "models" / "seed-2" / "inception_cnn"]
    assert "the best of 1 trials" in run("05_train.py", config, *options, "--tune", "1").stdout
    printed = run("05_train.py", config, *options, "--tune", "2").stdout
    assert "the best of 2 trials" in printed
    recipes = [json.loads((folder / "bundle.json").read_text())["recipe"] for folder in folders]
    assert [recipe["seed"] for recipe in recipes] == [1, 2]
    searches = json.loads((study / "tuning" / "inception_cnn.json").read_text())["searches"]
    (best,) = searches.values()
    assert all(recipe["learning_rate"] == best["parameters"]["learning_rate"] for recipe in recipes)
    run("06_evaluate.py", config, *options)
    row = json.loads((study / "report" / "metrics.json").read_text())["rows"]["inception_cnn"]
    assert row["repetitions"] == 2
    assert set(row["coverage"]) == {"0.5", "0.8", "0.9", "0.95"}


# ---------------------------------------------------------------------- what a user does wrong


@pytest.mark.parametrize("stage", STAGES)
def test_help_teaches(stage):
    text = script(stage, "--help").stdout
    assert f"python {stage}" in text
    assert "--config" in text
    assert "--set" in text


@pytest.mark.parametrize("stage", STAGES)
def test_a_misspelt_key_is_refused_before_anything_is_written(stage, tmp_path):
    config = tiny(tmp_path)
    config.write_text(config.read_text() + "collct: {genre: jazz}\n")
    refused = run(stage, config, check=False)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [f"error: {config}: collct: unknown key - did you mean 'collect'?"]
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(("stage", "before"), [(stage, STAGES[0]) for stage in STAGES[1:4]])
def test_a_stage_out_of_order_names_the_one_to_run(stage, before, tmp_path):
    refused = run(stage, tiny(tmp_path), check=False)
    assert refused.returncode == 2
    assert f"run: python {before}" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("standin.profile=dev_new", 2, "no popularity"),
        ("standin.profile=no_premium", 2, "Premium"),
        ("standin.faults=[{kind: quota, at: 9}]", 3, "come back after"),
        ("standin.faults=[{kind: rate_limit_long, at: 12}]", 3, "wait for 13 min"),
        ("collect.genre=mandopp", 2, "mandopop"),
    ],
)
def test_a_crawl_that_cannot_go_on_says_why_in_a_line(tmp_path, setting, code, said):
    config = tiny(tmp_path)
    stopped = run("01_collect.py", config, "--set", setting, check=False)
    assert stopped.returncode == code
    assert said in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (tmp_path / "data" / "tiny" / "tracks.parquet").exists()
    if code == 3:
        assert f"to go on: python {ROOT / '01_collect.py'} --config {config}" in stopped.stderr
        assert "60 recordings" in run("01_collect.py", config).stdout


def test_an_unknown_model_is_refused(finished):
    _, config, _ = finished
    refused = run("05_train.py", config, "inceptoin_cnn", check=False)
    assert refused.returncode == 2
    assert "'inception_cnn'" in refused.stderr
    refused = run("05_train.py", config, "--set", "train.models=[crn]", check=False)
    assert "no model 'crn' - did you mean 'crnn'" in refused.stderr


# ---------------------------------------------------------------------- kill -9, then the same command


def kill_when(stage, config, condition):
    """Start a script and kill it with SIGKILL as soon as `condition()` holds."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / stage), "--config", str(config)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not condition():
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL, f"{stage} ended before it could be killed"


def rows_in(path, sql):
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute(sql).fetchone()[0]
    except sqlite3.OperationalError:  # no table yet
        return 0


def dump(path):
    """The whole crawl but the times of its responses, and without what 02 keeps there."""
    with sqlite3.connect(path) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        frames = {
            table: pd.read_sql(f"SELECT * FROM {table}", connection)
            for table in tables
            if table not in ("downloads", "lookups")
        }
    return {
        name: frame.drop(columns=["fetched_at", "probed_at"], errors="ignore").sort_values(
            list(frame.columns[:2]), ignore_index=True
        )
        for name, frame in frames.items()
    }


@pytest.mark.timeout(900)
def test_killed_stages_end_as_undisturbed_ones(finished, tmp_path):
    expected, _, _ = finished
    config = tiny(tmp_path)
    study = tmp_path / "data" / "tiny"

    # 01, at three points of the crawl
    for sql in [
        "SELECT count(*) FROM pages",
        "SELECT count(*) FROM tracks",
        "SELECT count(*) FROM tracks WHERE fetched_at IS NOT NULL",
    ]:
        kill_when("01_collect.py", config, lambda sql=sql: rows_in(study / "catalog.sqlite", sql) > 0)
        assert not (study / "tracks.parquet").exists()
    run("01_collect.py", config)
    result, reference = dump(study / "catalog.sqlite"), dump(expected / "catalog.sqlite")
    assert result.keys() == reference.keys()
    for table in reference:
        pd.testing.assert_frame_equal(result[table], reference[table])
    pd.testing.assert_frame_equal(
        pd.read_parquet(study / "tracks.parquet").drop(columns="fetched_at"),
        pd.read_parquet(expected / "tracks.parquet").drop(columns="fetched_at"),
    )

    # 02, with some previews there
    previews = study / "previews"
    kill_when(
        "02_download.py", config, lambda: previews.exists() and len(list(previews.glob("[!.]*.mp3"))) >= 9
    )
    run("02_download.py", config)
    pd.testing.assert_frame_equal(
        pd.read_parquet(study / "downloads.parquet"), pd.read_parquet(expected / "downloads.parquet")
    )
    assert {path.name: path.read_bytes() for path in previews.iterdir()} == {
        path.name: path.read_bytes() for path in (expected / "previews").iterdir()
    }

    # 03, with some rows there
    array = study / "features" / "mel.npy"
    kill_when("03_features.py", config, lambda: array.exists() and array.stat().st_size > 128 + 40 * 130)
    assert array.stat().st_size < (expected / "features" / "mel.npy").stat().st_size
    run("03_features.py", config)
    for path in (expected / "features").iterdir():
        assert (study / "features" / path.name).read_bytes() == path.read_bytes(), path.name

    # 05, after an epoch
    state = study / "models" / ".training" / "inception_cnn" / "state.json"
    kill_when("05_train.py", config, state.exists)
    assert "going on with an interrupted fit" in run("05_train.py", config).stdout
    for model in ["inception_cnn", "crnn"]:
        history, reference = (pd.read_csv(s / "models" / model / "history.csv") for s in (study, expected))
        pd.testing.assert_frame_equal(history.drop(columns="seconds"), reference.drop(columns="seconds"))
        result, reference = (
            pd.read_parquet(s / "models" / model / "validation.parquet") for s in (study, expected)
        )
        pd.testing.assert_frame_equal(result, reference)


# ---------------------------------------------------------------------- real input


@pytest.mark.timeout(900)
def test_all_stages_on_real_clips_and_the_same_scores_from_all_doors(shared, tmp_path):
    models = ["conv2_mono", "embedding_probe"]
    settings = [
        "--set", f"collect.root={shared / 'fma_mini'}", "--set", f"data={tmp_path}", "--set", "train.epochs=1",
        "--set", f"train.models=[{', '.join(models)}]", "--set", "evaluate.draws=100",
        "--set", "baseline.inputs=[descriptors]",
    ]  # fmt: skip
    preset = ROOT / "configs" / "fma.yaml"
    printed = {stage: run(stage, preset, *settings).stdout for stage in STAGES}
    assert "31 recordings" in printed["01_collect.py"]
    assert "30 new clips, 0 kept as they were, 1 failed" in printed["02_download.py"]
    assert "audio file not found, for example" in printed["02_download.py"]
    assert "30 new clips, 0 kept as they were, 0 failed" in printed["03_features.py"]
    assert "logistic-descriptors" in printed["04_baseline.py"]
    study = Path(tmp_path) / "fma"
    assert "Synthetic" not in (study / "report" / "report.html").read_text()
    assert set(models) <= set(json.loads((study / "report" / "metrics.json").read_text())["rows"])

    # What 06 predicted for the test clips, from their files: the command line, and the service
    table = pd.read_parquet(study / "report" / "predictions.parquet")
    clips = pd.read_parquet(study / "features" / "index.parquet").set_index("track_id")["path"]
    for model in models:
        rows = table[table["model"] == model]
        expected = rows.pivot(index="track_id", columns="output", values="prediction")
        files = [study / clips[track_id] for track_id in expected.index]
        command = [sys.executable, "-m", "hitsong.predict", *files, "--json", "--model", model]
        done = subprocess.run(
            [*command, "--config", preset, *settings], cwd=ROOT, capture_output=True, text=True, check=True
        )
        answers = [row["prediction"] for row in json.loads(done.stdout)]
        result = pd.DataFrame(answers, index=expected.index)[expected.columns]
        np.testing.assert_allclose(result, expected, atol=2e-6)
        if model == "conv2_mono":
            with served(preset, "--model", model, *settings) as url:
                for path, message in zip(files, answers, strict=True):
                    with open(path, "rb") as file:
                        answer = requests.post(f"{url}/predict", files={"file": file}, timeout=60).json()
                    assert answer["prediction"] == pytest.approx(message, rel=1e-4)


@contextlib.contextmanager
def served(config, *arguments):
    """07 as a user runs it: its address, until it is told to stop."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "07_serve.py"), "--config", config, "--port", "0", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = next(line for line in process.stdout if line.startswith("serving on"))
        yield line.split()[2]
        process.send_signal(signal.SIGTERM)
        assert "the requests in flight were finished" in process.communicate(timeout=30)[0]
        assert process.returncode == 0
    finally:
        process.kill()
