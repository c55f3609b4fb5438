"""Fit the baselines: what numbers about a track tell, and what any model of its sound must beat.

    python 04_baseline.py
    python 04_baseline.py --set target.kind=popular                  # logistic instead of ridge regression
    python 04_baseline.py --set baseline.inputs=[descriptors]

Reads data/<study>/tracks.parquet and the tables among its features; makes and freezes
data/<study>/splits.parquet if no stage has, and checks it for leaks; leaves data/<study>/baseline/:
cross-validation (cv.csv), learning curves, coefficients, the fitted models. Baselines are kept as long as their
data and settings are the same. Test tracks are neither fitted nor scored here.
"""

import pandas as pd

from hitsong import cli
from hitsong.data import leakage, splits
from hitsong.data.tables import baseline_tables, missing_inputs
from hitsong.data.tracks import find_leaks, load_tracks, united_line
from hitsong.evaluation import crossvalidation, fitted
from hitsong.evaluation.divisions import divide
from hitsong.files import read_json
from hitsong.models.registry import in_order
from hitsong.report import charts, training_figures
from hitsong.study import Stage, Study
from hitsong.training.recipe import inputs_of_all


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
    study = Study.of(config)
    folder = study.baseline
    stage = Stage(study, "baseline", config, ["collect"])
    kinds = inputs_of_all(in_order(config.train.models), study, config)
    tracks, target, counts = load_tracks(study, config, kinds)
    tables = baseline_tables(study, config, tracks, target)
    divisions, left_out = divide(tracks, config)
    leaks = find_leaks(study, tracks)

    if note := splits.changed_settings(counts, config.split, config.seed):
        print(f"careful: {note}")
    for scheme, found in leaks.items():
        print(f"{scheme} split, {leakage.leaks_line(found)}")
    for line in filter(None, [united_line(counts), *left_out, *missing_inputs(tables, config)]):
        print(line)

    kept = fitted.problem(folder, fitted.fingerprint(divisions, tables, config)) is None
    if kept:
        record = read_json(folder / "metrics.json")
    else:
        bundles, remarks = fitted.fit_baselines(folder, divisions, tables, config)
        diagnosis = crossvalidation.diagnose(tables, tracks, target, config)
        record = fitted.write(folder, bundles, diagnosis, leaks, divisions, tables, config)
        for remark in remarks:
            print(remark)
    curves = pd.read_csv(folder / "learning_curve.csv")
    figure = training_figures.learning_curve(curves, record["learning_curve"])
    charts.save(figure.drawing, folder / "learning_curve.png")
    outputs = [folder / "metrics.json", *(folder / name for name in record["files"]), study.splits]
    stage.finish(outputs, counts)

    print(
        f"target: {target}; mean of {config.baseline.folds} folds, with 95 % interval ({folder / 'cv.csv'}):"
    )
    print(crossvalidation.text(record["cross_validation"], target))
    for name, reading in record["learning_curve"].items():
        print(f"{name}: {reading['sentence']}")
    count = (tracks["side"] == "train").sum()
    print(
        f"{len(record['models'])} baselines {'kept' if kept else 'fitted'} on {count:,} tracks, cross-validated on "
        f"{record['tracks']:,}, in {stage.seconds:,.1f} s -> {folder}"
    )


if __name__ == "__main__":
    cli.run(main)
