import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitsong import config
from hitsong.data import splits
from hitsong.errors import UserError

SHARES = config.Split()


def catalogue(credits, popularity=None, **columns):
    """Tracks t000, t001, ... with the given artists."""
    n = len(credits)
    popularity = np.arange(n) % 7 if popularity is None else popularity
    return pd.DataFrame({
        "track_id": [f"t{i:03d}" for i in range(n)], "artist_ids": list(credits), "popularity": popularity,
        **columns,
    })  # fmt: skip


def singles(n_artists, tracks_each=1, **columns):
    return catalogue([[f"a{i // tracks_each:03d}"] for i in range(n_artists * tracks_each)], **columns)


def sides_of_artists(tracks, table):
    """The sides on which each artist is heard."""
    rows = tracks.merge(table, on="track_id").explode("artist_ids")
    rows = rows[rows["artist"] != "excluded"]
    return rows.groupby("artist_ids")["artist"].agg(set)


def make(tracks, **arguments):
    return splits.make_splits(tracks, "popularity", SHARES, 1, **arguments)


artists = st.lists(st.sampled_from("abcdefghij"), min_size=0, max_size=3, unique=True)
catalogues = st.lists(artists, min_size=1, max_size=40)


class TestComponents:
    def test_guests_unite_groups(self):
        tracks = catalogue([["b"], ["c", "b"], ["c", "d"], ["x"], ["y", "x"], ["z"]])
        assert splits.artist_groups(tracks).to_dict() == {
            "t000": "b", "t001": "b", "t002": "b", "t003": "x", "t004": "x", "t005": "z",
        }  # fmt: skip

    def test_a_track_without_credits_stands_alone(self):
        assert list(splits.artist_groups(catalogue([[], ["a"], None, ["a"]]))) == ["t000", "a", "t002", "a"]

    def test_arrays_of_artists_as_parquet_gives_them(self):
        assert list(splits.artist_groups(catalogue([np.array(["b", "a"]), np.array(["b"])]))) == ["a", "a"]

    @given(catalogues)
    @settings(max_examples=50)
    def test_same_group_if_and_only_if_linked(self, credits):
        group = splits.artist_groups(catalogue(credits)).to_list()
        tracks = range(len(credits))
        reach = [{i} | {j for j in tracks if set(credits[i]) & set(credits[j])} for i in tracks]
        for _ in credits:  # transitive closure, the slow and plain way
            reach = [set().union(*(reach[j] for j in linked)) for linked in reach]
        for i, linked in enumerate(reach):
            assert linked == {j for j, name in enumerate(group) if name == group[i]}


