"""The command line and the served script: the same numbers from both, for whoever reads them, and honest exit codes."""

import csv
import io
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import requests
import soundfile
from PIL import Image
from pydantic import TypeAdapter

from hitsong.predict import __main__
from hitsong.predict.predictor import Predictor
from hitsong.predict.song_features import read_features
from hitsong.service import schemas
from hitsong.study import Study
from tests.conftest import ROOT
from tests.small_study import bundle_of, small_study


@pytest.fixture(scope="module")
def study():
    return Study.of(small_study()[0])


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The planted study's config as a file: JSON is YAML, too."""
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(json.dumps(small_study()[0].model_dump(mode="json", exclude_none=True)))
    return path


@pytest.fixture(scope="module")
def songs(study):
    return sorted(study.previews.glob("*.wav"))[:3]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "hitsong.predict", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def printed(config, songs):
    return command(*songs, "--json", "--config", config)


@pytest.fixture(scope="module")
def served(config):
    """07_serve.py as a user runs it; what it printed, its address and its process."""
    process = subprocess.Popen(
        [sys.executable, "07_serve.py", "--config", config, "--port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("serving on"):
            break
    yield "".join(lines), lines[-1].split()[2], process
    process.kill()
    process.communicate()


@pytest.mark.long
def test_the_command_line_and_the_service_say_the_same(printed, served, songs):
    assert printed.returncode == 0
    rows = json.loads(printed.stdout)
    assert [row["file"] for row in rows] == [str(path) for path in songs]
    for path, row in zip(songs, rows, strict=True):
        with open(path, "rb") as file:
            answer = requests.post(f"{served[1]}/predict", files={"file": file}, timeout=60).json()
        for part in ("prediction", "interval", "percentile", "warnings"):
            form = TypeAdapter(schemas.Song.model_fields[part].annotation)  # rounds numbers
            assert answer[part] == form.dump_python(form.validate_python(row[part]), exclude_unset=True)


@pytest.mark.long
def test_the_script_says_what_it_serves_and_ends_when_asked(served):
    printed, url, process = served
    assert re.match(r"http://127\.0\.0\.1:\d+$", url)
    assert printed.startswith("inception: the best on validation (spearman) of 1 that need only the file")
    assert (
        "trained on 15 tracks of study planted: planted songs; popularity from synthetic songs, read 2026-02-03"
        in printed
    )
    assert "careful: these songs are synthetic" in printed
    assert "A score helps to sort many songs" in printed
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert {json.loads(line)["status"] for line in err.splitlines()} <= {200}  # the access log
    assert "the requests in flight were finished" in out


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--host", "0.0.0.0"], "HITSONG_TOKEN"),
        (["--max-mb", "0"], "--max-mb and --max-minutes must be above 0"),
        (["--port", "80808"], "--port 80808: choose one from 1 to 65535"),
        (["--model", "inceptoin"], "did you mean 'inception'"),
        (["--set", "study=elsewhere"], "run: python 05_train.py"),
    ],
)
def test_the_script_refuses_what_it_cannot_do(config, arguments, complaint):
    run = subprocess.run(
        [sys.executable, "07_serve.py", "--config", config, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.startswith("error: ")
    assert complaint in run.stderr


@pytest.mark.long
def test_files_that_cannot_be_heard_are_named_and_the_others_judged(config, songs, tmp_path, printed):
    poem = tmp_path / "poem.mp3"
    poem.write_text("no song")
    run = command(poem, songs[0], tmp_path / "gone.wav", "--csv", "--config", config)
    assert run.returncode == 2
    assert f"error: {poem}: text, not audio" in run.stderr
    assert f"error: {tmp_path / 'gone.wav'}: No such file or directory" in run.stderr
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    assert [row["file"] for row in rows] == [str(poem), str(songs[0]), str(tmp_path / "gone.wav")]
    expected = json.loads(printed.stdout)[0]
    assert float(rows[1]["prediction"]) == expected["prediction"]
    assert float(rows[1]["high"]) == expected["interval"]["high"]
    assert rows[1]["error"] == rows[0]["prediction"] == ""


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "said", "columns"),
    [
        ("popular", r": 0\.\d{3}, .*popular.* \(90%\), above \d+ % of predictions", {"prediction", "set"}),
        (
            "buckets",
            r": low [\d.]+, medium [\d.]+, high [\d.]+, .+ \(90%\)",
            {"low", "medium", "high", "set"},
        ),
        (
            "audio_features",
            r": energy [-\d.]+, danceability [-\d.]+\n",
            {"energy", "energy_low", "danceability_high"},
        ),
    ],
)
def test_every_kind_of_target_can_be_read(study, songs, capsys, kind, said, columns):
    predictor = Predictor(bundle_of(kind), ["descriptors"])
    row = __main__._row(predictor, songs[0], read_features(songs[0], predictor.settings))
    __main__._print_table([row])
    assert re.search(said, capsys.readouterr().out)
    __main__._print_csv([row])
    assert columns <= set(next(csv.reader(io.StringIO(capsys.readouterr().out))))


@pytest.mark.long
@pytest.mark.parametrize("method", ["occlusion", "gradients", "lime"])
def test_a_score_is_explained_in_a_figure(config, songs, printed, tmp_path, method):
    out = tmp_path / "map.png"
    run = command(songs[0], "--explain", method, "--out", out, "--config", config)
    assert (run.returncode, Image.open(out).format) == (0, "PNG")
    score = json.loads(printed.stdout)[0]["prediction"]
    assert f"{songs[0]}: {score:.3g} points of popularity" in run.stdout


@pytest.mark.long
def test_silence_has_no_score(config, tmp_path):
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(5 * 22050), 22050)
    run = command(silence, "--config", config)
    assert (run.returncode, run.stdout) == (2, "")
    assert f"error: {silence}: silence: there is nothing to score" in run.stderr
