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
# Settings of the stand-in that decide how and when it is read, not which tracks it has.
STANDIN_STATE = {"faults", "profile", "clock"}
MOST_HASHED = 1 << 30  # bytes
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
    def history(self):
        """Every reading of the tracks' popularity, with its time."""
        return self.folder / "history.parquet"

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

    def model(self, name, number=1, fold=0):
        """The folder of a model's bundle; those of folds lie in `fold-1/`, ..., those of further seeds in `seed-2/`."""
        folder = self.models / f"fold-{fold}" if fold else self.models
        return folder / name if number == 1 else folder / f"seed-{number}" / name

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
        for stage in STAGES[name][1]:
            used = stage in needs or study.record(stage).exists()
            if used and (reason := problem(study, stage, config)):
                raise UserError(f"{reason}; run: {command(stage)}")
        self.inputs = inputs_of(study, name)
        if earlier and (changes := differences(earlier, config.model_dump(mode="json"))):
            more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            print(f"changed since the study's last run: {'; '.join(changes[:SHOWN])}{more}")
        if not earlier:
            self._keep_config()

    @property
    def seconds(self):
        return time.monotonic() - self.started

    def add_inputs(self, paths):
        """Record further files that this run reads, those outside the study by their absolute paths."""
        self.inputs |= hashes(self.study, paths)

    def is_repeat(self):
        """Whether the last run had the same inputs, settings and code, and its outputs are as it left them."""
        commit = environment()["commit"]
        if not self.study.record(self.name).exists() or (commit or "").endswith("+"):  # changes of its own
            return False
        return changed_since(self.study, self.name, self.inputs, self.config) is None

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


def inputs_of(study, stage):
    """The files that a stage reads of the earlier stages that have run: hash by path."""
    earlier = [study.record(name) for name in STAGES[stage][1] if study.record(name).exists()]
    outputs = {
        path: recorded for record in earlier for path, recorded in read_json(record)["outputs"].items()
    }
    if stage != "evaluate":  # targets of time are part of a fingerprint; a refresh makes nothing else stale
        outputs.pop(study.history.name, None)
    return outputs


def hashes(study, paths):
    """Hash by path, relative to the study's folder where the file lies in it."""
    folder = study.folder
    return {
        (path.relative_to(folder) if path.is_relative_to(folder) else path.resolve()).as_posix(): _state(path)
        for path in paths
    }


def _state(path):
    """The hash of a file; of a dump, which takes minutes to read, its size and time."""
    status = path.stat()
    return (
        sha256(path) if status.st_size < MOST_HASHED else f"{status.st_size} bytes, {status.st_mtime_ns} ns"
    )


def changed_since(study, stage, inputs, config):
    """Say what has changed since a stage ran: inputs, settings, code or its outputs; None if nothing has.

    Parameters
    ----------
    study : Study
    stage : str
    inputs : dict of str to str
        Hash by path of all that the stage would read now.
    config : hitsong.config.Config
    """
    record, code = read_json(study.record(stage)), environment()
    if changed := [path for path, recorded in inputs.items() if record["inputs"].get(path) != recorded]:
        return f"{study.folder / changed[0]} is new or has changed since"
    if gone := record["inputs"].keys() - inputs.keys():
        return f"{study.folder / min(gone)} was used and is not now"
    if changes := differences(record["config"], config.model_dump(mode="json")):
        return f"other settings ({'; '.join(changes[:SHOWN])})"
    if any(record.get(name) != value for name, value in code.items()):
        return "another version of the program or of a library"
    return _damage(study, record, STAGES[stage][0])


def _damage(study, record, script, ignored=()):
    """Say which output of a stage is missing or was changed; None if all are as the stage left them."""
    for name, recorded in record["outputs"].items():
        path = study.folder / name
        if name in ignored:
            continue
        if not path.exists():
            return f"{path} is missing"
        if sha256(path) != recorded:
            return f"{path} is not as {script} left it (interrupted, or edited)"
    return None


def problem(study, stage, config=None, ignored=()):
    """Say why the results of a stage cannot be used: missing, unfinished, stale, or of other settings.

    Parameters
    ----------
    stage : str
        A key of `STAGES`.
    config : hitsong.config.Config, optional
        The settings of the run that would use them.
    ignored : container of str
        Inputs and outputs that may have changed.

    Returns
    -------
    str or None
        None if the results are current.
    """
    script = STAGES[stage][0]
    if not study.record(stage).exists():
        return f"{study.folder} holds no results of {script}"
    record = read_json(study.record(stage))
    if damage := _damage(study, record, script, ignored):
        return damage
    for name, recorded in record["inputs"].items():
        path = study.folder / name
        if name in ignored or (not path.exists() and Path(name).is_absolute()):
            continue  # a source that is no longer there; what was made of it is
        if not path.exists() or _state(path) != recorded:
            return f"{path} has changed since {script} used it"
    decisive = DECISIVE.get(stage)
    if decisive and config:
        asked = config.model_dump(mode="json")
        if changes := differences(decisive(record["config"]), decisive(asked)):
            return (
                f"{study.folder} holds results of {script} with other settings ({'; '.join(changes[:SHOWN])})"
            )
    return None


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
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
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
    atexit.register(_remove_empty, folder, new_folders)
    remove_temporary(folder)
    return file


def _remove_empty(folder, made):
    """Remove a study's folder, and others made for it, if a refused command has left nothing but the lock in it."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {".lock", "config.yaml"}:
        for path in folder.iterdir():
            path.unlink()
        for path in dict.fromkeys([folder, *made]):
            if any(path.iterdir()):
                break
            path.rmdir()


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
    standin = {key: value for key, value in config["standin"].items() if key not in STANDIN_STATE}
    return {"collect": collect, "standin": standin}


def _clips(config):
    """The settings that decide where a track's audio comes from, and which clips are accepted."""
    download = {key: config["download"].get(key) for key in ("previews", "min_seconds")}
    if config["collect"]["source"] != "table":  # else what a crawl depends on has been compared
        return {"download": download}
    as_crawled = config | {"collect": config["collect"] | {"source": "deezer"}}
    return {"download": download, "standin": _crawl(as_crawled).get("standin")}


# Settings on which later stages rely without a fingerprint of their own.
DECISIVE = {"collect": _crawl, "download": _clips}


def _short(value):
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def environment():
    """The commit and the versions behind a result."""
    return {"commit": _commit(), "python": platform.python_version(), "versions": versions()}


def versions():
    """Installed versions of the packages that can change a result."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


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
