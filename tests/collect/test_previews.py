import multiprocessing
import os
import random
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
import requests

from hitsong.collect import throttle
from hitsong.collect.catalog import Catalog
from hitsong.collect.matched_previews import MATCH_COLUMNS
from hitsong.collect.previews import Downloader
from hitsong.config import Download
from hitsong.errors import ComeBackLater
from hitsong.files import sha256
from standin.composer import Traits, compose, encode_mp3

SETTINGS = Download(workers=3, timeout_s=2.0, attempts=2, min_seconds=1.0)


@pytest.fixture
def service(tone):
    """A service on loopback: answers by path, and counts what it was asked."""
    song = tone("song.wav", seconds=2).read_bytes()
    quiet = tone("quiet.wav", seconds=2, level=0.0).read_bytes()
    short = tone("short.wav", seconds=0.5).read_bytes()
    requested = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            status, body, length = {
                "/song": (200, song, None),
                "/short": (200, short, None),
                "/page": (200, b"<html>expired</html>", None),
                "/gone": (404, b"", None),
                "/busy": (503, b"", None),
                "/cut": (200, song[: len(song) // 2], len(song)),
                "/later": (503 if requested.count("/later") < 2 else 200, song, None),
                "/wall": (200, b"<html>log in</html>" if requested.count("/wall") < 2 else song, None),
                "/quiet": (200, quiet, None),
                "/fresh": (200, song, None),
                "/stale": (403, b"<html>expired</html>", None),
                "/pause": (429 if requested.count("/pause") < 2 else 200, song, None),
                "/away": (429, b"", None),
            }[self.path.partition("?")[0]]
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(body)))
            if status == 429:
                self.send_header("Retry-After", "7200" if self.path == "/away" else "0")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requested
    server.shutdown()
    server.server_close()


def tracks(**urls):
    return pd.DataFrame(
        [{"track_id": name, "preview_url": url, "audio_path": None} for name, url in urls.items()]
    ).astype(object)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_S", 0.01)


class Client:
    """A service whose addresses expire: `preview` gives the present one."""

    def __init__(self, preview):
        self.preview, self.session = preview, requests.Session()
        self.throttle = throttle.Throttle("Service", 0, 60)


def run(tracks, folder, again=False, preview=None, settings=SETTINGS):
    with requests.Session() as session, Catalog(folder / "catalog.sqlite") as catalog:
        session.trust_env = False
        tracks = tracks.assign(**dict.fromkeys(MATCH_COLUMNS, None))
        tracks["deezer_id"] = tracks["track_id"] if preview else None
        downloader = Downloader(catalog, folder, session, settings, preview and Client(preview))
        counts = downloader.run(tracks, again)
        return downloader.outcomes(tracks.assign(popularity=range(len(tracks)))), counts


REASONS = {
    "short": "0.5 s", "page": "text", "gone": "404", "busy": "503", "cut": "no response", "quiet": "silence",
}  # fmt: skip


def test_each_outcome_is_recorded_with_its_reason(service, tmp_path):
    url, _ = service
    names = ["song", "short", "page", "gone", "busy", "cut", "quiet"]
    rows, counts = run(tracks(**{name: f"{url}/{name}" for name in names}, unnamed=None), tmp_path)
    rows = rows.set_index("track_id")
    assert rows["status"].to_dict() == {
        "song": "ok", "short": "dead", "page": "dead", "gone": "dead", "quiet": "dead", "busy": "failed",
        "cut": "failed",
    }  # fmt: skip
    for name, reason in REASONS.items():
        assert reason in rows.loc[name, "error"]
    assert counts == {"done": 1, "skipped": 0, "failed": 6, "without": 1}
    song = rows.loc["song"]
    assert (song["seconds"], song["sha256"]) == (2.0, sha256(tmp_path / song["path"]))
    assert song["bytes"] == (tmp_path / song["path"]).stat().st_size
    # Nothing but whole clips is left, not even a temporary file.
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == ["song.mp3"]


def test_a_second_run_asks_for_failures_only(service, tmp_path):
    url, requested = service
    table = tracks(a=f"{url}/song", b=f"{url}/gone", c=f"{url}/busy")
    earlier, _ = run(table, tmp_path)
    requested.clear()
    again, counts = run(table, tmp_path)
    assert set(requested) == {"/busy"}
    assert counts == {"done": 0, "skipped": 2, "failed": 1, "without": 0}
    pd.testing.assert_frame_equal(again, earlier)


def test_files_of_a_killed_run_are_kept(service, tmp_path):
    url, requested = service
    table = tracks(a=f"{url}/song", b=f"{url}/song?2")
    undisturbed, _ = run(table, tmp_path)
    (tmp_path / "previews" / "b.mp3").unlink()  # killed before b came, and before any table was written
    requested.clear()
    result, _ = run(table, tmp_path)
    assert requested == ["/song?2"]
    pd.testing.assert_frame_equal(result, undisturbed)


