"""Measure every trained model and the baselines on the same test tracks, and write the report.

    python 06_evaluate.py
    python 06_evaluate.py --compare data/demo data/hiphop     # finished runs side by side

Reads data/<study>/models/, baseline/, features/ and the frozen splits; leaves data/<study>/report/:
report.html, metrics.json, predictions.parquet and the figures. The baselines are also measured on the test
tracks of the other split schemes. Where tracks come without audio, baselines and reference rows are all
there is, on all test tracks. A comparison measures nothing anew, and leaves data/compare.html.
"""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from hitsong import cli
from hitsong.data import leakage, splits
from hitsong.data.corpus import Corpus
from hitsong.data.tables import baseline_tables
from hitsong.data.tracks import find_leaks, has_audio, load_tracks, split_schemes, with_target
from hitsong.errors import UserError
from hitsong.evaluation import baseline, compare, evaluate, kinds, results
from hitsong.files import read_json, write_table
from hitsong.models.registry import in_order
from hitsong.progress import summary
from hitsong.report import build, comparison, dependence, model_card, provenance
from hitsong.study import Stage, Study
from hitsong.training.recipe import fingerprint as fingerprint_of
from hitsong.training.recipe import inputs_of, inputs_of_all, needs_audio


def main():
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--compare", nargs="+", metavar="FOLDER", help="put the reports of these studies side by side"
    )
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    if arguments.compare:
        compared = compare.compare_runs(arguments.compare)
        print(compare.format_text(compared))
        print(f"comparison: {comparison.write_page(compared, Path(config.data) / 'compare.html')}")
        return
    study = Study.of(config)
    fitted = study.baseline / "metrics.json"
    needs = ["collect", "baseline"]
    models, seeds = in_order(config.train.models), range(1, config.train.seeds + 1)
    if has_audio(study):
        needs.append("features")
    else:
        models = [name for name in models if not needs_audio(name, study, config)]
    needs += ["train"] if models else []
    stage = Stage(study, "evaluate", config, needs)
    tracks, target, counts = load_tracks(study, config)
    if note := splits.changed_settings(counts, config.split, config.seed):
        print(f"careful: {note}")
    leaks = find_leaks(study, tracks)
    print(f"{config.split.scheme} split, {leakage.leaks_line(leaks[config.split.scheme])}")
    kind, main_metric, draws = target.kind, kinds.main(target.kind), (config.evaluate.draws, config.seed)

    # The models, from their bundles: of each seed one
    predictions, validation_score, bundles, coverage = {}, {}, {}, {}
    if models:
        from hitsong.evaluation import conformal  # TensorFlow takes seconds
        from hitsong.training import bundle, fit  # TensorFlow takes seconds

        corpus = Corpus(study, config, tracks, target, inputs_of_all(models, study, config))
        tracks = corpus.tracks
    for name in models:
        clips = {side: corpus.side(inputs_of(name, study, config), side) for side in ("validation", "test")}
        found = []
        for number in seeds:
            folder = study.model(name, number)
            evaluate.require_current(fit.status(folder, fingerprint_of(corpus, name, number)), name)
            found.append(bundle.load(folder))
            found[-1].verify(clips["validation"])
        answers = [one.predict(clips["test"]) for one in found]
        bundles[name] = found[0]
        predictions[name] = [baseline.named(p, clips["test"].track_ids, target) for p in answers]
        validation_score[name] = float(np.mean([one.info["validation"][main_metric] for one in found]))
        coverage[name] = conformal.coverage(target, found[0].info["calibration"], clips["test"].y, answers[0])

    # The baselines and the reference rows, under each scheme
    known = read_json(fitted)
    baselines = [joblib.load(study.baseline / f"{name}.joblib") for name in known["models"]]
    tables = baseline_tables(study, config, tracks, target)
    measured, predicted = {}, {}
    for scheme in dict.fromkeys([config.split.scheme, *split_schemes(tracks)]):
        headline = scheme == config.split.scheme
        labelled, wanted = with_target(tracks, tracks[scheme] == "train", config)
        rows = evaluate.baselines(baselines, tables, labelled, scheme, wanted, config)
        if rows is None:
            if headline:
                raise UserError(
                    f"split.scheme {scheme}: the test tracks are by fewer than two groups of artists, so nothing "
                    "can be said of new ones; collect more artists, or raise split.test"
                )
            print(f"{scheme} split: too few tracks to measure on")
            continue
        test = labelled[labelled[scheme] == "test"].set_index("track_id", drop=False)
        if headline:
            rows = predictions | rows
            if not models:
                validation_score = {
                    name: values[main_metric]
                    for name, values in known["validation"].items()
                    if name not in baseline.CONTROLS
                }
            if study.planted.exists() and kind != "audio_features":
                planted = pd.read_parquet(study.planted).set_index("track_id")
                rows["planted"] = planted["audio_effect"].reindex(test.index)
        y = baseline.named(wanted.truth(test), test.index, wanted)
        scores = validation_score if headline else {}
        measured[scheme] = evaluate.measure(wanted, y, rows, test["group"], scores, *draws)
        predicted[scheme] = evaluate.table(wanted, y, rows)

    # Results, with the sheet that says what they rest on, and the report
    result = measured.pop(config.split.scheme)
    for name, held in coverage.items():
        result["rows"][name]["coverage"] = held
    result["flags"] += leakage.leak_warnings(leaks[config.split.scheme])
    table = predicted[config.split.scheme]
    write_table(study.report / "predictions.parquet", table)
    looks = results.look(study.folder / "test_looks.json", result["rows"])
    about = provenance.describe_run(study, config, tracks, target, counts, leaks, looks, stage.inputs)
    result = results.write(study.report / "metrics.json", {**result, "schemes": measured, "sheet": about})
    for name, one in bundles.items():
        model_card.write_card(one, result["rows"][name])
    best, test = result["best"], tracks[tracks["side"] == "test"]
    if best in bundles:
        measured_dependence = dependence.of_model(
            study, config, corpus, bundles[best], test, predictions[best][0]
        )
    else:
        one = next(one for one in baselines if one["candidate"].name == best)
        X = tables[one["candidate"].input].loc[test["track_id"], one["columns"]]
        measured_dependence = dependence.of_baseline(
            config, target, one["schemes"][config.split.scheme], X, test
        )
    infos = {name: one.info for name, one in bundles.items()}
    page = build.build_report(study, config, result, tracks, table, target, infos, measured_dependence)
    count = len(test)
    stage.finish([study.report / "metrics.json", study.report / "predictions.parquet"], {"test": count})

    print(evaluate.text(result))
    for flag in result["flags"]:
        print(f"careful: {flag}")
    summary("evaluate", len(result["rows"]), 0, 0, stage.seconds, f"{count:,} test tracks, look {looks}")
    print(f"report: {page}")


if __name__ == "__main__":
    cli.run(main)
