"""Where a study's results lie, and the record that each stage leaves beside them."""

import importlib.metadata
import platform
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hitsong.errors import UserError
from hitsong.files import read_json, sha256, write_json

# Packages whose version can change a result.
PACKAGES = (
    "numpy", "scipy", "pandas", "scikit-learn", "librosa", "soundfile", "soxr", "spotipy",
    "keras", "tensorflow", "tensorflow-cpu", "shap", "optuna",
)  # fmt: skip


@dataclass(frozen=True)
class Study:
    """The folder `data/<study>/` and the names in it."""

    folder: Path

    @classmethod
    def of(cls, config):
        """The study that a config names; its folder is made."""
        study = cls(Path(config.data) / config.study)
        study.folder.mkdir(parents=True, exist_ok=True)
        return study

    @property
    def catalog(self):
        return self.folder / "catalog.sqlite"

    @property
    def tracks(self):
        return self.folder / "tracks.parquet"

    @property
    def copies(self):
        """Which copies of recordings fell, at which step, in favour of which."""
        return self.folder / "duplicates.csv"

    @property
    def planted(self):
        """What the stand-in planted in its songs; only there for synthetic catalogues."""
        return self.folder / "planted.parquet"

    @property
    def previews(self):
        return self.folder / "previews"

    @property
    def downloads(self):
        return self.folder / "downloads.parquet"

    @property
    def features(self):
        return self.folder / "features"

    @property
    def splits(self):
        return self.folder / "splits.parquet"

    @property
    def baseline(self):
        return self.folder / "baseline"

    @property
    def models(self):
        return self.folder / "models"

    def model(self, name, number=1):
        """The folder of a model's bundle; further fits, of other seeds, lie in that of the first."""
        return self.models / name if number == 1 else self.models / name / f"seed-{number}"

    @property
    def tuning(self):
        """What searches for hyper-parameters found."""
        return self.folder / "tuning"

    @property
    def report(self):
        return self.folder / "report"

    def record(self, stage):
        """The path of a stage's record."""
        return self.folder / f"{stage}.json"


class Stage:
    """One run of one stage: times it, and writes its record when it ends well.

    Parameters
    ----------
    study : Study
    name : str
        `collect`, `download`, `features`, `baseline`, `train` or `evaluate`.
    config : hitsong.config.Config
    inputs : sequence of (str, pathlib.Path)
        Each input file behind the stage that made it: ``("collect", study.tracks)``. A missing file, or
        one that is no longer what its stage left, is refused with the script to run.
    """

    def __init__(self, study, name, config, inputs=()):
        self.study, self.name, self.config = study, name, config
        self.started = time.monotonic()
        self.inputs = {self._name(path): self._checked(stage, path) for stage, path in inputs}

    def _name(self, path):
        return path.relative_to(self.study.folder).as_posix()

    def _checked(self, stage, path):
        """The hash of an input, after making sure that it is what the stage before left."""
        if not path.exists():
            raise UserError(f"{path} is missing; run: {command(stage)}")
        record = self.study.record(stage)
        left = read_json(record) if record.exists() else {"outputs": {}, "inputs": {}}
        found = sha256(path)
        if left["outputs"].get(self._name(path)) != found:
            raise UserError(f"{path} is not as its stage left it (stopped half-way?); run: {command(stage)}")
        for name, hashed in left["inputs"].items():
            earlier = self.study.folder / name
            if earlier.exists() and sha256(earlier) != hashed:
                raise UserError(
                    f"{earlier} has changed since {path.name} was made from it; run: {command(stage)}"
                )
        return found

    @property
    def seconds(self):
        return time.monotonic() - self.started

    def finish(self, outputs, counts):
        """Write the record: resolved config, commit, hashes, versions, counts and seconds."""
        write_json(
            self.study.record(self.name),
            {
                "stage": self.name,
                "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(self.seconds, 2),
                "counts": counts,
                "inputs": self.inputs,
                "outputs": {self._name(path): sha256(path) for path in outputs},
                "config": self.config.model_dump(mode="json"),
                **environment(),
            },
        )


SCRIPTS = {
    "collect": "01_collect.py",
    "download": "02_download.py",
    "features": "03_features.py",
    "baseline": "04_baseline.py",
    "train": "05_train.py",
    "evaluate": "06_evaluate.py",
}


def command(stage):
    """The command that runs a stage."""
    return f"python {SCRIPTS[stage]}"


def environment():
    """The commit and the versions behind a result."""
    return {"commit": _commit(), "python": platform.python_version(), "versions": versions()}


def versions():
    """Installed versions of the packages that can change a result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit():
    """The git commit of the code, `+` behind it if files differ from it; None outside a checkout."""
    root = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()
