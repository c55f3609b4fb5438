"""What a sceptical reviewer would try on a study, with the result of each check.

Labels are shuffled among all tracks, and target, baselines and networks are fitted anew: nothing may predict
them. A leak is planted, to see that these checks would find one. Artists alone must predict nothing of new artists, age
alone must predict less than the sound, and no recording may stand on two sides.
"""

import tempfile
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hitsong.data import growth, leakage, targets
from hitsong.data.corpus import Corpus
from hitsong.data.tracks import find_leaks, has_audio, with_target
from hitsong.evaluation import baseline, kinds
from hitsong.evaluation.bootstrap import paired
from hitsong.evaluation.divisions import Division
from hitsong.models.registry import MODELS, Network, in_order
from hitsong.training.recipe import inputs_of, inputs_of_all, make_recipe, needs_audio

SHUFFLES = 5  # of the labels, for the baselines; networks are fitted once
EPOCHS = 2  # of a network on shuffled labels
DEVIATIONS = 3.5  # standard deviations from chance that no check may exceed by chance
_PERMUTATIONS = 200
DISJOINT = ("artist", "time")  # schemes that keep artists apart


@dataclass(frozen=True)
class Check:
    """A check: its name, whether it `passed` (None if it could not be made), and what was measured."""

    name: str
    passed: bool | None
    measured: str

    def __str__(self):
        state = {True: "pass", False: "FAIL", None: "----"}[self.passed]
        return f"{state}  {self.name}: {self.measured}"


def audit(study, config, tracks, tables):
    """Make every check, on the training and test tracks of `split.scheme`.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    tracks : pandas.DataFrame
        As `hitsong.data.tracks.load_tracks` gives them.
    tables : dict of str to pandas.DataFrame
        From `hitsong.data.tables.baseline_tables`, in the order of the tracks.

    Yields
    ------
    Check
    """
    first, rng = next(iter(tables)), np.random.default_rng(config.seed)
    shuffled = [_shuffled(tracks, config, rng) for _ in range(SHUFFLES)]
    kind = config.target.kind
    for model in config.baseline.models:
        pairs = [_fit_baseline(tables[first], division, config, model) for division in shuffled]
        yield at_chance(f"shuffled labels, {model} on {first}", kind, pairs, rng)
    for name in _networks(study, config):
        pairs = [_fit_network(study, config, shuffled[0], name)]
        yield at_chance(f"shuffled labels, network {name}", kind, pairs, rng)
    yield planted_leak(tables[first], shuffled, config, rng)
    yield planted_copy(tracks)
    division = Division("side", *with_target(tracks, tracks["side"] == "train", config))
    yield artists_alone(tables, division, config, rng)
    yield age_alone(tables, division, config)
    if "late_read_at" in tracks:
        yield planted_late_readings(tracks, config)
    leaks = find_leaks(study, tracks)["folds" if config.rounds else config.split.scheme]
    name = "no artist and no recording on two sides"
    yield Check(name, not any(leaks.values()), leakage.leaks_line(leaks))


def at_chance(name, kind, pairs, rng):
    """Check that predictions of labels without meaning are no better than chance.

    Parameters
    ----------
    name, kind : str
    pairs : list of (truth, prediction)
        Of the test tracks, for each shuffle.
    rng : np.random.Generator

    Returns
    -------
    Check
    """
    main = kinds.main(kind)
    value = np.mean([_measure(kind, y, p) for y, p in pairs])
    null = [np.mean([_measure(kind, rng.permutation(y), p) for y, p in pairs]) for _ in range(_PERMUTATIONS)]
    middle, room = np.mean(null), DEVIATIONS * np.std(null)
    return Check(
        name,
        bool(value <= middle + room + 1e-9),
        f"{main} {value:.3f}; chance is {middle:.3f}, at most {middle + room:.3f}",
    )


def planted_leak(X, shuffled, config, rng):
    """Check that an input that knows the labels would be found."""
    pairs = []
    for division in shuffled:
        truth = baseline.matrix(division.target.truth(division.tracks), division.target)[:, 0]
        leaking = X.assign(leak=truth + rng.normal(0, truth.std() or 1, len(X)))
        pairs.append(_fit_baseline(leaking, division, config, config.baseline.models[0]))
    check = at_chance("", shuffled[0].target.kind, pairs, rng)
    return Check("a planted leak is found", not check.passed, check.measured)


