"""Finished studies of invented tracks: what 06 hands to the report, without anything trained."""

import numpy as np
import pandas as pd
import soundfile

from hitsong import config
from hitsong.collect import deduplicate
from hitsong.data import targets
from hitsong.evaluation import conformal, evaluate, results
from hitsong.evaluation.baseline import named
from hitsong.files import write_json, write_table
from hitsong.report import provenance
from hitsong.study import Study

GENRES = ["pop", "rock", "jazz", None]
# A study of each kind of target, for `study`.
SOURCES = {
    "popularity": {"source": "synthetic"},
    "popular": {"source": "spotify"},
    "buckets": {"source": "fma listens", "settings": ["collect.source=fma", "collect.root=fma"]},
    "audio_features": {
        "source": "a table", "audio": False, "settings": ["collect.source=table", "collect.table={path: songs.csv}"],
    },
}  # fmt: skip
SIDES = {"train": 0.6, "validation": 0.15, "test": 0.25}


def study(folder, kind, tracks=400, settings=(), skill=0.6, source="spotify", audio=True, models=2, seed=0):
    """Invent the files of a finished study, as far as the report and comparisons read them.

    Parameters
    ----------
    folder : pathlib.Path
        Becomes `data`; the study is named after the kind of target.
    kind : str
    tracks : int
    settings : sequence of str
        Further `key=value` of the config.
    skill : float
        How much of the network's predictions is the truth, 0 to 1.
    source : str
        `popularity_source`; "synthetic" songs also have audio.
    audio : bool
        Without it tracks have no preview, and no network was trained.
    models : int
        Networks trained, crnn and others after it.
    seed : int
        Of the predictions; tracks and popularity are the same for all.

    Returns
    -------
    dict
        The arguments of `hitsong.report.build.build_report`.
    """
    chosen = config.load(
        "config.yaml",
        [f"study={kind}", f"data={folder}", f"target.kind={kind}", "evaluate.draws=100", *settings],
    )
    study_object = Study.of(chosen)
    table = _tracks(tracks, source)
    if not audio:
        table["preview_url"] = None
    write_table(study_object.splits, table[["track_id", "group", "artist", "random"]])
    train = table["side"] == "train"
    columns = chosen.target.features if kind == "audio_features" else "popularity"
    target = targets.fit_target(chosen.target, table.loc[train, columns])
    table = target.write(table)
    deduplicate.write(study_object.tracks, table[deduplicate.SCHEMA.names])
    if source == "synthetic":
        _sounds(study_object, table)

    test = table[table["side"] == "test"].set_index("track_id", drop=False)
    rng = np.random.default_rng(seed)
    y = named(target.truth(test), test.index, target)
    networks = ["crnn", "inception", *(f"cnn{number}" for number in range(3, models + 1))][: models * audio]
    predictions = {
        name: _predicted(rng, target, y, skill / (1 + place)) for place, name in enumerate(networks)
    }
    predictions |= {
        "ridge-spotify": _predicted(rng, target, y, skill / 2),
        "mean": _predicted(rng, target, y, 0, spread=0),
        "shuffled": [_predicted(rng, target, y, 0) for _ in range(3)],
    }
    if source == "synthetic" and kind != "audio_features":
        predictions["planted"] = test["popularity"] + rng.normal(0, 10, len(test))
    scores = {name: 1 - place / 100 for place, name in enumerate(networks or ["ridge-spotify"])}
    validated = {name: evaluate.Validated(score) for name, score in scores.items()}
    result = evaluate.measure(target, y, predictions, test["group"], validated, chosen.evaluate.draws, seed)
    other = evaluate.measure(
        target,
        y,
        {n: p for n, p in predictions.items() if n in ("ridge-spotify", "mean")},
        test["group"],
        {},
        100,
        seed,
    )
    for name in networks:
        answers = predictions[name].to_numpy()
        result["rows"][name]["coverage"] = {
            level: {"coverage": held["coverage"], "width": held["width"]}
            for level, held in conformal.coverage(
                target, conformal.calibrate(target, y.to_numpy(), answers), y.to_numpy(), answers
            ).items()
        }
    infos = {name: _trained(study_object, name, target, source) for name in networks}
    _baseline(study_object, target, result)
    record = {"config": chosen.model_dump(mode="json"), "options": f"--set study={kind}"}
    write_json(study_object.record("collect"), record | {"counts": {"tracks": 2 * tracks}})
    for stage in ("baseline", *(["download", "features"] if audio else []), *(["train"] if networks else [])):
        write_json(study_object.record(stage), record)
    counts = {
        "new": tracks, "known": 0, "recordings": tracks, "same_audio": 0,
        "made_with": {**SIDES, "seed": 1},
    }  # fmt: skip
    leaks = {
        "artist": {"artists": 0, "same_audio": 0, "same_title": 0, "near_audio": None},
        "random": {"artists": 9, "same_audio": 0, "same_title": 1, "near_audio": None},
    }
    about = provenance.describe_run(study_object, chosen, table, target, counts, leaks, 1, {})
    result = results.write(
        study_object.report / "metrics.json", {**result, "schemes": {"random": other}, "sheet": about}
    )
    long = evaluate.table(target, y, predictions)
    write_table(study_object.report / "predictions.parquet", long)
    return {
        "study": study_object, "config": chosen, "result": result, "tracks": table, "table": long, "target": target,
        "infos": infos,
    }  # fmt: skip


