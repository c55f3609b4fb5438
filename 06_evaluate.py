"""Measure every trained model and the baselines on the same test tracks, and write the report.

    python 06_evaluate.py
    python 06_evaluate.py --compare data/demo data/hiphop     # finished runs side by side
    python 06_evaluate.py --again                             # even if nothing has changed
    python 06_evaluate.py --audit                             # shuffled labels, planted leaks, controls: pass or fail

Reads data/<study>/models/, baseline/, features/ and the frozen splits; leaves data/<study>/report/:
report.html, a summary of one page, metrics.json, predictions.parquet and the figures, and data/index.html, which lists
all studies. Models of train.models that are not trained are named and left out. The baselines are also measured on the
test tracks of the other split schemes. Where nothing has changed since the last report, it is kept. A comparison
measures nothing anew, and leaves data/compare.html; an audit prints pass or fail for each check, and leaves nothing.
"""

import sys
from pathlib import Path

from hitsong import cli
from hitsong.data import leakage, splits
from hitsong.data.tables import baseline_tables
from hitsong.data.tracks import find_leaks, load_tracks
from hitsong.evaluation import compare, evaluate, fitted, results, schemes
from hitsong.evaluation.divisions import divide
from hitsong.files import write_table
from hitsong.models.registry import in_order
from hitsong.report import build, comparison, dependence, model_card, provenance
from hitsong.study import Stage, Study
from hitsong.training import audit
from hitsong.training.predictions import bundle_files, predict_side, predict_test_tracks
from hitsong.training.recipe import inputs_of_all


def main():
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--compare", nargs="+", metavar="FOLDER", help="put the reports of these studies side by side"
    )
    parser.add_argument("--again", action="store_true", help="measure again, even if nothing has changed")
    parser.add_argument("--audit", action="store_true", help="check the study as a sceptical reviewer would")
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    if arguments.compare:
        return compare_studies(arguments.compare, config)
    study = Study.of(config)
    stage = Stage(study, "evaluate", config, ["collect", "baseline"])
    if arguments.audit:
        return run_audit(study, config)
    stage.add_inputs([study.splits, *bundle_files(study, config)])
    page = study.report / "report.html"
    if page.exists() and not arguments.again and stage.is_repeat():
        print(evaluate.text(results.read_plain(study.report / "metrics.json")))
        print(f"nothing has changed since {page} was written")
        return

    # Tracks, and what was fitted on them
    kinds = inputs_of_all(in_order(config.train.models), study, config)
    tracks, target, counts = load_tracks(study, config, kinds)
    tables = baseline_tables(study, config, tracks, target)
    divisions, left_out = divide(tracks, config)
    baselines, record = fitted.load_baselines(study.baseline, divisions, tables, config)
    trained = predict_test_tracks(study, config, tracks, target)
    leaks = find_leaks(study, tracks)

    # Results and their record first, then the pages
    page.unlink(missing_ok=True)
    planted = provenance.planted_effects(study, target)
    validated = trained.validated or fitted.choices(record)
    result, table = schemes.measure_schemes(
        divisions, tables, baselines, trained.predictions, validated, planted, config
    )
    for name, coverage in trained.coverage.items():
        result["rows"][name]["coverage"] = coverage
    used = leaks["folds" if config.rounds else config.split.scheme]
    result["flags"] += [*leakage.leak_warnings(used), *trained.missing, *trained.advice, *left_out]
    looks = results.count_looks(study.folder / "test_looks.json", result["rows"])
    about = provenance.describe_run(study, config, tracks, target, counts, leaks, looks, stage.inputs)
    write_table(study.report / "predictions.parquet", table)
    result = results.write(study.report / "metrics.json", {**result, "sheet": about})
    measured = table["track_id"].nunique()
    stage.finish([study.report / "metrics.json", study.report / "predictions.parquet"], {"test": measured})
    for name, bundle in trained.bundles.items():
        model_card.write_card(bundle, result["rows"][name])
    test = tracks[tracks["side"] == "test"]  # of the single split: no model that is served was fitted on them
    explained = explain_best(study, config, target, result["best"], test, trained, baselines, tables)
    infos = {name: bundle.info for name, bundle in trained.bundles.items()}
    page = build.build_report(study, config, result, tracks, table, target, infos, explained)

    print(evaluate.text(result))
    note = splits.changed_settings(counts, config.split, config.seed)
    for flag in [note, *result["flags"]] if note else result["flags"]:
        print(f"careful: {flag}")
    print(f"{evaluate.counts_text(result, measured)} in {stage.seconds:,.1f} s, look {looks}; report: {page}")


def compare_studies(folders, config):
    """Print the reports of several studies side by side, and write them as a page."""
    compared = compare.compare_runs(folders)
    print(compare.format_text(compared))
    print(f"comparison: {comparison.write_page(compared, Path(config.data) / 'compare.html')}")


def run_audit(study, config):
    """Print each check of the audit; the exit code is 1 where one fails."""
    tracks, target, _ = load_tracks(
        study, config, inputs_of_all(in_order(config.train.models), study, config)
    )
    tables = baseline_tables(study, config, tracks, target)
    failed = 0
    for check in audit.audit(study, config, tracks, tables):
        print(check, flush=True)
        failed += check.passed is False
    print(f"audit: {failed} of the checks failed" if failed else "audit: no check failed")
    if failed:
        sys.exit(1)


def explain_best(study, config, target, best, test, trained, baselines, tables):
    """What the chosen model responds to, for the report."""
    if best in trained.bundles:
        bundle = trained.bundles[best]
        prediction = predict_side(trained.corpus, bundle, "test")
        return dependence.of_model(study, config, trained.corpus, bundle, test, prediction)
    chosen = next(baseline for baseline in baselines if baseline["candidate"].name == best)
    X = tables[chosen["candidate"].input].loc[test["track_id"], chosen["columns"]]
    return dependence.of_baseline(config, target, chosen["schemes"][config.split.scheme], X, test)


if __name__ == "__main__":
    cli.run(main)
