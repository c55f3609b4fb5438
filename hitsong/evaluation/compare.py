"""Comparison of finished runs: what each rests on, how good it is, and where runs can be compared.

For runs on different tracks or targets only the intervals can be compared. Where two runs share test tracks with the
same truth, differences are paired: tracks that are hard for both cancel out, so that the differences are more certain
than two intervals suggest. Of a model with several seeds the first is compared.
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
from hitsong.study import Study, problem

FEWEST_TRACKS, FEWEST_GROUPS = 10, 3  # that two runs must share for a difference to mean anything
FEWEST_SEEDS = 3  # from which one network is called better than another model
DRAWS, SEED = 1000, 1


def verdict(difference, seeds=FEWEST_SEEDS):
    """Whether a paired difference supports a claim.

    Parameters
    ----------
    difference : dict
        `low` and `high` of its 95 % interval.
    seeds : int
        How many fits with other seeds it rests on; models whose fit does not depend on a seed count as `FEWEST_SEEDS`.

    Returns
    -------
    str
        "better", "worse", "not distinguishable", or "one of few seeds" if the interval excludes 0 but there are too few
        seeds for a claim (PROTOCOL.md, 8).
    """
    if difference["low"] <= 0 <= difference["high"]:
        return "not distinguishable"
    if seeds < FEWEST_SEEDS:
        return "one of few seeds"
    return "better" if difference["low"] > 0 else "worse"


def select_model(table, name, names):
    """The predictions of a model and the truth, from the long form of `hitsong.evaluation.evaluate.table`.

    Parameters
    ----------
    table : pandas.DataFrame
        track_id, model, output, y, prediction.
    name : str
        Of the model.
    names : sequence of str
        The outputs of the target, in the order of the columns.

    Returns
    -------
    y, p : pandas.DataFrame
        By track_id, sorted, with a column for each output.
    """
    rows = table[table["model"] == name].pivot(index="track_id", columns="output", values=["y", "prediction"])
    return rows["y"][list(names)], rows["prediction"][list(names)]


def compare_runs(folders):
    """Compare finished runs.

    Parameters
    ----------
    folders : sequence of path-like
        The folders `data/<study>` of the runs.

    Returns
    -------
    dict
        `runs`: for each its `name`, `folder`, `kind`, `main`, `best`, `row` (of the best model), `rows` (all),
        `flags` and `sheet`, as in `report/metrics.json`. `pairs`: for every two runs `a`, `b`, `tracks` (how many test
        tracks they share), `verdict` (a sentence on their best models) or `why` (there is none), and `differences`,
        a minus b: rows of `what` and `metrics` (by name `difference`, `low`, `high`), first of the best models, then of
        the models that both have. `flags`: what to know before comparing.

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
    runs = [_read_run(folder, name) for folder, name in zip(folders, _shortest_names(folders), strict=True)]
    pairs = [_compare_pair(a, b) for a, b in combinations(runs, 2)]
    for run in runs:
        del run["predictions"]
    return {"runs": runs, "pairs": pairs, "flags": _flags(runs)}


def format_text(comparison):
    """The comparison as text for the terminal."""
    runs = comparison["runs"]
    wide = max(len(run["name"]) for run in runs) + 2
    lines = [f"{'':{wide}}{'best':18}{'':18}   95 % interval"]
    for run in runs:
        low, high = run["row"]["intervals"][run["main"]]
        value = f"{run['main']} {run['row']['metrics'][run['main']]:.3f}"
        lines.append(f"{run['name']:{wide}}{run['best']:18}{value:>24}   {low:6.3f} {high:6.3f}")
    for pair in comparison["pairs"]:
        names = f"{pair['a']} against {pair['b']}"
        lines.append(f"{names}: {pair['verdict'] or pair['why']}")
        for row in pair["differences"]:
            for metric, values in row["metrics"].items():
                bounds = f"({values['low']:+.3f} to {values['high']:+.3f})"
                lines.append(f"{names}, {row['what']}: {metric} {values['difference']:+.3f} {bounds}")
    return "\n".join(lines)


