"""What tests share: the real data beside the checkout, small synthetic sounds, and scripts as subprocesses."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Random weights are the same in every run, those of fixtures too: a test that passes goes on to pass."""
    random.seed(0)  # Keras draws the seeds of its layers from it
    np.random.seed(0)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared():
    """The folder of real data; tests that need it are skipped where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data in {SHARED}")
    return SHARED


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def tone(tmp_path):
    """Writes a sine as an audio file: tone("a.wav", seconds=2, rate=22050, channels=1, hz=440)."""

    def write(name, seconds=2.0, rate=22050, channels=1, hz=440.0, level=0.5):
        times = np.arange(int(seconds * rate)) / rate
        wave = level * np.sin(2 * np.pi * hz * times)
        path = tmp_path / name
        soundfile.write(path, np.repeat(wave[:, None], channels, axis=1).astype(np.float32), rate)
        return path

    return write


def script(name, *arguments, check=True, cwd=ROOT):
    """Run a numbered script as a user would."""
    run = subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
    )
    if check:
        assert run.returncode == 0, f"{name}: {run.stdout}\n{run.stderr}"
    return run


HUNDRED = "hundred_sequences"  # each by itself takes as long as a file
LONG = (
    "test_pipeline.py",
    "test_table.py",
    "test_fit.py",
    "test_studies.py",
    "test_page.py",
    "test_explorer.py",
    "test_index.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, end with sequences that any process can take; a file stays in one."""
    items.sort(key=lambda item: item.path.name not in LONG)
    items.sort(key=lambda item: HUNDRED in item.name)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.name if HUNDRED in item.name else str(item.path)))
