"""Uploads that mean no good: none takes the service down, none keeps others waiting, each is told what is wrong."""

import importlib.util
import io
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import soundfile

from hitsong.predict.predictor import Predictor
from hitsong.service.access import AccessControl
from hitsong.service.app import create_app
from hitsong.service.decoders import LONG_BYTES, NICENESS, DecodeError, DecoderPool, _Decoder
from hitsong.service.limits import Limits
from hitsong.service.scoring import ScoringService, shown_kinds
from hitsong.service.server import Server
from tests.conftest import ROOT
from tests.serving import running, wav
from tests.small_study import SECONDS, bundle_of

LIMITS = Limits(workers=2, seconds=600.0, file_bytes=2_000_000, files=4, receive_seconds=2.0)

specification = importlib.util.spec_from_file_location(
    "hostile_uploads", ROOT / "benchmarks" / "hostile_uploads.py"
)
benchmark = importlib.util.module_from_spec(specification)
specification.loader.exec_module(benchmark)


@pytest.fixture(scope="module")
def predictor():
    return Predictor(bundle_of("popularity"), shown_kinds())


@pytest.fixture(scope="module")
def service(predictor):
    decoders = DecoderPool(predictor.settings, LIMITS)
    yield ScoringService(predictor, decoders, LIMITS)
    decoders.close()


def server_of(service, token=None):
    app = create_app(service, AccessControl("127.0.0.1", token))
    return Server(app, "127.0.0.1", 0, service.limits)


@pytest.fixture(scope="module")
def server(service):
    with running(server_of(service)) as server:
        yield server


@pytest.fixture
def song(study):
    return next(study.previews.glob("*.wav")).read_bytes()


def predict(server, audio):
    return requests.post(f"{server.url}/predict", files={"file": audio}, timeout=30)


def connect(server):
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def silence(seconds, channels=1, rate=44100):
    """A small FLAC file of much silence."""
    file, block = io.BytesIO(), np.zeros((rate, channels), np.float32)
    with soundfile.SoundFile(file, "w", rate, channels, format="FLAC") as sound:
        for _ in range(seconds):
            sound.write(block)
    return file.getvalue()


# ---------------------------------------------------------------------- many of them


@pytest.mark.long
def test_hundreds_of_hostile_uploads_change_nothing(server, service, song):
    before = predict(server, song).json()["prediction"]
    whole = wav(
        *soundfile.read(io.BytesIO(song))
    )  # of floats, hardly one flipped file would be left without a NaN
    table = benchmark.attack(server.url, [whole], 20 * len([*benchmark.FILES, *benchmark.REQUESTS]), seed=1)
    statuses = {status for row in table.values() for status in row}
    assert statuses <= {200, 400, 403, 404, 405, 413, 415, 421, 422, 431, 501, 503, "closed"}
    for name in ("endless", "oversized", "bomb"):
        assert set(table[name]) == {413}, name
    assert set(table["endless_line"]) == {400}
    assert set(table["foreign"]) == {403, 421}
    assert {200, 422} == set(table["flipped"]) | set(table["random"])
    assert predict(server, song).json()["prediction"] == before
    assert service.decoders.restarts == 0
    assert requests.get(f"{server.url}/health/ready", timeout=20).json()["in_flight"] == 0


# ---------------------------------------------------------------------- bodies without end


def test_an_endless_body_is_refused_once_it_is_too_long(server):
    with connect(server) as wire:
        first, chunk, *_ = benchmark.endless(None, None)
        wire.sendall(first)
        sent = 0
        wire.settimeout(0.2)
        while sent < 100e6:
            try:
                wire.sendall(chunk)
                sent += len(chunk)
            except (TimeoutError, ConnectionError):
                break
            wire.setblocking(False)
            try:
                answer = wire.recv(65536)
                break
            except BlockingIOError:
                wire.settimeout(0.2)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer
    assert b"content-security-policy" in answer.lower()
    assert sent < 20e6  # what fits into the limit and into the buffers on the way


