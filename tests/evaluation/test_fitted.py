"""Fitted baselines are used for the tracks, target and settings that they were fitted for, and for no others."""

import numpy as np
import pandas as pd
import pytest

from hitsong import config
from hitsong.errors import UserError
from hitsong.evaluation import crossvalidation, fitted

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
        "popularity": rng.integers(0, 100, n).astype(float),
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
    divisions, _ = fitted.divide(tracks, chosen)
    bundles, _ = fitted.fit_baselines(folder, divisions, tables, chosen)
    target = divisions[0].target
    diagnosis = crossvalidation.diagnose(tables, target.write(tracks), target, chosen)
    return fitted.write(folder, bundles, diagnosis, {}, divisions, tables, chosen)


def load(folder, tracks, tables, chosen):
    return fitted.load_baselines(folder, fitted.divide(tracks, chosen)[0], tables, chosen)


def test_what_was_fitted_on_the_same_is_used_whatever_the_order(left):
    folder, tracks, tables = left
    assert len(load(folder, tracks, tables, settings())[0]) == 2
    order = tracks.sample(frac=1, random_state=1).index
    shuffled = tracks.loc[order].reset_index(drop=True)
    load(folder, shuffled, {name: X.loc[shuffled["track_id"]] for name, X in tables.items()}, settings())


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


def test_another_division_of_the_tracks_is_refused(left, rng):
    # A test track must never be one that a baseline was fitted on.
    folder, tracks, tables = left
    for scheme in ("artist", "random"):
        other = tracks.assign(**{scheme: rng.permutation(tracks[scheme])})
        with pytest.raises(UserError, match="other tracks, or on another division"):
            load(folder, other, tables, settings())
    with pytest.raises(UserError, match="other tracks"):
        load(folder, tracks.assign(popularity=tracks["popularity"] + 1), tables, settings())


def test_corrected_values_of_an_input_are_refused(left):
    folder, tracks, tables = left
    spotify = tables["spotify"].copy()
    spotify.loc[tracks.loc[tracks["side"] == "train", "track_id"].iloc[-1], "tempo"] += 1
    with pytest.raises(UserError, match="other values of spotify"):
        load(folder, tracks, tables | {"spotify": spotify}, settings())


def test_an_edited_file_is_refused(left):
    folder, tracks, tables = left
    (folder / "cv.csv").write_text("edited")
    with pytest.raises(UserError, match="cv.csv is not as it was left"):
        load(folder, tracks, tables, settings())


def test_an_interrupted_run_keeps_what_is_fitted(left, monkeypatch):
    folder, tracks, tables = left
    (folder / "artist.joblib").unlink()
    names, plain = [], fitted._fit
    monkeypatch.setattr(fitted, "_fit", lambda one, *rest: names.append(one.name) or plain(one, *rest))
    fit(folder, tracks, tables, settings())
    assert set(names) == {"artist"}
    fit(folder, tracks, {name: X for name, X in tables.items() if name != "artist"}, settings())
    assert not (folder / "artist.joblib").exists()


def test_a_scheme_without_training_tracks_is_left_out(rng):
    tracks, _ = study(rng)
    divisions, lines = fitted.divide(tracks.assign(random="test"), settings())
    assert [one.scheme for one in divisions] == ["artist"]
    assert lines == ["random split: 0 training tracks, so it is left out"]