def test_a_file_that_vanished_or_changed_is_fetched_again(service, tmp_path):
    url, requested = service
    table = tracks(a=f"{url}/song", b=f"{url}/song?2")
    earlier, _ = run(table, tmp_path)
    (tmp_path / "previews" / "a.mp3").unlink()
    requested.clear()
    again, counts = run(table, tmp_path)
    assert requested == ["/song"]
    assert counts["done"] == 1
    pd.testing.assert_frame_equal(again, earlier)


def test_local_files_are_checked_where_they_lie(tmp_path, tone):
    table = pd.DataFrame(
        {
            "track_id": ["a", "b"],
            "preview_url": None,
            "audio_path": [str(tone("local.wav")), str(tmp_path / "none.mp3")],
        }
    )
    rows, counts = run(table, tmp_path)
    assert rows["status"].tolist() == ["ok", "failed"]
    assert rows["path"].iat[0] == str(tmp_path / "local.wav")
    assert rows["error"].iat[1] == f"audio file not found: {tmp_path / 'none.mp3'}"
    assert not list((tmp_path / "previews").iterdir())


def test_no_server_at_all_is_a_failure_not_a_crash(tmp_path):
    rows, counts = run(tracks(a="http://127.0.0.1:9/song"), tmp_path)
    assert rows["status"].tolist() == ["failed"]
    assert counts["failed"] == 1


def test_accidents_pass(service, tmp_path):
    url, requested = service
    rows, _ = run(tracks(a=f"{url}/later", b=f"{url}/wall", c=f"{url}/pause"), tmp_path)
    # Three addresses, one song: the same audio is one recording, that of the most popular track.
    assert rows["status"].tolist() == ["duplicate", "duplicate", "ok"]
    assert rows["error"].iat[0] == "same audio as c"
    assert len(requested) == 6


def test_dead_addresses_are_asked_again_only_when_told(service, tmp_path):
    url, requested = service
    table = tracks(a=f"{url}/gone")
    run(table, tmp_path)
    run(table, tmp_path)
    assert len(requested) == 1
    run(table, tmp_path, again=True)
    assert len(requested) == 2


def test_a_long_pause_stops_the_run_and_keeps_what_came(service, tmp_path):
    url, requested = service
    with pytest.raises(ComeBackLater, match="2 h 0 min"):
        run(tracks(a=f"{url}/song", b=f"{url}/away"), tmp_path)
    requested.clear()
    rows, counts = run(tracks(a=f"{url}/song"), tmp_path)
    assert rows["status"].tolist() == ["ok"]
    assert requested == []


def test_an_expired_address_is_requested_again(service, tmp_path):
    url, _ = service
    requested = []

    def preview(track_id):
        requested.append(track_id)
        return {"gone": None}.get(track_id, f"{url}/stale" if len(requested) < 3 else f"{url}/fresh")

    rows, _ = run(tracks(a=f"{url}/old", gone=f"{url}/old"), tmp_path, preview=preview)
    assert rows["status"].tolist() == ["ok", "dead"]
    assert requested.count("a") >= 2


def _child(wanted, folder):
    """A run in a process of its own, to be killed."""
    throttle.BACKOFF_S = 0.01
    run(wanted, folder)


def test_thirty_kills_end_in_the_same_files(service, tmp_path):
    url, _ = service
    songs = {f"t{n:02}": f"{url}/song?{n}" for n in range(60)}
    table = tracks(**songs, gone=f"{url}/gone", page=f"{url}/page")
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "killed").mkdir()
    expected, _ = run(table, tmp_path / "undisturbed")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.collect.test_previews"])
    chance = random.Random(1)
    kills = 0
    while kills < 30:
        child = context.Process(target=_child, args=(table, tmp_path / "killed"))
        child.start()
        child.join(chance.uniform(0.03, 0.25))
        if child.is_alive():
            child.kill()
            kills += 1
        else:  # it came to its end: begin again
            assert child.exitcode == 0
            shutil.rmtree(tmp_path / "killed")
            (tmp_path / "killed").mkdir()
        child.join()
    result, _ = run(table, tmp_path / "killed")
    pd.testing.assert_frame_equal(result, expected)
    files = {path.name for path in (tmp_path / "killed" / "previews").glob("[!.]*")}
    assert files == {f"{name}.mp3" for name in songs}


# ---------------------------------------------------------------------- what is on disk is not taken on trust