@pytest.mark.parametrize(
    ("host", "header", "status"),
    [
        ("evil.example", "", 421),
        ("127.0.0.1", "Origin: http://evil.example\r\n", 403),
        ("127.0.0.1", "", 401),
        ("127.0.0.1", "Authorization: Bearer wrong\r\n", 401),
    ],
)
def test_forbidden_requests_are_refused_before_their_body(service, host, header, status):
    """Not a byte of the body is sent, nor invited."""
    with running(server_of(service, token="0123456789abcdef")) as server, connect(server) as wire:
        headers = f"{header}{benchmark.MULTIPART}Content-Length: 1900000\r\nExpect: 100-continue\r\n"
        wire.sendall(benchmark.head(headers, host=host))
        answer = wire.recv(65536)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in answer
    assert (b"www-authenticate: bearer" in answer.lower()) == (status == 401)


def test_a_body_is_invited_where_the_headers_are_right(service, song):
    with running(server_of(service, token="0123456789abcdef")) as server, connect(server) as wire:
        body = benchmark.PART + song + benchmark.END
        token = "Authorization: Bearer 0123456789abcdef\r\nExpect: 100-continue\r\n"
        wire.sendall(benchmark.head(f"{token}{benchmark.MULTIPART}Content-Length: {len(body)}\r\n"))
        assert wire.recv(65536).startswith(b"HTTP/1.1 100 ")
        wire.sendall(body)
        assert wire.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("kilobytes", [17, 40, 300])
def test_headers_that_are_too_large_are_refused(server, kilobytes):
    with connect(server) as wire:
        wire.sendall(benchmark.head("".join(f"X-{number}: {'a' * 1000}\r\n" for number in range(kilobytes))))
        assert wire.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_a_client_that_sends_on_after_a_refusal_can_still_read_it(server):
    """Not so if the connection were closed on what it still sends."""
    answer = requests.post(f"{server.url}/predict", files={"file": bytes(20_000_000)}, timeout=20)
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert "more than 2 MB" in answer.json()["detail"]


def test_a_form_of_several_songs_may_be_larger_than_one_song(server, song):
    files = [("files", bytes(1_900_000)), ("files", bytes(1_900_000)), ("files", song)]
    answer = requests.post(f"{server.url}/rank", files=files, timeout=30)
    assert answer.status_code == 200
    assert [len(answer.json()[part]) for part in ("rows", "failed")] == [1, 2]


BEGUN = benchmark.head(f"{benchmark.MULTIPART}Content-Length: 9000\r\n") + benchmark.PART  # a form so far


@pytest.mark.parametrize("sent", [b"POST /pre", BEGUN])
def test_a_client_that_takes_its_time_is_hung_up_on(server, sent, monkeypatch):
    monkeypatch.setattr("hitsong.service.server.HEADER_SECONDS", 1.0)
    with connect(server) as wire:
        wire.sendall(sent)
        for _ in range(40):  # never silent for long
            try:
                wire.sendall(b"a")
                time.sleep(0.2)
            except ConnectionError:
                break
            wire.setblocking(False)
            try:
                assert wire.recv(100) == b""  # it is not refused for another reason
                break
            except BlockingIOError:
                wire.settimeout(20)
            except ConnectionError:
                break
        else:
            pytest.fail("still there")


def test_slow_clients_keep_no_one_waiting(service):
    app, limits = create_app(service, AccessControl("127.0.0.1", None)), replace(LIMITS, receive_seconds=60.0)
    with ExitStack() as stack:
        server = stack.enter_context(running(Server(app, "127.0.0.1", 0, limits)))
        slow = [stack.enter_context(connect(server)) for _ in range(30)]
        for wire in slow:
            wire.sendall(BEGUN)
        assert requests.get(f"{server.url}/health/ready", timeout=20).status_code == 200
        for wire in slow:
            wire.setblocking(False)
            with pytest.raises(BlockingIOError):  # still connected, and without an answer
                wire.recv(1)


