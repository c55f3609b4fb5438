import pandas as pd
import pytest

from hitsong.data import folds, splits
from hitsong.errors import UserError
from tests.data.test_splits import SHARES, catalogue, make, singles


def test_each_artist_tests_in_one_fold_and_validates_in_one_other():
    tracks = catalogue([["a"], ["a", "b"], ["b"], *([f"x{n // 3}"] for n in range(60))])
    table = make(tracks, folds=5)
    sided = folds.with_sides(table, table, 5)
    sides = sided[folds.names(sided)]
    assert (sides == "test").sum(axis=1).eq(1).all()
    assert (sides == "validation").sum(axis=1).eq(1).all()
    for name in sides:
        assert sided.groupby("group")[name].nunique().eq(1).all()
        assert set(sides[name]) == {"train", "validation", "test"}


def test_folds_are_nearly_equal_and_alike_in_popularity():
    tracks = singles(100, tracks_each=4)
    tracks["popularity"] = range(len(tracks))
    table = make(tracks, folds=5).merge(tracks)
    by_fold = table.groupby("folds_5")["popularity"]
    assert by_fold.size().between(72, 88).all()
    assert by_fold.mean().sub(200).abs().max() < 30


def test_a_track_keeps_its_fold_and_new_ones_join_their_artists():
    tracks = singles(30, tracks_each=3)
    first = make(tracks.iloc[::2], folds=4)
    second = make(tracks, frozen=first)  # without being asked for again
    joined = first.merge(second, on="track_id")
    assert (joined["folds_4_x"] == joined["folds_4_y"]).all()
    credited = second.merge(tracks).explode("artist_ids")
    assert credited.groupby("artist_ids")["folds_4"].nunique().eq(1).all()


def test_a_track_that_unites_two_folds_is_excluded_from_all():
    tracks = singles(12)
    table = make(tracks, folds=3).set_index("track_id")["folds_3"]
    names = tracks.set_index("track_id")["artist_ids"]
    a, b = (names[table.index[table == fold][0]][0] for fold in ("1", "2"))
    grown = catalogue([*tracks["artist_ids"], [a, b]])
    after = make(grown, frozen=make(tracks, folds=3))
    assert after.set_index("track_id").loc["t012", "folds_3"] == "excluded"
    sided = folds.with_sides(after, after, 3).set_index("track_id").loc["t012"]
    assert set(sided[["fold-1", "fold-2", "fold-3"]]) == {"excluded"}


def test_other_numbers_of_folds_stand_side_by_side():
    tracks = singles(30)
    combined = make(tracks, frozen=make(tracks, folds=3), folds=5)
    assert folds.counts(combined) == [3, 5]
    pd.testing.assert_series_equal(combined["folds_3"], make(tracks, folds=3)["folds_3"])


def test_a_track_that_was_gone_when_folds_were_made_gets_one():
    tracks = singles(30)
    first = make(tracks)
    fewer = make(tracks.iloc[:-1], frozen=first, folds=3)
    again = make(tracks, frozen=fewer)
    assert set(again["folds_3"]) == {"1", "2", "3"}


def test_too_few_artists_for_the_folds_are_refused(tmp_path):
    with pytest.raises(UserError, match="evaluate.folds 5: 8 tracks in 4 groups .* only 4 folds"):
        splits.load_splits(tmp_path / "splits.parquet", singles(4, 2), "popularity", SHARES, 1, folds=5)
    assert not (tmp_path / "splits.parquet").exists()
