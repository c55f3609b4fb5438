"""What the page of a report says: its sections, rows with their digits, descriptions and facts."""

import re

import numpy as np

from hitsong.evaluation import kinds
from hitsong.evaluation.evaluate import ranked
from hitsong.report import model_card, model_table, provenance, sentences
from hitsong.report.formats import dates, short
from hitsong.study import STAGES
from hitsong.training.stage import summarise

SECTIONS = {  # the heading of each section, and its name in the navigation
    "models": ("Models", "Models"),
    "tracks": ("Predicted and actual, track by track", "Tracks"),
    "time": ("Over time", "Over time"),
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
SOURCES = {
    "spotify": "https://developer.spotify.com/documentation/web-api",
    "deezer": "https://developers.deezer.com/api",
    "fma": "https://github.com/mdeff/fma",
    "listenbrainz": "https://listenbrainz.org/data/",
}
_EXAMPLES = 6


def answers(result, target, table, tracks, sheet, pairs, audio, baseline):
    """The names of the page that answer its question, in sentences.

    `pairs` is the share of pairs in the right order, for "popularity" and "growth"; `baseline` the name of a baseline.
    """
    used = used_split(sheet)
    new_artists = sheet["split"]["leakage"][used]["artists"] == 0
    n_test, best = table["track_id"].nunique(), result["best"]
    verdict, answer = sentences.answer(result, n_test, new_artists, pairs, sheet["split"])
    real_audio = audio and not sheet["synthetic"]  # so that published results compare
    flags = [sheet["split"]["differs"], *result["flags"], sentences.suspicion(result, real_audio)]
    return {
        "title": _title(sheet, target, audio),
        "question": sentences.question(target, audio),
        "verdict": verdict,
        "answer": answer,
        "lift": sentences.lift(table, target, best, tracks),
        "choice": sentences.choice(result),
        "against": sentences.against_baseline(result, baseline),
        "reading": sentences.explanation(result, target, pairs, real_audio),
        "flags": [re.sub(r"(?<![\w-])-(?=\d)", "−", flag) for flag in flags if flag],
    }


def used_split(sheet):
    """The name of the split that was measured."""
    return "folds" if sheet["split"]["folds"] else sheet["split"]["scheme"]


def results(result, kind, used):
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
        "chances": model_table.chances(result),
        "coverage": {name: row["coverage"] for name, row in ranked(result) if row.get("coverage")},
    }


def baselines(study, fitted, served, kind):
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


def descriptions(infos, served, result):
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


def facts(result, infos, target):
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


def short_facts(result, target):
    """What the numbers rest on, for the summary."""
    sheet = result["sheet"]
    popularity = sheet["popularity"]
    return {
        "target": str(target),
        "popularity": f"{popularity['source']}, read {dates(popularity['first_fetched'], popularity['last_fetched'])}",
        "measured": f"on the split {used_split(sheet)}, {sheet['test_groups']:,} groups of artists",
        "intervals": f"95\xa0%, {sheet['draws']:,} bootstrap draws over groups of artists",
        "commit": sheet["commit"] or "unknown",
        "more": f"report.html beside this page, study {sheet['study']}",
    }


def examples(tracks):
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
    names = {"audio_features": "audio features", "growth": "growth of popularity"}
    predicted = names.get(target.kind, "popularity")
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


def stages(audio, infos):
    """The stages that the run needed."""
    idle = set() if audio else {"download", "features"} | (set() if infos else {"train"})
    return [stage for stage in STAGES if stage not in idle]
