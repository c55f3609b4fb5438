"""Tables of tracks: what published ones look like, what users get wrong, and whole runs without audio."""

import csv
import gzip
import io
import json

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hitsong.collect import deduplicate, sources
from hitsong.collect.table import TableFile, read
from hitsong.config import TABLE_COLUMNS, Config, Table, load
from hitsong.data import splits
from hitsong.errors import UserError
from tests.conftest import ROOT, script


def config(path, **table):
    return Config.model_validate({"collect": {"source": "table", "table": {"path": str(path), **table}}})


def collected(path, catalog_path, **table):
    """The tracks that a table brings into a catalogue, by track id."""
    with sources.open_source(config(path, **table), catalog_path) as source:
        return source.collect().set_index("track_id").sort_index()


def written(folder, text, name="tracks.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------------- tables as they are published

KAGGLE = """\
id,name,popularity,duration_ms,explicit,artists,id_artists,release_date,danceability,energy,key,tempo
35iwgR4jXetI318WEWsa1Q,Carve,6,126903,0,['Uli'],['45tIt06XoI0Iio4LBEVpls'],1922-02-22,0.645,0.445,0,104.851
021ht4sdgPcrDgSk7JTbKY,"Capítulo 2.16",0,98200,True,"['Fernando Pessoa', ""Destiny's Child""]",\
"['14jtPCOoNZwquk5wd9DxrY', '1Y8cdNmUJH7yBTd9yOvr5i']",1922-06,0.695,0.263,0,102.009
07A5yehtSnoedViJAZkNnc,Vivo,,181640,0,['Ignacio Corsini'],['5LiOoJbxVSAMkBS2fUm3X2'],1922,0.434,0.177,1,130.418
021ht4sdgPcrDgSk7JTbKY,"Capítulo 2.16",9,98200,True,"['Fernando Pessoa', ""Destiny's Child""]",\
"['14jtPCOoNZwquk5wd9DxrY', '1Y8cdNmUJH7yBTd9yOvr5i']",1922-06,0.695,0.263,0,102.009
"""
KAGGLE_COLUMNS = {"track_id": "id", "artist_name": "artists", "artist_ids": "id_artists"}


def test_a_table_with_artists_as_python_lists(tmp_path, capsys):
    tracks = collected(written(tmp_path, KAGGLE), tmp_path / "catalog.sqlite", columns=KAGGLE_COLUMNS)
    assert list(tracks.index) == ["021ht4sdgPcrDgSk7JTbKY", "35iwgR4jXetI318WEWsa1Q"]
    pessoa = tracks.loc["021ht4sdgPcrDgSk7JTbKY"]
    assert pessoa["artist_ids"] == ["14jtPCOoNZwquk5wd9DxrY", "1Y8cdNmUJH7yBTd9yOvr5i"]
    assert (pessoa["artist_name"], pessoa["popularity"], pessoa["explicit"]) == ("Fernando Pessoa", 9.0, True)
    assert (pessoa["release_date"], pessoa["release_date_precision"]) == ("1922-06", "month")
    assert tracks.loc["35iwgR4jXetI318WEWsa1Q", ["danceability", "tempo"]].tolist() == [0.645, 104.851]
    assert tracks["popularity_source"].unique().tolist() == ["table"]
    assert tracks["fetched_at"].isna().all()  # the table does not say, and the day of the import is not it
    printed = capsys.readouterr().out
    assert "the day popularity was read is unknown" in printed
    assert "1 rows without popularity; left out" in printed
    assert "1 rows repeat a track id (1 with other values); the most popular row" in printed


def test_a_table_of_playlists_with_its_own_column_names(tmp_path):
    path = written(
        tmp_path,
        "track_id\ttrack_name\ttrack_artist\ttrack_popularity\ttrack_album_id\ttrack_album_name\t"
        "track_album_release_date\tplaylist_genre\n"
        "6f807x0ima9a1j3VPbc7VN\tI Don't Care\tEd Sheeran, Justin Bieber\t66\t2oCs0DGTsR\tI Don't Care\t"
        "2019-06-14\tpop\n"
        "0r7CVbZTWZgbTCYdfa2P31\tMemories\tÉd Sheeran\t67\t63rPSO264u\tMemories\t2019\tpop\n",
        "songs.tsv",
    )
    tracks = collected(
        path,
        tmp_path / "catalog.sqlite",
        columns={
            "name": "track_name", "artist_name": "track_artist", "popularity": "track_popularity",
            "album_id": "track_album_id", "album_name": "track_album_name",
            "release_date": "track_album_release_date", "genre": "playlist_genre",
        },
        artist_separator=", ",
        popularity_source="a playlist table",
    )  # fmt: skip
    combined, item = tracks.loc["6f807x0ima9a1j3VPbc7VN"], tracks.loc["0r7CVbZTWZgbTCYdfa2P31"]
    assert combined["artist_ids"] == ["table:artist:ed sheeran", "table:artist:justin bieber"]
    assert item["artist_ids"] == ["table:artist:ed sheeran"]
    assert (combined["album_name"], combined["release_date"], combined["genre"]) == (
        "I Don't Care",
        "2019-06-14",
        "pop",
    )
    assert (item["release_date"], item["release_date_precision"]) == ("2019", "year")
    assert combined["popularity_source"] == "a playlist table"
    assert splits.artist_groups(tracks.reset_index()).nunique() == 1  # the guest's group is the host's


@pytest.mark.parametrize(
    "text",
    [
        '"","name","artist_name","popularity","isrc","energy"\n'
        '"1","Food","AWOL",12.5,"usabc1234567",0.5\n"2","Say ""Hi""",NA,3,NA,NA\n',
        '"";"name";"artist_name";"popularity";"isrc";"energy"\n'
        '"1";"Food";"AWOL";12,5;"usabc1234567";0,5\n"2";"Say ""Hi""";NA;3;NA;NA\n',
    ],
    ids=["write.csv", "write.csv2"],
)
def test_a_table_from_r(tmp_path, text):
    tracks = collected(written(tmp_path, text), tmp_path / "catalog.sqlite").set_index("name")
    food, hi = tracks.loc["Food"], tracks.loc['Say "Hi"']
    assert (food["popularity"], food["energy"], food["isrc"]) == (12.5, 0.5, "USABC1234567")
    assert hi["popularity"] == 3.0
    assert hi[["isrc", "artist_name", "energy"]].isna().all()
    assert not set(food["artist_ids"]) & set(hi["artist_ids"])  # no artist is not an artist of that name


def test_parquet_says_the_same_as_csv(tmp_path):
    frame = pd.DataFrame(
        {
            "track_id": [7, 8],
            "name": ["a", "b"],
            "artist_name": [["X", "Y"], ["Y"]],
            "popularity": [1.5, 2.0],
            "release_date": pd.to_datetime(["2020-01-02", "2021-03-04"]),
            "explicit": [True, False],
            "duration_ms": [1000.0, None],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame["artist_name"] = frame["artist_name"].map(str)
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        frame.to_csv(file, index=False)
    item, other = (
        collected(tmp_path / name, tmp_path / f"{name}.sqlite") for name in ("t.parquet", "t.csv.gz")
    )
    pd.testing.assert_frame_equal(item.drop(columns="fetched_at"), other.drop(columns="fetched_at"))
    assert item.loc["7", "artist_ids"] == ["table:artist:x", "table:artist:y"]
    assert item["release_date"].tolist() == ["2020-01-02", "2021-03-04"]


def test_a_folder_of_audio_with_labels(tmp_path, tone):
    for n in range(3):
        tone(f"{n}.wav")
    path = written(tmp_path, "file,plays\n0.wav,10\n1.wav,20\nsub/2.wav,30\n", "labels.csv")
    columns = {"audio_path": "file", "popularity": "plays"}
    tracks = collected(path, tmp_path / "beside.sqlite", columns=columns)
    assert tracks["audio_path"].sort_values().tolist() == [
        str(tmp_path / f) for f in ("0.wav", "1.wav", "sub/2.wav")
    ]
    assert tracks.index.is_unique
    assert splits.artist_groups(tracks.reset_index()).nunique() == 3  # nothing says that they share an artist
    rooted = collected(path, tmp_path / "rooted.sqlite", columns=columns, audio_root=str(tmp_path / "clips"))
    assert rooted["audio_path"].str.startswith(str(tmp_path / "clips")).all()
    assert list(rooted.index) == list(tracks.index)  # ids do not depend on where the folder lies


def test_ids_that_are_no_file_names_are_replaced(tmp_path):
    text = (
        "track_id,name,popularity\n../../etc/passwd,a,1\nspotify:track:0uTSpsec5kXkNQQjzt6dIB,b,2\n.x,c,3\n"
    )
    ids = collected(written(tmp_path, text), tmp_path / "catalog.sqlite").index
    assert "0uTSpsec5kXkNQQjzt6dIB" in ids
    assert len(ids) == 3
    assert not any("/" in id_ or ":" in id_ or id_.startswith(".") for id_ in ids)


def test_a_guest_known_by_name_only_keeps_the_id_that_another_row_gives(tmp_path):
    text = "track_id,artist_name,artist_id,popularity\na,Nelly,N1,5\nb,Ciara & NELLY,C1,6\n"
    tracks = collected(written(tmp_path, text), tmp_path / "catalog.sqlite", artist_separator=" & ")
    assert tracks.loc["b", "artist_ids"] == ["C1", "N1"]


# ---------------------------------------------------------------------- tables of real life


def recordings(path, **table):
    """What 01 makes of a table: recordings by track id, and what was said of placeholders."""
    tracks, remarks = deduplicate.remove_placeholders(collected(path, ":memory:", **table).reset_index())
    return deduplicate.deduplicate(tracks)[0].set_index("track_id"), remarks


def songs(folder, column, cell, count=300, **more):
    """A table of different songs that all have the same cell in one column."""
    names = ["track_id", "name", "artist_name", "duration_ms", "popularity"]
    rows = [[f"t{n:03}", f"Song {n}", f"Artist {n % 50}", 180_000 + 5_000 * n, n] for n in range(count)]
    frame = pd.DataFrame(rows, columns=names).assign(**{column: cell}, **more)
    path = folder / "songs.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("cell", ["-", "0", "n/a", "None", "unknown", "US-S1Z-99-00001", "USS1Z9900001"])
def test_a_placeholder_for_an_isrc_folds_no_songs(tmp_path, cell, capsys):
    kept_rows, remarks = recordings(songs(tmp_path, "isrc", cell))
    assert len(kept_rows) == 300
    assert kept_rows["isrc"].isna().all()
    if cell.startswith("US"):
        assert "isrc 'USS1Z9900001' is shared by 300 tracks of 300 different titles" in remarks[0]
    if cell == "0":
        assert "isrc: no ISRC in 300 cells, for example '0'; left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    "cell", ["-", "0", "n/a", "http://[", "https://x.y/none.mp3", "https://x.y/none.mp3?id=7"]
)
def test_a_placeholder_for_a_preview_folds_no_songs(tmp_path, cell):
    kept_rows, remarks = recordings(songs(tmp_path, "preview_url", cell))
    assert len(kept_rows) == 300
    assert kept_rows["preview_url"].isna().all()
    assert len(remarks) == cell.startswith("https")


def test_one_address_for_all_of_a_table_without_titles_folds_nothing(tmp_path):
    path = written(
        tmp_path, "track_id,popularity,preview_url\n" + "".join(f"t{n},{n},http://x.y/z\n" for n in range(30))
    )
    assert len(recordings(path)[0]) == 30


def test_copies_of_a_recording_still_fold_by_their_keys(tmp_path):
    rows = [
        ["a", "Nocturne", 5],
        ["b", "夜曲", 6],
        ["c", "Nocturne - Remastered", 7],
        ["d", "Nocturne (Live)", 4],
    ]
    frame = pd.DataFrame(rows, columns=["track_id", "name", "popularity"])
    frame.assign(isrc="tw-a53-05-00001", artist_name="J").to_csv(tmp_path / "t.csv", index=False)
    kept_rows, remarks = recordings(tmp_path / "t.csv")
    assert list(kept_rows.index) == ["c"]
    assert kept_rows["aliases"].tolist() == [["a", "b", "d"]]
    assert not remarks


def test_an_id_shared_by_many_titles_is_no_id(tmp_path, capsys):
    kept_rows, _ = recordings(songs(tmp_path, "track_id", "0"))
    assert len(kept_rows) == 300
    assert "track_id '0' stands in rows of 300 different titles" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cells", "ids"),
    [
        (["['A' 'B']", "B"], [["a", "b"], ["b"]]),
        (['["A", null]', "A"], [["a"], ["a"]]),
        (["[{'name': 'A'}, {'name': 'B'}]", "B"], [["a", "b"], ["b"]]),
        (["A;B", "B"], [["a", "b"], ["b"]]),
    ],
)
def test_artists_in_other_notations_are_several(tmp_path, cells, ids):
    frame = pd.DataFrame({"track_id": ["x", "y"], "popularity": [1, 2], "artist_name": cells})
    frame.to_csv(tmp_path / "t.csv", index=False)
    tracks = collected(tmp_path / "t.csv", ":memory:")
    assert tracks["artist_ids"].tolist() == [[f"table:artist:{name}" for name in row] for row in ids]


def test_a_separator_is_asked_for_where_cells_may_hold_several_artists(tmp_path, capsys):
    path = written(tmp_path, 'track_id,popularity,artist_name\nx,1,"A, B"\ny,2,"B, C"\nz,3,C\n')
    collected(path, ":memory:")
    assert "hold ', ' (for example 'A, B') and were read as one artist each" in capsys.readouterr().out
    assert collected(path, ":memory:", artist_separator=", ").loc["x", "artist_ids"] == [
        "table:artist:a",
        "table:artist:b",
    ]
    assert "hold ', '" not in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings(tmp_path, encoding, capsys):
    path = tmp_path / "t.csv"
    path.write_text("track_id,name,popularity\nx,Él Niño,1\ny,“b”,2\n", encoding=encoding)
    assert collected(path, ":memory:")["name"].tolist() == ["Él Niño", "“b”"]
    printed = capsys.readouterr().out
    assert ("read as UTF-16" in printed) == encoding.startswith("utf-16")
    assert ("set collect.table.encoding" in printed) == (encoding == "cp1252")


def test_an_encoding_may_be_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("track_id,name,popularity\nx,夜曲,1\ny,b,2\n", encoding="big5")
    assert collected(path, ":memory:", encoding="big5").loc["x", "name"] == "夜曲"
    with pytest.raises(UserError, match="no encoding is called 'big6'"):
        collected(path, ":memory:", encoding="big6")


def test_years_and_a_list_of_artists_choose_rows(tmp_path):
    path = written(
        tmp_path,
        "track_id,name,artist_name,release_date,popularity\n"
        "a,One,Élan; Guest,2018-05,1\nb,Two,Other,2019,2\nc,Three,Other;guest,2020-01-01,3\nd,Four,Guest,,4\n",
    )
    listed = written(tmp_path, "GUEST\n", "artists.txt")

    def ids(**filters):
        chosen = config(path)
        chosen = chosen.model_copy(update={"collect": chosen.collect.model_copy(update=filters)})
        with sources.open_source(chosen, tmp_path / "catalog.sqlite") as source:
            tracks = source.collect()
            assert "artist_names" not in tracks
            return tracks["track_id"].tolist()

    assert ids() == ["a", "b", "c", "d"]
    assert ids(years="2019-2020") == ["b", "c"]
    assert ids(artists_file=str(listed)) == ["a", "c", "d"]  # guests count, however their name is written
    assert ids(artists_file=str(listed), years="2018") == ["a"]
    assert ids(years="1900") == []


def test_the_day_of_reading_comes_from_a_setting_or_a_column_and_is_never_today(tmp_path):
    path = written(tmp_path, "track_id,popularity,read\nx,1,01/03/2024\ny,2,\n")
    assert collected(path, ":memory:")["fetched_at"].isna().all()
    assert collected(path, ":memory:", read_at="2023-05")["fetched_at"].tolist() == ["2023-05", "2023-05"]
    by_column = collected(
        path, ":memory:", columns={"read_at": "read"}, date_format="%d/%m/%Y", read_at="2023"
    )
    assert by_column["fetched_at"].tolist() == ["2024-03-01", "2023"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("track_id,popularity,key\nx,1,C#\ny,2,5\n", "key: not a number in 1 cells, for example 'C#'; left out"),
        ("track_id,popularity,energy\nx,1,45\ny,2,90\n", "energy: as high as 90, where Spotify's lies between 0 and 1"),
        ("track_id,popularity,duration_ms\nx,1,215\ny,2,180\n", "duration_ms: 197.5 in the middle; if these are sec"),
        ("track_id,popularity,split\nx,1,train\ny,2,holdout\n", "split: no name of a side in 1 cells, for"),
        ("track_id,popularity,popularity\nx,1,7\ny,2,8\n", "two columns are called 'popularity'; the first was read"),
        ('track_id,popularity\nx,"1,234,567"\ny,2\n', "popularity: 1 cells divide thousands; '1,234,567' was"),
    ],
)  # fmt: skip
def test_what_may_be_misread_is_said(tmp_path, text, said, capsys):
    assert len(collected(written(tmp_path, text), ":memory:")) == 2
    assert said in capsys.readouterr().out


