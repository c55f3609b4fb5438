import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitsong.collect import deduplicate
from hitsong.collect.catalog import Catalog, Page


def rows(*tracks):
    """Tracks as a source gives them, from a few fields each."""
    defaults = dict.fromkeys(deduplicate.SCHEMA.names) | {
        "name": "Song", "artist_id": "A", "artist_ids": ["A"], "duration_ms": 200_000, "popularity": 10.0,
    }  # fmt: skip
    return pd.DataFrame([defaults | track for track in tracks])


def kept(*tracks):
    recordings, copies = deduplicate.deduplicate(rows(*tracks))
    fallen = {step: int((copies["step"] == step).sum()) for step in ("preview", "isrc", "title")}
    assert len(copies) == sum(fallen.values())
    assert set(copies["kept"]) <= set(recordings["track_id"])
    return dict(zip(recordings["track_id"], recordings["aliases"].map(list), strict=True)), fallen


def test_the_same_preview_is_one_recording_whatever_its_query():
    recordings, fallen = kept(
        {"track_id": "single", "preview_url": "http://p/1?cid=a", "popularity": 40.0},
        {"track_id": "album", "preview_url": "http://p/1?cid=b", "popularity": 55.0},
        {"track_id": "other", "preview_url": "http://p/2", "popularity": 5.0},
    )
    assert recordings == {"album": ["single"], "other": []}
    assert fallen == {"preview": 1, "isrc": 0, "title": 0}


def test_of_equally_popular_copies_one_with_a_preview_stays_the_oldest_then_the_first():
    copies = (
        {"track_id": "a", "isrc": "X1", "release_date": "2001"},
        {"track_id": "d", "isrc": "X1", "release_date": "2003", "preview_url": "http://p/1"},
        {"track_id": "c", "isrc": "X1", "release_date": "2002", "preview_url": "http://p/2"},
        {"track_id": "b", "isrc": "X1", "release_date": "2002", "preview_url": "http://p/3"},
    )
    assert kept(*copies)[0] == {"b": ["a", "c", "d"]}
    assert kept(*copies[:3])[0] == {"c": ["a", "d"]}
    assert kept(*copies[:2], {"track_id": "e", "isrc": "X1", "popularity": 11.0})[0] == {"e": ["a", "d"]}


def test_null_previews_do_not_merge_everything():
    recordings, _ = kept(*({"track_id": str(n), "name": f"Song {n}"} for n in range(5)))
    assert len(recordings) == 5


def test_the_isrc_joins_what_the_preview_does_not():
    recordings, fallen = kept(
        {"track_id": "a", "isrc": "TWA1", "preview_url": "http://p/1"},
        {"track_id": "b", "isrc": "twa1", "popularity": 20.0},
        {"track_id": "c", "isrc": "TWA1", "preview_url": "http://p/9"},
    )
    assert recordings == {"b": ["a", "c"]}
    assert fallen == {"preview": 0, "isrc": 2, "title": 0}


def test_title_artist_and_duration_are_for_tracks_without_a_better_key():
    recordings, fallen = kept(
        {"track_id": "a", "name": "Él Niño"},
        {"track_id": "b", "name": "el  nino (feat. B)", "duration_ms": 201_500, "popularity": 12.0},
        {"track_id": "c", "name": "El Nino", "duration_ms": 220_000},
        {"track_id": "d", "name": "El Nino", "artist_id": "B"},
        {"track_id": "e", "name": "Again", "isrc": "X1"},
        {"track_id": "f", "name": "Again", "isrc": "X2"},
    )
    assert recordings == {"b": ["a"], "c": [], "d": [], "e": [], "f": []}
    assert fallen["title"] == 1


def test_the_survivor_takes_over_what_only_a_copy_has():
    recordings, _ = deduplicate.deduplicate(
        rows(
            {"track_id": "a", "isrc": "X", "popularity": 50.0, "valence": None},
            {"track_id": "b", "isrc": "X", "popularity": 3.0, "preview_url": "http://p/1", "valence": 0.25},
        )
    )
    survivor = recordings.iloc[0]
    assert (survivor["track_id"], survivor["preview_url"], survivor["valence"]) == ("a", "http://p/1", 0.25)


