"""The report of a run: its figures, its tables as CSV and LaTeX, and one HTML file."""

import numpy as np
import pandas as pd

from hitsong.data import leakage
from hitsong.data.tracks import has_audio
from hitsong.evaluation import kinds
from hitsong.evaluation.compare import select_model
from hitsong.evaluation.evaluate import ranked
from hitsong.files import read_json
from hitsong.report import (
    data_figures,
    extreme_tracks,
    model_card,
    model_table,
    page,
    provenance,
    result_figures,
    sentences,
    tables,
    training_figures,
)  # fmt: skip
from hitsong.report.explorer import explore
from hitsong.report.formats import dates, interval, number, short
from hitsong.study import STAGES
from hitsong.training.stage import summarise

CONTENTS = {  # the heading of each section, and its name in the navigation
    "models": ("Models", "Models"),
    "tracks": ("Predicted and actual, track by track", "Tracks"),
    "predictions": ("Calibration and certainty", "Calibration"),
    "errors": ("Errors by kind of track", "Errors"),
    "dependence": ("What the predictions depend on", "Dependence"),
    "data": ("The data", "Data"),
    "split": ("Split and leakage checks", "Split"),
    "training": ("Training", "Training"),
    "reading": ("How to read this", "Reading"),
    "facts": ("Facts", "Facts"),
    "repeat": ("How to repeat this", "Repeat"),
}
_SOURCES = {
    "spotify": "https://developer.spotify.com/documentation/web-api",
    "deezer": "https://developers.deezer.com/api",
    "fma": "https://github.com/mdeff/fma",
    "listenbrainz": "https://listenbrainz.org/data/",
}
_EXAMPLES = 6
_DRAWN = 8  # models whose predictions are drawn in the page; those of all are files


def build_report(study, config, result, tracks, table, target, infos, dependence=None):
    """Draw the figures and write `report.html`.

    Every figure is also written as `report/<name>.png` and its numbers as `report/data/<name>.csv`; the table of models
    as `report/models.csv` and `report/models.tex`. A figure that cannot be drawn is named on the page and on standard
    error.

    Parameters
    ----------
    result : dict
        As `report/metrics.json` (`hitsong.evaluation.results.Results`).
    tracks : pandas.DataFrame
        With `side` and `group`; if there is audio, those with a clip.
    table : pandas.DataFrame
        Truth and predictions, from `hitsong.evaluation.evaluate.table`.
    infos : dict of str to dict
        The `bundle.json` of each trained model; empty if there is none.

    Returns
    -------
    pathlib.Path
    """
    audio, sheet = has_audio(study), result["sheet"]
    real_audio = audio and not sheet["synthetic"]  # so that published results compare
    fitted = read_json(study.baseline / "metrics.json")
    served = [name for name in fitted["models"] if "-" in name]
    names = [name for name, row in ranked(result) if row["reference"] is None]
    names.sort(key=lambda name: name != result["best"])  # the chosen one first
    drawn = [name for name in names if name in infos or name in (served[0], result["best"])]
    y, p = select_model(table, result["best"], target.names)
    test = tracks[tracks["track_id"].isin(table["track_id"])].set_index("track_id", drop=False)
    gallery = page.Gallery(study.report)
    collected = provenance.config_of(study, "collect")
    source = "synthetic" if sheet["synthetic"] else collected.collect.source
    explorer = explore(study, tracks, table, target, result["best"], source)
    figures = _draw(gallery, study, result, tracks, table, target, infos, fitted, names, drawn, dependence)
    figures["tracks"] = gallery.add(explorer.draw, data=explorer.name)
    model_table.write_tables(study.report, result)
    popularity = target.kind == "popularity"
    pairs = tables.ordered_pairs(y.iloc[:, 0], p.iloc[:, 0]) if popularity else None
    used = "folds" if sheet["split"]["folds"] else sheet["split"]["scheme"]  # what was measured
    new_artists = sheet["split"]["leakage"][used]["artists"] == 0
    verdict, answer = sentences.answer(result, len(test), new_artists, pairs, sheet["split"]["folds"])
    described = (study, tracks, table, target, result["best"], source)
    best, worst = extreme_tracks.find_extremes(table, target, result["best"])
    missing = {"errors": not figures["errors"], "dependence": not dependence}
    flags = [
        sheet["split"]["differs"],
        *result["flags"],
        sentences.suspicion(result, real_audio),
        *gallery.failures,
    ]

    path = study.report / "report.html"
    page.write(
        path,
        "report.html",
        **_results(result, target.kind, used),
        **_baselines(study, fitted, served, target.kind),
        title=_title(sheet, target, audio),
        question=sentences.question(target, audio),
        verdict=verdict,
        answer=answer,
        lift=sentences.lift(table, target, result["best"], tracks),
        choice=sentences.choice(result),
        against=sentences.against_baseline(result, served[0]),
        flags=[flag for flag in flags if flag],
        shares=collected.standin.shares,
        contents={name: titles for name, titles in CONTENTS.items() if not missing.get(name)},
        source_page=_SOURCES.get(source),
        explorer=explorer,
        used=used,
        reading=sentences.explanation(result, target, pairs, real_audio),
        descriptions=_descriptions(infos, served, result),
        seeds=max(result["rows"][name].get("repetitions") or 1 for name in names),
        figures=figures,
        drawn_at_most=_DRAWN,
        few={"tracks": tables.FEW_TRACKS, "groups": tables.FEW_GROUPS},
        extremes={
            "Best predictions": extreme_tracks.describe_tracks(best, *described),
            "Worst predictions": extreme_tracks.describe_tracks(worst, *described),
        },
        examples=_examples(tracks),
        sheet=sheet,
        checks=leakage.CHECKS,
        n_test=len(test),
        read=dates(sheet["popularity"]["first_fetched"], sheet["popularity"]["last_fetched"]),
        target=target,
        dependence=dependence,
        facts=_facts(result, infos, target),
        commands="\n".join(provenance.commands(study, config, _stages(audio, infos))),
    )
    return path