# ---------------------------------------------------------------------- reading again


def test_a_table_is_read_once_and_again_when_it_or_its_mapping_changes(tmp_path):
    path, catalog = written(tmp_path, "track_id,a,b\nx,1,2\ny,3,4\n"), tmp_path / "catalog.sqlite"
    by_a = collected(path, catalog, columns={"popularity": "a"})
    assert collected(path, catalog, columns={"popularity": "a"}).equals(by_a)
    assert collected(path, catalog, columns={"popularity": "b"})["popularity"].tolist() == [2, 4]
    assert collected(path, catalog, columns={"popularity": "a"})["popularity"].tolist() == [1, 3]
    written(tmp_path, "track_id,a,b\ny,30,40\n")
    assert collected(path, catalog, columns={"popularity": "a"})["popularity"].to_dict() == {"y": 30}


# ---------------------------------------------------------------------- what users get wrong


@pytest.mark.parametrize(
    ("text", "table", "message"),
    [
        ("id,artists,pop\n1,A,2\n", {"columns": {"popularity": "popp"}}, "no column 'popp' - did you mean 'pop'"),
        ("id,artists,pop\n1,A,2\n", {}, "no column popularity.*id, artists, pop"),
        ("popularity,artist_name\n1,A\n", {}, "map track_id, or name"),
        ("track_id,popularity\na,high\n", {}, "no row has a number for popularity, for example 'high'"),
        ("track_id,popularity\n", {}, "no row has a number"),
        ("track_id,popularity\na,1e308\nb,2\n", {}, r"popularity is as large as 1e\+308"),
        ("track_id,popularity\na,7\nb,7\n", {}, "all 2 tracks have popularity 7: nothing to predict"),
        ("track_id,popularity\na,1.234\nb,2\n", {}, r"t.*s\.csv: popularity '1.234' may.*collect.table.decimal"),
        ("track_id;popularity\na;1,234\nb;2\n", {}, "popularity '1,234' may.*collect.table.decimal"),
        ("track_id;popularity\na;1,5\nb;2.5\n", {}, "in two ways: popularity '2.5' and popularity '1,5'"),
        ("", {}, "cannot be read as a table"),
        ("track_id,popularity\na,1\nb,2,3,4\n", {}, "cannot be read as a table"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said(tmp_path, text, table, message):
    with pytest.raises(UserError, match=message):
        collected(written(tmp_path, text), tmp_path / "catalog.sqlite", **table)


def test_rows_longer_than_the_header_are_not_shifted_silently(tmp_path):
    path = written(tmp_path, "track_id,popularity\n1,a,5\n2,b,6\n")
    with pytest.raises(UserError, match="cannot be read as a table"):
        read(path, Table(path=str(path)))


def test_an_unknown_name_of_ours_is_refused_with_the_config(tmp_path):
    path = written(
        tmp_path, "collect: {source: table, table: {path: t.csv, columns: {popularty: pop}}}", "c.yaml"
    )
    with pytest.raises(UserError, match="no column is called 'popularty' here - did you mean 'popularity'"):
        load(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("t.rds", r"write\.csv\(readRDS"),
        ("t.xlsx", "as CSV"),
        ("t.csv.gz", "cannot"),
        ("t.parquet", "cannot"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"\x1f\x8bnot what it seems")
    with pytest.raises(UserError, match=message):
        collected(tmp_path / name, tmp_path / "catalog.sqlite")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv is no file"):
        TableFile(config(tmp_path / "none.csv").collect)


# ---------------------------------------------------------------------- any table

CELLS = st.text(max_size=12) | st.sampled_from(
    ["", "NA", "7", "0.5", "1e400", "['A', 'B']", "2020-13", "1999-12-31", "http://[", "http://x.y/z?k"]
)
TABLES = (
    st.lists(st.sampled_from(TABLE_COLUMNS), min_size=1, max_size=6, unique=True)
    .map(lambda names: list(dict.fromkeys(["popularity", *names])))
    .flatmap(
        lambda names: st.tuples(
            st.just(names), st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), max_size=6)
        )
    )
)


@pytest.mark.long
@settings(max_examples=150)
@given(TABLES, st.sampled_from([None, ",", [" & ", "/"]]), st.sampled_from(",\t;|"))
@example((["name", "popularity"], [["\x00", "1"]]), None, ",")
@example((["name", "popularity"], [["\ud800", "1"]]), None, ",")
@example((["name", "popularity", "audio_path"], [["a", "1", "\x00"]]), None, ",")
@example(
    (["name", "popularity", "duration_ms"], [["a", "1", ""], ["b", "1", "1.7"], ["c", "2", "1e300"]]),
    None,
    ",",
)
@example((["name", "popularity", "explicit"], [["a", "1", ""], ["b", "1", "TRUE"]]), None, ",")
@example((["popularity", "track_id"], [["", "0"], ["0", ""]]), None, ",")
@example((["artist_name", "track_id", "popularity"], [["!!!", "a", "1"], ["???", "b", "1"]]), None, ",")
def test_any_table_gives_rows_or_says_what_is_wrong(tmp_path_factory, table, separator, delimiter):
    names, rows = table
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([names, *rows])
    path = tmp_path_factory.mktemp("any") / "t.csv"
    path.write_bytes(text.getvalue().encode("utf-8", "replace"))
    try:
        tracks, _, remarks = read(path, Table(path=str(path), artist_separator=separator))
    except UserError:
        return
    assert len(tracks)
    assert tracks["track_id"].is_unique
    assert tracks["track_id"].str.fullmatch(r"[\w.-]+").all()
    assert tracks["popularity"].notna().all()
    assert (tracks["artist_ids"].map(len) > 0).all()
    assert (tracks["artist_ids"].str[0] == tracks["artist_id"]).all()
    assert all(isinstance(remark, str) for remark in remarks)
    # And the next steps can take it.
    kept_rows, _ = deduplicate.deduplicate(
        collected(path, ":memory:", artist_separator=separator)
        .reset_index()
        .reindex(columns=deduplicate.SCHEMA.names)
    )
    assert deduplicate.write(path.with_suffix(".parquet"), kept_rows)
    dates = tracks["release_date"].dropna()
    assert dates.str.fullmatch(r"\d{4}(-\d{2}){0,2}").all()


def test_names_of_signs_alone_are_not_one_artist(tmp_path):
    text = "track_id,artist_name,popularity\na,!!!,1\nb,???,2\n"
    tracks = collected(written(tmp_path, text), tmp_path / "catalog.sqlite")
    assert tracks["artist_ids"].tolist() == [["table:artist:!!!"], ["table:artist:???"]]


# ---------------------------------------------------------------------- whole runs without audio

STAGES = ["01_collect", "02_download", "03_features", "04_baseline", "05_train", "06_evaluate"]


@pytest.fixture
def small(tmp_path, rng):
    """A config on a table of 120 tracks by 30 artists whose energy tells their popularity."""
    energy = rng.uniform(size=120)
    frame = pd.DataFrame(
        {
            "title": [f"song {n}" for n in range(120)],
            "who": [f"artist {n % 30}" for n in range(120)],
            "pop": (60 * energy + rng.uniform(0, 20, 120)).round(),
            "energy": energy,
            "tempo": rng.uniform(60, 180, 120),
        }
    )
    frame.to_csv(tmp_path / "songs.csv")
    path = tmp_path / "small.yaml"
    path.write_text(
        f"study: small\ndata: {tmp_path / 'data'}\nevaluate: {{draws: 100}}\ncollect:\n  source: table\n  table:\n"
        f"    path: {tmp_path / 'songs.csv'}\n    columns: {{name: title, artist_name: who, popularity: pop}}\n"
    )
    return path


def rows_of(folder):
    return json.loads((folder / "report" / "metrics.json").read_text())


@pytest.mark.long
@pytest.mark.parametrize("stages", [[STAGES[0], STAGES[3], STAGES[5]], STAGES], ids=["three", "all"])
def test_a_table_without_audio_runs_to_the_report(small, stages):
    printed = {stage: script(f"{stage}.py", "--config", small).stdout for stage in stages}
    study = small.parent / "data" / "small"
    result = rows_of(study)
    assert set(result["rows"]) == {
        "ridge-spotify",
        "trees-spotify",
        "artist",
        "mean",
        "shuffled",
        "artist_mean",
    }
    assert result["best"] in ("ridge-spotify", "trees-spotify")
    assert result["rows"]["ridge-spotify"]["metrics"]["spearman"] > 0.6
    side = pd.read_parquet(study / "splits.parquet")["artist"]
    predictions = pd.read_parquet(study / "report" / "predictions.parquet")
    assert predictions["track_id"].nunique() == (side == "test").sum()
    page = (study / "report" / "report.html").read_text()
    assert "popularity from audio features" in page
    assert "Training of" not in page
    for stage in {"02_download", "03_features", "05_train"} & set(stages):
        assert "nothing to do" in printed[stage]
        assert len(printed[stage].splitlines()) == 1
    again = script("01_collect.py", "--config", small).stdout
    assert "nothing new" in again
    script("06_evaluate.py", "--config", small)


@pytest.mark.long
def test_a_folder_of_audio_runs_like_any_other_source(tmp_path, tone):
    labels = ["file,who,plays"]
    for n in range(12):
        tone(f"{n}.wav", hz=200 + 50 * n)
        labels.append(f"{n}.wav,artist {n % 6},{n}")
    path = written(
        tmp_path,
        f"study: folder\ndata: {tmp_path / 'data'}\ndownload: {{min_seconds: 1.0}}\ncollect:\n  source: table\n"
        f"  table:\n    path: {written(tmp_path, chr(10).join(labels), 'labels.csv')}\n"
        "    columns: {audio_path: file, artist_name: who, popularity: plays}\n",
        "folder.yaml",
    )
    printed = {stage: script(f"{stage}.py", "--config", path).stdout for stage in STAGES[:4]}
    assert "12 new clips, 0 kept as they were, 0 failed" in printed["02_download"]
    assert "12 new clips, 0 kept as they were, 0 failed" in printed["03_features"]
    tracks = deduplicate.read(tmp_path / "data" / "folder" / "tracks.parquet")
    assert tracks["duration_ms"].tolist() == [2000] * 12  # the files say what the table does not


@pytest.mark.long
def test_the_published_table_ends_where_independent_fits_do(shared, tmp_path):
    table = shared / "spotify_30k.csv.gz"
    arguments = [
        "--config", ROOT / "configs" / "spotify_30k.yaml", "--set", f"data={tmp_path}",
        "--set", f"collect.table.path={table}", "--set", "evaluate.draws=100",
    ]  # fmt: skip
    printed = {stage: script(f"{stage}.py", *arguments).stdout for stage in STAGES}
    assert "29,427 recordings" in printed["01_collect"]
    assert "1,075 rows repeat a track id" in printed["01_collect"]
    study = tmp_path / "spotify_30k"
    cv = pd.read_csv(study / "baseline" / "cv.csv").groupby(["model", "scheme"])[["mse", "spearman"]].mean()
    assert 400 < cv.loc[("ridge-spotify", "plain"), "mse"] < 440
    assert 0.40 < cv.loc[("ridge-spotify", "plain"), "spearman"] < 0.50
    assert 500 < cv.loc[("mean", "plain"), "mse"] < 540
    # Artists kept apart, guests included, most of the newest tracks stand together: harder.
    assert cv.loc[("ridge-spotify", "plain"), "mse"] < cv.loc[("ridge-spotify", "artist"), "mse"] < 480
    assert 360 < cv.loc[("trees-spotify", "plain"), "mse"] < 400
    assert 0.48 < cv.loc[("trees-spotify", "plain"), "spearman"] < 0.56
    ridge = rows_of(study)["rows"]["ridge-spotify"]
    assert ridge["intervals"]["spearman"][0] > 0.25
