"""From a run's results to its report: figures drawn, page written."""

import pandas as pd

from hitsong import leakage, metrics
from hitsong.evaluation import ranked
from hitsong.files import read_json
from hitsong.report import figures, page
from hitsong.report.sheet import subject
from hitsong.study import SCRIPTS

# By target kind, and whether there was anything to hear.
QUESTION = {
    ("popularity", True): "How much of a track's popularity can be heard in its audio?",
    ("popularity", False): "How much of a track's popularity do its audio features tell?",
    ("popular", True): "Can one hear whether a track is popular?",
    ("popular", False): "Do audio features tell whether a track is popular?",
    ("buckets", True): "Can one hear how popular a track is: low, medium or high?",
    ("buckets", False): "Do audio features tell how popular a track is: low, medium or high?",
    ("audio_features", True): "Can Spotify's audio features be heard in the audio?",
    ("audio_features", False): "Do some of Spotify's audio features tell the others?",
}
INPUTS = {
    "spotify": "audio features and duration as the source gives them",
    "descriptors": "descriptors measured in the audio",
    "tags": "music tags",
    "embedding": "an embedding of the audio",
}


def report(study, config, result, tracks, table, target, infos, options):
    """Draw the figures and write `report.html`.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    result : dict
        What `report/metrics.json` holds (`hitsong.results.Results`).
    tracks : pandas.DataFrame
        The tracks that were used (those that have a clip, where there is audio), with `side`.
    table : pandas.DataFrame
        Truth and predictions, from `hitsong.evaluation.table`.
    target : hitsong.targets.Target
    infos : dict of str to dict
        What each model's bundle says of itself; empty where tracks come without audio.
    options : str
        What the scripts are to be called with, to repeat the run.

    Returns
    -------
    pathlib.Path
    """
    kind, audio = target.kind, bool(infos)
    folder = study.report
    folder.mkdir(exist_ok=True)
    fitted = read_json(study.baseline / "metrics.json")
    served = [name for name in fitted["models"] if "-" in name]
    about = result["sheet"]
    source = about["popularity"]["source"]

    drawn = {
        "comparison": _drawn(
            folder,
            "comparison",
            figures.comparison(result["rows"], result["main"], result["best"], metrics.CHANCE[kind]),
        ),
        "popularity": _drawn(folder, "popularity", figures.popularity(tracks, source)),
        "learning_curve": study.baseline / "learning_curve.png",
        "predictions": {
            name: _drawn(folder, f"predictions_{name}", _prediction_figure(target, table, name, result))
            for name in [*infos, *served[:1]]
        },
        "histories": {
            name: _drawn(folder, f"history_{name}", _history_figure(study, name, info))
            for name, info in infos.items()
        },
    }
    synthetic = about["synthetic"]
    path = folder / "report.html"
    page.write(
        path,
        study=config.study,
        title=f"{subject(config, synthetic)}: {_predicted(kind)} from {'sound' if audio else 'audio features'}",
        question=QUESTION[kind, audio],
        synthetic=synthetic,
        shares=config.standin.shares,
        result=result,
        rows=ranked(result),
        others={name: ranked(measured) for name, measured in result["schemes"].items()},
        columns=page.COLUMNS[kind],
        paired_metrics=metrics.COMPARED[kind],
        share_of_ceiling=_share_of_ceiling(result),
        sorted_correctly=_sorted_correctly(result),
        descriptions=_descriptions(infos, served),
        baseline_name=served[0],
        baseline_inputs={name: columns for name, columns in fitted["inputs"].items() if name in INPUTS},
        input_words=INPUTS,
        folds=config.baseline.folds,
        cv=fitted["cross_validation"],
        served=served,
        curves=fitted["learning_curve"],
        cv_metrics=_cv_metrics(fitted["cross_validation"]),
        figures=drawn,
        sheet=about,
        checks=leakage.CHECKS,
        n_test=int((tracks["side"] == "test").sum()),
        fetched=_dates(about["popularity"]),
        target=target,
        feature_metrics=["mse", "mae", "rmse", "r2", "pearson"],
        commands=_commands(options, audio),
    )
    return path


def _drawn(folder, name, figure):
    path = folder / f"{name}.png"
    figures.save(figure, path)
    return path


def _prediction_figure(target, table, name, result):
    if target.kind == "buckets":
        return figures.confusion(result["rows"][name]["metrics"]["confusion"], target.names, name)
    rows = table[table["model"] == name]
    if target.kind == "audio_features":
        return figures.several(rows, target.names, name)
    draw = figures.roc if target.kind == "popular" else figures.predicted_against_actual
    return draw(rows["y"].to_numpy(), rows["prediction"].to_numpy(), name)


def _history_figure(study, name, info):
    return figures.history(pd.read_csv(study.models / name / "history.csv"), name, info["best_epoch"])


def _share_of_ceiling(result):
    """The best model's skill as a share of what was planted in the sound."""
    if result["best"] is None or "planted" not in result["rows"]:
        return None
    chance = metrics.CHANCE[result["kind"]]
    best, ceiling = (
        result["rows"][name]["metrics"][result["main"]] - chance for name in (result["best"], "planted")
    )
    return best / ceiling


def _sorted_correctly(result):
    if result["best"] is None or result["kind"] != "popularity":
        return None
    return page.pairs_sorted_correctly(result["rows"][result["best"]]["metrics"]["spearman"])


def _descriptions(infos, served):
    models = {
        name: f"Keras, {info['parameters']:,} parameters, epoch {info['best_epoch']} of {info['epochs']}; "
        f"{info['citation']}"
        for name, info in infos.items()
    }
    words = {"ridge": "linear baseline", "logistic": "linear baseline", "trees": "boosted trees"}
    for name in served:
        model, _, kind = name.partition("-")
        models[name] = f"{words[model]} on {INPUTS[kind]}"
    return models


def _predicted(kind):
    return "audio features" if kind == "audio_features" else "popularity"


def _cv_metrics(cv):
    ends = ("_sd", "_low", "_high")
    return [name for name in cv[0] if name not in ("model", "scheme") and not name.endswith(ends)]


def _dates(popularity):
    first, last = popularity["first_fetched"][:10], popularity["last_fetched"][:10]
    return first if first == last else f"{first} to {last}"


def _commands(options, audio):
    """The commands that repeat the run."""
    stages = SCRIPTS if audio else ["collect", "baseline", "evaluate"]
    return "\n".join(f"python {SCRIPTS[stage]} {options}".rstrip() for stage in stages)