def _results(result, kind, used):
    """The names of the page about results: the rows with their digits, other splits and paired differences."""
    metrics, paired = kinds.metrics_of(kind), _paired(result)
    paired_names = list(next(iter(paired.values()), {"metrics": []})["metrics"])
    return {
        "result": result,
        "rows": ranked(result),
        "best": result["rows"][result["best"]],
        "metrics": metrics,
        "main": kinds.metric(result["main"]),
        "kind": kinds.KINDS[kind],
        "headings": {metric.name: metric.heading for metric in kinds.METRICS},
        "support": model_table.typical_intervals(result["rows"].values(), list(metrics)),
        "feature_support": _feature_support(result, list(metrics)),
        "paired": paired,
        "paired_support": model_table.typical_intervals(paired.values(), paired_names),
        "measured": [used, *result["schemes"]],
        "schemes": _schemes(result, used),
        "to_ceiling": _to_ceiling(result),
        "chances": model_table.chances(result),
        "coverage": {name: row["coverage"] for name, row in ranked(result) if row.get("coverage")},
    }


def _baselines(study, fitted, served, kind):
    """The names of the page about baselines: inputs, cross-validation with its digits, learning curves."""
    cv, cv_metrics = _cross_validation(fitted["cross_validation"], list(kinds.metrics_of(kind)))
    cv_rows = [row for by_scheme in cv.values() for row in by_scheme.values()]
    return {
        "baseline": served[0],
        "baseline_inputs": {
            name: columns for name, columns in fitted["inputs"].items() if name in model_card.INPUTS
        },
        "input_names": model_card.INPUTS,
        "folds": provenance.config_of(study, "baseline").baseline.folds,
        "cv": cv,
        "cv_metrics": cv_metrics,
        "cv_support": model_table.typical_intervals(cv_rows, cv_metrics),
        "served": served,
        "curves": fitted["learning_curve"],
    }


