"""Fit the linear baseline on Spotify's audio features: what any model of the sound must beat.

    python 04_baseline.py
    python 04_baseline.py --set target.kind=popular       # logistic instead of ridge regression

Reads data/<study>/tracks.parquet; makes and freezes data/<study>/splits.parquet if no stage has; leaves
data/<study>/baseline/: cross-validation (cv.csv), learning curve, coefficients, the fitted model.
Test tracks are neither fitted nor scored here.
"""

import joblib

from hitsong import baseline, cli, dataset, metrics
from hitsong.files import replacing, write_json, write_table
from hitsong.report import figures
from hitsong.study import Stage, Study


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
    study = Study.of(config)
    stage = Stage(study, "baseline", config, [("collect", study.tracks)])
    tracks, target, split_counts = dataset.labelled(study, config)
    kind, model, folder = target.kind, baseline.MODEL[target.kind], study.baseline

    # Everything but the test tracks
    known = tracks[tracks["side"].isin(["train", "validation"])]
    names = baseline.available(known, config.baseline.features)
    X, without = baseline.features(known, names)
    y, groups = known["y"].to_numpy(), known["group"].to_numpy()
    for name in sorted(set(config.baseline.features) - set(names)):
        print(f"{name}: the source gives none; left out")
    if without:
        print(f"{without:,} of {len(known):,} tracks have no audio features; medians stand in")

    # Cross-validation, plain and artist-grouped, with reference rows
    cv = baseline.cross_validate(X, y, groups, kind, config.baseline, config.seed)
    write_table(folder / "cv.csv", cv)
    summary = cv.groupby(["model", "scheme"], sort=False)[baseline.CV_METRICS[kind]].mean()

    # Learning curve
    curve = baseline.learning_curve(X, y, groups, kind, config.baseline, config.seed)
    write_table(folder / "learning_curve.csv", curve)
    figures.save(figures.learning_curve(curve, model), folder / "learning_curve.png")

    # The baseline that 06 compares with: fitted on the train side, like the models
    train = (known["side"] == "train").to_numpy()
    fitted = baseline.fit(X[train], y[train], kind, config.baseline, config.seed)
    write_table(folder / "coefficients.csv", baseline.coefficients(fitted))
    with replacing(folder / f"{model}.joblib") as temporary:
        joblib.dump(fitted, temporary)
    validation = tracks[tracks["side"] == "validation"]
    write_json(
        folder / "metrics.json",
        {
            "model": model,
            "target": target.description(),
            "features": names,
            "alpha": baseline.alpha(fitted),
            "cross_validation": summary.reset_index().to_dict("records"),
            "validation": metrics.evaluate(
                kind, validation["y"], baseline.predict(fitted, baseline.features(validation, names)[0])
            ),
        },
    )
    stage.finish(
        [folder / name for name in ("metrics.json", f"{model}.joblib", "cv.csv", "learning_curve.csv")],
        split_counts,
    )

    print(f"target: {target}; {folder / 'cv.csv'}, mean of {config.baseline.folds} folds:")
    print(summary.round(3).to_string())
    cli.summary("baseline", len(known), 0, 0, stage.seconds, f"-> {folder}")


if __name__ == "__main__":
    cli.run(main)
