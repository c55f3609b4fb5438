"""The section "Over time": what it draws, and why it is absent."""

import numpy as np
import pandas as pd
import pytest

from hitsong.collect import history
from hitsong.config import Config, Evaluate, Target
from hitsong.data import growth, origins, targets
from hitsong.report import over_time
from hitsong.study import Study
from tests.careers import careers

CONFIG = Config(target=Target(kind="growth", transform="log_ratio"), evaluate=Evaluate(draws=100))


@pytest.fixture(scope="module")
def predicted():
    """Careers, their target, and a table of predictions: of the sound, and of nothing."""
    data = careers(400, 150)
    readings = growth.select_quantity(data.history, CONFIG)
    tracks = growth.with_growth(data.tracks, readings, CONFIG.target)
    tracks = origins.with_sides(tracks, origins.origin_dates(tracks, 3), CONFIG.split, 1)
    tracks["group"] = tracks["artist_id"]
    target = targets.fit_target(CONFIG.target, tracks[["early", "late"]])
    tracks = target.write(tracks)
    test = tracks[tracks["fold"] != "excluded"]
    rng, parts = np.random.default_rng(0), {"ridge-spotify": data.planted[test["track_id"]].to_numpy()}
    parts["age"] = rng.normal(size=len(test))
    table = pd.concat(
        pd.DataFrame({
            "track_id": test["track_id"], "model": name, "output": "growth", "y": test["y"], "prediction": values,
        })
        for name, values in parts.items()
    )  # fmt: skip
    return data, tracks, table, target


def test_the_highest_predictions_fall_least(predicted, monkeypatch):
    data, tracks, table, target = predicted
    readings = growth.select_quantity(data.history, CONFIG)
    monkeypatch.setattr(over_time, "load_readings", lambda study, config: readings)
    figure = over_time.careers(None, CONFIG, tracks, table, target, "ridge-spotify")
    careers_by_part = figure.table.pivot(index="month", columns="part", values="popularity")
    assert list(careers_by_part.index) == [month + 0.5 for month in range(1, 12)]
    assert list(careers_by_part) == list(range(10))
    rise = careers_by_part.iloc[-1] / careers_by_part.iloc[1]
    assert rise[9] > rise[0]
    assert "the lowest and the highest" in figure.alt


def test_skill_is_shown_at_each_date(predicted):
    _, tracks, table, target = predicted
    figure = over_time.skill_by_origin(
        {"main": "spearman"}, tracks, table, target, ["ridge-spotify", "age"], CONFIG
    )
    by_model = figure.table.set_index(["model", "origin"])
    assert len(by_model) == 6
    assert (by_model.loc["ridge-spotify", "low"] > 0).all()
    assert by_model.loc["ridge-spotify", "tracks"].sum() == (tracks["fold"] != "excluded").sum()
    single = tracks.drop(columns="origin")
    assert over_time.skill_by_origin({"main": "spearman"}, single, table, target, ["age"], CONFIG) is None


def test_calibration_is_drawn_for_each_model(predicted):
    _, tracks, table, target = predicted
    figure = over_time.calibration(tracks, table, target, ["ridge-spotify", "age"])
    of_sound = figure.table[figure.table["model"] == "ridge-spotify"]
    assert of_sound["actual"].iloc[-1] > of_sound["actual"].iloc[0]


def test_without_readings_over_time_there_is_a_line_instead(tmp_path):
    study, popularity = Study(tmp_path), targets.Target("popularity")
    assert over_time.reason_absent(study, popularity).endswith("was read once.")
    rows = careers(20, 10, counts=False).history
    history.write(study.history, rows.drop_duplicates("track_id"))
    assert over_time.reason_absent(study, popularity).endswith("was read once.")
    history.write(study.history, rows)
    assert "configs/growth.yaml" in over_time.reason_absent(study, popularity)
    assert over_time.reason_absent(study, targets.Target("growth")) is None