def _tracks(count, source):
    """Tracks of artists with one to many of them, who differ in popularity."""
    rng = np.random.default_rng(7)
    artist = np.sort(rng.integers(0, max(12, count // 5), count) ** 2 // max(12, count // 5))
    fame = rng.gamma(1, 8, artist.max() + 1)
    popularity = np.clip(fame[artist] + rng.normal(0, 8, count), 0, 100).round()
    sides = rng.choice(list(SIDES), artist.max() + 1, p=list(SIDES.values()))[artist]
    table = pd.DataFrame({name: None for name in deduplicate.SCHEMA.names}, index=range(count), dtype=object)
    table = table.assign(
        track_id=[f"t{number:06}" for number in range(count)],
        name=[f"Song <{number}> & co" for number in range(count)],
        artist_id=[f"a{number}" for number in artist],
        artist_ids=[[f"a{number}"] for number in artist],
        artist_name=[f"Artist {number}" for number in artist],
        release_date=[f"{year}-05-01" for year in rng.integers(1980, 2024, count)],
        genre=rng.choice(np.array(GENRES, dtype=object), count),
        preview_url="https://p.example/clip",
        popularity=popularity,
        popularity_source=source,
        fetched_at="2024-03-01T00:00:00+00:00",
        aliases=[[] for _ in range(count)],
        **{name: rng.uniform(0, 1, count) for name in config.AUDIO_FEATURES},
    )
    table["group"] = table["artist_id"]
    table["artist"] = table["side"] = sides
    table["random"] = rng.permutation(sides)
    return table


def _predicted(rng, target, y, skill, spread=1.0):
    """A prediction of the target's kind that is partly the truth."""
    values = y.to_numpy(float)
    if target.kind == "buckets":
        truth = np.eye(len(target.names))[values.astype(int)]
        scores = 3 * skill * truth + spread * rng.normal(0, 1, truth.shape) + np.log(truth.mean(0) + 0.01)
        values = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    else:
        noise = spread * (1 - skill) * values.std(0) * rng.normal(0, 1, values.shape)
        values = values.mean(0) + skill * (values - values.mean(0)) + noise
        values = np.clip(values, 0, 1) if target.kind == "popular" else values
    return named(values, y.index, target)


def _sounds(made, table):
    """Two seconds of a tone stand for every track."""
    made.previews.mkdir()
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * 22050) / 22050)
    soundfile.write(made.previews / "tone.wav", tone, 22050)
    write_table(
        made.downloads,
        pd.DataFrame({"track_id": table["track_id"], "status": "ok", "path": "previews/tone.wav"}),
    )
    write_table(made.planted, table[["track_id"]])


def _trained(made, name, target, source):
    """A bundle's account of itself, and its history."""
    epochs = np.arange(1, 9)
    history = pd.DataFrame({"epoch": epochs, "loss": 1 / epochs, "val_loss": 0.3 + 1 / (epochs + 1)})
    write_table(made.model(name) / "history.csv", history)
    return {
        "name": name, "form": "network", "citation": "arXiv:1609.04243", "parameters": 391585, "best_epoch": 6,
        "epochs": 8, "stopped": "patience", "notes": [], "trained_on": {"train": 240, "validation": 60},
        "inputs": {"mel": {"kind": "mel", "shape": [128, 323], "parameters": {}, "columns": None}},
        "target": target.description(), "popularity_source": source,
    }  # fmt: skip


def _baseline(made, target, result):
    """What 04 leaves."""
    row = {name: 0.2 for name in result["rows"]["mean"]["metrics"] if name in ("mse", result["main"])}
    bounds = {
        f"{name}{end}": value for name in row for end, value in (("_sd", 0.1), ("_low", 0.1), ("_high", 0.3))
    }
    folds = [
        {"model": "ridge-spotify", "scheme": scheme, **row, **bounds} for scheme in ("plain", "artist")
    ] + [
        {"model": "mean", "scheme": scheme, **row, **dict.fromkeys(bounds)} for scheme in ("plain", "artist")
    ]  # fmt: skip
    write_json(
        made.baseline / "metrics.json",
        {
            "target": target.description(), "models": ["ridge-spotify"], "inputs": {"spotify": ["tempo", "energy"]},
            "cross_validation": folds,
            "learning_curve": {"ridge-spotify": {"verdict": "bias", "sentence": "Bias: more tracks will not help."}},
        },
    )  # fmt: skip
    write_table(
        made.baseline / "learning_curve.csv",
        pd.DataFrame(
            {
                "n_train": [50, 100, 200], "train_error": [3.0, 4, 5], "test_error": [9.0, 7, 6],
                "model": "ridge-spotify",
            }
        ),
    )  # fmt: skip