def planted_copy(tracks):
    """Check that a training track repeated among the test tracks would be found."""
    original = tracks[tracks["side"] == "train"].iloc[:1]
    copy = original.assign(track_id="planted copy", side="test")
    tracks_and_copy = pd.concat([original, copy], ignore_index=True)
    counts = leakage.count_leaks(tracks_and_copy, tracks_and_copy.set_index("track_id")["side"])
    named = bool(leakage.same_titles(tracks_and_copy)["track_id"].size) or original["name"].isna().all()
    return Check("a planted copy is found", bool(counts["artists"]) and named, leakage.leaks_line(counts))


def planted_late_readings(tracks, config):
    """Check that readings from after the prediction would be found among the inputs."""
    leaking = tracks.assign(**{f"{growth.PREFIX}read_at": tracks["late_read_at"]})
    count = growth.count_late(leaking, "folds" if config.rounds else config.split.scheme)
    return Check("planted readings from after the prediction are found", count > 0, f"{count:,} tracks")


def artists_alone(tables, division, config, rng):
    """Check that knowing artists predicts nothing of artists without training tracks."""
    name = "artists alone predict nothing of new artists"
    if config.split.scheme not in DISJOINT:
        return Check(name, None, f"not checked: the {config.split.scheme} split shares artists between sides")
    if "artist" not in tables:
        return Check(name, None, "not checked: artist is not among baseline.controls")
    pairs = [_fit_baseline(tables["artist"], division, config, "artist")]
    return at_chance(name, division.target.kind, pairs, rng)


def age_alone(tables, division, config):
    """Check that age alone predicts less than a linear model of the first input."""
    name, first, main = "age alone predicts less", next(iter(tables)), kinds.main(division.target.kind)
    if "age" not in tables:
        return Check(name, None, "not checked: no release dates, or age is not among baseline.controls")
    truth, model = _fit_baseline(tables[first], division, config, "ridge")
    age = _fit_baseline(tables["age"], division, config, config.baseline.models[-1])[1]
    groups = division.tracks["group"][division.rows("test")]
    difference = paired(
        division.target.kind, truth, model, age, groups, config.evaluate.draws, config.seed, only=[main]
    )[main]
    return Check(
        name,
        difference["difference"] > 0,
        f"{first} less age: {main} {difference['difference']:.3f}, 95 % interval {difference['low']:.3f} to "
        f"{difference['high']:.3f}",
    )


def _shuffled(tracks, config, rng):
    """The tracks with the labels of others, and the target fitted on them."""
    columns = targets.columns_of_settings(config.target)
    order = rng.permutation(len(tracks))
    mixed = tracks.assign(**{column: tracks[column].to_numpy()[order] for column in columns})
    return Division("side", *with_target(mixed, mixed["side"] == "train", config))


def _fit_baseline(X, division, config, model):
    """Truth and prediction of the test tracks by a baseline that is fitted on the training tracks."""
    train, test = (division.rows(side) for side in ("train", "test"))
    y, groups = division.target.truth(division.tracks), division.tracks["group"].to_numpy(str)
    fitted = baseline.fit(
        X[train], y[train], division.target, config.baseline, config.seed, model, groups[train]
    )
    return y[test], baseline.predict(fitted, X[test], division.target)


def _networks(study, config):
    """The networks of `train.models` that need no other model."""
    return [
        name
        for name in in_order(config.train.models)
        if isinstance(MODELS[name], Network)
        and not getattr(MODELS[name], "parts", ())
        and (has_audio(study) or not needs_audio(name, study, config))
    ]


def _fit_network(study, config, division, name):
    """Truth and prediction of the test tracks by a network that is fitted for a few epochs, and then forgotten."""
    from hitsong.training import fit  # TensorFlow takes seconds

    inputs = inputs_of(name, study, config)
    corpus = Corpus(study, config, division.tracks, division.target, inputs_of_all([name], study, config))
    clips = {side: corpus.side(inputs, side) for side in ("train", "validation", "test")}
    recipe = replace(make_recipe(name, config), epochs=EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        bundle = fit.fit(
            f"{folder}/{name}", name, clips["train"], clips["validation"], target=division.target, recipe=recipe,
            fingerprint={"audit": name}, about=corpus.about(), progress=False,
        )  # fmt: skip
        return clips["test"].y, bundle.predict(clips["test"])


def _measure(kind, y, p):
    """The main metric, averaged over features where there are several."""
    return kinds.evaluate(kind, y, p)[kinds.main(kind)]
