"""What goes wrong at the stand-in: when, and what a client sees of it."""

import io
import time

import pytest
import requests
import soundfile

from hitsong.config import Fault
from standin import faults, playlist_ids
from standin.world import World

from .test_standin import SMALL, client_of

DEEZER = "http://api.deezer.test/"
SEARCH = "search?q=genre:rock&type=artist"


def troubled(*kinds, **details):
    return client_of(SMALL, faults=[Fault(kind=kind, **details) for kind in kinds])


def statuses(client, count, path=SEARCH):
    return [client.ask(path).status_code for _ in range(count)]


# ---------------------------------------------------------------------------------------------------
# When


def test_faults_come_when_they_are_due_and_go():
    with troubled("rate_limit_text", at=3, times=2) as client:
        assert statuses(client, 6) == [200, 200, 429, 429, 200, 200]


def test_faults_count_the_requests_whose_path_they_name():
    with troubled("quota", at=2, path="albums") as client:
        artist = World(SMALL, "rock").artists[0].id
        assert statuses(client, 3) == [200, 200, 200]
        assert statuses(client, 2, f"artists/{artist}/albums") == [200, 429]
        direct = client.standin.url + "/v1/albums?ids="
        assert client.ask(direct).status_code == 400


def test_each_fault_counts_for_itself_and_the_first_one_due_wins():
    chosen = [
        Fault(kind="server_error", at=2),
        Fault(kind="quota", at=2, times=2),
        Fault(kind="not_json", at=5),
    ]
    with client_of(SMALL, faults=chosen) as client:
        assert statuses(client, 4) == [200, 500, 429, 200]
        assert client.ask(SEARCH).text.startswith("<!DOCTYPE html>")


def test_token_requests_count_only_if_their_path_is_named():
    with troubled("server_error") as client:  # logged in without harm
        assert statuses(client, 2) == [500, 200]
    with troubled("server_error", at=2, path="/api/token") as client:
        assert client.session.post(client.standin.token_url).status_code == 500
        client.log_in()


# ---------------------------------------------------------------------------------------------------
# What


@pytest.mark.parametrize(
    ("kind", "wait", "error"),
    [
        ("rate_limit", "1", {"status": 429, "message": "API rate limit exceeded"}),
        ("rate_limit_long", "763", {"status": 429, "message": "API rate limit exceeded"}),
        ("quota", "48925", {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}),
    ],
)
def test_limits_say_how_long_to_wait(kind, wait, error):
    with troubled(kind) as client:
        answer = client.ask(SEARCH)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, wait)
        assert answer.json() == {"error": error}


def test_limits_may_be_plain_text():
    with troubled("rate_limit_text") as client:
        answer = client.ask(SEARCH)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "0")
        assert answer.text == "Too many requests"
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_server_errors_take_turns():
    with troubled("server_error", times=4) as client:
        assert statuses(client, 5) == [500, 502, 503, 500, 200]


def test_bodies_may_be_empty_whatever_the_status():
    with troubled("empty_body", times=2) as client:
        answers = [client.ask(SEARCH) for _ in range(2)]
        assert [(answer.status_code, answer.content) for answer in answers] == [(503, b""), (200, b"")]


def test_bodies_may_not_be_what_their_type_says():
    with troubled("not_json") as client:
        answer = client.ask(SEARCH)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
        with pytest.raises(requests.JSONDecodeError):
            answer.json()


def test_an_expired_token_stays_so_until_a_new_one_is_asked_for():
    with troubled("expired_token", at=2) as client:
        assert statuses(client, 4) == [200, 401, 401, 401]
        assert client.ask(SEARCH).json()["error"]["message"] == "The access token expired"
        old = client.session.headers["Authorization"]
        client.log_in()
        assert statuses(client, 2) == [200, 200]
        client.session.headers["Authorization"] = old
        assert statuses(client, 1) == [401]


