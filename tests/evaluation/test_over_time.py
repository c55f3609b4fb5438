"""The headline over time on invented careers, of which a known share depends on the sound."""

import pandas as pd
import pytest

from hitsong.config import Baseline, Config, Evaluate, Split, Target
from hitsong.data import folds, growth, leakage, origins, splits, tables
from hitsong.data.tracks import find_leaks, with_target
from hitsong.evaluation import fitted, schemes
from hitsong.evaluation.divisions import divide
from hitsong.study import Study
from tests.careers import careers

pytestmark = pytest.mark.long

CONFIG = Config(
    target=Target(kind="growth", transform="log_ratio"), split=Split(scheme="time", origins=4),
    baseline=Baseline(models=["ridge"], controls=["age", "artist"]), evaluate=Evaluate(draws=200),
)  # fmt: skip


def headline(folder, months=3, **options):
    """Measure invented careers from four dates; `months` is how many are used as input, of three that may be.

    Returns results, as from `measure_schemes`, and what stands on two sides by division.
    """
    data = careers(1200, 400, **options)
    readings = growth.select_quantity(data.history, CONFIG)
    tracks = growth.with_growth(data.tracks, readings, CONFIG.target)
    used = CONFIG.target.model_copy(update={"observe_months": months})
    tracks = growth.with_first_weeks(tracks, readings, used)
    table = splits.make_splits(tracks, "popularity", CONFIG.split, CONFIG.seed)
    tracks = tracks.merge(table[["track_id", "group", "artist", "time"]], on="track_id")
    tracks["time"] = origins.read_before(tracks, table.attrs["cuts"][1], CONFIG.split, CONFIG.seed)
    tracks = origins.with_sides(tracks, origins.origin_dates(tracks, 4), CONFIG.split, CONFIG.seed)
    tracks, target = with_target(tracks.assign(side=tracks["time"]), tracks["time"] == "train", CONFIG)
    index = pd.Index(tracks["track_id"], name="track_id")
    inputs = {"descriptors": data.sound.loc[index], **tables.controls(tracks, CONFIG, target)}
    inputs |= tables.early_readings(tracks, inputs["descriptors"])
    divisions, _ = divide(tracks, CONFIG)
    bundles, _ = fitted.fit_baselines(folder, divisions, inputs, CONFIG)
    result, _ = schemes.measure_schemes(divisions, inputs, bundles, {}, {}, data.planted, CONFIG)
    return result, find_leaks(Study(folder), tracks), folds.names(tracks)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return headline(tmp_path_factory.mktemp("growth"))


def spearman(result, name):
    return result["rows"][name]["metrics"]["spearman"]


def test_the_planted_part_of_growth_is_found_from_four_dates(measured):
    result, _, names = measured
    assert len(names) == 4
    ceiling = spearman(result, "planted")
    assert ceiling > 0.4
    assert spearman(result, "ridge-descriptors") >= 0.7 * ceiling
    assert spearman(result, "age") < spearman(result, "ridge-descriptors")
    assert not any("shuffled" in flag for flag in result["flags"])
    low, high = result["rows"]["shuffled"]["intervals"]["spearman"]
    assert low < 0 < high


def test_the_sound_and_the_first_months_stand_side_by_side(measured):
    rows = measured[0]["rows"]
    assert {"ridge-descriptors", "sound_first_weeks", "first_weeks", "age"} <= rows.keys()
    assert spearman(measured[0], "sound_first_weeks") > spearman(measured[0], "first_weeks")


def test_nothing_was_read_too_late(measured):
    assert measured[1]["folds"] == {
        "artists": 0, "same_audio": None, "same_title": 0, "near_audio": None, "late_readings": 0,
    }  # fmt: skip
    assert measured[1]["time"]["late_readings"] == 0


def test_a_run_with_readings_from_after_the_origin_is_flagged(measured, tmp_path):
    leaky, leaks, _ = headline(tmp_path, months=12)
    assert spearman(leaky, "first_weeks") > spearman(measured[0], "first_weeks")
    assert leaks["folds"]["late_readings"] > 500
    flags = leakage.leak_warnings(leaks["folds"])
    assert flags == [
        f"leak across the split, tracks with readings from after their date: {leaks['folds']['late_readings']:,}"
    ]