def _draw(gallery, study, result, tracks, table, target, infos, fitted, names, drawn, dependence):
    """Every figure, as lists of pictures by section."""
    rows, best = result["rows"], result["best"]
    y, p = select_model(table, best, target.names)
    cells = tables.cells(tracks)
    test = tracks[tracks["track_id"].isin(table["track_id"])].set_index("track_id")
    losses = [tables.loss(target.kind, *select_model(table, name, target.names)) for name in (best, "mean")]
    where = dict(cells)
    if target.kind != "audio_features":
        where["popularity"] = tables.popularity_cells(test["popularity"])
    source = result["sheet"]["popularity"]["source"]
    predictions = [
        (table, name, target, rows[name]["metrics"].get("confusion"))
        for name in drawn
        if name != best or target.kind != "popularity"  # whose tracks are a section of their own
    ]
    return {
        "data": gallery.add(data_figures.popularity, tracks, source)
        + gallery.add_each(
            data_figures.counts, [(tracks, name, cells[name]) for name in ("year", "genre") if name in cells]
        ),
        "comparison": gallery.add(result_figures.comparison, model_table.main_values(result), target.kind),
        "curves": gallery.add(result_figures.curves, table, drawn) if target.kind == "popular" else [],
        "confusion": gallery.add_each(result_figures.predictions, predictions[: target.classes]),
        "predictions": gallery.add_each(result_figures.predictions, predictions[target.classes :]),
        "calibration": gallery.add(result_figures.calibration, y, p, test["group"], target, best),
        "coverage": gallery.add(result_figures.coverage, rows, names, target.classes),
        "errors": gallery.add_each(
            result_figures.errors,
            [(losses, test["group"], name, where[name], target, best) for name in where],
        ),
        "learning_curve": gallery.add(_learning_curve, study, fitted),
        "histories": gallery.add_each(_history, _histories(study, infos, result["sheet"]["split"]["folds"])),
        "dependence": [
            picture for draw in (dependence.figures if dependence else []) for picture in gallery.add(draw)
        ],
    }


def _learning_curve(study, fitted):
    return training_figures.learning_curve(
        pd.read_csv(study.baseline / "learning_curve.csv"), fitted["learning_curve"]
    )


def _history(path, name, best_epoch):
    return training_figures.history(pd.read_csv(path), name, best_epoch)


def _histories(study, infos, folds):
    """The history of each network with its name and best epoch; with cross-fitting, that of the first fold."""
    histories = []
    for name, info in infos.items():
        path = study.model(name, fold=min(folds, 1)) / "history.csv"
        if path.exists() and folds:
            histories.append(
                (path, f"{name}, fold 1", read_json(path.with_name("bundle.json"))["best_epoch"])
            )
        elif path.exists():
            histories.append((path, name, info["best_epoch"]))
    return histories


def _to_ceiling(result):
    """By how much the best model differs from the planted effect, with the interval, or None."""
    difference = result["paired"].get("planted", {}).get(result["main"])
    if not difference:
        return None
    bounds = (difference["low"], difference["high"])
    return f"{number(difference['difference'], bounds)} ({interval(bounds)})"


def _descriptions(infos, served, result):
    """A short description of each model."""
    descriptions = {}
    for name, info in infos.items():
        repetitions = result["rows"][name].get("repetitions") or 1
        seeds = f"; mean of {repetitions} seeds" if repetitions > 1 else ""
        descriptions[name] = f"{info['citation']}; {summarise(info)}{seeds}"
    families = {"ridge": "linear baseline", "logistic": "linear baseline", "trees": "boosted trees"}
    for name in served:
        model, _, kind = name.partition("-")
        descriptions[name] = f"{families[model]} on {model_card.INPUTS[kind]}"
    return descriptions