def test_beyond_a_number_of_connections_the_oldest_idle_one_is_closed(server, monkeypatch):
    monkeypatch.setattr("hitsong.service.server.CONNECTIONS", 20)
    idle = [connect(server) for _ in range(60)]
    assert requests.get(f"{server.url}/health/ready", timeout=20).status_code == 200
    assert idle[0].recv(1) == b""
    assert len(server._server.server_state.connections) <= 20
    for wire in idle:
        wire.close()


# ---------------------------------------------------------------------- files that decode to too much


def test_a_small_file_of_many_hours_is_refused_at_its_header(service):
    bomb = silence(700)
    assert len(bomb) < 200_000
    with pytest.raises(DecodeError, match="longer than 10 minutes") as refused:
        service.decoders.decode(bomb)
    assert refused.value.code == "too_long"


def test_a_file_that_lies_about_its_length_is_refused(service):
    liar = bytearray(silence(2))
    liar[21] |= 0x0F
    liar[22:26] = b"\xff" * 4  # samples in its header: all ones
    with pytest.raises(DecodeError):
        service.decoders.decode(bytes(liar))


@pytest.mark.long
def test_a_file_that_needs_too_much_memory_is_refused_and_the_worker_lives(predictor, song):
    with pool_of(predictor, memory_bytes=1 << 30) as pool:
        with pytest.raises(DecodeError) as refused:
            pool.decode(silence(590, channels=8))
        assert refused.value.code == "unreadable"
        assert "memory" in str(refused.value)
        assert pool.decode(song).seconds == SECONDS
        assert pool.restarts == 0


# ---------------------------------------------------------------------- workers that die


@contextmanager
def pool_of(predictor, **limits):
    pool = DecoderPool(predictor.settings, replace(LIMITS, workers=1, **limits))
    pool.wait()
    try:
        yield pool
    finally:
        pool.close()


def test_a_decoder_that_takes_too_long_is_killed_and_another_takes_its_place(predictor, song):
    with pool_of(predictor, job_seconds=1.0) as pool:
        stuck = pool._decoders[0].process.pid
        os.kill(stuck, signal.SIGSTOP)  # no file is slow enough on every machine
        with pytest.raises(DecodeError, match="longer than 1 s") as refused:
            pool.decode(song)
        assert refused.value.code == "too_slow"
        assert pool.restarts == 1
        assert pool._decoders[0].process.pid != stuck
        for attempt in range(20):  # until the new one is warm
            try:
                assert pool.decode(song).seconds == SECONDS
                break
            except DecodeError:
                assert attempt < 19


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_short_songs_go_before_long_ones(predictor, song):
    with pool_of(predictor) as pool:
        process = pool._decoders[0].process.pid

        def decode(audio):
            """Seconds of the sound, and the niceness of the threads that were started for it."""
            before = niceness_of_threads(process)
            os.kill(process, signal.SIGSTOP)  # so that the decoding is seen from its beginning
            with ThreadPoolExecutor(1) as executor:
                features = executor.submit(pool.decode, audio)
                while not pool._idle.empty():
                    time.sleep(0.001)
                os.kill(process, signal.SIGCONT)
                during = {}
                while not features.done():
                    during |= niceness_of_threads(process)
            return features.result().seconds, {during[thread] for thread in during.keys() - before.keys()}

        normal = niceness_of_threads(process)[process]
        assert len(song) < LONG_BYTES
        file = io.BytesIO()
        noise = np.random.default_rng(1).integers(-9000, 9000, (180 * 44100, 2), np.int16)
        soundfile.write(file, noise, 44100, format="WAV")
        assert decode(file.getvalue()) == (180, {normal + NICENESS})
        seconds, niceness = decode(song)
        assert seconds == SECONDS
        assert niceness <= {normal}
        assert niceness_of_threads(process)[process] == normal


