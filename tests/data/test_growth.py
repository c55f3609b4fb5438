import numpy as np
import pandas as pd
import pytest

from hitsong.collect import deduplicate, history
from hitsong.config import Config, Target
from hitsong.data import folds, growth, origins, splits
from hitsong.data.tables import baseline_tables
from hitsong.data.tracks import find_leaks, load_tracks
from hitsong.errors import UserError
from hitsong.study import Study
from tests.careers import careers

GROWTH = Target(kind="growth", transform="log_ratio")


def tracks_released(*dates):
    return pd.DataFrame({"track_id": [f"t{i}" for i in range(len(dates))], "release_date": dates})


def readings(*rows):
    table = pd.DataFrame(rows, columns=["track_id", "value", "start", "read_at"])
    return table.assign(
        **{name: pd.to_datetime(table[name], utc=True) for name in ("start", "read_at")}
    ).assign(source="x", quantity="listens")


def selected(*rows):
    return growth.select_quantity(readings(*rows), Config())


def test_the_quantity_is_the_one_that_is_asked_for_else_the_most_frequent():
    both = readings(*[("t0", day, None, f"2020-02-0{day}") for day in range(1, 6)])
    both["quantity"] = ["users", "users", "listens", "listens", "listens"]
    for chosen, values in {"users": [1, 2], "listens": [3, 4, 5], "listens_per_month": [3, 4, 5]}.items():
        config = Config(collect={"popularity": chosen})
        assert growth.select_quantity(both, config)["value"].tolist() == values


def test_levels_are_averaged_within_their_months_and_unknown_ones_have_no_growth():
    tracks = growth.with_growth(
        tracks_released("2020-01-01", "2020-01-01", "2020"),
        selected(
            ("t0", 10, None, "2020-02-01"), ("t0", 20, None, "2020-03-01"), ("t0", 70, None, "2020-11-15"),
            ("t0", 99, None, "2021-06-01"), ("t1", 10, None, "2020-02-01"), ("t2", 10, None, "2020-02-01"),
        ),
        GROWTH,
    )  # fmt: skip
    assert tracks["track_id"].tolist() == ["t0"]
    assert tracks.loc[0, ["early", "late"]].tolist() == [15, 70]
    assert tracks.loc[0, "late_read_at"] == pd.Timestamp("2020-11-15")


def test_counts_are_a_month_over_whole_periods_and_months_without_rows_count_nothing():
    months = pd.date_range("2020-01-01", "2021-02-01", freq="MS")
    rows = [("t0", 60, *months[place : place + 2]) for place in (1, 2)]
    rows += [("other", 1, start, end) for start, end in zip(months[:-1], months[1:], strict=True)]
    tracks = growth.with_growth(tracks_released("2020-01-10"), selected(*rows), GROWTH)
    # February and March lie within the first three months, November and December within months 9 to 12.
    assert tracks.loc[0, "early"] == pytest.approx(120 / (60 / 30.4375))
    assert tracks.loc[0, "late"] == 0
    assert tracks.loc[0, "late_read_at"] == pd.Timestamp("2021-01-01")


def test_a_month_that_a_later_dump_completes_counts_once():
    tracks = selected(("t0", 5, "2020-02-01", "2020-02-10"), ("t0", 9, "2020-02-01", "2020-03-01"))
    assert tracks["value"].tolist() == [9]


def test_without_readings_in_both_windows_the_message_names_them():
    with pytest.raises(UserError, match="months 9 to 12; readings go from 2020-02-01 to 2020-02-01"):
        growth.with_growth(tracks_released("2020-01-01"), selected(("t0", 10, None, "2020-02-01")), GROWTH)


class TestBetweenTwoDays:
    BETWEEN = Target(kind="growth", between=["2020-03-01", "2020-09-01"])

    def test_the_last_level_up_to_each_day_counts(self):
        rows = [("t0", 5, None, "2020-02-01"), ("t0", 7, None, "2020-02-20"), ("t0", 9, None, "2020-08-01")]
        rows += [("t0", 99, None, "2020-09-02"), ("t1", 5, None, "2020-02-01"), ("t2", 5, None, "2020-08-01")]
        tracks = tracks_released("2001", "2001", "2001")
        tracks = growth.with_growth(tracks, selected(*rows), self.BETWEEN)
        assert tracks["track_id"].tolist() == ["t0"]  # of the others there is one reading only
        assert tracks.loc[0, ["early", "late"]].tolist() == [7, 9]
        tracks = growth.with_first_weeks(tracks, selected(*rows), self.BETWEEN)
        assert tracks.loc[0, "first_weeks_last"] == pytest.approx(np.log1p(7))
        assert growth.count_late(tracks.assign(artist="test"), "artist") == 0

    def test_counts_are_those_of_the_last_period_and_0_without_a_row(self):
        rows = [("t0", 29, "2020-02-01", "2020-03-01"), ("t1", 31, "2020-08-01", "2020-09-01")]
        tracks = tracks_released("2019-01-01", "2019-01-01", "2020-02-10")
        tracks = growth.with_growth(tracks, selected(*rows), self.BETWEEN)
        assert tracks["track_id"].tolist() == [
            "t0",
            "t1",
        ]  # the last one was released within the first period
        np.testing.assert_allclose(tracks[["early", "late"]], [[30.4375, 0], [0, 30.4375]])

    def test_settings(self):
        assert Config(target=self.BETWEEN).target.between == ["2020-03-01", "2020-09-01"]
        with pytest.raises(ValueError, match="two days, the earlier one first"):
            Target(kind="growth", between=["2020-09-01", "2020-03-01"])
        with pytest.raises(ValueError, match="nothing is known before it"):
            Config(target=self.BETWEEN, split={"scheme": "time"})


