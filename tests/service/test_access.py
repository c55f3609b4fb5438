"""Access: names of the host, other sites, tokens, security headers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from hitsong.service.access import SECURITY_HEADERS
from tests.conftest import ROOT
from tests.serving import client_of, predict
from tests.small_study import bundle_of

PUBLIC = ("/", "/docs", "/docs/parts/swagger-ui.css", "/health/live", "/health/ready", "/openapi.json")


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
    answer = predict(client, noise, **headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_is_asked_for_where_there_is_one(service_of, noise, caplog):
    client = client_of(service_of("popularity"), token="s3cret-é")
    assert [client.get(path).status_code for path in PUBLIC] == [200] * len(PUBLIC)
    for path in ("/model", "/metrics", "/spectrogram/x.png", "/explain/x.png", "/nowhere", "/docs/../model"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for wrong in ("Bearer wrong", "Basic s3cret-é", "Bearer", "s3cret-é"):
        assert predict(client, noise, Authorization=wrong.encode()).status_code == 401
    assert predict(client, noise, Authorization="Bearer s3cret-é".encode()).status_code == 200
    assert "s3cret" not in caplog.text


def test_every_answer_carries_the_headers_that_protect_browsers(client):
    for path, status in (("/", 200), ("/model", 200), ("/nowhere", 404), ("/predict", 405)):
        answer = client.get(path)
        assert answer.status_code == status
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert "Set-Cookie" not in answer.headers
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_decoder_processes_do_not_inherit_the_token():
    bundle = bundle_of("popularity").folder
    process = subprocess.Popen(
        [sys.executable, "07_serve.py", "--bundle", str(bundle), "--port", "0"], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"HITSONG_TOKEN": "0123456789abcdef"},
    )  # fmt: skip
    try:
        address = next(line.split()[2] for line in process.stdout if line.startswith("serving on"))
        assert requests.get(f"{address}/model", timeout=20).status_code == 401
        decoders = psutil.Process(process.pid).children(recursive=True)
        environments = [Path(f"/proc/{item.pid}/environ").read_bytes() for item in decoders]
        assert len(environments) >= 2  # the server that they are forked from, and a decoder
        assert not any(b"HITSONG_TOKEN" in item for item in environments)
    finally:
        process.kill()
        process.wait()


def test_options_names_the_methods_of_a_resource(service_of):
    client = client_of(service_of("popularity"), token="0123456789abcdef")
    for path, allowed in (("/predict", "POST"), ("/model", "GET")):
        answer = client.options(path)
        assert (answer.status_code, answer.headers["Allow"]) == (204, allowed)
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.options("/nowhere").status_code == 404


def test_pages_of_the_chosen_sites_may_use_the_service(service_of, noise):
    client = client_of(service_of("popularity"), token="0123456789abcdef", origins=["https://friend.example"])
    token = {"Authorization": "Bearer 0123456789abcdef", "Sec-Fetch-Site": "cross-site"}
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for origin, status in (("https://friend.example", 200), ("https://evil.example", 403)):
        answer = predict(client, noise, Origin=origin, **token)
        assert answer.status_code == status
        allowed = origin if status == 200 else None
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        asked = client.options("/predict", headers={"Origin": origin, **preflight})
        assert asked.headers.get("Access-Control-Allow-Origin") == allowed
        assert asked.status_code == (200 if allowed else 400)
    assert predict(client, noise, Origin="https://friend.example").status_code == 401


def test_each_response_has_the_id_of_its_request(client):
    assert client.get("/model", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    ids = [client.get(path, headers={"X-Request-ID": "no good"}).headers["X-Request-ID"]
           for path in ("/model", "/nowhere")]  # fmt: skip
    assert len({*ids, "no good"}) == 3


def test_the_access_log_has_a_line_of_json_without_secrets(service_of, noise, caplog):
    client = client_of(service_of("popularity"), token="0123456789abcdef")
    caplog.set_level("INFO", "hitsong.access")
    token = {"Authorization": "Bearer 0123456789abcdef"}
    song = predict(client, noise, name="secret.wav", **token, **{"X-Request-ID": "r1"}).json()
    client.get(f"/spectrogram/{song['id']}.png", headers=token)
    client.get("/secret")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "hitsong.access"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/predict", 200), ("GET", "/spectrogram/{song_id}.png", 200), ("GET", "none", 401)
    ]  # fmt: skip
    assert lines[0]["request_id"] == "r1"
    assert lines[0]["bytes_received"] > len(noise)
    assert not re.search(f"secret|{song['id']}|0123456789abcdef", caplog.text)


def test_the_page_holds_nothing_that_its_policy_forbids(client):
    page = client.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
    for path in re.findall(r'(?:src|href)="(/[^"]*)"', page):
        assert client.get(path).status_code == 200
    assert client.get("/page/../app.py").status_code == 404
