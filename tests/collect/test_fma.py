"""FMA's subsets, listens per month, and the clips that are missing or broken."""

import pandas as pd
import pytest

from hitsong.collect.fma import Fma, read_metadata
from hitsong.config import Collect
from hitsong.errors import UserError

HEADER = [
    ("track", "title"), ("track", "duration"), ("track", "genre_top"), ("track", "license"), ("track", "listens"),
    ("track", "date_created"), ("artist", "id"), ("artist", "name"), ("artist", "date_created"), ("album", "id"),
    ("album", "title"), ("album", "type"), ("album", "date_created"), ("album", "date_released"),
    ("set", "split"), ("set", "subset"),
]  # fmt: skip


def row(listens, created, subset):
    return [
        "Title", 30, "Rock", "CC BY", listens, created, 1, "Artist", "2009-01-01 00:00:00", 2, "Album", "Album",
        "2010-01-01 00:00:00", "2009-06-05 00:00:00", "training", subset,
    ]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """A dataset of four tracks: 99134 (broken) and 2 are small, 3 is medium, 4 is large; three clips folders."""
    write(tmp_path)
    for subset, ids in {"small": [2], "medium": [2, 3], "large": [2, 3, 4, 99134]}.items():
        for number in ids:
            clip = tmp_path / f"fma_{subset}" / f"{number:06d}"[:3] / f"{number:06d}.mp3"
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.write_bytes(b"")
    return tmp_path


def write(root, listens=1000):
    frame = pd.DataFrame(
        [
            row(listens, "2008-12-31 12:00:00", "small"),
            row(10, "2010-12-20 12:00:00", "medium"),
            row(600, "2009-12-31 12:00:00", "large"),
            row(700, "2010-12-31 12:00:00", "small"),
        ],
        index=pd.Index([2, 3, 4, 99134], name="track_id"),
        columns=pd.MultiIndex.from_tuples(HEADER),
    )
    (root / "fma_metadata").mkdir(exist_ok=True)
    frame.to_csv(root / "fma_metadata" / "tracks.csv")


def collected(root, catalog_path, **collect):
    return Fma(Collect(source="fma", root=str(root), **collect)).collect().set_index("track_id")


def test_listens_per_month_count_from_upload_to_the_day_of_the_dump(root):
    """A part of the metadata (here up to 2010) was read on the same day as the whole: 2017-04-01."""
    table = read_metadata(root / "fma_metadata" / "tracks.csv").set_index("track_id")
    assert set(table["fetched_at"]) == {"2017-04-01"}
    per_month = table["listens_per_month"]
    assert per_month["000002"] == pytest.approx(1000 / (8.25 * 12), rel=0.01)
    assert per_month["000004"] == pytest.approx(600 / (7.25 * 12), rel=0.01)


def test_a_newer_dump_is_dated_by_its_newest_entry(root):
    path = root / "fma_metadata" / "tracks.csv"
    path.write_text(path.read_text().replace("2010-12-31", "2019-06-30").replace("2010-12-20", "2019-06-10"))
    table = read_metadata(path).set_index("track_id")
    assert set(table["fetched_at"]) == {"2019-06-30"}
    assert table.loc["000003", "listens_per_month"] == 10  # twenty days count as a month


def test_popularity_is_chosen_and_chosen_again(root, tmp_path):
    catalog = tmp_path / "catalog.sqlite"
    for _ in range(2):
        raw = collected(root, catalog)
        assert raw["popularity"].tolist() == [1000, 10, 600, 700]
        assert set(raw["popularity_source"]) == {"fma listens"}
        assert set(raw["fetched_at"]) == {"2017-04-01"}
        monthly = collected(root, catalog, popularity="listens_per_month")
        assert monthly["popularity"].round(1).tolist() == [10.1, 0.1, 6.9, 9.3]
        assert set(monthly["popularity_source"]) == {"fma listens per month"}


def test_without_a_subset_only_tracks_with_clips_count(root, tmp_path):
    """FMA's metadata name 106,574 tracks whichever clips were downloaded."""
    for subset in ("medium", "large"):
        (root / f"fma_{subset}").rename(tmp_path / subset)
    assert list(collected(root, tmp_path / "catalog.sqlite").index) == ["000002", "099134"]


def test_subsets_nest_and_bring_their_clips(root, tmp_path):
    catalog = tmp_path / "catalog.sqlite"
    expected = {
        "small": (["000002", "099134"], "fma_small"),
        "medium": (["000002", "000003", "099134"], "fma_medium"),
        "large": (["000002", "000003", "000004", "099134"], "fma_large"),
        None: (["000002", "000003", "000004", "099134"], "fma_large"),
    }
    for subset, (ids, folder) in [*expected.items(), *expected.items()]:
        tracks = collected(root, catalog, subset=subset)
        assert list(tracks.index) == ids
        assert tracks.loc["000002", "audio_path"] == str(root / folder / "000" / "000002.mp3")


def test_a_subset_takes_its_clips_from_a_larger_folder_only(root, tmp_path):
    for path in sorted((root / "fma_medium").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (root / "fma_medium").rmdir()
    tracks = collected(root, tmp_path / "catalog.sqlite", subset="medium")
    assert tracks.loc["000003", "audio_path"].startswith(str(root / "fma_large"))
    (root / "fma_large").rename(root / "elsewhere")
    with pytest.raises(UserError, match="none of fma_medium, fma_large"):
        Fma(Collect(source="fma", root=str(root), subset="medium"))


def test_missing_and_broken_clips_are_reported(root, tmp_path, capsys):
    collected(root, tmp_path / "catalog.sqlite", subset="small")
    line = capsys.readouterr().out
    assert "2 tracks; without a clip in fma_small: 1; with one that is known to be broken: 1 (099134)" in line
    collected(root, tmp_path / "catalog.sqlite", subset="small")
    assert capsys.readouterr().out == line  # and again when nothing is read


def test_changed_metadata_are_read_again(root, tmp_path):
    assert collected(root, tmp_path / "catalog.sqlite")["popularity"].iat[0] == 1000
    write(root, listens=2_000_000)
    assert collected(root, tmp_path / "catalog.sqlite")["popularity"].iat[0] == 2_000_000


def test_a_subset_that_the_metadata_lack_is_an_error(root):
    path = root / "fma_metadata" / "tracks.csv"
    path.write_text(path.read_text().replace(",small", ",large"))
    with pytest.raises(UserError, match="no track of FMA small"):
        read_metadata(path, "small")


def test_years_and_a_list_of_artists_choose_tracks(root, tmp_path):
    listed = tmp_path / "artists.txt"
    listed.write_text("nobody\n")
    of = {"source": "fma", "root": str(root)}
    assert len(Fma(Collect(**of, years="2009")).collect()) == 4
    assert len(Fma(Collect(**of, years="2010-2012")).collect()) == 0
    assert len(Fma(Collect(**of, artists_file=str(listed))).collect()) == 0
    listed.write_text("fma:artist:1\n")
    assert len(Fma(Collect(**of, artists_file=str(listed))).collect()) == 4
