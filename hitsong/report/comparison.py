"""The page that shows finished runs side by side."""

from pathlib import Path

import pandas as pd

from hitsong.data.targets import Target
from hitsong.evaluation import kinds
from hitsong.report import model_table, page, result_figures
from hitsong.report.formats import dates


def write_page(comparison, path):
    """Write the comparison of `hitsong.evaluation.compare.compare_runs` as one HTML file; returns its path."""
    by_kind = {}
    for run in comparison["runs"]:  # runs of one kind of target share a table and a figure
        by_kind.setdefault(run["kind"], []).append(run)
    page.write(
        path,
        "compare.html",
        **comparison,
        facts=[_facts(run) for run in comparison["runs"]],
        kinds=by_kind,
        figures={kind: page.embed(_figure(kind, runs)) for kind, runs in by_kind.items()},
        support={
            kind: model_table.typical_intervals([run["row"] for run in runs], list(kinds.metrics_of(kind)))
            for kind, runs in by_kind.items()
        },
        metrics={kind: kinds.metrics_of(kind) for kind in by_kind},
        headings={metric.name: metric.heading for metric in kinds.METRICS},
        seeds=any((run["row"].get("repetitions") or 1) > 1 for run in comparison["runs"]),
    )
    return Path(path)


def _figure(kind, runs):
    main = kinds.main(kind)
    table = pd.DataFrame(
        [[run["name"], run["row"]["metrics"][main], *run["row"]["intervals"][main]] for run in runs],
        columns=["model", "value", "low", "high"],
    ).assign(reference=False, chosen=False)
    return result_figures.comparison(table, kind, main, "Best models")


def _facts(run):
    """The column of a run in the table of facts."""
    sheet = run["sheet"]
    sides = sheet["split"]["sides"][sheet["split"]["scheme"]]
    popularity = sheet["popularity"]
    read = dates(popularity["first_fetched"], popularity["last_fetched"])
    return {
        "data": sheet["collected_from"] + (" (synthetic)" if sheet["synthetic"] else ""),
        "popularity": f"{popularity['source']}, read {read}",
        "target": str(Target(**sheet["target"])),
        "split": sheet["split"]["scheme"],
        "tracks": ", ".join(f"{count:,} {side}" for side, count in sides.items() if count),
        "groups of test artists": f"{sheet['test_groups']:,}",
        "evaluations on the test tracks": f"{sheet['test_looks']:,}",
        "best model": run["best"],
        "commit": sheet["commit"] or "unknown",
    }