class TestMake:
    @given(catalogues, st.integers(0, 5), st.randoms(use_true_random=False))
    @settings(max_examples=40)
    def test_no_artist_on_two_sides_and_one_row_each(self, credits, seed, random):
        tracks = catalogue(credits)
        table = splits.make_splits(tracks, "popularity", SHARES, seed)
        assert list(table["track_id"]) == list(tracks["track_id"])
        assert table[["artist", "random"]].isin(splits.SIDES).all(axis=None)
        assert (sides_of_artists(tracks, table).map(len) == 1).all()
        assert (table.groupby("group")["artist"].nunique() == 1).all()

        order = list(range(len(tracks)))
        random.shuffle(order)
        pd.testing.assert_frame_equal(
            splits.make_splits(tracks.iloc[order], "popularity", SHARES, seed), table
        )

    @pytest.mark.long
    @given(catalogues, st.lists(st.integers(0, 3), min_size=40, max_size=40), st.booleans())
    @settings(max_examples=40)
    def test_stable_under_any_growth(self, credits, batch, forget):
        tracks = catalogue(credits)
        batch = np.array(batch[: len(tracks)])
        table = None
        for step in range(4):
            # Either everything so far, or only the newest batch: earlier tracks may vanish and come back.
            present = tracks[batch == step] if forget else tracks[batch <= step]
            before, table = table, make(present, frozen=table)
            if before is not None:
                joined = before.merge(table, on="track_id", validate="1:1")
                assert len(joined) == len(before)
                assert (joined["artist_x"] == joined["artist_y"]).all()
                assert (joined["random_x"] == joined["random_y"]).all()
        table = make(tracks, frozen=table)
        assert list(table["track_id"]) == list(tracks["track_id"])
        assert (sides_of_artists(tracks, table).map(len) == 1).all()
        kept = table[table["artist"] != "excluded"]
        assert (kept.groupby("group")["artist"].nunique() == 1).all()
        assert make(tracks, frozen=table).equals(table)

    def test_shares_are_met_when_groups_are_small(self):
        rng = np.random.default_rng(0)
        tracks = singles(300, 3, popularity=rng.integers(0, 100, 900))
        table = make(tracks)
        for scheme in ["artist", "random"]:
            result = table[scheme].value_counts(normalize=True)
            for side in splits.SIDES:
                assert result[side] == pytest.approx(getattr(SHARES, side), abs=0.01)

    def test_sides_have_alike_targets(self):
        # Artists differ strongly in popularity, and a third of all tracks has none.
        rng = np.random.default_rng(1)
        popularity = np.maximum(0, np.repeat(rng.normal(15, 25, 150), 4) + rng.normal(0, 5, 600))
        tracks = singles(150, 4, popularity=popularity)
        table = make(tracks).merge(tracks, on="track_id")
        for scheme in ["artist", "random"]:
            mean = table.groupby(scheme)["popularity"].mean()
            zeros = table.groupby(scheme)["popularity"].agg(lambda values: (values == 0).mean())
            assert np.ptp(mean) < 3
            assert np.ptp(zeros) < 0.05

    @pytest.mark.parametrize("sizes", [(1, 1, 1), (50, 1, 1), (4, 3, 2, 2, 1, 1, 1, 9, 5, 20, 2, 2)])
    def test_small_catalogues_reach_every_side(self, sizes):
        tracks = catalogue([[f"a{i}"] for i, size in enumerate(sizes) for _ in range(size)])
        assert set(make(tracks)["artist"]) == set(splits.SIDES)

    def test_two_artists_train_and_test(self):
        table = make(catalogue([["a"], ["a"], ["b"]]))
        assert list(table["artist"]) == ["train", "train", "test"]

    def test_new_track_of_a_known_artist_joins_its_side(self):
        tracks = singles(30)
        table = make(tracks)
        more = catalogue([*tracks["artist_ids"], *[[f"a{i:03d}", f"new{i}"] for i in range(30)]])
        grown = make(more, frozen=table)
        assert list(grown["artist"][30:]) == list(table["artist"])
        assert list(grown["group"][:30]) == list(grown["group"][30:])

    def test_bridges_between_sides_are_excluded(self):
        tracks = singles(12)
        table = make(tracks).set_index("track_id")["artist"]
        on = {side: tracks["artist_ids"][table.to_numpy() == side].iloc[0][0] for side in splits.SIDES}
        more = catalogue([
            *tracks["artist_ids"],
            [on["train"], on["test"]],  # directly
            [on["train"], "new"], ["new", "other"], ["other", on["test"]],  # through new tracks
            [on["train"]],
            ["newcomer"],
        ])  # fmt: skip
        grown = make(more, frozen=table.reset_index().assign(group="", random="train"))
        assert list(grown["artist"][12:-1]) == ["excluded"] * 4 + ["train"]
        assert grown["artist"].iloc[-1] in splits.SIDES
        assert set(grown["random"]) <= set(splits.SIDES)

    def test_corrected_credits_exclude_rather_than_leak(self):
        tracks = singles(10, 3)
        table = make(tracks)
        train, test = (table.index[table["artist"] == side][0] for side in ["train", "test"])
        tracks.at[train, "artist_ids"] = tracks["artist_ids"][train] + tracks["artist_ids"][test]
        grown = make(tracks, frozen=table)
        changed = grown["artist"] != table["artist"]
        assert list(table["track_id"][changed]) == [tracks["track_id"][train]]
        assert grown["artist"][train] == "excluded"

    def test_tracks_without_target_get_no_row(self):
        tracks = singles(10, popularity=[1, np.nan, *range(8)])
        assert "t001" not in set(make(tracks)["track_id"])
        nullable = tracks.assign(popularity=tracks["popularity"].astype("Int64"))
        assert make(nullable).equals(make(tracks))

    def test_own_split_is_honoured(self):
        tracks = singles(4, split=["training", "validation", "test", None])
        assert list(make(tracks)["own"]) == ["train", "validation", "test", "excluded"]
        assert "own" not in make(tracks.assign(split=None))

    def test_equal_targets(self):
        assert set(make(singles(20, popularity=np.zeros(20)))["artist"]) == set(splits.SIDES)

    def test_a_track_twice_is_refused(self):
        with pytest.raises(ValueError, match="one row per track_id"):
            make(pd.concat([singles(3), singles(3)]))


