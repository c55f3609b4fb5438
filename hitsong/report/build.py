"""From a run's results to its report: figures drawn, page written."""

import numpy as np

from hitsong.data import leakage
from hitsong.data.tracks import has_audio
from hitsong.evaluation import kinds
from hitsong.evaluation.evaluate import ranked
from hitsong.files import read_json
from hitsong.report import page, pictures, songs, tables, words
from hitsong.report.page import short
from hitsong.report.sheet import subject
from hitsong.study import STAGES
from hitsong.training.stage import summarise

INPUTS = {
    "spotify": "audio features and duration as the source gives them",
    "descriptors": "descriptors measured in the audio",
    "tags": "music tags",
    "embedding": "an embedding of the audio",
}
CONTENTS = {
    "data": "The data",
    "split": "Split and leakage checks",
    "models": "Models",
    "predictions": "Predicted and actual",
    "errors": "Where it errs",
    "training": "Learning",
    "listening": "What the model listens for",
    "songs": "Most right and most wrong",
    "reading": "How to read this",
    "sheet": "Fact sheet",
    "repeat": "How to repeat this",
}
_EXAMPLES = 6
_DRAWN = 8  # models whose predictions are drawn in the page; all are beside it


def report(study, config, result, tracks, table, target, infos, options, listening=None):
    """Draw the figures and write `report.html`.

    Every figure is also left as `report/<name>.png`, and what it shows as `report/data/<name>.csv`.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    result : dict
        What `report/metrics.json` holds (`hitsong.evaluation.results.Results`).
    tracks : pandas.DataFrame
        The tracks that were used (those that have a clip, where there is audio), with `side` and `group`.
    table : pandas.DataFrame
        Truth and predictions, from `hitsong.evaluation.evaluate.table`.
    target : hitsong.data.targets.Target
    infos : dict of str to dict
        What each model's bundle says of itself; empty if none was trained.
    options : str
        What the scripts are to be called with, to repeat the run.
    listening : optional
        What the best model listens for: `sentences`, and `figures`, a list of (name, path of a PNG, alternative
        text, table of what it shows).

    Returns
    -------
    pathlib.Path
    """
    audio, about = has_audio(study), result["sheet"]
    heard = audio and not about["synthetic"]  # real music, so that published results compare
    fitted = read_json(study.baseline / "metrics.json")
    served = [name for name in fitted["models"] if "-" in name]
    baseline = served[0]
    models = [name for name, row in ranked(result) if row["reference"] is None]
    models.sort(key=lambda name: name != result["best"])  # the chosen one first
    shown = [name for name in models if name in infos or name in (baseline, result["best"])]
    y, p = tables.of_model(table, result["best"], target.names)
    test = tracks[tracks["side"] == "test"].set_index("track_id", drop=False)

    gallery = page.Gallery(study.report)
    drawn = {
        "data": pictures.data(gallery, tracks, about),
        "comparison": pictures.comparison(gallery, result),
        "curves": pictures.curves(gallery, table, shown) if target.kind == "popular" else [],
        "predictions": [pictures.predictions(gallery, table, name, target, result) for name in shown],
        "calibration": pictures.calibration(gallery, y, p, test["group"], target, result["best"]),
        "coverage": pictures.coverage(gallery, result, models, target),
        "errors": pictures.errors(gallery, table, tracks, test, target, result),
        "learning_curve": pictures.learning_curve(gallery, study, fitted),
        "histories": pictures.histories(gallery, study, infos),
        "listening": [gallery.keep(*one) for one in listening.figures] if listening else [],
    }
    right, wrong = songs.extremes(table, target, result["best"])
    source = "synthetic" if about["synthetic"] else config.collect.source
    told = (study, tracks, table, target, result["best"], source)
    titles = CONTENTS if audio else CONTENTS | {"listening": "What the model goes by"}
    absent = {"errors": not drawn["errors"], "listening": not drawn["listening"]}
    unseen = about["split"]["leakage"][about["split"]["scheme"]]["artists"] == 0
    pairs = tables.sorted_pairs(y.iloc[:, 0], p.iloc[:, 0]) if target.kind == "popularity" else None
    verdict, sentence = words.answer(result, len(test), unseen, pairs)

    path = study.report / "report.html"
    page.write(
        path,
        "report.html",
        title=_title(config, about, target, audio),
        question=words.question(target, audio),
        verdict=verdict,
        answer=sentence,
        against=words.against(result, baseline),
        flags=_flags(result, about, heard),
        shares=config.standin.shares,
        contents={name: title for name, title in titles.items() if not absent.get(name)},
        result=result,
        best=result["rows"][result["best"]],
        rows=ranked(result),
        measured=[about["split"]["scheme"], *result["schemes"]],
        schemes=_schemes(result, about),
        columns=list(kinds.metrics_of(target.kind)),
        names=words.METRICS,
        headings=words.HEADINGS,
        explained=words.EXPLAINED,
        reading=words.reading(result, target, pairs, heard),
        paired_metrics=kinds.KINDS[target.kind].compared,
        share_of_ceiling=_share_of_ceiling(result),
        descriptions=_descriptions(infos, served, result),
        seeds=max(result["rows"][name].get("repetitions") or 1 for name in models),
        baseline=baseline,
        baseline_inputs={name: columns for name, columns in fitted["inputs"].items() if name in INPUTS},
        input_words=INPUTS,
        folds=config.baseline.folds,
        cv=_cross_validation(fitted["cross_validation"]),
        cv_metrics=_cv_metrics(fitted["cross_validation"]),
        served=served,
        curves=fitted["learning_curve"],
        figures=drawn,
        coverage={name: row["coverage"] for name, row in ranked(result) if row.get("coverage")},
        loss=kinds.KINDS[target.kind].loss,
        drawn_at_most=_DRAWN,
        few={"tracks": tables.FEW_TRACKS, "groups": tables.FEW_GROUPS},
        songs={"right": songs.describe(right, *told), "wrong": songs.describe(wrong, *told)},
        examples=_examples(tracks),
        sheet=about,
        checks=leakage.CHECKS,
        collected_from=about["collected_from"],
        n_test=len(test),
        unseen=unseen,
        fetched=page.dates(about["popularity"]),
        target=target,
        listening=listening,
        facts=_facts(result, about, infos, target),
        commands=_commands(options, audio, infos),
    )
    return path


