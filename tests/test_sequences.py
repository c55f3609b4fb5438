"""Random sequences of commands: whatever was run before, a report equals that of a fresh run, or is refused.

The scripts run in this process, on 48 tracks with one-second audio files. Each sequence mixes stages, settings,
changed sources, deleted results and interruptions, then asks for a report and follows the advice of each refusal.
Only the drawing of figures and pages is left out; every number is compared.
"""

import contextlib
import gc
import io
import json
import os
import re
import runpy
import shlex
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.conftest import ROOT

pytestmark = pytest.mark.long

SCRIPTS = [
    "01_collect.py", "02_download.py", "03_features.py", "04_baseline.py", "05_train.py", "06_evaluate.py",
]  # fmt: skip
CONFIG = """
study: small
collect:
  source: table
  table: {path: tracks.csv, columns: {popularity: plays, audio_path: file}}
download: {min_seconds: 0.5}
features: {kinds: [descriptors], mel: {n_mels: 8, n_fft: 1024, hop_length: 1024, seconds: 1.0}}
baseline: {models: [ridge], inputs: [spotify], controls: [artist], alphas: [1.0, 100.0], folds: 2}
train: {models: [], epochs: 1, batch_size: 16}
evaluate: {draws: 100}
compute: {workers: 1}
"""
CHOICES = {
    "target.kind": ["popularity", "popular"],
    "baseline.inputs": ["[spotify]", "[descriptors]", "[spotify, descriptors]"],
    "baseline.controls": ["[artist]", "[]"],
    "train.models": ["[]", "[numeric_mlp]"],
    "train.numeric": ["spotify", "descriptors"],
    "train.learning_rate": [],
    "features.kinds": ["[descriptors]", "[mel, descriptors]"],
    "split.scheme": ["artist", "random"],
    "evaluate.folds": ["0", "3"],
    "seed": ["1", "2"],
}
CHOICES = {key: values for key, values in CHOICES.items() if values}
RESULTS = [
    "splits.parquet", "baseline", "models", "features", "downloads.parquet", "report", "tracks.parquet",
    "train.json", "baseline.json",
]  # fmt: skip
LONGEST = 12  # commands that advice may take until there is a report


class Killed(BaseException):
    """Stands for a kill: no code of ours catches it."""


class World:
    """A folder with a table of tracks, their audio files, and the studies made from them."""

    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(0)
        count = 64
        artist = np.arange(count) // 3
        level = rng.normal(size=count)
        self.tracks = pd.DataFrame({
            "track_id": [f"{n:06}" for n in range(count)], "name": [f"song {n}" for n in range(count)],
            "artist_name": [f"artist {n}" for n in artist], "duration_ms": 1000 + np.arange(count),
            "energy": rng.uniform(size=count).round(3), "valence": (level / 8 + 0.5).clip(0, 1).round(3),
            "plays": (50 + 12 * level + 8 * rng.normal(size=count)).round().clip(0), "file": "",
        })  # fmt: skip
        times = np.arange(11025) / 11025
        for row in range(count):
            tone = np.sin(2 * np.pi * rng.uniform(100, 3000) * times) * rng.uniform(0.1, 0.8)
            name = f"{row}.wav"
            soundfile.write(folder / name, tone + 0.01 * rng.normal(size=times.size), 11025)
            self.tracks.loc[row, "file"] = name
        (folder / "config.yaml").write_text(CONFIG)
        self.write("first")

    def write(self, version):
        """Write the table: its first 48 tracks, all 64, or the first 48 with corrected numbers."""
        table = self.tracks if version == "grown" else self.tracks.iloc[:48].copy()
        if version == "corrected":
            table.loc[::5, "valence"] = 1 - table.loc[::5, "valence"]
            table.loc[::7, "plays"] += 9
        table.to_csv(self.folder / "tracks.csv", index=False)


