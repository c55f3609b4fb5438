"""The page over all studies of a data folder: what was run when, with which settings, and what came out."""

from pathlib import Path

from hitsong.errors import UserError
from hitsong.evaluation import kinds, results
from hitsong.files import read_json
from hitsong.report import model_table, page, sentences
from hitsong.report.formats import DASH, dates, interval, number
from hitsong.study import STAGES, Study

_FILES = {
    "report/report.html": "report", "report/summary.pdf": "summary", "report/models.csv": "models",
    "report/metrics.json": "metrics", "report/predictions.parquet": "predictions", "config.yaml": "settings",
}  # fmt: skip


def write_index(folder):
    """Write `index.html`, with an entry for each study of a data folder, the last one run first.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    pathlib.Path
    """
    folder = Path(folder)
    studies = [
        _describe(Study(path)) for path in sorted(folder.iterdir()) if path.is_dir() and _is_study(path)
    ]
    studies.sort(key=lambda entry: entry["finished"] or "", reverse=True)
    page.write(
        folder / "index.html",
        "index.html",
        with_charts=False,
        studies=studies,
        compare=(folder / "compare.html").exists(),
    )
    return folder / "index.html"


def _is_study(path):
    return (path / "config.yaml").exists() or any((path / f"{stage}.json").exists() for stage in STAGES)


def _describe(study):
    """The entry of a study."""
    records = {stage: read_json(study.record(stage)) for stage in STAGES if study.record(stage).exists()}
    finished = [record["finished_at"] for record in records.values() if "finished_at" in record]
    last = list(records.values())[-1] if records else {}
    entry = {
        "name": study.folder.name,
        "finished": max(finished, default=None),
        "stages": [STAGES[stage][0][:2] for stage in records],
        "seconds": sum(record.get("seconds", 0) for record in records.values()),
        "options": last.get("options") or "config.yaml",
        "commit": last.get("commit") or "unknown",
        "links": {name: text for name, text in _FILES.items() if (study.folder / name).exists()},
        "picture": "report/summary.png" if (study.report / "summary.png").exists() else None,
        "problem": None,
        "result": None,
    }
    path = study.report / "metrics.json"
    if not path.exists():
        return entry | {"problem": "no report yet"}
    try:
        return entry | {"result": _outcome(results.read_plain(path))}
    except UserError as error:
        return entry | {"problem": f"{error}"}


def _outcome(result):
    """What came out, in words and numbers."""
    sheet, metric, best = result["sheet"], kinds.metric(result["main"]), result["best"]
    row, popularity = result["rows"][best], sheet["popularity"]
    bounds = row["intervals"][metric.name]
    undefined = model_table.is_undefined(row, metric)
    used = sheet["split"]["sides"]["folds" if sheet["split"]["folds"] else sheet["split"]["scheme"]]
    return {
        "data": sheet["collected_from"] + (" (synthetic)" if sheet["synthetic"] else ""),
        "popularity": f"{popularity['source']}, read {dates(popularity['first_fetched'], popularity['last_fetched'])}",
        "target": result["kind"].replace("_", " "),
        "verdict": sentences.verdict_of(result),
        "best": best,
        "metric": metric.label,
        "chance": f"{metric.chance:g}",
        "value": DASH if undefined else number(row["metrics"][metric.name], bounds),
        "interval": DASH if undefined else interval(bounds),
        "tracks": used["test"],
        "groups": sheet["test_groups"],
    }