def test_first_weeks_know_nothing_that_was_read_later():
    data = careers(60, 20)
    tracks = data.tracks.assign(released=pd.to_datetime(data.tracks["release_date"]))
    known = growth.select_quantity(data.history, Config())
    table, read_at = growth.first_weeks(tracks, known, 3)
    end = (tracks["released"] + 3 * growth.MONTH).to_numpy()
    assert (read_at.dropna().to_numpy() <= end[read_at.notna().to_numpy()]).all()
    later = known.assign(value=known["value"].where(known["read_at"] < pd.Timestamp("2022-01-01"), 1e6))
    earlier = (end < np.datetime64("2022-01-01")).nonzero()[0]
    pd.testing.assert_frame_equal(table.iloc[earlier], growth.first_weeks(tracks, later, 3)[0].iloc[earlier])


def test_first_weeks_of_levels_and_of_counts():
    month = 365.25 / 12
    tracks = tracks_released("2020-01-01", "2020-01-01", "2020-01-01")
    tracks["released"] = pd.to_datetime(tracks["release_date"])
    known = selected(
        ("t0", 10, None, "2020-01-11"), ("t0", 30, None, "2020-02-10"), ("t0", 50, None, "2020-03-11"),
        ("t0", 99, None, "2020-05-01"),
    )  # fmt: skip
    levels = growth.first_weeks(tracks, known, 3)[0].loc["t0"]
    first, last = np.log1p([10, 50])
    assert levels["mean"] == pytest.approx(np.log1p(30))
    assert (levels["first"], levels["last"]) == pytest.approx((first, last))
    assert levels["trend"] == pytest.approx((last - first) / (60 / month))
    known = selected(
        ("t1", 31, "2020-01-01", "2020-02-01"), ("t1", 58, "2020-02-01", "2020-03-01"),
        ("t1", 7, "2020-04-01", "2020-05-01"),
    )  # fmt: skip
    counts, read_at = growth.first_weeks(tracks, known, 3)
    first, last = np.log1p([31 * month / 31, 58 * month / 29])  # a month
    assert counts.loc["t1", "mean"] == pytest.approx(np.log1p((31 + 58) / (60 / month)))
    assert counts.loc["t1", ["first", "last"]].tolist() == pytest.approx([first, last])
    assert counts.loc["t1", "trend"] == pytest.approx((last - first) / (29 / month))
    assert read_at["t1"] == pd.Timestamp("2020-03-01")
    assert counts.loc["t2", ["mean", "first", "last"]].tolist() == [0, 0, 0]  # counted, and nobody listened
    assert np.isnan(counts.loc["t2", "trend"])


@pytest.fixture(scope="module")
def rolling():
    """Careers with their sides as of four dates."""
    data, config = careers(), Config()
    tracks = growth.with_growth(data.tracks, growth.select_quantity(data.history, config), GROWTH)
    tracks = growth.with_first_weeks(tracks, growth.select_quantity(data.history, config), GROWTH)
    return origins.with_sides(tracks, origins.origin_dates(tracks, 4), config.split, 1)


def test_each_track_tests_at_one_origin_at_most_and_its_artists_are_on_no_other_side(rolling):
    sides = rolling[folds.names(rolling)]
    assert (sides == "test").sum(axis=1).le(1).all()
    assert ((sides == "test").any(axis=1) == (rolling["fold"] != "excluded")).all()
    for name in sides:
        used = rolling[sides[name] != "excluded"]
        assert used.groupby("artist_id")[name].nunique().eq(1).all()
        assert used[name].value_counts()[["train", "validation", "test"]].gt(10).all(), name


def test_as_of_an_origin_nothing_later_is_used(rolling):
    for name in folds.names(rolling):
        date = rolling.loc[rolling[name] == "test", "origin"].unique()
        assert len(date) == 1
        known = rolling[rolling[name].isin(["train", "validation"])]
        assert (known["late_read_at"] <= date[0]).all()
        tested = rolling[rolling[name] == "test"]
        assert (tested["predicted_at"] >= date[0]).all()
        assert (tested["first_weeks_read_at"] <= tested["predicted_at"]).all()
    assert (rolling["fold"].value_counts()[["1", "2", "3", "4"]] > 0.16 * len(rolling)).all()
    assert growth.count_late(rolling, "folds") == 0


