"""The fitted baselines of a study: what 04 fits and keeps, and what they were fitted on.

Each baseline lies in `baseline/<name>.joblib`: the candidate, the columns of its input, and the estimator fitted under
each split scheme and in each fold. `baseline/metrics.json` is written last, with the fingerprint of all of them: the
tracks with their side and truth under every scheme, the content of every input, the settings. Whoever reads them
compares it.
`fitted.json` says which of them an interrupted run has finished.
"""

import json

import joblib
import numpy as np
import pandas as pd
import sklearn

from hitsong.data.corpus import content_hash, fitted_on
from hitsong.data.targets import Target
from hitsong.errors import UserError
from hitsong.evaluation import baseline, kinds
from hitsong.evaluation.bootstrap import Resampling
from hitsong.evaluation.divisions import headline, joined
from hitsong.evaluation.evaluate import Validated
from hitsong.files import digest, read_json, replacing, sha256, write_json, write_table
from hitsong.study import command, differences

VERSION = 1  # rises when the same tracks and settings would give other estimators


def fingerprint(divisions, tables, config):
    """All that the baselines depend on, as JSON can hold it.

    Parameters
    ----------
    divisions : list of hitsong.evaluation.divisions.Division
    tables : dict of str to pandas.DataFrame
        From `hitsong.data.tables.baseline_tables`, in the order of the tracks.
    config : hitsong.config.Config

    Returns
    -------
    dict
    """
    rows = np.any([division.rows(side) for division in divisions for side in ("train", "validation")], axis=0)
    order = np.argsort(divisions[0].tracks["track_id"].to_numpy(str)[rows])
    content = {
        "target": divisions[0].target.description(),
        "schemes": {
            division.scheme: fitted_on(division.tracks, division.scheme, division.target)
            for division in divisions
        },
        "inputs": {name: content_hash(X[rows].iloc[order]) for name, X in tables.items()},
        "settings": {
            **config.baseline.model_dump(mode="json"), "split": config.split.scheme, "seed": config.seed,
            "draws": config.evaluate.draws, "evaluate.folds": config.evaluate.folds,
            **({"split.origins": config.split.origins} if config.split.origins else {}),
        },
        "version": {"baselines": VERSION, "scikit-learn": sklearn.__version__},
    }  # fmt: skip
    return json.loads(json.dumps(content))  # lists for tuples, as they will be read back


def problem(folder, current):
    """Say why the baselines in a folder cannot be used.

    Parameters
    ----------
    folder : pathlib.Path
    current : dict
        From `fingerprint`, for the data and settings of this run.

    Returns
    -------
    str or None
        None if they are those that this run would fit.
    """
    path = folder / "metrics.json"
    if not path.exists():
        return "there are no fitted baselines"
    record = read_json(path)
    before = record.get("fingerprint")
    if before is None or before["version"] != current["version"]:
        return "the baselines were fitted by another version of the program"
    if before["target"] != current["target"]:
        return f"the baselines were fitted for {Target(**before['target'])}, not for {Target(**current['target'])}"
    if changes := differences(before["settings"], current["settings"]):
        return f"the baselines were fitted with other settings ({'; '.join(changes)})"
    if before["schemes"] != current["schemes"]:
        return "the baselines were fitted on other tracks, or on another division of them"
    names = dict.fromkeys([*before["inputs"], *current["inputs"]])
    if changed := [name for name in names if before["inputs"].get(name) != current["inputs"].get(name)]:
        return f"the baselines were fitted on other values of {', '.join(changed)}"
    for name, recorded in record["files"].items():
        if not (folder / name).exists() or sha256(folder / name) != recorded:
            return f"{folder / name} is not as it was left (interrupted, or edited)"
    return None


def fit_baselines(folder, divisions, tables, config):
    """Fit every baseline under every scheme and in every fold; those in the folder that are current are kept.

    Parameters
    ----------
    folder : pathlib.Path
    divisions, tables, config
        As for `fingerprint`.

    Returns
    -------
    bundles : list of dict
        `candidate`, `columns` and `schemes`, the fitted estimators.
    remarks : list of str
        What was left out, and why.
    """
    identity = digest(fingerprint(divisions, tables, config))
    finished = read_json(folder / "fitted.json") if (folder / "fitted.json").exists() else {}
    bundles, remarks = [], []
    candidates, needed = (
        baseline.candidates(tables, config.baseline, divisions[0].target),
        headline(divisions),
    )
    for candidate in candidates:
        path = folder / f"{candidate.name}.joblib"
        if path.exists() and finished.get(candidate.name) == [identity, sha256(path)]:
            bundle = joblib.load(path)
        else:
            X, estimators = tables[candidate.input], {}
            for division in divisions:
                try:
                    estimators[division.scheme] = _fit(candidate, X, division, config)
                except UserError as error:
                    if division is divisions[0]:
                        raise
                    if division in needed:
                        raise UserError(f"{config.rounds_setting}: {division.scheme}: {error}") from None
                    remarks.append(
                        f"{candidate.name} is not fitted under the {division.scheme} split: {error}"
                    )
            bundle = {"candidate": candidate, "columns": list(X), "schemes": estimators}
            with replacing(path) as temporary:
                joblib.dump(bundle, temporary)
            finished[candidate.name] = [identity, sha256(path)]
            write_json(folder / "fitted.json", finished)
        bundles.append(bundle)
    names = {candidate.name for candidate in candidates}
    for path in folder.glob("*.joblib"):
        if path.stem not in names:
            path.unlink()
    return bundles, remarks


