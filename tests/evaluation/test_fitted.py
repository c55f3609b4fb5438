"""Fitted baselines are used for the tracks, target and settings that they were fitted for, and for no others."""

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from hitsong import config
from hitsong.data import folds
from hitsong.errors import UserError
from hitsong.evaluation import crossvalidation, fitted, schemes
from hitsong.evaluation.divisions import divide

SETTINGS = [
    "baseline.models=[ridge]",
    "baseline.controls=[artist]",
    "baseline.alphas=[1.0]",
    "evaluate.draws=100",
]


def settings(*more):
    return config.load("config.yaml", [*SETTINGS, *more])


def study(rng):
    """Tracks with sides under two schemes, and their tables."""
    n = 120
    artist = np.arange(n) % 24
    side = np.array(["train", "train", "validation", "test"])[artist % 4]
    tracks = pd.DataFrame({
        "track_id": [f"t{i:03}" for i in range(n)], "artist_id": [f"a{i}" for i in artist],
        "group": [f"a{i}" for i in artist], "artist": side, "random": rng.permutation(side),
        "popularity": rng.integers(0, 100, n).astype(float), "popularity_source": "invented",
    })  # fmt: skip
    tracks["side"] = tracks["artist"]
    return tracks, tables_of(tracks, rng.normal(size=(n, 2)))


def tables_of(tracks, values):
    index = pd.Index(tracks["track_id"], name="track_id")
    return {
        "spotify": pd.DataFrame(values, index=index, columns=["energy", "tempo"]),
        "artist": pd.DataFrame({"artist_id": tracks["artist_id"].to_numpy()}, index=index),
    }


@pytest.fixture
def left(tmp_path, rng):
    """What 04 leaves: folder, tracks, tables."""
    tracks, tables = study(rng)
    fit(tmp_path, tracks, tables, settings())
    return tmp_path, tracks, tables


def fit(folder, tracks, tables, chosen):
    divisions, _ = divide(tracks, chosen)
    bundles, _ = fitted.fit_baselines(folder, divisions, tables, chosen)
    target = divisions[0].target
    diagnosis = crossvalidation.diagnose(tables, target.write(tracks), target, chosen)
    return fitted.write(folder, bundles, diagnosis, {}, divisions, tables, chosen)


def load(folder, tracks, tables, chosen):
    return fitted.load_baselines(folder, divide(tracks, chosen)[0], tables, chosen)


@pytest.mark.long
def test_what_was_fitted_on_the_same_is_used_whatever_the_order(left):
    folder, tracks, tables = left
    assert len(load(folder, tracks, tables, settings())[0]) == 2
    order = tracks.sample(frac=1, random_state=1).index
    shuffled = tracks.loc[order].reset_index(drop=True)
    load(folder, shuffled, {name: X.loc[shuffled["track_id"]] for name, X in tables.items()}, settings())


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["target.kind=popular"], "fitted for popularity, not for popular"),
        (["baseline.controls=[]"], "other settings"),
        (["seed=2"], "other settings"),
        (["split.scheme=random"], "other settings"),
    ],
)
def test_other_settings_are_refused_in_one_line(left, change, message):
    with pytest.raises(UserError, match=f"{message}.*04_baseline") as error:
        load(*left, settings(*change))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.long
def test_another_division_of_the_tracks_is_refused(left, rng):
    # A test track must never be one that a baseline was fitted on.
    folder, tracks, tables = left
    for scheme in ("artist", "random"):
        other = tracks.assign(**{scheme: rng.permutation(tracks[scheme])})
        with pytest.raises(UserError, match="other tracks, or on another division"):
            load(folder, other, tables, settings())
    with pytest.raises(UserError, match="other tracks"):
        load(folder, tracks.assign(popularity=tracks["popularity"] + 1), tables, settings())


@pytest.mark.long
def test_corrected_values_of_an_input_are_refused(left):
    folder, tracks, tables = left
    spotify = tables["spotify"].copy()
    spotify.loc[tracks.loc[tracks["side"] == "train", "track_id"].iloc[-1], "tempo"] += 1
    with pytest.raises(UserError, match="other values of spotify"):
        load(folder, tracks, tables | {"spotify": spotify}, settings())


@pytest.mark.long
def test_an_edited_file_is_refused(left):
    folder, tracks, tables = left
    (folder / "cv.csv").write_text("edited")
    with pytest.raises(UserError, match="cv.csv is not as it was left"):
        load(folder, tracks, tables, settings())


