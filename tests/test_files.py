import hashlib

import pandas as pd
import pytest

from hitsong import files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"

    def failing():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_json_and_tables_go_there_and_back(tmp_path):
    files.write_json(tmp_path / "a.json", {"naïve": [1, None, 2.5]})
    assert files.read_json(tmp_path / "a.json") == {"naïve": [1, None, 2.5]}
    frame = pd.DataFrame({"track_id": ["a"], "y": [1.5]})
    for name, read in {"a.parquet": pd.read_parquet, "a.csv": pd.read_csv}.items():
        files.write_table(tmp_path / name, frame)
        pd.testing.assert_frame_equal(read(tmp_path / name), frame)


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1}) != files.digest({"a": 1, "b": 3})


def test_two_writers_of_a_file_use_temporary_files_of_their_own(tmp_path):
    path = tmp_path / "a.txt"
    with files.replacing(path) as first, files.replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer block ends last
    (tmp_path / "previews").mkdir()
    (tmp_path / "previews" / ".tmp-0-killed.mp3").write_text("half")
    files.remove_temporary(tmp_path)
    assert [p.name for p in tmp_path.rglob("*.*")] == ["a.txt"]


def test_the_hash_of_a_file_follows_its_content(tmp_path):
    path = tmp_path / "a"
    for text in ("one", "two", "three"):
        with files.replacing(path) as temporary:
            temporary.write_text(text)
        assert files.sha256(path) == hashlib.sha256(text.encode()).hexdigest()
