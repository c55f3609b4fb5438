"""The report of a run: its figures, its tables as CSV and LaTeX, one HTML file, and a summary of one page."""

import pandas as pd

from hitsong.data import leakage
from hitsong.data.tracks import has_audio
from hitsong.evaluation import bootstrap
from hitsong.evaluation.compare import select_model
from hitsong.evaluation.evaluate import ranked
from hitsong.files import read_json
from hitsong.report import (
    content,
    data_figures,
    extreme_tracks,
    index,
    model_table,
    over_time,
    page,
    provenance,
    result_figures,
    summary,
    tables,
    training_figures,
)  # fmt: skip
from hitsong.report.explorer import explore
from hitsong.report.formats import dates, interval, number

_DRAWN = 8  # models whose predictions are drawn in the page; those of all are files


def build_report(study, config, result, tracks, table, target, infos, dependence=None):
    """Draw the figures, write `report.html`, `summary.pdf` and `summary.png`, and list the study in `data/index.html`.

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
    audio, sheet, best = has_audio(study), result["sheet"], result["best"]
    fitted = read_json(study.baseline / "metrics.json")
    served = [name for name in fitted["models"] if "-" in name]
    names = [name for name, row in ranked(result) if row["reference"] is None]
    names.sort(key=lambda name: name != best)  # the chosen one first
    chart_models = [name for name in names if name in infos or name in (served[0], best)]
    collected = provenance.config_of(study, "collect")
    source = "synthetic" if sheet["synthetic"] else collected.collect.source
    explorer = explore(study, tracks, table, target, best, source)
    gallery = page.Gallery(study.report)
    figures = _draw(
        gallery, study, result, tracks, table, target, infos, fitted, names, chart_models, dependence
    )
    figures["tracks"] = gallery.add(explorer.draw, data=explorer.name)
    figures["time"] = over_time.draw(gallery, study, config, result, tracks, table, target, served[0])
    model_table.write_tables(study.report, result)
    answers = content.answers(
        result, target, table, tracks, sheet, _pairs(table, target, best), audio, served[0]
    )
    answers["flags"] += gallery.failures
    _write_summary(study.report, result, target, answers, explorer)
    used = content.used_split(sheet)
    missing = {"errors": not figures["errors"], "dependence": not dependence, "time": not figures["time"]}

    path = study.report / "report.html"
    page.write(
        path,
        "report.html",
        **content.results(result, target.kind, used),
        **content.baselines(study, fitted, served, target.kind),
        **answers,
        shares=collected.standin.growth if target.kind == "growth" else collected.standin.shares,
        no_time=over_time.reason_absent(study, target),
        early=over_time.rows_of_early_readings(result, served[0]),
        contents={name: titles for name, titles in content.SECTIONS.items() if not missing.get(name)},
        source_page=content.SOURCES.get(source),
        explorer=explorer,
        to_ceiling=_to_ceiling(table, result, target, tracks),
        used=used,
        descriptions=content.descriptions(infos, served, result),
        seeds=max(result["rows"][name].get("repetitions") or 1 for name in names),
        figures=figures,
        drawn_at_most=_DRAWN,
        few={"tracks": tables.FEW_TRACKS, "groups": tables.FEW_GROUPS},
        extremes=_extremes(study, tracks, table, target, best, source),
        examples=content.examples(tracks),
        sheet=sheet,
        checks={
            name: words for name, words in leakage.CHECKS.items() if name in sheet["split"]["leakage"][used]
        },
        n_test=len(explorer.rows),
        read=dates(sheet["popularity"]["first_fetched"], sheet["popularity"]["last_fetched"]),
        target=target,
        dependence=dependence,
        facts=content.facts(result, infos, target),
        commands="\n".join(provenance.commands(study, config, content.stages(audio, infos))),
    )
    index.write_index(study.folder.parent)
    return path


def _pairs(table, target, model):
    """The share of pairs that a model puts in the right order; None where several numbers or classes are predicted."""
    if not target.number:
        return None
    y, p = select_model(table, model, target.names)
    return tables.ordered_pairs(y.iloc[:, 0], p.iloc[:, 0])


def _to_ceiling(table, result, target, tracks):
    """By how much the best model differs from the planted effect, with its interval, as text; None without one."""
    if "planted" not in result["rows"] or not target.number:
        return None
    y, best = select_model(table, result["best"], target.names)
    planted = select_model(table, "planted", target.names)[1].reindex(y.index)
    groups = tracks.set_index("track_id")["group"].reindex(y.index)
    folds = table.drop_duplicates("track_id").set_index("track_id")["fold"] if "fold" in table else None
    values = [values.iloc[:, 0].to_numpy() for values in (y, best, planted)]
    difference = bootstrap.paired(
        target.kind, *values, groups, result["sheet"]["draws"], result["sheet"]["seeds"]["run"], only=[result["main"]],
        folds=None if folds is None else folds.reindex(y.index),
    )[result["main"]]  # fmt: skip
    bounds = (difference["low"], difference["high"])
    return f"{number(difference['difference'], bounds)} ({interval(bounds)})"


def _extremes(study, tracks, table, target, model, source):
    """The tracks that are predicted best and worst, by heading."""
    described = (study, tracks, table, target, model, source)
    lists = extreme_tracks.find_extremes(table, target, model)
    return {
        title: extreme_tracks.describe_tracks(track_ids, *described)
        for title, track_ids in zip(("Best predictions", "Worst predictions"), lists, strict=True)
    }


def _write_summary(folder, result, target, answers, explorer):
    """Write the page for those who do not open HTML."""
    compared = result_figures.comparison(model_table.main_values(result), target.kind)
    cautions = list(answers["flags"])
    if result["sheet"]["synthetic"]:
        cautions.insert(0, "synthetic songs, whose numbers say nothing about real music")
    summary.write(
        folder,
        answers["title"],
        answers["question"],
        answers["verdict"],
        [answers[name] for name in ("answer", "lift", "against") if answers[name]],
        cautions,
        [figure.drawing for figure in (compared, explorer.figure) if figure],
        model_table.main_texts(result),
        content.short_facts(result, target),
    )


def _draw(gallery, study, result, tracks, table, target, infos, fitted, names, chart_models, dependence):
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
        for name in chart_models
        if name != best or not target.number  # whose tracks are a section of their own
    ]
    return {
        "data": gallery.add(data_figures.popularity, tracks, source)
        + gallery.add_each(
            data_figures.counts, [(tracks, name, cells[name]) for name in ("year", "genre") if name in cells]
        ),
        "comparison": gallery.add(result_figures.comparison, model_table.main_values(result), target.kind),
        "curves": gallery.add(result_figures.curves, table, chart_models) if target.kind == "popular" else [],
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
