"""Measure every trained model and the baseline on the same test tracks, and write the report.

    python 06_evaluate.py

Reads data/<study>/models/, baseline/, features/ and the frozen splits; leaves data/<study>/report/:
report.html, metrics.json, predictions.parquet and the figures. Where tracks come without audio, the baseline and the
reference rows are compared, on all test tracks.
"""

import joblib
import pandas as pd

from hitsong import baseline, cli, dataset, evaluation, metrics
from hitsong.files import read_json, write_json, write_table
from hitsong.report import build
from hitsong.study import Stage, Study


def main():
    arguments = cli.parser(__doc__).parse_args()
    config = cli.settings(arguments)
    study = Study.of(config)
    fitted = study.baseline / "metrics.json"
    models = config.train.models if dataset.has_audio(study) else []
    inputs = [("collect", study.tracks), ("baseline", fitted)]
    if models:
        inputs.append(("features", study.features / "index.parquet"))
        inputs += [("train", study.models / name / "bundle.json") for name in models]
    stage = Stage(study, "evaluate", config, inputs)
    tracks, target, _ = dataset.labelled(study, config)
    if models:
        feature = dataset.mels(study, config)
        tracks = dataset.heard(tracks, feature)
    kind, linear = target.kind, baseline.MODEL[target.kind]
    test, validation = (tracks[tracks["side"] == side] for side in ("test", "validation"))
    y = test.set_index("track_id")["y"]

    # The models, from their bundles
    predictions, validation_score, infos = {}, {}, {}
    if models:
        from hitsong import training  # TensorFlow takes seconds
    for name in models:
        fingerprint = {"model": name, **dataset.fingerprint(tracks, feature, target, config)}
        evaluation.require_current(training.status(study.models / name, fingerprint), name)
        bundle = training.load(study.models / name)
        bundle.verify(dataset.examples(validation, feature))
        infos[name] = bundle.info
        predictions[name] = pd.Series(bundle.predict(dataset.examples(test, feature)), index=y.index)
        seen = bundle.predict(dataset.examples(validation, feature))
        validation_score[name] = metrics.evaluate(kind, validation["y"], seen)[metrics.MAIN[kind]]

    # The baseline and the reference rows
    names = read_json(fitted)["features"]
    pipeline = joblib.load(study.baseline / f"{linear}.joblib")
    predictions[linear] = pd.Series(
        baseline.predict(pipeline, baseline.features(test, names)[0]), index=y.index
    )
    if not models:
        seen = baseline.predict(pipeline, baseline.features(validation, names)[0])
        validation_score[linear] = metrics.evaluate(kind, validation["y"], seen)[metrics.MAIN[kind]]
    predictions |= baseline.reference_predictions(
        baseline.features(tracks, names)[0],
        tracks.set_index("track_id")["y"],
        tracks.set_index("track_id")["artist_id"],
        tracks.loc[tracks["side"] == "train", "track_id"],
        y.index,
        kind,
        config.baseline,
        config.seed,
    )
    if study.planted.exists():
        planted = pd.read_parquet(study.planted).set_index("track_id")
        predictions["planted"] = planted["audio_effect"].reindex(y.index)

    # Metrics, intervals, paired differences
    groups = test.set_index("track_id")["group"]
    result = evaluation.measure(
        kind, y, predictions, groups, validation_score, config.evaluate.draws, config.seed
    )
    table = evaluation.table(y, predictions)
    write_table(study.report / "predictions.parquet", table)
    write_json(study.report / "metrics.json", result)
    page = build.report(study, config, result, tracks, table, target, infos, cli.options(arguments))
    stage.finish([study.report / "metrics.json", study.report / "predictions.parquet"], {"test": len(y)})

    print(evaluation.text(result))
    for flag in result["flags"]:
        print(f"careful: {flag}")
    cli.summary("evaluate", len(result["rows"]), 0, 0, stage.seconds, f"{len(y):,} test tracks")
    print(f"report: {page}")


if __name__ == "__main__":
    cli.run(main)