def _flags(result, about, heard):
    """What the reader must know before believing the page."""
    flags = [about["split"]["differs"], *result["flags"], words.too_good(result, heard)]
    return [flag for flag in flags if flag]


def _share_of_ceiling(result):
    """The best model's skill as a share of what was planted in the sound; None where that shows in no test track."""
    if "planted" not in result["rows"]:
        return None
    chance = kinds.chance(result["kind"])
    best, ceiling = (
        result["rows"][name]["metrics"][result["main"]] - chance for name in (result["best"], "planted")
    )
    return best / ceiling if ceiling > 0 else None


def _descriptions(infos, served, result):
    """What each model is, in a few words."""
    found = {}
    for name, info in infos.items():
        repetitions = result["rows"][name].get("repetitions") or 1
        seeds = f"; mean of {repetitions} seeds" if repetitions > 1 else ""
        found[name] = f"{info['citation']}; {summarise(info)}{seeds}"
    families = {"ridge": "linear baseline", "logistic": "linear baseline", "trees": "boosted trees"}
    for name in served:
        model, _, kind = name.partition("-")
        found[name] = f"{families[model]} on {INPUTS[kind]}"
    return found


def _facts(result, about, infos, target):
    """The sheet: what the best model is, and what all numbers rest on."""
    best, split = result["best"], about["split"]
    info = infos.get(best)
    facts = {"best model": best}
    if info:
        facts |= {
            "after": info["citation"],
            "made of": summarise(info),
            "fitted on": ", ".join(f"{count:,} {side} tracks" for side, count in info["trained_on"].items()),
            "listens to": "; ".join(
                f"{given['kind']} ({' × '.join(map(str, given['shape']))})"
                for given in info["inputs"].values()
            ),
        }
    facts |= {
        "target": str(target),
        "data": f"{about['collected_from']}, study {about['study']}"
        + (" (synthetic)" if about["synthetic"] else ""),
        "popularity": f"{about['popularity']['source']}, read {page.dates(about['popularity'])}",
        "split": f"{split['scheme']}: "
        + ", ".join(f"{count:,} {side}" for side, count in split["sides"][split["scheme"]].items() if count),
        "split made with": ", ".join(f"{name} {value:g}" for name, value in split["made_with"].items()),
        "intervals": f"95\xa0%, {about['draws']:,} bootstrap draws over {about['test_groups']:,} groups of artists",
        "looks at the test tracks": f"{about['test_looks']:,}",
        "seeds": ", ".join(f"{name} {seed}" for name, seed in about["seeds"].items()),
        "commit": about["commit"] or "unknown",
        "versions": ", ".join(
            f"{package} {version}"
            for package, version in {"Python": about["python"], **about["versions"]}.items()
        ),
    }
    return facts


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


def _title(config, about, target, audio):
    predicted = "audio features" if target.kind == "audio_features" else "popularity"
    return f"{subject(config, about['synthetic'])}: {predicted} from {'sound' if audio else 'audio features'}"


def _schemes(result, about):
    """The main metric of each row under every scheme it was measured under: model -> scheme -> (value, interval)."""
    if not result["schemes"]:
        return {}
    main, measured = result["main"], {about["split"]["scheme"]: result, **result["schemes"]}
    return {
        name: {
            scheme: (rows["rows"][name]["metrics"][main], rows["rows"][name]["intervals"][main])
            for scheme, rows in measured.items()
            if name in rows["rows"]
        }
        for name, _ in ranked(next(iter(result["schemes"].values())))
    }


def _cross_validation(cv):
    """Rows by model and scheme of the folds."""
    found = {}
    for row in cv:
        found.setdefault(row["model"], {})[row["scheme"]] = row
    return found


def _cv_metrics(cv):
    ends = ("_sd", "_low", "_high")
    return [name for name in cv[0] if name not in ("model", "scheme") and not name.endswith(ends)]


def _commands(options, audio, infos):
    """The commands that repeat the run."""
    idle = set() if audio else {"download", "features"} | (set() if infos else {"train"})
    stages = [stage for stage in STAGES if stage not in idle]
    return "\n".join(f"python {STAGES[stage][0]} {options}".rstrip() for stage in stages)
