"""Errors: refusals as problem+json, failures inside, too many requests."""

import threading
from dataclasses import replace

import numpy as np

from tests.serving import client_of, predict, rank, wav
from tests.small_study import RATE


def test_every_refusal_is_a_problem(client, noise):
    form = {"headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    no_boundary = {"Content-Type": "multipart/form-data"}
    part = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\n\r\n%s\r\n'
    text = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file\r\n--x--\r\n'
    long = wav(np.zeros((61 * 8000, 1), np.float32), 8000, subtype="PCM_U8")
    cases = [
        (404, client.get("/nowhere")),
        (404, client.get("/explain/AAAAAAAAAAAAAAAAAAAAAA.png")),
        (405, client.get("/predict")),
        (405, client.delete("/model")),
        (415, client.post("/predict", json={})),
        (415, client.post("/predict", content=noise, headers={"Content-Type": "text/plain"})),
        (400, client.post("/predict", content=b"x", headers=no_boundary)),
        (400, client.post("/predict", content=b"x", **form)),
        (400, client.post("/predict", content=b"--x--\r\n", **form)),
        (400, client.post("/predict", content=part % (b"file", noise), **form)),  # no end
        (400, client.post("/predict", files={"song": ("a", noise)})),
        (400, client.post("/predict", content=text, **form)),
        (413, client.post("/predict", content=part % (b"file", b"") * 2 + b"--x--\r\n", **form)),
        (
            413,
            client.post("/predict", content=part % (b"file", bytes(2_000_001)) + b"--x--\r\n", **form),
        ),
        (413, client.post("/predict", content=bytes(3_000_000), **form)),
        (413, rank(client, {f"{number}.wav": b"" for number in range(5)})),
        (413, predict(client, long)),
        (422, predict(client, b"")),
        (422, predict(client, b"a poem, not a song")),
        (422, predict(client, b"\0\0\0\x18ftypM4A " + bytes(500))),
        (422, predict(client, noise[:40])),
        (422, predict(client, wav(np.full(RATE, np.nan, np.float32), subtype="FLOAT"))),
    ]
    for status, answer in cases:
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
        assert set(answer.json()) == {"type", "title", "status", "code", "detail"}
    assert cases[2][1].headers["Allow"] == "POST"


def test_a_bug_is_logged_and_not_shown(service_of, noise, monkeypatch, caplog):
    def broken(audio, disconnected, *variants):
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(service_of("popularity").decoders, "decode", broken)
    answer = predict(client_of(service_of("popularity")), noise)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "the secret of the house" in caplog.text


def test_bodies_that_are_too_many_together_are_refused(service_of, noise, monkeypatch):
    busy = service_of("popularity")
    monkeypatch.setattr(busy, "limits", replace(busy.limits, held_bytes=len(noise) + 1000))
    client = client_of(busy)
    assert [predict(client, noise).status_code for _ in range(3)] == [200] * 3  # one after the other
    refused = client.post("/rank", files=[("files", noise)] * 2)
    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert predict(client, noise).status_code == 200


def test_load_beyond_the_bound_is_told_to_come_back(service_of, noise, monkeypatch):
    busy = service_of("popularity")
    monkeypatch.setattr(busy, "_slots", threading.BoundedSemaphore(1))
    begun, go_on, decode = threading.Event(), threading.Event(), busy.decoders.decode

    def slow(audio, disconnected, *variants):
        begun.set()
        assert go_on.wait(20)
        return decode(audio, disconnected)

    monkeypatch.setattr(busy.decoders, "decode", slow)
    answers = []
    first = threading.Thread(target=lambda: answers.append(predict(client_of(busy), noise)))
    first.start()
    assert begun.wait(20)
    refused = predict(client_of(busy), noise)
    assert client_of(busy).get("/health/ready").json()["in_flight"] == 1
    go_on.set()
    first.join()
    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert int(refused.headers["Retry-After"]) >= 1
    assert answers[0].status_code == 200
    assert predict(client_of(busy), noise).status_code == 200