def test_a_damaged_file_that_the_catalogue_does_not_know_is_fetched_again(service, tmp_path):
    url, _ = service
    (tmp_path / "previews").mkdir()
    (tmp_path / "previews" / "a.mp3").write_bytes(b"half a file")
    (tmp_path / "previews" / "b.mp3").write_bytes(b"<html>a page</html>")
    rows, counts = run(tracks(a=f"{url}/song", b=f"{url}/gone"), tmp_path)
    assert rows["status"].tolist() == ["ok", "dead"]
    assert [path.name for path in (tmp_path / "previews").iterdir()] == ["a.mp3"]


def test_a_damaged_file_of_the_same_size_is_found_by_its_time_or_with_again(service, tmp_path):
    url, requested = service
    table = tracks(a=f"{url}/song")
    earlier, _ = run(table, tmp_path)
    path = tmp_path / "previews" / "a.mp3"
    whole = path.read_bytes()
    for keep_time, again in [(False, False), (True, True)]:
        recorded = path.stat().st_mtime_ns
        path.write_bytes(whole[:2000] + bytes(2000) + whole[4000:])
        time_ns = recorded + (0 if keep_time else 10**9)
        os.utime(path, ns=(time_ns, time_ns))
        requested.clear()
        rows, _ = run(table, tmp_path, again=again)
        assert requested == ["/song"]
        assert path.read_bytes() == whole
        pd.testing.assert_frame_equal(rows, earlier)


def test_another_address_is_another_clip(service, tmp_path):
    url, _ = service
    assert run(tracks(a=f"{url}/gone"), tmp_path)[0]["status"].tolist() == ["dead"]
    assert run(tracks(a=f"{url}/song"), tmp_path)[0]["status"].tolist() == ["ok"]
    assert run(tracks(a=f"{url}/gone"), tmp_path)[0]["status"].tolist() == ["dead"]


def test_the_least_length_of_a_clip_may_change(service, tmp_path):
    url, _ = service
    table = tracks(a=f"{url}/song")
    strict = SETTINGS.model_copy(update={"min_seconds": 3.0})
    for settings, status in [(strict, "dead"), (SETTINGS, "ok"), (strict, "dead"), (SETTINGS, "ok")]:
        assert run(table, tmp_path, settings=settings)[0]["status"].tolist() == [status]


def test_a_local_file_that_was_repaired_or_replaced_is_checked_again(tmp_path, tone):
    path = tmp_path / "local.wav"
    path.write_bytes(b"not audio at all \0\1\2")
    table = pd.DataFrame({"track_id": ["a"], "preview_url": None, "audio_path": [str(path)]})
    assert run(table, tmp_path)[0]["status"].tolist() == ["dead"]
    tone("local.wav")
    assert run(table, tmp_path)[0]["status"].tolist() == ["ok"]
    other = table.assign(audio_path=str(tone("other.wav", hz=300)))
    assert run(other, tmp_path)[0]["path"].tolist() == [str(tmp_path / "other.wav")]


def test_an_interrupted_run_ends_at_once_says_so_and_keeps_what_came(service, tmp_path, monkeypatch, capsys):
    url, requested = service
    release = threading.Event()
    fetch = Downloader._get

    def get(self, address, path, expires):
        if address.endswith("wait"):
            release.wait(60)  # a service that does not respond
        fetch(self, address, path, expires)

    monkeypatch.setattr(Downloader, "_get", get)
    monkeypatch.setattr("hitsong.collect.previews.GRACE_S", 0.2)
    store = Catalog.store_download

    def interrupt(self, row):
        store(self, row)
        raise KeyboardInterrupt

    monkeypatch.setattr(Catalog, "store_download", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tracks(a=f"{url}/song", b=f"{url}/song?wait", c=f"{url}/song?2wait"), tmp_path)
    assert not release.is_set()  # nobody waited for the two
    release.set()
    assert "downloads are under way" in capsys.readouterr().err
    monkeypatch.setattr(Catalog, "store_download", store)
    requested.clear()
    run(tracks(a=f"{url}/song"), tmp_path)
    assert "/song" not in requested  # the stopped threads may still ask for theirs


def test_the_decoders_notes_name_the_file(tmp_path, capfd):
    song = encode_mp3(compose(Traits(120, 0, 1, 0.5, 0.5, 0.5, 0.5, 0.5), 4, 1))
    paths = [tmp_path / "whole.mp3", tmp_path / "damaged.mp3"]
    paths[0].write_bytes(song)
    paths[1].write_bytes(song[:9000] + bytes(300) + song[9300:])
    table = pd.DataFrame({"track_id": ["a", "b"], "preview_url": None, "audio_path": [str(p) for p in paths]})
    rows, _ = run(table, tmp_path)
    output = capfd.readouterr()
    assert "mpg123" not in output.err
    assert "Note:" not in output.err
    if rows["status"].iat[1] == "ok":
        assert f"{paths[1]}: damaged but decodable" in output.out
    assert str(paths[0]) not in output.out
