"""Measure every trained model and the baselines on the same test tracks, and write the report.

    python 06_evaluate.py

Reads data/<study>/models/, baseline/, features/ and the frozen splits; leaves data/<study>/report/:
report.html, metrics.json, predictions.parquet and the figures. The baselines are also measured on the test
tracks of the other split schemes. Where tracks come without audio, baselines and reference rows are all
there is, on all test tracks.
"""

import joblib
import pandas as pd

from hitsong import baseline, cli, dataset, evaluation, leakage, metrics, results, splits
from hitsong.files import read_json, write_table
from hitsong.report import build, sheet
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
    tracks, target, counts = dataset.labelled(study, config)
    if note := splits.remade(counts, config.split, config.seed):
        print(f"careful: {note}")
    leaks = dataset.leaks(study, tracks)
    print(f"{config.split.scheme} split, {leakage.text(leaks[config.split.scheme])}")
    if models:
        feature = dataset.mels(study, config)
        tracks = dataset.heard(tracks, feature).reset_index(drop=True)
    kind, draws = target.kind, (config.evaluate.draws, config.seed)
    sides = {side: tracks[tracks["side"] == side] for side in ("validation", "test")}

    # The models, from their bundles
    predictions, validation_score, infos = {}, {}, {}
    if models:
        from hitsong import training  # TensorFlow takes seconds
    for name in models:
        fingerprint = {"model": name, **dataset.fingerprint(tracks, feature, target, config)}
        evaluation.require_current(training.status(study.models / name, fingerprint), name)
        bundle = training.load(study.models / name)
        clips = {side: dataset.examples(rows, feature, target) for side, rows in sides.items()}
        bundle.verify(clips["validation"])
        infos[name] = bundle.info
        predictions[name] = baseline.named(bundle.predict(clips["test"]), sides["test"]["track_id"], target)
        seen = bundle.predict(clips["validation"])
        validation_score[name] = metrics.evaluate(kind, clips["validation"].y, seen)[metrics.MAIN[kind]]

    # The baselines and the reference rows, under each scheme
    known = read_json(fitted)
    bundles = [joblib.load(study.baseline / f"{name}.joblib") for name in known["models"]]
    tables = dataset.inputs(study, config, tracks, target)
    measured, predicted = {}, {}
    for scheme in dict.fromkeys([config.split.scheme, *dataset.schemes(tracks)]):
        headline = scheme == config.split.scheme
        labelled, wanted = dataset.labelled_by(tracks, tracks[scheme] == "train", config)
        rows = evaluation.baselines(bundles, tables, labelled, scheme, wanted, config)
        if rows is None:
            print(f"{scheme} split: too few tracks to measure on")
            continue
        test = labelled[labelled[scheme] == "test"].set_index("track_id", drop=False)
        if headline:
            rows = predictions | rows
            if not models:
                validation_score = {
                    name: values[metrics.MAIN[kind]]
                    for name, values in known["validation"].items()
                    if name not in baseline.CONTROLS
                }
            if study.planted.exists() and kind != "audio_features":
                planted = pd.read_parquet(study.planted).set_index("track_id")
                rows["planted"] = planted["audio_effect"].reindex(test.index)
        y = baseline.named(wanted.truth(test), test.index, wanted)
        scores = validation_score if headline else {}
        measured[scheme] = evaluation.measure(wanted, y, rows, test["group"], scores, *draws)
        predicted[scheme] = evaluation.table(wanted, y, rows)

    # Results, with the sheet that says what they rest on, and the report
    result = measured.pop(config.split.scheme)
    result["flags"] += leakage.flags(leaks[config.split.scheme])
    table = predicted[config.split.scheme]
    write_table(study.report / "predictions.parquet", table)
    looks = results.look(study.folder / "test_looks.json", result["rows"])
    about = sheet.sheet(study, config, tracks, target, counts, leaks, looks, stage.inputs)
    result = results.write(study.report / "metrics.json", {**result, "schemes": measured, "sheet": about})
    page = build.report(study, config, result, tracks, table, target, infos, cli.options(arguments))
    count = int((tracks["side"] == "test").sum())
    stage.finish([study.report / "metrics.json", study.report / "predictions.parquet"], {"test": count})

    print(evaluation.text(result))
    for flag in result["flags"]:
        print(f"careful: {flag}")
    cli.summary("evaluate", len(result["rows"]), 0, 0, stage.seconds, f"{count:,} test tracks, look {looks}")
    print(f"report: {page}")


if __name__ == "__main__":
    cli.run(main)