dates = st.sampled_from(
    [None, "0000", "soon", "1999", "2003-05", "2003-05-06", "2010", "2019-12-31", "2021-01"]
)


class TestTime:
    def heard(self, tracks, table, side):
        """Artists of the tracks on a side of the time split."""
        return set(tracks["artist_ids"][(table["time"] == side).to_numpy()].explode().dropna())

    @pytest.mark.long
    @given(catalogues, st.lists(dates, min_size=40, max_size=40), st.randoms(use_true_random=False))
    @settings(max_examples=60)
    def test_older_trains_newer_tests_and_no_artist_does_both(self, credits, released, random):
        tracks = catalogue(credits, release_date=released[: len(credits)])
        table = make(tracks)
        known = [isinstance(date, str) and date[0] in "12" for date in tracks["release_date"]]
        if not any(known):
            assert "time" not in table
            return
        assert (table["time"][~np.array(known)] == "excluded").all()
        for older, newer in [("train", "validation"), ("validation", "test"), ("train", "test")]:
            assert not self.heard(tracks, table, older) & self.heard(tracks, table, newer)
            before = tracks["release_date"][(table["time"] == older).to_numpy()]
            after = tracks["release_date"][(table["time"] == newer).to_numpy()]
            if len(before) and len(after):
                assert before.max() < after.min()
        order = list(range(len(tracks)))
        random.shuffle(order)
        pd.testing.assert_frame_equal(make(tracks.iloc[order]), table)

    @pytest.mark.long
    @given(
        catalogues,
        st.lists(dates, min_size=40, max_size=40),
        st.lists(st.integers(0, 3), min_size=40, max_size=40),
    )
    @settings(max_examples=40)
    def test_stable_under_growth(self, credits, released, batch):
        tracks = catalogue(credits, release_date=released[: len(credits)])
        table = None
        for step in range(4):
            before, table = table, make(tracks[np.array(batch[: len(tracks)]) <= step], frozen=table)
            if before is not None and "time" in before:
                joined = before.merge(table, on="track_id")
                assert (joined["time_x"] == joined["time_y"]).all()
        if "time" in table:
            assert not self.heard(tracks, table, "train") & self.heard(tracks, table, "test")
            assert make(tracks, frozen=table).equals(table)

    def test_an_artist_goes_by_most_of_his_tracks(self):
        # Ten years of a track each, by artists of their own, but for one with two old tracks and a new one.
        released = [str(2000 + year) for year in range(10)]
        tracks = catalogue([[f"a{i}"] for i in range(10)], release_date=released)
        tracks.at[0, "artist_ids"] = tracks.at[1, "artist_ids"] = tracks.at[9, "artist_ids"] = ["long career"]
        table = make(tracks)
        assert table["time"].tolist() == ["train"] * 6 + ["validation"] * 2 + ["test"] + ["excluded"]
        assert table.attrs["cuts"] == ["2006", "2008"]

    def test_new_tracks_are_parted_by_the_first_dates(self, tmp_path):
        path = tmp_path / "splits.parquet"
        tracks = catalogue([[f"a{i}"] for i in range(30)], release_date=[f"{1990 + i}" for i in range(30)])
        splits.load_splits(path, tracks[:20], "popularity", SHARES, 1)
        table, counts = splits.load_splits(path, tracks, "popularity", SHARES, 1)
        assert (table["time"][20:] == "test").all()
        assert counts["time"] == {"train": 13, "validation": 3, "test": 14, "excluded": 0}

    def test_without_dates_there_is_none(self):
        with pytest.raises(UserError, match="split.scheme time: the tracks have no release dates"):
            splits.require_sides(make(singles(5)), "time")