def _shortest_names(folders):
    """The shortest ends of the folders' paths that differ."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names


def _read_run(folder, name):
    """The results of a finished run, and its predictions."""
    for file in ("report/metrics.json", "report/predictions.parquet", "splits.parquet"):
        if not (folder / file).exists():
            raise UserError(f"{folder}: {file} is missing, so there is no finished report; {_advice(folder)}")
    content = results.read(folder / "report" / "metrics.json").model_dump(mode="json", exclude_unset=True)
    if content["best"] is None:
        raise UserError(f"{folder}: its report names no best model; {_advice(folder)}")
    study = Study(folder)
    if study.record("evaluate").exists() and (reason := problem(study, "evaluate")):
        content["flags"].append(f"its report is older than its data ({reason}); {_advice(folder)}")
    return {
        "name": name,
        "folder": str(folder),
        **{key: content[key] for key in ("kind", "main", "best", "rows", "flags", "sheet")},
        "row": content["rows"][content["best"]],
        "predictions": pd.read_parquet(folder / "report" / "predictions.parquet"),
    }


def _advice(folder):
    return f"run: python 06_evaluate.py --study {folder.name}"


def _compare_pair(a, b):
    """Differences of two runs on the test tracks that they share."""
    pair = {"a": a["name"], "b": b["name"], "tracks": 0, "verdict": None, "why": None, "differences": []}
    target, other = (Target(**run["sheet"]["target"]) for run in (a, b))
    if target != other:
        return _refuse(pair, f"they predict different things ({target}; {other})")
    truths = [select_model(run["predictions"], run["best"], target.names)[0] for run in (a, b)]
    shared = truths[0].index.intersection(truths[1].index)
    pair["tracks"] = len(shared)
    if len(shared) == 0:
        return _refuse(pair, "they have no test track in common")
    y = truths[0].loc[shared]
    differ = int((y != truths[1].loc[shared]).any(axis=1).sum())
    if differ:
        return _refuse(
            pair,
            f"they share {len(shared):,} test tracks, but for {differ:,} of these the truth is not the same "
            "(popularity read at another time, or from another source)",
        )
    groups = _unite_groups(
        shared, *(pd.read_parquet(Path(run["folder"]) / "splits.parquet") for run in (a, b))
    )
    n_groups = len(np.unique(groups))
    if len(shared) < FEWEST_TRACKS or n_groups < FEWEST_GROUPS:
        return _refuse(
            pair,
            f"they share only {len(shared):,} test tracks of {n_groups:,} groups of artists, too few for a difference",
        )
    models = {name for run in (a, b) for name, row in run["rows"].items() if row["reference"] is None}
    chosen = [(f"best: {a['best']} minus {b['best']}", a["best"], b["best"])]
    chosen += [
        (name, name, name)
        for name in a["rows"]
        if name in models and name in b["rows"] and not name == a["best"] == b["best"]
    ]
    truth = y.to_numpy(float)
    truth = truth.argmax(axis=1) if target.kind == "buckets" else _shape(target, truth)
    folds = _shared_folds(shared, a["predictions"], b["predictions"])
    for what, of_a, of_b in chosen:
        p = [
            _shape(
                target, select_model(run["predictions"], name, target.names)[1].loc[shared].to_numpy(float)
            )
            for run, name in ((a, of_a), (b, of_b))
        ]
        differences = bootstrap.paired(target.kind, truth, *p, groups, DRAWS, SEED, folds=folds)
        pair["differences"].append({"what": what, "metrics": differences})
    pair["verdict"] = _sentence(a, b, pair["differences"][0]["metrics"][a["main"]])
    return pair


def _shared_folds(track_ids, *tables):
    """The folds of tracks in all runs together: predictions of one model per run rank together. None without folds."""
    folds = [
        table.drop_duplicates("track_id").set_index("track_id")["fold"].loc[track_ids]
        for table in tables
        if "fold" in table
    ]
    return folds[0].str.cat(folds[1:], sep=" ").to_numpy(str) if folds else None


def _sentence(a, b, difference):
    """Which of two best models is better."""
    outcome = verdict(difference, min(seeds_of(a["row"]), seeds_of(b["row"])))
    meaning = {
        "better": f"{a['name']} is better",
        "worse": f"{b['name']} is better",
        "not distinguishable": "the two cannot be distinguished",
        "one of few seeds": f"more than chance, but neither is called better with fewer than {FEWEST_SEEDS} seeds",
    }[outcome]
    values = (f"{difference[name]:z.2f}".replace("-", "−") for name in ("difference", "low", "high"))
    value, low, high = values
    return (
        f"{kinds.metric(a['main']).label} of {a['best']} in {a['name']} minus that of {b['best']} in {b['name']} is "
        f"{value} (95\xa0% interval {low} to {high}): {meaning}"
    )


def seeds_of(row):
    """The number of seeds of a row of the results; a row without conformal coverage is a baseline, which needs none."""
    return row.get("repetitions") or (1 if row.get("coverage") else FEWEST_SEEDS)


def _refuse(pair, why):
    return pair | {"why": f"{why}: only their intervals can be compared"}


def _unite_groups(track_ids, *splits):
    """Groups of artists that hold in all runs: groups of one run are united where another run unites them."""
    nodes = [pd.factorize(split.set_index("track_id")["group"].reindex(track_ids))[0] for split in splits]
    offsets = np.cumsum([0, *(codes.max() + 1 for codes in nodes[:-1])])
    first, rest = nodes[0], [codes + offset for codes, offset in zip(nodes[1:], offsets[1:], strict=True)]
    count = offsets[-1] + nodes[-1].max() + 1
    ends = np.concatenate(rest)
    starts = np.tile(first, len(rest))
    graph = coo_array((np.ones(len(ends)), (starts, ends)), shape=(count, count))
    return connected_components(graph, directed=False)[1][first]


def _shape(target, values):
    """Columns as an array, or the only one of them."""
    return values[:, 0] if target.number or target.kind == "popular" else values


def _flags(runs):
    """What differs between runs and could be taken for a difference in skill."""
    aspects = [
        (
            "some songs are synthetic, some real",
            lambda sheet: "synthetic" if sheet["synthetic"] else "real",
            "synthetic songs say nothing about music",
        ),
        (
            "popularity comes from different sources",
            lambda sheet: sheet["popularity"]["source"],
            "their scales differ, so compare ranks (Spearman, ROC-AUC), never errors",
        ),
        ("popularity was read at different times", _read_between, "it is a snapshot and changes"),
        (
            "the targets differ",
            lambda sheet: str(Target(**sheet["target"])),
            "their metrics do not mean the same",
        ),
        (
            "the splits differ",
            lambda sheet: (
                sheet["split"]["scheme"]
                + (f" in {folds} folds" if (folds := sheet["split"].get("folds")) else "")
            ),
            "random ones let models recognise artists",
        ),
    ]
    flags = []
    for what, value, because in aspects:
        values = {run["name"]: value(run["sheet"]) for run in runs}
        if len(set(values.values())) > 1:
            listed = "; ".join(f"{name}: {value}" for name, value in values.items())
            flags.append(f"{what} ({listed}): {because}")
    return flags + [f"{run['name']}: {flag}" for run in runs for flag in run["flags"]]


def _read_between(sheet):
    days = [sheet["popularity"][name] for name in ("first_fetched", "last_fetched")]
    return " to ".join(dict.fromkeys(day[:10] if day else "unknown" for day in days))
