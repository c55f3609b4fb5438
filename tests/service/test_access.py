"""Access: names of the host, other sites, tokens, security headers."""

import io
import re

import pytest

from hitsong.service.access import SECURITY_HEADERS
from tests.serving import HOST, client_of, predict


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8787"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8787"}, 200),
        ({"Host": "evil.example"}, 421),  # a foreign name that leads here
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "localhost@evil.example"}, 421),
        ({"Host": "["}, 421),
        ({"Host": ""}, 421),
        ({"Host": "127.0.0.1:8787", "Origin": "http://127.0.0.1:8787", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "127.0.0.1:8787", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:8787", "Origin": "http://127.0.0.1:9000"}, 403),
        ({"Host": "127.0.0.1:8787", "Origin": "null"}, 403),
        ({"Host": "127.0.0.1:8787", "Origin": "http://["}, 403),
        ({"Host": "127.0.0.1:8787", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "127.0.0.1:8787", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_requests_of_other_sites_are_refused(client, noise, headers, status):
    answer = client.post("/predict", data={"file": (io.BytesIO(noise), "a.wav")}, headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.content_type == "application/problem+json"


def test_a_token_is_asked_for_where_there_is_one(service_of, noise, caplog):
    client = client_of(service_of("popularity"), token="s3cret-é")
    assert [client.get(path, headers=HOST).status_code for path in ("/", "/health", "/openapi.json")] == [
        200
    ] * 3
    for path in ("/model", "/metrics", "/spectrogram/x.png", "/explain/x.png"):
        answer = client.get(path, headers=HOST)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for wrong in ("Bearer wrong", "Basic s3cret-é", "Bearer", "s3cret-é"):
        assert predict(client, noise, Authorization=wrong.encode().decode("latin-1")).status_code == 401
    right = "Bearer s3cret-é".encode().decode("latin-1")  # headers carry bytes
    assert predict(client, noise, Authorization=right).status_code == 200
    assert "s3cret" not in caplog.text


def test_every_answer_carries_the_headers_that_protect_browsers(client):
    for path, status in (("/", 200), ("/model", 200), ("/nowhere", 404), ("/predict", 405)):
        answer = client.get(path, headers=HOST)
        assert answer.status_code == status
        assert SECURITY_HEADERS.items() <= dict(answer.headers).items()
        assert "Set-Cookie" not in answer.headers
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_holds_nothing_that_its_policy_forbids(client):
    page = client.get("/", headers=HOST).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
    for path in re.findall(r'(?:src|href)="(/[^"]*)"', page):
        assert client.get(path, headers=HOST).status_code == 200
    assert client.get("/page/../app.py", headers=HOST).status_code == 404
