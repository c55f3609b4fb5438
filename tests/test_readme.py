"""What README.md says of adding a model, a metric and a kind of feature, done in a copy of the project."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT

TABLES = {
    '"tiny"': ("hitsong/models/registry.py", "MODELS = {\n"),
    '"zero_crossings"': ("hitsong/features/kinds.py", "KINDS = {\n"),
    "Metric(": ("hitsong/evaluation/kinds.py", "METRICS = [\n"),
}
CONFIG = """
study: small
collect: {source: table, table: {path: tracks.csv, columns: {popularity: plays, audio_path: file}}}
download: {min_seconds: 0.5}
features: {kinds: [mel, zero_crossings], mel: {n_mels: 8, n_fft: 1024, hop_length: 1024, seconds: 1.0}}
baseline: {models: [ridge], inputs: [zero_crossings], controls: [], folds: 2}
train: {models: [tiny], epochs: 1, batch_size: 16}
evaluate: {draws: 100}
compute: {workers: 1}
"""


@pytest.mark.long
def test_the_additions_that_the_readme_shows_reach_the_report(tmp_path):
    for name in ["hitsong", "standin"]:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for script in ROOT.glob("0*.py"):
        shutil.copy(script, tmp_path)
    add_what_the_readme_shows(tmp_path)

    rng, lines = np.random.default_rng(0), ["track_id,name,artist_name,plays,file"]
    for row in range(48):
        tone = np.sin(2 * np.pi * rng.uniform(100, 3000) * np.arange(11025) / 11025)
        soundfile.write(tmp_path / f"{row}.wav", 0.5 * tone, 11025)
        lines.append(f"{row:03},song {row},artist {row // 2},{rng.integers(100)},{row}.wav")
    (tmp_path / "tracks.csv").write_text("\n".join(lines))
    (tmp_path / "config.yaml").write_text(CONFIG)
    for script in sorted(tmp_path.glob("0[1-6]*.py")):
        run = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, f"{script.name}: {run.stderr}"

    report = tmp_path / "data" / "small" / "report"
    rows = json.loads((report / "metrics.json").read_text())["rows"]
    assert {"tiny", "ridge-zero_crossings"} <= rows.keys()
    assert all("median_error" in row["metrics"] for row in rows.values())
    assert "median absolute error" in (report / "report.html").read_text()


def add_what_the_readme_shows(folder):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    added = 0
    for block in blocks:
        if path := re.match(r"# (hitsong/\S+)\n", block):
            (folder / path[1]).write_text(block)
            added += 1
        for start, (table, head) in TABLES.items():
            if block.strip().startswith(start):
                text = (folder / table).read_text()
                assert text.count(head) == 1
                (folder / table).write_text(text.replace(head, head + block))
                added += 1
    assert added == len(blocks) == 5