TRACKS = st.lists(
    st.tuples(
        st.sampled_from([None, "http://p/1", "http://p/2", "http://p/3?x"]),
        st.sampled_from([None, "I1", "I2", "I3"]),
        st.sampled_from(["one", "two"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.long
@given(TRACKS, st.randoms())
def test_every_track_is_kept_once_in_any_order(tracks, random):
    given_rows = [
        {"track_id": f"t{n:02}", "preview_url": p, "isrc": i, "name": name, "popularity": float(pop)}
        for n, (p, i, name, pop) in enumerate(tracks)
    ]
    recordings, fallen = kept(*given_rows)
    everyone = [*recordings, *(alias for aliases in recordings.values() for alias in aliases)]
    assert sorted(everyone) == [row["track_id"] for row in given_rows]
    assert sum(fallen.values()) == len(given_rows) - len(recordings)
    random.shuffle(given_rows)
    assert kept(*given_rows)[0] == recordings
    for survivor, aliases in recordings.items():
        popularity = {row["track_id"]: row["popularity"] for row in given_rows}
        assert all(popularity[survivor] >= popularity[alias] for alias in aliases)


@pytest.mark.parametrize("title", ["", "  ", "夜曲", "Ünïcode — Remix", "(feat. Only)"])
def test_normalised_titles_are_stable(title):
    assert deduplicate.normalised(deduplicate.normalised(title)) == deduplicate.normalised(title)


def test_ids_of_copies_keep_their_zeros(tmp_path):
    _, copies = deduplicate.deduplicate(
        rows({"track_id": "000002", "isrc": "QM1"}, {"track_id": "000140", "isrc": "QM1", "popularity": 5.0})
    )
    copies.to_csv(tmp_path / "duplicates.csv", index=False)
    (copy,) = deduplicate.read_copies(tmp_path / "duplicates.csv").to_dict("records")
    assert (copy["track_id"], copy["kept"]) == ("000140", "000002")


def test_the_table_goes_from_the_catalogue_to_disk_and_back(tmp_path):
    row = {
        "track_id": "t1", "name": "Song", "artist_ids": ["B", "A"], "artist_names": ["Ben", "Ann"],
        "album_id": "L", "album_name": "LP", "album_type": "album", "release_date": "2020",
        "popularity": 7, "explicit": 0,
    }  # fmt: skip
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        catalog.store_tracks([row, {"track_id": "unknown popularity", "name": "x", "artist_ids": ["A"]}])
        catalog.store_features({"t1": {"tempo": 120.5}})
        recordings, _ = deduplicate.deduplicate(catalog.tracks(["t1", "unknown popularity"]))
    path = tmp_path / "tracks.parquet"
    assert deduplicate.write(path, recordings)
    assert not deduplicate.write(path, recordings)  # nothing new: the file stays
    track = deduplicate.read(path).iloc[0]
    assert list(deduplicate.read(path).columns) == deduplicate.SCHEMA.names
    assert (track["artist_id"], track["artist_name"], list(track["artist_ids"])) == ("B", "Ben", ["B", "A"])
    assert (track["album_name"], track["tempo"], track["popularity"]) == ("LP", 120.5, 7.0)


def test_an_empty_crawl_is_an_empty_table(tmp_path):
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        recordings, copies = deduplicate.deduplicate(catalog.tracks([]))
    assert recordings.empty
    assert copies.empty


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    with Catalog(tmp_path / "catalog.sqlite") as catalog:

        def interrupted():
            yield {"track_id": "t1", "artist_ids": []}
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            catalog.store_page("list", 0, Page(["t1"], 50, 80), interrupted())
        assert catalog.page("list", 0) is None
        assert catalog.known_tracks() == set()