def niceness_of_threads(process):
    """Of the threads of a process, by their ids (Linux)."""
    result = {}
    for path in Path(f"/proc/{process}/task").glob("*/stat"):
        with suppress(OSError):  # it has ended
            result[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[16])
    return result


def test_a_file_that_its_decoder_dies_of_is_answered(predictor, service, song, monkeypatch):
    with pool_of(predictor) as pool:
        monkeypatch.setattr(service, "decoders", pool)
        process = pool._decoders[0].process.pid
        os.kill(process, signal.SIGSTOP)  # it does not finish the file before it crashes

        def crash():
            while not pool._idle.empty():
                time.sleep(0.01)
            time.sleep(1)  # until the file is sent
            os.kill(process, signal.SIGSEGV)
            os.kill(process, signal.SIGCONT)

        with running(server_of(service)) as server:
            thread = threading.Thread(target=crash)
            thread.start()
            died = requests.post(f"{server.url}/rank", files=[("files", song), ("files", song)], timeout=30)
            thread.join()
            assert [failure["code"] for failure in died.json()["failed"]] == ["crashed"]
            assert len(died.json()["rows"]) == 1
            assert predict(server, song).status_code == 200
        assert pool.restarts == 1


def test_a_worker_that_dies_while_it_waits_is_replaced_before_the_next_file(predictor, song):
    with pool_of(predictor) as pool:
        process = pool._decoders[0].process
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert pool.decode(song).seconds == SECONDS
        assert pool.restarts == 1


def test_workers_never_load_tensorflow(predictor):
    with pool_of(predictor) as pool:
        mapped = Path(f"/proc/{pool._decoders[0].process.pid}/maps").read_text()
        assert "libsndfile" in mapped
        assert "tensorflow" not in mapped


# ---------------------------------------------------------------------- clients that have gone


def test_the_work_of_a_client_that_has_gone_is_dropped(predictor, song, monkeypatch):
    with pool_of(predictor) as pool:
        service = ScoringService(predictor, pool, LIMITS)
        decoded, decode = [], _Decoder.decode
        monkeypatch.setattr(
            _Decoder, "decode", lambda self, *arguments: decoded.append(1) or decode(self, *arguments)
        )
        with running(server_of(service)) as server:

            def wait_for(line):
                for _ in range(200):
                    if line in requests.get(f"{server.url}/metrics", timeout=20).text:
                        return
                    time.sleep(0.1)
                pytest.fail(line)

            decoder = pool._idle.get()  # as if it were at work
            with connect(server) as wire:
                wire.sendall(b"".join(benchmark.form(song)))
                wait_for("hitsong_in_flight 1.0")
            wait_for("hitsong_in_flight 1.0")  # a round trip: the server has noticed the end
            pool._idle.put(decoder)
            wait_for("hitsong_in_flight 0.0")
            wait_for("hitsong_dropped_total 1.0")
            assert not decoded
            assert predict(server, song).status_code == 200
            assert decoded


# ---------------------------------------------------------------------- stopping


def accepts(server):
    """Whether a server still takes connections."""
    try:
        connect(server).close()
    except ConnectionError:
        return False
    return True


def test_a_stop_finishes_what_is_in_flight(service, song, monkeypatch):
    begun, closed, decode = threading.Event(), threading.Event(), service.decoders.decode

    def slow(audio, disconnected, *variants):
        begun.set()
        closed.wait(60)
        return decode(audio, disconnected)

    monkeypatch.setattr(service.decoders, "decode", slow)
    answers = []
    with running(server_of(service)) as server:
        asking = threading.Thread(target=lambda: answers.append(predict(server, song)))
        asking.start()
        assert begun.wait(60)
        server.stop()
        for _ in range(300):
            if not accepts(server):
                break
            time.sleep(0.1)
        else:
            pytest.fail("it still takes connections")
        closed.set()
        asking.join()
        assert answers[0].status_code == 200
        monkeypatch.setattr(server, "stop", lambda: None)  # it has been
