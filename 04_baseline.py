"""Fit the baselines: what numbers about a track tell, and what any model of its sound must beat.

    python 04_baseline.py
    python 04_baseline.py --set target.kind=popular                  # logistic instead of ridge regression
    python 04_baseline.py --set baseline.inputs=[descriptors]

Reads data/<study>/tracks.parquet and the tables among its features; makes and freezes
data/<study>/splits.parquet if no stage has, and checks it for leaks; leaves data/<study>/baseline/:
cross-validation (cv.csv), learning curves, coefficients, the fitted models. Test tracks are neither fitted
nor scored here.
"""

import joblib
import pandas as pd

from hitsong import cli, progress
from hitsong.data import leakage, splits
from hitsong.data.tables import baseline_tables
from hitsong.data.tracks import find_leaks, load_tracks, split_schemes, with_target
from hitsong.errors import UserError
from hitsong.evaluation import baseline, crossvalidation, kinds
from hitsong.files import replacing, write_json, write_table
from hitsong.report import drawing, training_figures
from hitsong.study import Stage, Study


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
    study = Study.of(config)
    stage = Stage(study, "baseline", config, ["collect"])
    tracks, target, counts = load_tracks(study, config)
    settings, seed, folder = config.baseline, config.seed, study.baseline
    if note := splits.changed_settings(counts, config.split, seed):
        print(f"careful: {note}")
    leaks = find_leaks(study, tracks)
    for scheme, found in leaks.items():
        print(f"{scheme} split, {leakage.leaks_line(found)}")

    # Everything but the test tracks
    is_known = tracks["side"].isin(["train", "validation"]).to_numpy()
    known = tracks[is_known]
    tables = baseline_tables(study, config, tracks, target)
    inputs = {name: X[is_known] for name, X in tables.items()}
    y, groups = target.truth(known), known["group"].to_numpy()
    for name in sorted(set(settings.features) - set(tables.get("spotify", ()))):
        print(f"{name}: no input of the baseline; left out")
    for name, X in inputs.items():
        if without := int(X.isna().all(axis=1).sum()):
            print(f"{name}: {without:,} of {len(X):,} tracks have none; medians stand in")

    # Cross-validation, plain and artist-grouped, with reference rows
    cv, pooled = crossvalidation.cross_validate(inputs, y, groups, target, settings, seed)
    write_table(folder / "cv.csv", cv)
    summary = crossvalidation.summary(cv, pooled, y, groups, target, config.evaluate.draws, seed)

    # Learning curves, on the first input
    first = next(iter(inputs))
    curves, readings = [], {}
    for candidate in baseline.candidates({first: inputs[first]}, settings, target):
        curve = crossvalidation.learning_curve(
            inputs[first], y, groups, target, settings, seed, candidate.model
        )
        verdict, sentence = crossvalidation.read_curve(curve)
        readings[candidate.name] = {"verdict": verdict, "sentence": sentence}
        curves.append(curve.assign(model=candidate.name))
    curves = pd.concat(curves, ignore_index=True)
    write_table(folder / "learning_curve.csv", curves)
    drawing.save(training_figures.learning_curve(curves, readings).drawing, folder / "learning_curve.png")

    # The baselines that 06 compares with: fitted on the train side, like the models; and on that of other schemes
    fitted, coefficients, validated = {}, [], {}
    for candidate in baseline.candidates(tables, settings, target):
        X, by_scheme = tables[candidate.input], {}
        for scheme in dict.fromkeys([config.split.scheme, *split_schemes(tracks)]):
            train = (tracks[scheme] == "train").to_numpy()
            try:
                labelled, wanted = with_target(tracks, train, config)
                truth = wanted.truth(labelled)[train]
                by_scheme[scheme] = baseline.fit(X[train], truth, wanted, settings, seed, candidate.model)
            except (UserError, ValueError):
                if scheme == config.split.scheme:
                    raise
                print(f"{candidate.name}: the {scheme} split leaves too little to fit on")
        path = folder / f"{candidate.name}.joblib"
        with replacing(path) as temporary:
            joblib.dump({"candidate": candidate, "columns": list(X), "schemes": by_scheme}, temporary)
        headline = by_scheme[config.split.scheme]
        if candidate.model == "ridge":
            coefficients.append(baseline.coefficients(headline, target).assign(model=candidate.name))
        held = (tracks["side"] == "validation").to_numpy()
        p = baseline.predict(headline, X[held], target)
        validated[candidate.name] = kinds.evaluate(target.kind, target.truth(tracks[held]), p, target.names)
        fitted[candidate.name] = path
    if coefficients:
        write_table(folder / "coefficients.csv", pd.concat(coefficients, ignore_index=True))
    write_json(
        folder / "metrics.json",
        {
            "target": target.description(),
            "inputs": {name: list(X) for name, X in inputs.items()},
            "models": list(fitted),
            "cross_validation": summary.astype(object).where(summary.notna(), None).to_dict("records"),
            "learning_curve": readings,
            "validation": validated,
            "leakage": leaks,
        },
    )
    outputs = [folder / name for name in ("metrics.json", "cv.csv", "learning_curve.csv")]
    stage.finish([*outputs, *fitted.values()], counts)

    print(f"target: {target}; mean of {settings.folds} folds, with 95 % interval ({folder / 'cv.csv'}):")
    print(crossvalidation.text(summary, target))
    for name, reading in readings.items():
        print(f"{name}: {reading['sentence']}")
    progress.summary("baseline", len(known), 0, 0, stage.seconds, f"-> {folder}")


if __name__ == "__main__":
    cli.run(main)