@pytest.mark.long
def test_an_interrupted_run_keeps_what_is_fitted(left, monkeypatch):
    folder, tracks, tables = left
    (folder / "artist.joblib").unlink()
    names, plain = [], fitted._fit
    monkeypatch.setattr(fitted, "_fit", lambda item, *rest: names.append(item.name) or plain(item, *rest))
    fit(folder, tracks, tables, settings())
    assert set(names) == {"artist"}
    fit(folder, tracks, {name: X for name, X in tables.items() if name != "artist"}, settings())
    assert not (folder / "artist.joblib").exists()


def test_a_scheme_without_training_tracks_is_left_out(rng):
    tracks, _ = study(rng)
    divisions, lines = divide(tracks.assign(random="test"), settings())
    assert [division.scheme for division in divisions] == ["artist"]
    assert lines == ["random split: 0 training tracks, so it is left out"]


@pytest.fixture
def folded(tmp_path, rng):
    """A study with three folds: folder, tracks, tables, settings, and what `fit` recorded."""
    tracks, _ = study(rng)
    tracks["popularity"] = rng.normal(50, 10, len(tracks))
    values = np.column_stack(
        [tracks["popularity"] / 10 + rng.normal(size=len(tracks)), rng.normal(size=len(tracks))]
    )
    fold = pd.DataFrame({"folds_3": (np.arange(len(tracks)) % 24 % 3 + 1).astype(str)})
    tracks, tables = folds.with_sides(tracks, fold, 3), tables_of(tracks, values)
    chosen = settings("evaluate.folds=3")
    return tmp_path, tracks, tables, chosen, fit(tmp_path, tracks, tables, chosen)


@pytest.mark.long
def test_every_track_is_predicted_by_the_fit_of_its_fold(folded):
    folder, tracks, tables, chosen, _ = folded
    divisions = divide(tracks, chosen)[0]
    bundles, record = fitted.load_baselines(folder, divisions, tables, chosen)
    result, table = schemes.measure_schemes(
        divisions, tables, bundles, {}, fitted.choices(record), None, chosen
    )
    ridge = table[table["model"] == "ridge-spotify"].set_index("track_id")
    assert sorted(ridge.index) == sorted(tracks["track_id"])
    for number in (1, 2, 3):
        of_fold = tracks[tracks["fold"] == str(number)]
        expected = bundles[0]["schemes"][f"fold-{number}"].predict(tables["spotify"].loc[of_fold["track_id"]])
        np.testing.assert_allclose(ridge.loc[of_fold["track_id"], "prediction"], expected)
        assert set(ridge.loc[of_fold["track_id"], "fold"]) == {f"fold-{number}"}
    by_fold = [spearmanr(part["y"], part["prediction"]).statistic for _, part in ridge.groupby("fold")]
    row = result["rows"]["ridge-spotify"]
    assert row["metrics"]["spearman"] == pytest.approx(np.mean(by_fold))
    low, high = row["intervals"]["spearman"]
    assert low < np.mean(by_fold) < high
    assert set(result["schemes"]) == {"artist", "random"}  # the single splits beside it
    intervals = [
        item["rows"]["ridge-spotify"]["intervals"]["spearman"]
        for item in (result, result["schemes"]["artist"])
    ]
    narrow, wide = np.ptp(intervals, axis=1)
    assert narrow < 0.7 * wide


@pytest.mark.long
def test_validation_covers_all_folds(folded):
    _, tracks, tables, chosen, record = folded
    by_fold = []
    for division in divide(tracks, chosen)[0][-3:]:
        y = division.tracks.loc[division.rows("validation"), "popularity"]
        p = joblib.load(folded[0] / "ridge-spotify.joblib")["schemes"][division.scheme].predict(
            tables["spotify"][division.rows("validation")]
        )
        by_fold.append(spearmanr(y, p).statistic)
    values = record["validation"]["ridge-spotify"]
    assert values["spearman"] == pytest.approx(np.mean(by_fold))
    assert values["standard_error"] > 0


@pytest.mark.long
def test_baselines_of_a_single_split_are_not_taken_for_those_of_folds(folded):
    folder, tracks, tables, _, _ = folded
    single = tracks.drop(columns=folds.names(tracks))
    with pytest.raises(UserError, match="other settings .evaluate.folds 3 -> 0"):
        load(folder, single, tables, settings())


@pytest.mark.long
def test_a_fold_that_cannot_be_fitted_is_named(folded):
    _, tracks, _, chosen, _ = folded
    with pytest.raises(UserError, match="evaluate.folds: fold-2: 0 training tracks"):
        divide(tracks.assign(**{"fold-2": "test"}), chosen)