def _fit(candidate, X, division, config):
    train = division.rows("train")
    truth, groups = division.target.truth(division.tracks)[train], division.tracks["group"].to_numpy()[train]
    return baseline.fit(
        X[train], truth, division.target, config.baseline, config.seed, candidate.model, groups.astype(str)
    )


def load_baselines(folder, divisions, tables, config):
    """Load the fitted baselines, after making sure that they are those of this run.

    Returns
    -------
    bundles : list of dict
        As `fit_baselines` gives them.
    record : dict
        What `baseline/metrics.json` holds.

    Raises
    ------
    UserError
        If they were fitted on other tracks, sides, truth or inputs, or with other settings.
    """
    if reason := problem(folder, fingerprint(divisions, tables, config)):
        raise UserError(f"{reason}; run: {command('baseline')}")
    record = read_json(folder / "metrics.json")
    return [joblib.load(folder / f"{name}.joblib") for name in record["models"]], record


def write(folder, bundles, diagnosis, leaks, divisions, tables, config):
    """Write what 04 found beside the fitted baselines; `metrics.json` last.

    Parameters
    ----------
    folder : pathlib.Path
    bundles : list of dict
        From `fit_baselines`.
    diagnosis : dict
        From `hitsong.evaluation.crossvalidation.diagnose`.
    leaks : dict
        From `hitsong.data.tracks.find_leaks`.
    divisions, tables, config
        As for `fingerprint`.

    Returns
    -------
    dict
        The content of `metrics.json`.
    """
    first = divisions[0]
    linear = [
        baseline.coefficients(bundle["schemes"][first.scheme], first.target).assign(
            model=bundle["candidate"].name
        )
        for bundle in bundles
        if bundle["candidate"].model == "ridge"
    ]
    contents = {"cv.csv": diagnosis["folds"], "learning_curve.csv": diagnosis["curves"]}
    if linear:
        contents["coefficients.csv"] = pd.concat(linear, ignore_index=True)
    for name, table in contents.items():
        write_table(folder / name, table)
    summary = diagnosis["summary"]
    names = [bundle["candidate"].name for bundle in bundles]
    files = [*contents, *(f"{name}.joblib" for name in names)]
    record = {
        "target": first.target.description(),
        "inputs": {name: list(X) for name, X in tables.items()},
        "models": names,
        "tracks": diagnosis["tracks"],
        "cross_validation": summary.astype(object).where(summary.notna(), None).to_dict("records"),
        "learning_curve": diagnosis["readings"],
        "validation": {
            bundle["candidate"].name: _validate(bundle, tables, headline(divisions), config)
            for bundle in bundles
        },
        "leakage": leaks,
        "fingerprint": fingerprint(divisions, tables, config),
        "files": {name: sha256(folder / name) for name in files},
    }
    write_json(folder / "metrics.json", record)
    return record


def _validate(bundle, tables, divisions, config):
    """Metrics on the validation tracks (of all folds), with the standard error of the main one."""
    candidate, truths, predictions = bundle["candidate"], [], []
    for division in divisions:
        side = division.rows("validation")
        if side.sum() < 2:
            raise UserError(
                f"the {division.scheme} split has {side.sum()} validation tracks, too few to choose a model by; "
                "collect more artists, or raise split.validation"
            )
        X = tables[candidate.input][side]
        predictions.append(baseline.predict(bundle["schemes"][division.scheme], X, division.target))
        truths.append(division.target.truth(division.tracks[side]))
    target = divisions[0].target
    y, tracks = joined(divisions, "validation", truths)
    p = np.concatenate(predictions)
    error = validation_error(target.kind, y, p, tracks["group"], config, tracks["fold"])
    values = kinds.evaluate_by_fold(target.kind, y, p, tracks["fold"], target.names)
    return values | {"standard_error": error}


def validation_error(kind, y, p, groups, config, folds=None):
    """The standard error of the main metric over groups of artists; 0 where all tracks are of one group."""
    if len(np.unique(groups)) < 2:
        return 0.0
    main = kinds.main(kind)
    return (
        Resampling(groups, config.evaluate.draws, config.seed)
        .measure(kind, y, [p], [main], folds)
        .standard_error(main)
    )


def choices(record):
    """The baselines that may be chosen where no other model is trained: linear ones before trees.

    Parameters
    ----------
    record : dict
        What `baseline/metrics.json` holds.

    Returns
    -------
    dict of str to hitsong.evaluation.evaluate.Validated
    """
    main = kinds.main(record["target"]["kind"])
    return {
        name: Validated(values[main], values["standard_error"], float(name.startswith("trees")))
        for name, values in record["validation"].items()
        if name not in baseline.CONTROLS
    }