class TestLoadOrMake:
    def call(self, path, tracks):
        return splits.load_splits(path, tracks, "popularity", SHARES, 1)

    def test_made_once_then_kept(self, tmp_path):
        path, tracks = tmp_path / "splits.parquet", singles(40, popularity=[np.nan, *range(39)])
        table, counts = self.call(path, tracks)
        assert counts == {
            "new": 39, "known": 0, "without_target": 1,
            "made_with": {"train": 0.65, "test": 0.20, "validation": 0.15, "seed": 1},
            "artist": table["artist"].value_counts().to_dict() | {"excluded": 0},
            "random": table["random"].value_counts().to_dict() | {"excluded": 0},
        }  # fmt: skip
        written = path.stat().st_mtime_ns
        again, counts = self.call(path, tracks.sample(frac=1, random_state=0))
        assert again.equals(table)
        assert (counts["new"], counts["known"]) == (0, 39)
        assert path.stat().st_mtime_ns == written

    def test_same_bytes_for_the_same_tracks(self, tmp_path):
        tracks = singles(40)
        self.call(tmp_path / "a.parquet", tracks)
        self.call(tmp_path / "b.parquet", tracks.sample(frac=1, random_state=0))
        assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()

    def test_tracks_that_vanish_return_to_their_side(self, tmp_path):
        path, tracks = tmp_path / "splits.parquet", singles(40)
        table, _ = self.call(path, tracks)
        fewer, counts = self.call(path, tracks[:30])
        assert fewer.equals(table[:30])
        assert counts["known"] == 30
        back, _ = self.call(path, tracks)
        assert back.equals(table)

    def test_other_settings_are_told_and_change_nothing(self, tmp_path):
        path, tracks = tmp_path / "splits.parquet", singles(40)
        table, counts = self.call(path, tracks)
        assert splits.changed_settings(counts, SHARES, 1) is None
        other = config.Split(train=0.8, validation=0.1, test=0.1)
        again, counts = splits.load_splits(path, tracks, "popularity", other, 2)
        assert again.equals(table)
        text = splits.changed_settings(counts, other, 2)
        assert "train 0.65, now 0.8" in text
        assert "seed 1, now 2" in text
        assert "delete splits.parquet" in text

    def test_too_few_artists_is_an_error_and_leaves_no_file(self, tmp_path):
        path = tmp_path / "splits.parquet"
        with pytest.raises(UserError, match="artist split: nothing is left to test on.*collect more artists"):
            self.call(path, catalogue([["a"], ["a", "b"], ["b"]]))
        assert not path.exists()

    def test_no_tracks_at_all(self, tmp_path):
        with pytest.raises(UserError, match="nothing is left to train on"):
            self.call(tmp_path / "splits.parquet", singles(3, popularity=[np.nan] * 3))

    def test_a_scheme_the_tracks_do_not_bring(self):
        with pytest.raises(UserError, match="split.scheme own"):
            splits.require_sides(make(singles(5)), "own")
