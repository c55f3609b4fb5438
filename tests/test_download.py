import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
import requests

from hitsong.config import Download
from hitsong.download import download
from hitsong.files import sha256

SETTINGS = Download(workers=3, timeout_s=2.0, attempts=2, min_seconds=1.0)


@pytest.fixture
def service(tone):
    """A service on loopback: answers by path, and counts what it was asked."""
    song = tone("song.wav", seconds=2).read_bytes()
    short = tone("short.wav", seconds=0.5).read_bytes()
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body, length = {
                "/song": (200, song, None),
                "/short": (200, short, None),
                "/page": (200, b"<html>expired</html>", None),
                "/gone": (404, b"", None),
                "/busy": (503, b"", None),
                "/cut": (200, song[: len(song) // 2], len(song)),
                "/later": (503 if asked.count("/later") < 2 else 200, song, None),
            }[self.path.partition("?")[0]]
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def tracks(**urls):
    return pd.DataFrame(
        [{"track_id": name, "preview_url": url, "audio_path": None} for name, url in urls.items()]
    ).astype(object)


def run(table, folder, earlier=None):
    with requests.Session() as session:
        session.trust_env = False
        return download(table, earlier, folder, session, SETTINGS)


def test_each_outcome_is_recorded_with_its_reason(service, tmp_path):
    url, _ = service
    names = ["song", "short", "page", "gone", "busy", "cut", "later"]
    rows, counts = run(tracks(**{name: f"{url}/{name}" for name in names}, silent=None), tmp_path)
    rows = rows.set_index("track_id")
    assert rows["status"].to_dict() == {
        "song": "ok", "later": "ok", "short": "dead", "page": "dead", "gone": "dead", "busy": "failed", "cut": "failed",
    }  # fmt: skip
    for name, reason in {
        "short": "0.5 s",
        "page": "text",
        "gone": "404",
        "busy": "503",
        "cut": "no answer",
    }.items():
        assert reason in rows.loc[name, "error"]
    assert counts == {"done": 2, "skipped": 0, "failed": 5, "without": 1}
    song = rows.loc["song"]
    assert (song["seconds"], song["sha256"]) == (2.0, sha256(tmp_path / song["path"]))
    assert song["bytes"] == (tmp_path / song["path"]).stat().st_size
    # Nothing but whole clips is left, not even a temporary file.
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == ["later.mp3", "song.mp3"]


def test_a_second_run_asks_for_failures_only(service, tmp_path):
    url, asked = service
    table = tracks(a=f"{url}/song", b=f"{url}/gone", c=f"{url}/busy")
    earlier, _ = run(table, tmp_path)
    asked.clear()
    again, counts = run(table, tmp_path, earlier)
    assert set(asked) == {"/busy"}
    assert counts == {"done": 0, "skipped": 2, "failed": 1, "without": 0}
    pd.testing.assert_frame_equal(again, earlier)


def test_files_of_a_killed_run_are_kept(service, tmp_path):
    url, asked = service
    table = tracks(a=f"{url}/song", b=f"{url}/song?2")
    undisturbed, _ = run(table, tmp_path)
    (tmp_path / "previews" / "b.mp3").unlink()  # killed before b came, and before any table was written
    asked.clear()
    found, _ = run(table, tmp_path)
    assert asked == ["/song?2"]
    pd.testing.assert_frame_equal(found, undisturbed)


def test_a_file_that_vanished_or_changed_is_fetched_again(service, tmp_path):
    url, asked = service
    table = tracks(a=f"{url}/song", b=f"{url}/song?2")
    earlier, _ = run(table, tmp_path)
    (tmp_path / "previews" / "a.mp3").unlink()
    asked.clear()
    again, counts = run(table, tmp_path, earlier)
    assert asked == ["/song"]
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
    assert rows["error"].iat[1] == "file not found"
    assert not list((tmp_path / "previews").iterdir())


def test_no_server_at_all_is_a_failure_not_a_crash(tmp_path):
    rows, counts = run(tracks(a="http://127.0.0.1:9/song"), tmp_path)
    assert rows["status"].tolist() == ["failed"]
    assert counts["failed"] == 1