def test_connections_are_dropped_before_within_and_after_the_headers():
    with troubled("dropped", times=3) as client:
        with pytest.raises(requests.ConnectionError, match="without response"):
            client.ask(SEARCH)
        half = client.ask(SEARCH)
        assert (half.status_code, half.content) == (200, b"")
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            client.ask(SEARCH)
        assert statuses(client, 2) == [200, 200]


def test_answers_may_be_slow(monkeypatch):
    monkeypatch.setattr(faults, "SLOW", 0.3)
    with troubled("slow", at=2) as client:
        assert client.ask(SEARCH).ok
        start = time.perf_counter()
        assert client.ask(SEARCH).ok
        assert time.perf_counter() - start > 0.3


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("search?q=genre:mandopop&type=track&limit=10", "tracks"),
        ("search?q=genre:mandopop&type=artist&limit=50", "artists"),
        (f"playlists/{playlist_ids(SMALL, 'mandopop')[0]}/tracks", None),
    ],
)
def test_nulls_come_in_addition_to_the_real_items(path, inside):
    with troubled("null_items", at=1) as client:
        spoilt, whole = client.get(path), client.get(path)
        if inside:
            spoilt, whole = spoilt[inside], whole[inside]
        assert spoilt["items"].count(None) == 2
        assert [item for item in spoilt["items"] if item] == whole["items"]
        assert {**spoilt, "items": None} == {**whole, "items": None}


# ---------------------------------------------------------------------------------------------------
# Previews and Deezer


@pytest.fixture(scope="module")
def address():
    recording = next(r for r in World(SMALL, "mandopop").recordings if r.preview and not r.fault)
    return f"http://p.scdn.test/mp3-preview/{recording.preview}"


def test_audio_may_be_cut_short(address):
    with troubled("truncated_audio") as client:
        assert client.ask(SEARCH).ok  # not counted
        with client.session.get(address, stream=True, timeout=30) as answer:
            length = int(answer.headers["Content-Length"])
            parts = []
            with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
                parts.extend(answer.iter_content(1024))
        whole = client.ask(address).content
        assert len(whole) == length
        assert whole.startswith(b"".join(parts))
        assert soundfile.info(io.BytesIO(whole)).duration > 1


@pytest.mark.parametrize(("kind", "status"), [("html_audio", 200), ("expired_preview", 403)])
def test_audio_may_be_a_page(address, kind, status):
    with troubled(kind) as client:
        assert client.ask(SEARCH).ok
        answer = client.ask(address)
        assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (status, "text/html")
        assert client.ask(address).headers["Content-Type"] == "audio/mpeg"


def test_deezer_says_with_status_200_that_it_is_asked_too_often(address):
    with troubled("rate_limit", times=3, path="") as client:
        error = {"type": "Exception", "message": "Quota limit exceeded", "code": 4}
        assert client.get(DEEZER + "genre") == {"error": error}
        assert client.get(client.standin.url + "/deezer/genre") == {"error": error}
        assert client.ask(address).status_code == 429
        assert client.get(DEEZER + "genre")["data"]


def test_deezer_has_the_other_faults_too():
    with troubled("server_error", "empty_body", "not_json", times=1) as client:
        assert client.ask(DEEZER + "genre").status_code == 500
    with troubled("dropped", path="/deezer/") as client:
        assert client.ask(SEARCH).ok
        with pytest.raises(requests.ConnectionError):
            client.ask(DEEZER + "genre")
    with troubled("quota", "expired_token", "null_items") as client:  # Spotify's own
        assert client.get(DEEZER + "genre")["data"]


def test_a_stand_in_survives_its_faults():
    kinds = faults.INSTEAD.keys() | faults.UPON.keys()
    assert kinds == set(Fault.model_fields["kind"].annotation.__args__)
    chosen = [Fault(kind=kind, at=3 + 2 * i) for i, kind in enumerate(sorted(kinds - {"slow"}))]
    with client_of(SMALL, faults=chosen) as client:
        for _ in range(40):
            try:
                if client.ask(SEARCH).status_code == 401:
                    client.log_in()
            except requests.RequestException:
                pass
        assert statuses(client, 3) == [200, 200, 200]
