"""Provenance of the numbers of a run: data, popularity, counts after every filter, split, leakage, seeds, versions.

The collected data are described from the record of 01, never from the config of the present run.
"""

import json
import shlex
from pathlib import Path

import pandas as pd

from hitsong.config import Config, load, parse
from hitsong.data import folds, splits
from hitsong.data.tracks import split_schemes
from hitsong.errors import UserError
from hitsong.files import read_json
from hitsong.study import STAGES, environment

_SIDES = {
    "train": "of these for training",
    "validation": "for validation",
    "test": "for testing",
    splits.EXCLUDED: "on no side",
}


def config_of(study, stage):
    """The resolved config that a stage was run with.

    Raises
    ------
    UserError
        If the record is of a version with other settings.
    """
    path = study.record(stage)
    try:
        return Config.model_validate(read_json(path)["config"])
    except ValueError:
        raise UserError(f"{path} is of another version; run: python {STAGES[stage][0]}") from None


def describe_data(study):
    """The collected data in a few words: the source, or the genres."""
    collect = config_of(study, "collect").collect
    if collect.source == "fma":
        return "Free Music Archive"
    if collect.source == "table":
        return Path(collect.table.path).name
    lists = {"ids": "listed tracks", "playlist": "a playlist"}
    return lists.get(collect.strategy, ", ".join(collect.genres))


def describe_audio(study, tracks):
    """Where the clips of the tracks came from, and how many were matched by what; None without audio."""
    if not study.downloads.exists():
        return None
    downloads = pd.read_parquet(study.downloads)
    clips = downloads[(downloads["status"] == "ok") & downloads["track_id"].isin(tracks["track_id"])]
    if "preview_source" not in clips or clips.empty:
        return None
    matched = clips["matched_by"].value_counts()
    own, parts = int((clips["preview_source"] == "source").sum()), []
    if own:
        parts.append(f"the source's own ({own:,} tracks)")
    if len(matched):
        by = {"isrc": "ISRC", "words": "title, artist and duration"}
        counts = ", ".join(f"{matched[key]:,} by {name}" for key, name in by.items() if key in matched)
        parts.append(f"the same recordings at Deezer ({int(matched.sum()):,} tracks, matched {counts})")
    return " and ".join(parts)


def planted_effects(study, target):
    """The planted effect of each track's sound, by track_id; None for real songs and other targets."""
    if not study.planted.exists() or target.kind == "audio_features":
        return None
    effect = "growth_effect" if target.kind == "growth" else "audio_effect"
    return pd.read_parquet(study.planted).set_index("track_id")[effect]


def describe_run(study, config, tracks, target, counts, leaks, looks, inputs):
    """Describe the data and settings behind the numbers of a run.

    Parameters
    ----------
    config : hitsong.config.Config
        Of the evaluation.
    tracks : pandas.DataFrame
        The tracks that were used.
    counts : dict
        From `hitsong.data.tracks.load_tracks`.
    leaks : dict
        From `hitsong.data.tracks.find_leaks`.
    looks : int
        Number of evaluations with a new result on the test tracks.
    inputs : dict of str to str
        Hash of each input file.

    Returns
    -------
    dict
        For `hitsong.evaluation.results.Sheet`.
    """
    collected = read_json(study.record("collect"))["counts"]
    with_target = counts["new"] + counts["known"]
    sides = {
        scheme: {side: int((tracks[scheme] == side).sum()) for side in _SIDES}
        for scheme in split_schemes(tracks)
    }
    measured = tracks["side"] == "test"
    if config.rounds:  # a track trains in several folds, and tests in one
        measured = tracks["fold"] != splits.EXCLUDED
        used = int(measured.sum())
        on = tracks[folds.names(tracks)]
        sides["folds"] = {
            side: int((on == side).any(axis=1).sum()) for side in ("train", "validation", "test")
        }
        sides["folds"][splits.EXCLUDED] = int((on == splits.EXCLUDED).all(axis=1).sum())
    steps = [
        ("tracks in the catalogue", collected["tracks"]),
        ("recordings, copies removed", counts["recordings"]),
    ]
    if study.downloads.exists():
        steps.append(("copies by audio removed", counts["recordings"] - counts["same_audio"]))
    steps.append(("with a popularity", with_target))
    if "without_features" in counts:
        steps.append(("with the audio features to predict", with_target - counts["without_features"]))
    if "without_growth" in counts:
        steps.append(("with readings soon after release and later", with_target - counts["without_growth"]))
    if "without_age" in counts:
        steps.append(("with a release date", with_target - counts["without_age"]))
    if study.downloads.exists():
        steps.append(("with a decoded clip", len(tracks)))
    single = sides[config.split.scheme]
    steps += [(label, single[side]) for side, label in _SIDES.items() if single[side]]
    if config.rounds:
        steps.append((f"measured, each in one of {config.rounds} {config.round_name}s", used))
    read = tracks["fetched_at"].dropna().astype(str)
    return {
        "study": config.study,
        "collected_from": describe_data(study),
        "synthetic": study.synthetic,
        "popularity": {
            "source": tracks["popularity_source"].iat[0],
            "first_fetched": read.min() if len(read) else None,
            "last_fetched": read.max() if len(read) else None,
        },
        "audio": describe_audio(study, tracks),
        "target": target.description(),
        "funnel": [{"step": step, "tracks": int(number)} for step, number in steps],
        "split": {
            "scheme": config.split.scheme,
            "folds": config.rounds,
            **({"origins": counts["origins"]} if "origins" in counts else {}),
            "made_with": counts["made_with"],
            "differs": splits.changed_settings(counts, config.split, config.seed),
            "sides": sides,
            "leakage": leaks,
        },
        "test_groups": int(tracks.loc[measured, "group"].nunique()),
        "seeds": {"run": config.seed, "train": config.train.seed},
        "draws": config.evaluate.draws,
        "test_looks": looks,
        "inputs": inputs,
        **environment(),
    }


def commands(study, config, stages):
    """The commands that repeat a run, each stage with the settings that it was run with.

    Settings that differ from those of `config.yaml`, or of the given preset, are options of the command, which then
    works without the study's folder, too. `config` is that of the evaluation, whose record is not written yet.
    """
    lines = []
    for stage in stages:
        if stage == "evaluate":
            options, resolved = "", config.model_dump(mode="json")
        elif study.record(stage).exists():
            record = read_json(study.record(stage))
            options, resolved = record.get("options", ""), record["config"]
        else:
            continue
        lines.append(shlex.join(["python", STAGES[stage][0], *_options(options, resolved)]))
    return lines


def _options(typed, resolved):
    """The options that give a config, from those that were typed and the config that resulted."""
    words = shlex.split(typed)
    path = words[words.index("--config") + 1] if "--config" in words else "config.yaml"
    if not Path(path).exists():
        return words
    changes = dict(_changes(load(path).model_dump(mode="json"), resolved))
    # Without --config, the study's own settings would be the base.
    options = ["--config", path] if path != "config.yaml" or "study" in changes else []
    for key, value in changes.items():
        bare = isinstance(value, str) and value and parse(value) == value
        options += ["--set", f"{key}={value if bare else json.dumps(value, ensure_ascii=False)}"]
    return options


def _changes(before, now, prefix=""):
    """The settings in which two configs differ: pairs of key and present value."""
    for key, value in now.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            yield from _changes(before[key], value, f"{prefix}{key}.")
        elif value != before.get(key):
            yield f"{prefix}{key}", value