def test_readings_after_the_origin_among_the_inputs_are_counted(rolling):
    tested = rolling["fold"] != "excluded"
    leaky = rolling.assign(
        first_weeks_read_at=rolling["first_weeks_read_at"].mask(tested, rolling["late_read_at"])
    )
    assert growth.count_late(leaky, "folds") == tested.sum()
    trained = rolling.assign(**{"fold-1": rolling["fold-1"].mask(rolling["fold-1"] == "excluded", "train")})
    assert growth.count_late(trained, "folds") > 0


def test_origins_keep_what_they_tested_when_tracks_are_added(rolling):
    config, dates = Config(), sorted(rolling["origin"].dropna().unique())
    fewer = origins.with_sides(rolling.iloc[::2].reset_index(drop=True), dates, config.split, 1)
    both = fewer.merge(rolling, on="track_id")
    assert (both["fold_x"] == both["fold_y"]).all()
    changed = both["fold-2_x"] != both["fold-2_y"]
    assert set(both.loc[changed, "fold-2_y"]) <= {"excluded"}  # an artist of theirs is tested now


def test_too_short_a_history_names_the_date_and_what_to_do(rolling):
    dates = [pd.Timestamp("2019-06-01"), pd.Timestamp("2022-01-01")]
    with pytest.raises(UserError, match="as of 2019-06-01 there are 0 tracks to train on"):
        origins.with_sides(rolling, dates, Config().split, 1)


def test_the_time_scheme_trains_on_what_was_read_before_its_date():
    data, config = careers(), Config()
    tracks = growth.with_growth(data.tracks, growth.select_quantity(data.history, config), GROWTH)
    table = splits.make_splits(tracks, "popularity", config.split, 1)
    tracks = tracks.merge(table, on="track_id")
    cut = table.attrs["cuts"][1]
    side = pd.Series(origins.read_before(tracks, cut, config.split, 1))
    assert (tracks.loc[side.isin(["train", "validation"]), "late_read_at"] <= pd.Timestamp(cut)).all()
    assert (side[tracks["time"] == "test"] == "test").all()
    assert (side == "excluded").sum() > (tracks["time"] == "excluded").sum()
    assert 0.1 < (side == "validation").sum() / side.isin(["train", "validation"]).sum() < 0.3
    credited = tracks.assign(side=side)[side != "excluded"]
    assert credited.groupby("artist_id")["side"].nunique().eq(1).all()


class TestStudies:
    CONFIG = Config(target=GROWTH, split={"scheme": "time", "origins": 4})

    @pytest.fixture
    def study(self, tmp_path):
        data, study = careers(400, 200), Study(tmp_path)
        tracks = data.tracks.join(data.sound, on="track_id").assign(aliases=[[]] * 400)
        deduplicate.write(study.tracks, tracks.reindex(columns=deduplicate.SCHEMA.names))
        history.write(study.history, data.history)
        return study

    def test_tracks_come_with_growth_inputs_and_sides_at_each_date(self, study):
        tracks, target, counts = load_tracks(study, self.CONFIG)
        assert str(target).startswith("log ratio of growth from the first 3 months")
        np.testing.assert_allclose(
            tracks["y"], np.log1p(tracks["late"]) - np.log1p(tracks["early"]), rtol=1e-5
        )
        assert counts["without_growth"] == 400 - len(tracks)
        assert folds.names(tracks) == ["fold-1", "fold-2", "fold-3", "fold-4"]
        assert len(counts["origins"]) == 4
        tables = baseline_tables(study, self.CONFIG, tracks, target)
        assert list(tables) == ["spotify", "age", "artist", "first_weeks", "sound_first_weeks"]
        assert all((table.index == tracks["track_id"]).all() for table in tables.values())
        leaks = find_leaks(study, tracks)
        assert (
            leaks["folds"]["artists"]
            == leaks["folds"]["late_readings"]
            == leaks["time"]["late_readings"]
            == 0
        )

    def test_dates_are_kept_when_the_history_grows(self, study):
        dates = load_tracks(study, self.CONFIG)[2]["origins"]
        readings = history.read(study.history)
        more = readings[readings["read_at"] == readings["read_at"].max()]
        year = pd.Timedelta(days=365)
        more = more.assign(start=more["start"] + year, read_at=more["read_at"] + year)
        history.write(study.history, pd.concat([readings, more]))
        assert load_tracks(study, self.CONFIG)[2]["origins"] == dates

    def test_age_says_nothing_of_the_day_of_reading(self, study):
        tracks, target, _ = load_tracks(study, self.CONFIG)
        later = tracks.assign(fetched_at="2030-01-01")
        ages = [baseline_tables(study, self.CONFIG, each, target)["age"] for each in (tracks, later)]
        pd.testing.assert_frame_equal(*ages)

    def test_without_a_history_the_message_says_how_to_make_one(self, study):
        study.history.unlink()
        with pytest.raises(UserError, match="holds no readings with their time; .*--refresh"):
            load_tracks(study, self.CONFIG)
