"""Several finished runs side by side: what each rests on, how good it is, and where they can be compared.

Two runs of different songs, or of different targets, only have intervals to be compared by. Where the same tracks
were tested on, with the same truth, differences are paired: what both find hard cancels out, so that they are
surer than two intervals tell. Of a model fitted with several seeds the first is compared.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hitsong.data.targets import Target
from hitsong.errors import UserError
from hitsong.evaluation import bootstrap, kinds, results
from hitsong.report import figures, page, tables, words

FEWEST_TRACKS, FEWEST_GROUPS = 10, 3  # that two runs must share for a difference to say anything
DRAWS, SEED = 1000, 1


def compare(folders):
    """Compare finished runs.

    Parameters
    ----------
    folders : sequence of path-like
        The runs' folders, `data/<study>`.

    Returns
    -------
    dict
        `runs`: for each its `name`, `folder`, `kind`, `main`, `best`, `row` (the best model's), `rows` (all),
        `flags` and `sheet`, as `report/metrics.json` has them. `pairs`: for every two runs `a`, `b`, `tracks` (how
        many test tracks they share), `verdict` (which best model is better) or `why` (there is none), and
        `differences`, a minus b: rows of `what` and `metrics` (by name `difference`, `low`, `high`), first of the best
        models, then of the models that both have. `flags`: what to know before comparing.

    Raises
    ------
    UserError
        If there are fewer than two folders, one is named twice, or one holds no finished report.
    """
    folders = [Path(folder) for folder in folders]
    if len(folders) < 2:
        raise UserError("--compare needs at least two folders, for example: --compare data/demo data/hiphop")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("--compare: a folder is named twice; name each run once")
    runs = [_run(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    return {
        "runs": [{name: value for name, value in run.items() if name != "predictions"} for run in runs],
        "pairs": [_pair(a, b) for a, b in combinations(runs, 2)],
        "flags": _flags(runs),
    }


def text(result):
    """The comparison for the terminal."""
    runs = result["runs"]
    wide = max(len(run["name"]) for run in runs) + 2
    lines = [f"{'':{wide}}{'best':18}{'':18}   95 % interval"]
    for run in runs:
        low, high = run["row"]["intervals"][run["main"]]
        value = f"{run['main']} {run['row']['metrics'][run['main']]:.3f}"
        lines.append(f"{run['name']:{wide}}{run['best']:18}{value:>24}   {low:6.3f} {high:6.3f}")
    for pair in result["pairs"]:
        who = f"{pair['a']} against {pair['b']}"
        lines.append(f"{who}: {pair['verdict'] or pair['why']}")
        for row in pair["differences"]:
            for metric, one in row["metrics"].items():
                bounds = f"({one['low']:+.3f} to {one['high']:+.3f})"
                lines.append(f"{who}, {row['what']}: {metric} {one['difference']:+.3f} {bounds}")
    return "\n".join(lines)


def write(result, path):
    """Write the comparison as a page of its own.

    Parameters
    ----------
    result : dict
        From `compare`.
    path : path-like
        Of the HTML file.

    Returns
    -------
    pathlib.Path
    """
    path = Path(path)
    by_kind = {}
    for run in result["runs"]:  # runs of one kind of target share a table and a figure
        by_kind.setdefault(run["kind"], []).append(run)
    page.write(
        path,
        "compare.html",
        runs=result["runs"],
        pairs=result["pairs"],
        flags=result["flags"],
        facts=[_facts(run) for run in result["runs"]],
        kinds=by_kind,
        figures={kind: _figure(runs) for kind, runs in by_kind.items()},
        columns={kind: list(kinds.metrics_of(kind)) for kind in kinds.KINDS},
        headings=words.HEADINGS,
        seeds=any((run["row"].get("repetitions") or 1) > 1 for run in result["runs"]),
    )
    return path


def _names(folders):
    """As much of the folders' ends as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names


def _run(folder, name):
    """What a finished run says of itself, and its predictions."""
    for file in ("report/metrics.json", "report/predictions.parquet", "splits.parquet"):
        if not (folder / file).exists():
            raise UserError(
                f"{folder}: {file} is missing, so there is no finished report; run: python 06_evaluate.py"
            )
    found = results.read(folder / "report" / "metrics.json").model_dump(mode="json", exclude_unset=True)
    if found["best"] is None:
        raise UserError(f"{folder}: its report names no best model; run: python 06_evaluate.py")
    return {
        "name": name,
        "folder": str(folder),
        "kind": found["kind"],
        "main": found["main"],
        "best": found["best"],
        "row": found["rows"][found["best"]],
        "rows": found["rows"],
        "flags": found["flags"],
        "sheet": found["sheet"],
        "predictions": pd.read_parquet(folder / "report" / "predictions.parquet"),
    }


def _pair(a, b):
    """Differences of two runs on the test tracks that they share."""
    pair = {"a": a["name"], "b": b["name"], "tracks": 0, "verdict": None, "why": None, "differences": []}
    target = Target(**a["sheet"]["target"])
    if target != Target(**b["sheet"]["target"]):
        pair["why"] = f"they predict different things ({target}; {Target(**b['sheet']['target'])})"
        return _only_intervals(pair)
    truths = [tables.of_model(run["predictions"], run["best"], target.names)[0] for run in (a, b)]
    shared = truths[0].index.intersection(truths[1].index)
    pair["tracks"] = len(shared)
    if len(shared) == 0:
        pair["why"] = "they have no test track in common"
        return _only_intervals(pair)
    differ = int((truths[0].loc[shared] != truths[1].loc[shared]).any(axis=1).sum())
    if differ:
        pair["why"] = (
            f"they share {len(shared):,} test tracks, but for {differ:,} of these the truth is not the same "
            "(popularity read at another time, or from another source)"
        )
        return _only_intervals(pair)
    groups = _groups(shared, *(pd.read_parquet(Path(run["folder"]) / "splits.parquet") for run in (a, b)))
    if len(shared) < FEWEST_TRACKS or len(np.unique(groups)) < FEWEST_GROUPS:
        pair["why"] = (
            f"they share only {len(shared):,} test tracks of {len(np.unique(groups)):,} groups of artists, "
            "too few for a difference"
        )
        return _only_intervals(pair)
    both = [
        name
        for name, row in a["rows"].items()
        if row["reference"] is None and b["rows"].get(name, {"reference": ""})["reference"] is None
    ]
    chosen = [(f"best: {a['best']} minus {b['best']}", a["best"], b["best"])]
    chosen += [(name, name, name) for name in both if not name == a["best"] == b["best"]]
    y = _encoded(target, truths[0].loc[shared])
    for what, ours, theirs in chosen:
        p = [
            _shaped(target, tables.of_model(run["predictions"], name, target.names)[1].loc[shared])
            for run, name in ((a, ours), (b, theirs))
        ]
        found = bootstrap.paired(target.kind, y, *p, groups, DRAWS, SEED)
        pair["differences"].append({"what": what, "metrics": found})
    pair["verdict"] = _verdict(a, b, pair["differences"][0]["metrics"][a["main"]])
    return pair


def _verdict(a, b, found):
    """Which of two best models is better, in a sentence."""
    better = "the two cannot be told apart"
    if found["low"] > 0 or found["high"] < 0:
        better = f"{(a if found['low'] > 0 else b)['name']} is better"
    return (
        f"{words.METRICS[a['main']]} of {a['best']} in {a['name']} less that of {b['best']} in {b['name']} is "
        f"{words.minus(found['difference'])} (95\xa0% interval {words.minus(found['low'])} to "
        f"{words.minus(found['high'])}): {better}"
    )


def _only_intervals(pair):
    pair["why"] += ": only their intervals can be compared"
    return pair


def _groups(track_ids, *splits):
    """Groups of artists that hold in all runs: those of one are united where another unites them."""
    nodes = [pd.factorize(split.set_index("track_id")["group"].reindex(track_ids))[0] for split in splits]
    offsets = np.cumsum([0, *(codes.max() + 1 for codes in nodes[:-1])])
    first, rest = nodes[0], [codes + offset for codes, offset in zip(nodes[1:], offsets[1:], strict=True)]
    count = offsets[-1] + nodes[-1].max() + 1
    ends = np.concatenate(rest)
    starts = np.tile(first, len(rest))
    graph = coo_array((np.ones(len(ends)), (starts, ends)), shape=(count, count))
    return connected_components(graph, directed=False)[1][first]


def _encoded(target, truth):
    """The truth as metrics take it: the class of buckets, else as it is."""
    values = truth.to_numpy(float)
    return values.argmax(axis=1) if target.kind == "buckets" else _shaped(target, truth)


def _shaped(target, table):
    """Columns as an array, or the only one of them."""
    values = table.to_numpy(float)
    return values[:, 0] if target.kind in ("popularity", "popular") else values


def _flags(runs):
    """What differs between runs that a reader might take for a difference in skill."""
    sheets = {run["name"]: run["sheet"] for run in runs}
    flags = []

    def differ(what, values, because):
        if len(set(values.values())) > 1:
            listed = "; ".join(f"{name}: {value}" for name, value in values.items())
            flags.append(f"{what} ({listed}): {because}")

    differ(
        "some songs are synthetic, some real",
        {name: "synthetic" if sheet["synthetic"] else "real" for name, sheet in sheets.items()},
        "synthetic songs say nothing about music",
    )
    differ(
        "popularity comes from different sources",
        {name: sheet["popularity"]["source"] for name, sheet in sheets.items()},
        "their scales are not the same, so compare ranks (Spearman, ROC-AUC), never errors",
    )
    differ(
        "popularity was read at different times",
        {name: page.dates(sheet["popularity"]) for name, sheet in sheets.items()},
        "it is a snapshot and moves",
    )
    differ(
        "what is predicted differs",
        {name: str(Target(**sheet["target"])) for name, sheet in sheets.items()},
        "their metrics do not mean the same",
    )
    differ(
        "the splits differ",
        {name: sheet["split"]["scheme"] for name, sheet in sheets.items()},
        "random ones let models recognise artists",
    )
    for run in runs:
        flags += [f"{run['name']}: {flag}" for flag in run["flags"]]
    return flags


def _figure(runs):
    main = runs[0]["main"]
    table = pd.DataFrame(
        [[run["name"], run["row"]["metrics"][main], *run["row"]["intervals"][main]] for run in runs],
        columns=["model", "value", "low", "high"],
    ).assign(reference=False, chosen=False)
    listed = ", ".join(f"{row.model} {row.value:.2f}" for row in table.itertuples())
    figure = figures.comparison(table, words.METRICS[main], kinds.chance(runs[0]["kind"]), "Best models")
    return page.picture(
        figure,
        main,
        f"{words.METRICS[main]} of each run's best model with its 95 % interval: {listed}.",
        "With 95\xa0% intervals over groups of artists; the line is guessing.",
    )


def _facts(run):
    """A run's column of the sheet."""
    sheet = run["sheet"]
    sides = sheet["split"]["sides"][sheet["split"]["scheme"]]
    return {
        "collected": sheet["collected_from"] + (" (synthetic)" if sheet["synthetic"] else ""),
        "popularity": f"{sheet['popularity']['source']}, read {page.dates(sheet['popularity'])}",
        "target": str(Target(**sheet["target"])),
        "split": sheet["split"]["scheme"],
        "tracks": ", ".join(f"{count:,} {side}" for side, count in sides.items() if count),
        "groups of test artists": f"{sheet['test_groups']:,}",
        "looks at the test tracks": f"{sheet['test_looks']:,}",
        "best model": run["best"],
        "commit": sheet["commit"] or "unknown",
    }
