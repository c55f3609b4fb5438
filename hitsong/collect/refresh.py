"""A refresh of a study: popularity of its tracks is read again, and no track is added or lost."""

from pathlib import Path

import pyarrow.parquet as pq

from hitsong.collect import history, sources
from hitsong.errors import UserError
from hitsong.files import read_json
from hitsong.study import command, hashes, problem


def refresh(stage, config):
    """Read the popularity of a study's tracks again, and write all readings to `history.parquet`.

    `tracks.parquet` stays as it is: its popularity is that of the first reading, which also decided which copy of a
    recording stays, and from which splits are made.

    Parameters
    ----------
    stage : hitsong.study.Stage
        A run of 01; its record is written anew.
    config : hitsong.config.Config

    Returns
    -------
    str
        What was done, in a line.

    Raises
    ------
    UserError
        If the study has not been collected with these settings, or its source is a file.
    ComeBackLater
    """
    study = stage.study
    path = study.record("collect")
    record = read_json(path) if path.exists() else None
    old_dump = _dump_inputs(study, record) if record else set()
    renewed = {*old_dump, study.history.name}  # the history may be that of a killed refresh
    if reason := problem(study, "collect", record and _with_dump_of(record, config), renewed):
        raise UserError(f"--refresh: {reason}; run: {command('collect')}")
    tracks = pq.read_table(study.tracks, columns=["track_id", "popularity", "fetched_at"]).to_pandas()
    with sources.open_source(config, study.catalog) as source:
        if source.notice:
            print(source.notice)
        source.refresh(tracks["track_id"].tolist())
        readings = source.readings(tracks)
        if source.requests:
            print(source.cost(len(tracks)))
    changed = history.write(study.history, readings)
    kept = {name: state for name, state in record["inputs"].items() if name not in old_dump}
    stage.inputs = hashes(study, sources.files(config)) | kept
    outputs = [study.folder / name for name in record["outputs"]]
    counts = {**record["counts"], "readings": len(readings), "requests": source.requests}
    stage.finish([*dict.fromkeys([*outputs, study.history])], counts)
    kept_file = "" if changed else "nothing new, kept "
    return (
        f"collect: {history.describe(history.read(study.history))}; {kept_file}{study.history}; the tracks and their "
        f"first popularity stay ({study.tracks})"
    )


def _dump_inputs(study, record):
    """The inputs of a record that are files of a dump of listens, which a refresh may replace."""
    folder = record["config"]["collect"].get("listens")
    root = folder and Path(folder).resolve()
    return {
        name for name in record["inputs"] if root and (study.folder / name).resolve().is_relative_to(root)
    }


def _with_dump_of(record, config):
    """The config, with the dump of listens that a record names in the place of another."""
    listens = record["config"]["collect"].get("listens")
    if not (listens and config.collect.listens):
        return config
    return config.model_copy(update={"collect": config.collect.model_copy(update={"listens": listens})})
