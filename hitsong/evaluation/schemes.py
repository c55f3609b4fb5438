"""Everything on the test tracks of every split scheme; with cross-fitting, first of all on the tracks of all folds."""

import pandas as pd

from hitsong.errors import UserError
from hitsong.evaluation import baseline, evaluate
from hitsong.evaluation.divisions import headline

MANY_TRACKS = 20_000  # test tracks from which labels are shuffled fewer times
FEW_PERMUTATIONS = 5
ENOUGH_TRACKS, ENOUGH_GROUPS = 1000, 100  # test tracks and groups from which one test set tells models apart
FOLDS = 5  # that are advised below that


def measure_schemes(divisions, tables, bundles, models, validated, planted, config):
    """Measure everything on the test tracks of each split scheme; trained models for the headline only.

    Parameters
    ----------
    divisions : list of hitsong.evaluation.divisions.Division
        That of the config first.
    tables : dict of str to pandas.DataFrame
        Inputs of the baselines.
    bundles : list of dict
        The fitted baselines.
    models : dict of str to list
        Test predictions of trained models, as for `evaluate.measure`; with folds, out-of-fold predictions.
    validated : dict of str to hitsong.evaluation.evaluate.Validated
        Of the models that may be chosen.
    planted : pandas.Series or None
        What the stand-in planted in each track's sound, by track_id.
    config : hitsong.config.Config

    Returns
    -------
    result : dict
        As from `evaluate.measure`, under the config's scheme (with folds: of the out-of-fold predictions of all
        tracks), and `schemes`: the same for others, baselines only. Schemes with too few test tracks are left out,
        with a line in `flags`.
    table : pandas.DataFrame
        Truth and predictions of the headline, from `evaluate.table`.

    Raises
    ------
    UserError
        If the test tracks of the headline are by fewer than two groups of artists.
    """
    main, left_out, schemes = headline(divisions), [], {}
    y, rows, tracks = _predict(main, tables, bundles, config)
    if tracks["group"].nunique() < 2:
        raise UserError(
            f"split.scheme {config.split.scheme}: the test tracks are by fewer than two groups of artists, so nothing "
            "can be measured on new ones; collect more artists, or raise split.test"
        )
    rows = models | rows
    if planted is not None and planted.reindex(y.index).notna().all():
        rows["planted"] = planted.reindex(y.index)
    folds = tracks["fold"] if len(main) > 1 else None
    target, bootstrap = divisions[0].target, (config.evaluate.draws, config.seed)
    result = evaluate.measure(target, y, rows, tracks["group"], validated, *bootstrap, folds=folds)
    for division in divisions:
        if division in main:
            continue
        y_scheme, of_scheme, tested = _predict([division], tables, bundles, config)
        if not of_scheme or tested["group"].nunique() < 2:
            left_out.append(f"{division.scheme} split: too few tracks to fit or test on, so it is left out")
            continue
        schemes[division.scheme] = evaluate.measure(
            division.target, y_scheme, of_scheme, tested["group"], {}, *bootstrap
        )
    few = few_tracks(len(y), tracks["group"].nunique(), config)
    result["flags"] += [*([few] if few else []), *left_out]
    return result | {"schemes": schemes}, evaluate.table(target, y, rows, folds)


def few_tracks(tracks, groups, config):
    """A sentence where one test set is too small to tell models apart, and cross-fitting is off; else None."""
    if config.rounds or (tracks >= ENOUGH_TRACKS and groups >= ENOUGH_GROUPS):
        return None
    return (
        f"{tracks:,} test tracks by {groups:,} groups of artists can hardly tell models apart; "
        f"--set evaluate.folds={FOLDS} for 04, 05 and 06 measures on all tracks"
    )


def _predict(divisions, tables, bundles, config):
    """Truth, predictions by name, and group and fold of the test tracks of several divisions, by track_id."""
    truths, parts, tracks = [], [], []
    for division in divisions:
        test = division.tracks[division.rows("test")].set_index("track_id", drop=False)
        enough = len(divisions) > 1 or test["group"].nunique() > 1
        parts.append(predict_baselines(bundles, tables, division, config) if enough else {})
        truths.append(baseline.named(division.target.truth(test), test.index, division.target))
        tracks.append(test[["group"]].assign(fold=division.scheme))
    rows = {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return pd.concat(truths), rows, pd.concat(tracks)


def _joined(parts):
    """The predictions of several divisions, one after the other; of lists, each repetition."""
    if isinstance(parts[0], list):
        return [pd.concat(repetition) for repetition in zip(*parts, strict=True)]
    return pd.concat(parts)


def predict_baselines(bundles, tables, division, config):
    """Predict the test tracks of a division by the fitted baselines and as the reference rows do.

    Parameters
    ----------
    bundles : list of dict
        As 04 leaves them: `candidate`, `columns`, and the fitted estimators by scheme.
    tables : dict of str to pandas.DataFrame
        Inputs of the tracks, in their order.
    division : hitsong.evaluation.divisions.Division
    config : hitsong.config.Config

    Returns
    -------
    dict
        Predictions by name; empty where no baseline is fitted under its scheme.
    """
    tracks, target, scheme = division.tracks, division.target, division.scheme
    test, train = (tracks.loc[division.rows(side), "track_id"] for side in ("test", "train"))
    predictions = {}
    for bundle in bundles:
        if scheme in bundle["schemes"]:
            X = tables[bundle["candidate"].input].loc[test, bundle["columns"]]
            values = baseline.predict(bundle["schemes"][scheme], X, target)
            predictions[bundle["candidate"].name] = baseline.named(values, pd.Index(test), target)
    if not predictions:
        return {}
    permutations = baseline.PERMUTATIONS if len(test) < MANY_TRACKS else FEW_PERMUTATIONS
    return predictions | baseline.reference_predictions(
        next(iter(tables.values())), target.truth(tracks), tracks["artist_id"], train, test, target,
        config.baseline, config.seed, permutations, tracks["group"].astype(str),
    )  # fmt: skip
