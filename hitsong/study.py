"""Where a study's results lie, and the record that each stage leaves beside them."""

import atexit
import fcntl
import importlib.metadata
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from ruamel.yaml import YAML

from hitsong.errors import UserError
from hitsong.files import read_json, remove_temporary, replacing, sha256, write_json

# Packages whose version can change a result.
PACKAGES = (
    "numpy", "scipy", "pandas", "scikit-learn", "librosa", "soundfile", "soxr", "av", "spotipy",
    "keras", "tensorflow", "tensorflow-cpu", "optuna",
)  # fmt: skip


# Each stage: its script, and the stages whose results it reads where they are there.
STAGES = {
    "collect": ("01_collect.py", ()),
    "download": ("02_download.py", ("collect",)),
    "features": ("03_features.py", ("collect", "download")),
    "baseline": ("04_baseline.py", ("collect", "download", "features")),
    "train": ("05_train.py", ("collect", "download", "features")),
    "evaluate": ("06_evaluate.py", ("collect", "download", "features", "baseline", "train")),
}
# Settings of a crawl that decide how it asks, not what it finds.
PACING = {"gap_s", "longest_wait_s", "request_budget"}
SHOWN = 6  # changed settings that a line names

_options = ""


def set_options(options):
    """Remember the shared options of this process's command line, for the commands that messages advise."""
    global _options
    _options = options


def command(stage, *arguments):
    """The command line that runs a stage, with the options that were given to this process."""
    return " ".join(part for part in ("python", STAGES[stage][0], *arguments, _options) if part)


@dataclass(frozen=True)
class Study:
    """The folder `data/<study>/` and the names in it."""

    folder: Path

    @classmethod
    def of(cls, config):
        """The study that a config names; its folder need not exist yet."""
        return cls(Path(config.data) / config.study)

    @property
    def config(self):
        """The settings of the study's last run."""
        return self.folder / "config.yaml"

    @property
    def synthetic(self):
        """Whether the study's songs were composed by the stand-in: each track states its source."""
        if not self.tracks.exists():
            return False
        source = pq.read_table(self.tracks, columns=["popularity_source"]).column(0)
        return len(source) > 0 and source[0].as_py().startswith("synthetic")

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
    def unmatched(self):
        """Which tracks have no match at Deezer, with the reason and the best candidate."""
        return self.folder / "unmatched.csv"

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
        """The folder of a model's bundle; those of further seeds lie in `seed-2/`, ..."""
        return self.models / name if number == 1 else self.models / f"seed-{number}" / name

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
    """One run of one stage: locks the study, checks what earlier stages left, and writes a record at the end.

    Parameters
    ----------
    name : str
        A key of `STAGES`.
    needs : sequence of str
        Earlier stages that must have run. Others that a stage reads must be current if they have run.

    Raises
    ------
    UserError
        If another process uses the study, an earlier stage is missing or not current, or the config collects
        from another source than the study was made from.
    """

    def __init__(self, study, name, config, needs=()):
        self.study, self.name, self.config = study, name, config
        self.started = time.monotonic()
        if name != "collect" and not study.folder.is_dir():
            raise UserError(f"{study.folder}: there is no such study; run: {command('collect')}")
        self._lock = lock(study.folder, STAGES[name][0])
        earlier = _config_of(study)
        if earlier and name == "collect":
            _require_same_source(study, earlier, config)
        self.inputs = {}
        for stage in STAGES[name][1]:
            if stage in needs or study.record(stage).exists():
                if reason := problem(study, stage, config):
                    raise UserError(f"{reason}; run: {command(stage)}")
                self.inputs |= read_json(study.record(stage))["outputs"]
        if earlier and (changes := differences(earlier, config.model_dump(mode="json"))):
            more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            print(f"changed since the study's last run: {'; '.join(changes[:SHOWN])}{more}")
        if not earlier:
            self._keep_config()

    @property
    def seconds(self):
        return time.monotonic() - self.started

    def add_inputs(self, paths):
        """Record further files that this run reads."""
        self.inputs |= {path.relative_to(self.study.folder).as_posix(): sha256(path) for path in paths}

    def is_repeat(self):
        """Whether the last run had the same inputs, settings and code, and its outputs are as it left them."""
        record, code = self.study.record(self.name), environment()
        if not record.exists() or (code["commit"] or "").endswith("+"):  # code with changes of its own
            return False
        before = read_json(record)
        now = {"inputs": self.inputs, "config": self.config.model_dump(mode="json"), **code}
        return all(before.get(name) == value for name, value in now.items()) and all(
            (self.study.folder / name).exists() and sha256(self.study.folder / name) == recorded
            for name, recorded in before["outputs"].items()
        )

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
                "outputs": {path.relative_to(self.study.folder).as_posix(): sha256(path) for path in outputs},
                "options": _options,
                "config": self.config.model_dump(mode="json"),
                **environment(),
            },
        )
        self._keep_config()

    def _keep_config(self):
        with replacing(self.study.config) as temporary, temporary.open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(self.config.model_dump(mode="json"), file)