def run(script, options, kill_after=None):
    """Run a script in this process, as if from the shell, perhaps killed at one of its file replacements.

    Returns
    -------
    code : int or None
        The exit code; None if killed.
    errors : str
        Standard error.
    """
    errors, count, replace = io.StringIO(), [0], os.replace

    def counted(*arguments):
        count[0] += 1
        if kill_after is not None and count[0] > kill_after:
            raise Killed
        replace(*arguments)

    arguments = sys.argv
    sys.argv = [script, *options]
    os.replace = counted
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            runpy.run_path(str(ROOT / script), run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except Killed:
        code = None
    finally:
        os.replace, sys.argv = replace, arguments
    if code != 0:
        gc.collect()  # closes the lock that a killed run holds
    return code, errors.getvalue()


def options_of(settings, study="small"):
    changed = [f"{key}={value}" for key, value in settings.items()]
    return [
        "--config",
        "config.yaml",
        *(word for one in [*changed, f"study={study}"] for word in ("--set", one)),
    ]


def report_of(folder):
    """Every number of a report: rows, paired differences and predictions; and its flags."""
    results = json.loads((folder / "report" / "metrics.json").read_text())
    predictions = pd.read_parquet(folder / "report" / "predictions.parquet")
    numbers = {key: results[key] for key in ("kind", "rows", "best", "paired", "schemes")}
    predictions = predictions.sort_values(["model", "track_id", "output"], ignore_index=True)
    return numbers, predictions, results["flags"]


def fresh_report(world, settings, splits, trained):
    """The report of a fresh study of the same settings and the same frozen splits, with or without 05."""
    shutil.rmtree(world.folder / "data" / "fresh", ignore_errors=True)
    for script in SCRIPTS:
        if script == "05_train.py" and not trained:
            continue
        if script == "04_baseline.py":
            shutil.copy(splits, world.folder / "data" / "fresh" / "splits.parquet")
        code, errors = run(script, options_of(settings, "fresh"))
        assert code == 0, f"{script}: {errors}"
    return report_of(world.folder / "data" / "fresh")


def disturb(world, rng, settings, log):
    """One random step: another setting, another table, a deleted result, or a stage, perhaps killed."""
    study = world.folder / "data" / "small"
    step = rng.choice(["set", "table", "delete", "stage", "kill"], p=[0.25, 0.1, 0.15, 0.35, 0.15])
    if step == "set":
        key = str(rng.choice(list(CHOICES)))
        settings[key] = str(rng.choice(CHOICES[key]))
        if settings.get("evaluate.folds") == "3":  # which is refused with other schemes
            settings["split.scheme"] = "artist"
        log.append(f"{key}={settings[key]}")
    elif step == "table":
        version = str(rng.choice(["first", "grown", "corrected"]))
        world.write(version)
        log.append(f"table {version}; 01")
        run(SCRIPTS[0], options_of(settings))
    elif step == "delete":
        name = str(rng.choice(RESULTS))
        log.append(f"rm {name}")
        path = study / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    else:
        script = str(rng.choice(SCRIPTS))
        kill_after = int(rng.integers(0, 6)) if step == "kill" else None
        code, errors = run(script, options_of(settings), kill_after)
        log.append(f"{script} killed after {kill_after}: {code}" if step == "kill" else f"{script}: {code}")
        assert code in (0, 2, None), f"{log}\n{errors}"


@pytest.fixture
def world(tmp_path, monkeypatch):
    from hitsong.report import build

    def write_empty_page(study, *_):
        page = study.report / "report.html"
        page.write_text("not drawn")
        return page

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "build_report", write_empty_page)
    return World(tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_a_report_equals_a_fresh_one_whatever_was_run_before(world, seed):
    sequences(world, seed, 3)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 104))
def test_a_report_equals_a_fresh_one_after_a_hundred_sequences(world, seed):
    sequences(world, seed, 25)


def sequences(world, seed, count):
    """Sequences that go on from each other's results."""
    rng, settings, study = np.random.default_rng(seed), {}, world.folder / "data" / "small"
    for _ in range(count):
        gc.freeze()  # what libraries keep for good need not be looked at again
        log = [f"seed {seed}, settings {settings}"]
        for _ in range(int(rng.integers(2, 6))):
            disturb(world, rng, settings, log)
        command = [SCRIPTS[-1], *options_of(settings)]
        for _ in range(LONGEST):
            code, errors = run(command[0], command[1:])
            log.append(f"{command[0]}: {code} {errors.strip()}")
            if code == 0 and command[0] == SCRIPTS[-1]:
                break
            if code == 0:
                command = [SCRIPTS[-1], *options_of(settings)]
                continue
            assert code == 2, "\n".join(log)
            assert len(errors.splitlines()) <= 2, "\n".join(log)
            advice = re.search(r"run: python (\S+\.py.*)$", errors, re.MULTILINE)
            assert advice, "\n".join(log)
            command = shlex.split(advice[1])
        else:
            pytest.fail("\n".join(log))
        numbers, predictions, flags = report_of(study)
        # A model that is not trained for these settings is left out, and named.
        trained = settings.get("train.models", "[]") == "[]" or "numeric_mlp" in numbers["rows"]
        assert trained or any("numeric_mlp" in flag for flag in flags), "\n".join(log)
        expected, their_predictions, _ = fresh_report(world, settings, study / "splits.parquet", trained)
        pd.testing.assert_frame_equal(
            predictions, their_predictions, obj="\n".join(log), rtol=1e-5, atol=1e-6
        )
        assert_close(numbers, expected, log)


def assert_close(ours, theirs, log, path=""):
    """Equal structures with equal numbers, up to rounding."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), f"{path}: {log}"
        for key in ours:
            assert_close(ours[key], theirs[key], log, f"{path}.{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), f"{path}: {log}"
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_close(*pair, log, f"{path}.{number}")
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6, nan_ok=True), f"{path}: {log}"
    else:
        assert ours == theirs, f"{path}: {log}"
