"""From a run's results to its report: figures drawn, page written."""

from pathlib import Path

import pandas as pd

from hitsong import baseline, metrics
from hitsong.evaluation import ranked
from hitsong.files import read_json
from hitsong.report import figures, page
from hitsong.study import SCRIPTS, environment

# By target kind, and whether there was anything to hear.
QUESTION = {
    ("popularity", True): "How much of a track's popularity can be heard in its audio?",
    ("popularity", False): "How much of a track's popularity do its audio features tell?",
    ("popular", True): "Can one hear whether a track is popular?",
    ("popular", False): "Do audio features tell whether a track is popular?",
}


def report(study, config, result, tracks, table, target, infos, options):
    """Draw the figures and write `report.html`.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    result : dict
        From `hitsong.evaluation.measure`.
    tracks : pandas.DataFrame
        The tracks that were used (those that have a clip, where there is audio), with `side` and `y`.
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
    kind, linear, audio = target.kind, baseline.MODEL[target.kind], bool(infos)
    folder = study.report
    folder.mkdir(exist_ok=True)
    source = tracks["popularity_source"].iat[0]
    cv = pd.read_csv(study.baseline / "cv.csv")
    cv_metrics = baseline.CV_METRICS[kind]
    collected = read_json(study.record("collect"))["counts"]
    test = tracks[tracks["side"] == "test"]

    drawn = {
        "comparison": _drawn(
            folder, "comparison", figures.comparison(result["rows"], result["main"], result["best"])
        ),
        "popularity": _drawn(folder, "popularity", figures.popularity(tracks, source)),
        "learning_curve": study.baseline / "learning_curve.png",
        "predictions": {
            name: _drawn(folder, f"predictions_{name}", _prediction_figure(kind, table, name))
            for name in [*infos, linear]
        },
        "histories": {
            name: _drawn(folder, f"history_{name}", _history_figure(study, name, info))
            for name, info in infos.items()
        },
    }
    synthetic = source == "synthetic"
    path = folder / "report.html"
    page.write(
        path,
        study=config.study,
        title=f"{_subject(config, synthetic)}: popularity from {'sound' if audio else 'audio features'}",
        question=QUESTION[kind, audio],
        synthetic=synthetic,
        shares=config.standin.shares,
        result=result,
        rows=ranked(result),
        columns=page.COLUMNS[kind],
        paired_metrics=metrics.COMPARED[kind],
        share_of_ceiling=_share_of_ceiling(result),
        sorted_correctly=_sorted_correctly(result),
        descriptions=_descriptions(infos, linear, config),
        baseline_name=linear,
        baseline_features=read_json(study.baseline / "metrics.json")["features"],
        folds=config.baseline.folds,
        cv=cv.groupby(["model", "scheme"], sort=False)[cv_metrics].mean().reset_index().to_dict("records"),
        cv_metrics=cv_metrics,
        figures=drawn,
        funnel=[
            ("tracks in the catalogue", collected["tracks"]),
            ("recordings, copies removed", collected["recordings"]),
            ("with a clip that can be heard, and a side" if audio else "with a side", len(tracks)),
            *(
                (f"for {side}", int((tracks["side"] == side).sum()))
                for side in ("train", "validation", "test")
            ),
        ],
        test_groups=test["group"].nunique(),
        draws=config.evaluate.draws,
        scheme=config.split.scheme,
        popularity_source=source,
        fetched=_dates(tracks["fetched_at"]),
        threshold=target.threshold or 0,
        threshold_is_median=config.target.threshold == "median",
        commands=_commands(options, audio),
        environment=environment(),
        seed=config.seed,
    )
    return path


def _drawn(folder, name, figure):
    path = folder / f"{name}.png"
    figures.save(figure, path)
    return path


def _prediction_figure(kind, table, name):
    rows = table[table["model"] == name]
    draw = figures.roc if kind == "popular" else figures.predicted_against_actual
    return draw(rows["y"].to_numpy(), rows["prediction"].to_numpy(), name)


def _history_figure(study, name, info):
    return figures.history(pd.read_csv(study.models / name / "history.csv"), name, info["best_epoch"])


def _subject(config, synthetic):
    collect = config.collect
    if collect.source == "fma":
        return "Free Music Archive"
    if collect.source == "table":
        return Path(collect.table.path).name
    lists = {"ids": "listed tracks", "playlist": "a playlist"}
    return ("Synthetic " if synthetic else "") + lists.get(collect.strategy, ", ".join(collect.genres))


def _share_of_ceiling(result):
    """The best model's skill as a share of what was planted in the sound."""
    if result["best"] is None or "planted" not in result["rows"]:
        return None
    chance = 0.5 if result["kind"] == "popular" else 0.0
    best, ceiling = (
        result["rows"][name]["metrics"][result["main"]] - chance for name in (result["best"], "planted")
    )
    return best / ceiling


def _sorted_correctly(result):
    if result["best"] is None or result["kind"] != "popularity":
        return None
    return page.pairs_sorted_correctly(result["rows"][result["best"]]["metrics"]["spearman"])


def _descriptions(infos, linear, config):
    models = {
        name: f"Keras, {info['parameters']:,} parameters, epoch {info['best_epoch']} of {info['epochs']}; "
        f"{info['citation']}"
        for name, info in infos.items()
    }
    return models | {linear: "linear baseline on audio features"}


def _dates(fetched):
    first, last = fetched.min()[:10], fetched.max()[:10]
    return first if first == last else f"{first} to {last}"


def _commands(options, audio):
    """The commands that repeat the run."""
    stages = SCRIPTS if audio else ["collect", "baseline", "evaluate"]
    return "\n".join(f"python {SCRIPTS[stage]} {options}".rstrip() for stage in stages)