def problem(study, stage, config):
    """Say why the results of a stage cannot be used: missing, unfinished, stale, or of another crawl.

    Parameters
    ----------
    stage : str
        A key of `STAGES`.
    config : hitsong.config.Config
        The settings of the run that would use them.

    Returns
    -------
    str or None
        None if the results are current.
    """
    script = STAGES[stage][0]
    if not study.record(stage).exists():
        return f"{study.folder} holds no results of {script}"
    record = read_json(study.record(stage))
    for name, recorded in record["outputs"].items():
        path = study.folder / name
        if not path.exists():
            return f"{path} is missing"
        if sha256(path) != recorded:
            return f"{path} is not as {script} left it (interrupted, or edited)"
    for name, recorded in record["inputs"].items():
        path = study.folder / name
        if not path.exists() or sha256(path) != recorded:
            return f"{path} has changed since {script} used it"
    if stage == "collect":
        asked = config.model_dump(mode="json")
        if changes := differences(_crawl(record["config"]), _crawl(asked)):
            return f"{study.tracks} was collected with other settings ({'; '.join(changes[:SHOWN])})"
    if stage == "download":
        asked = config.model_dump(mode="json")
        if changes := differences(_audio_sources(record["config"]), _audio_sources(asked)):
            return f"{study.downloads} was made with other settings ({'; '.join(changes[:SHOWN])})"
    return None


def states(study, config):
    """Say of each stage whether its results are current.

    Returns
    -------
    dict of str to (str, str)
        By stage: "current", "stale" or "missing", and when it finished or why it is stale.
    """
    results = {}
    for stage, (_, earlier) in STAGES.items():
        outdated = next((name for name in earlier if results[name][0] == "stale"), None)
        if not study.record(stage).exists():
            results[stage] = ("missing", "")
        elif reason := problem(study, stage, config):
            results[stage] = ("stale", reason)
        elif outdated:
            results[stage] = ("stale", f"{STAGES[outdated][0]} comes first")
        else:
            results[stage] = ("current", f"since {read_json(study.record(stage))['finished_at']}")
    return results


def differences(before, now, prefix=""):
    """The settings in which two configs differ: a list of `key before -> now`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        return [
            line for key in keys for line in differences(before.get(key), now.get(key), f"{prefix}.{key}")
        ]
    return [] if before == now else [f"{prefix.lstrip('.')} {_short(before)} -> {_short(now)}"]


def lock(folder, script):
    """Let one process at a time change a study; the operating system releases the lock when the process ends.

    Returns
    -------
    file
        Keeps the lock for as long as it is open.

    Raises
    ------
    UserError
        If another process holds it; the message names that process.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"data: {folder} cannot be made or written to: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise UserError(f"{folder} is in use by {holder}; wait until it has finished") from None
    file.truncate(0)
    file.write(f"{script} (process {os.getpid()}, since {datetime.now().strftime('%H:%M:%S')})")
    file.flush()
    atexit.register(_remove_empty, folder)
    remove_temporary(folder)
    return file


def _remove_empty(folder):
    """Remove a study's folder if a refused command has left nothing in it but the lock."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {".lock", "config.yaml"}:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _config_of(study):
    """The settings of the study's last run as a dict, or None."""
    return YAML(typ="safe", pure=True).load(study.config) if study.config.exists() else None


def _require_same_source(study, earlier, config):
    before, now = ((c["collect"]["source"], c["collect"]["api"]) for c in (earlier, config.model_dump()))
    services = ("spotify", "deezer", "listenbrainz")
    if before[0] != now[0] or (now[0] in services and before[1] != now[1]):
        raise UserError(
            f"{study.folder} was collected from {_source(before)}, and this config collects from {_source(now)}: "
            f"choose a folder of its own with --set study=NAME, or delete {study.folder}"
        )


def _source(pair):
    source, api = pair
    return f"{source} ({api})" if source in ("spotify", "deezer", "listenbrainz") else source


def _crawl(config):
    """The settings that decide what a crawl finds."""
    collect = {key: value for key, value in config["collect"].items() if key not in PACING}
    if collect["source"] in ("fma", "table") or collect["api"] != "standin":
        return {"collect": collect}
    standin = {key: value for key, value in config["standin"].items() if key not in ("faults", "profile")}
    return {"collect": collect, "standin": standin}


def _audio_sources(config):
    """The settings that decide where a track's audio comes from."""
    chosen = {"download": {"previews": config["download"]["previews"]}}
    if config["collect"]["source"] != "table":  # else what a crawl depends on has been compared
        return chosen
    return chosen | {
        "standin": _crawl(config | {"collect": config["collect"] | {"source": "deezer"}}).get("standin")
    }


def _short(value):
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


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