def _facts(result, infos, target):
    """The best model, and the data and settings behind all numbers."""
    best, sheet, split = result["best"], result["sheet"], result["sheet"]["split"]
    info = infos.get(best)
    facts = {"best model": best}
    if info:
        facts |= {
            "after": info["citation"],
            "made of": summarise(info),
            "fitted on": ", ".join(f"{count:,} {side} tracks" for side, count in info["trained_on"].items()),
            "inputs": "; ".join(
                f"{given['kind']} ({' × '.join(map(str, given['shape']))})"
                for given in info["inputs"].values()
            ),
        }
    popularity = sheet["popularity"]
    return facts | {
        "target": str(target),
        "data": f"{sheet['collected_from']}, study {sheet['study']}"
        + (" (synthetic)" if sheet["synthetic"] else ""),
        "popularity": f"{popularity['source']}, read {dates(popularity['first_fetched'], popularity['last_fetched'])}",
        **({"audio": sheet["audio"]} if sheet["audio"] else {}),
        "split": f"{split['scheme']}: "
        + ", ".join(f"{count:,} {side}" for side, count in split["sides"][split["scheme"]].items() if count),
        "split made with": ", ".join(f"{name} {value:g}" for name, value in split["made_with"].items()),
        "intervals": f"95\xa0%, {sheet['draws']:,} bootstrap draws over {sheet['test_groups']:,} groups of artists",
        "evaluations on the test tracks": f"{sheet['test_looks']:,}",
        "seeds": ", ".join(f"{name} {seed}" for name, seed in sheet["seeds"].items()),
        "commit": sheet["commit"] or "unknown",
        "versions": ", ".join(
            f"{package} {version}"
            for package, version in {"Python": sheet["python"], **sheet["versions"]}.items()
        ),
    }


def _examples(tracks):
    """A few tracks, evenly from the least to the most popular."""
    ordered = tracks.sort_values(["popularity", "track_id"])
    places = np.unique(np.linspace(0, len(ordered) - 1, _EXAMPLES).round().astype(int))
    return [
        {
            "name": row.name if isinstance(row.name, str) else row.track_id,
            "artist": row.artist_name if isinstance(row.artist_name, str) else "–",
            "year": row.release_date[:4] if isinstance(row.release_date, str) else None,
            "popularity": short(row.popularity),
            "side": row.side,
        }
        for row in ordered.iloc[places].itertuples(index=False)
    ]


def _title(sheet, target, audio):
    data = ("Synthetic " if sheet["synthetic"] else "") + sheet["collected_from"]
    predicted = "audio features" if target.kind == "audio_features" else "popularity"
    return f"{data}: {predicted} from {'audio' if audio else 'audio features'}"


def _schemes(result, used):
    """The rows of each model under every split: model -> scheme -> row."""
    if not result["schemes"]:
        return {}
    measured = {used: result, **result["schemes"]}
    return {
        name: {scheme: part["rows"][name] for scheme, part in measured.items() if name in part["rows"]}
        for name, _ in ranked(next(iter(result["schemes"].values())))
    }


def _paired(result):
    """Paired differences in the form of rows of results."""
    return {
        name: {
            "metrics": {metric: values["difference"] for metric, values in differences.items()},
            "intervals": {metric: (values["low"], values["high"]) for metric, values in differences.items()},
        }
        for name, differences in result["paired"].items()
    }


def _feature_support(result, names):
    """For each of several audio features, the intervals that set the digits of its metrics."""
    rows = [row["intervals"]["features"] for row in result["rows"].values() if "features" in row["intervals"]]
    features = rows[0] if rows else {}
    return {
        feature: model_table.typical_intervals([{"intervals": row[feature]} for row in rows], names)
        for feature in features
    }


def _cross_validation(cv, names):
    """The cross-validation by model and scheme, in the form of rows of results, and the names of its metrics."""
    names = [name for name in names if name in cv[0]]
    by_model = {}
    for row in cv:
        by_model.setdefault(row["model"], {})[row["scheme"]] = {
            "metrics": {name: row[name] for name in names},
            "intervals": {
                name: (row[f"{name}_low"], row[f"{name}_high"])
                for name in names
                if row[f"{name}_low"] is not None
            },
        }
    return by_model, names


def _stages(audio, infos):
    """The stages that the run needed."""
    idle = set() if audio else {"download", "features"} | (set() if infos else {"train"})
    return [stage for stage in STAGES if stage not in idle]
