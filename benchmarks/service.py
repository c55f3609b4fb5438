"""What the service takes: time, memory, and what hostile clients throw at it.

    python benchmarks/service.py PATH                       # a folder with audio files, for example of fma_small
    python benchmarks/service.py PATH --requests 200        # shorter
    python benchmarks/service.py PATH --hostile 10000       # uploads that mean no good, instead
    python benchmarks/service.py PATH --config configs/mandopop.yaml --model crnn

Starts 07_serve.py on the study that --config names, and asks it over HTTP, all in one run. First how long it takes to
be there; then the time of an answer (all of it: decode, features, descriptors, tags, model) with 1, 4 and 16
clients that ask one song after the other; then memory over many requests, of the server and of its workers. With
--hostile, broken, lying and endless uploads from eight clients: the status codes, which must never be 500, the workers
that died of it, and the memory.
"""

import argparse
import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import requests
import soundfile

ROOT = Path(__file__).parents[1]
SUFFIXES = (".mp3", ".flac", ".ogg", ".wav")
CLIENTS = (1, 4, 16)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument(
        "--requests", type=int, default=5000, help="while memory is watched (default: %(default)s)"
    )
    parser.add_argument("--hostile", type=int, metavar="N", help="so many hostile uploads, and nothing else")
    arguments, others = parser.parse_known_args()
    clips = [path.read_bytes() for path in sorted(arguments.folder.rglob("*")) if path.suffix in SUFFIXES]
    if not clips:
        parser.error(f"{arguments.folder} holds no audio files")
    with served(others) as (url, process):
        if arguments.hostile:
            hostile(url, process.pid, clips, arguments.hostile)
        else:
            latency(url, clips)
            memory(url, process.pid, clips, arguments.requests)


@contextlib.contextmanager
def served(options):
    """07_serve.py in a process of its own: its address and its process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, ROOT / "07_serve.py", "--port", "0", *options],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for line in process.stdout:
            print(line, end="")
            if found := re.match(r"serving on (\S+)", line):
                break
        else:
            sys.exit(process.wait())
        print(f"there after {time.perf_counter() - started:.1f} s")
        yield found[1], process
    finally:
        process.terminate()
        process.wait()


# --- Time -------------------------------------------------------------------------------------------


def latency(url, clips):
    """Print how long answers take, by number of clients."""
    started = time.perf_counter()
    ask(requests.Session(), url, clips[0])
    print(f"first answer {time.perf_counter() - started:.2f} s\n")
    print("clients  requests     p50     p95     p99   answers/s   503")
    for clients in CLIENTS:
        count = 40 + 20 * clients
        seconds, statuses, wall = load(url, clips, clients, count)
        p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
        print(
            f"{clients:7} {count:9} {p50:6.2f}s {p95:6.2f}s {p99:6.2f}s {len(seconds) / wall:11.1f} {statuses[503]:5}"
        )


def load(url, clips, clients, count):
    """Ask from several clients: seconds of each answer, how often which status came, and the time it all took."""
    jobs, lock = iter(islice(cycle(clips), count)), threading.Lock()
    seconds, statuses = [], Counter()

    def client():
        with requests.Session() as session:
            while True:
                with lock:
                    clip = next(jobs, None)
                if clip is None:
                    return
                started = time.perf_counter()
                status = ask(session, url, clip)
                with lock:
                    statuses[status] += 1
                    if status == 200:
                        seconds.append(time.perf_counter() - started)

    started = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds, statuses, time.perf_counter() - started


def ask(session, url, clip):
    return session.post(f"{url}/predict", files={"file": ("song", clip)}).status_code


# --- Memory -----------------------------------------------------------------------------------------


def memory(url, pid, clips, count, steps=5):
    """Print what the server and its workers hold, while they answer."""
    print(f"\n requests   server MB   workers MB   of {count} by four clients")
    for step in range(steps + 1):
        if step:
            load(url, clips, 4, count // steps)
        server, workers = megabytes(pid)
        print(f"{step * (count // steps):9} {server:11.0f} {workers:12.0f}")


def megabytes(pid):
    """What a process, and all that descend from it, hold for themselves, shared pages in proportion (Linux)."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children[int(path.read_text().rpartition(")")[2].split()[1])].append(int(path.parent.name))

    def held(one):
        return int(re.search(r"Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text())[1]) / 1024

    def descendants(one):
        return [below for child in children[one] for below in (child, *descendants(child))]

    return held(pid), sum(held(child) for child in descendants(pid))


# --- Hostile uploads --------------------------------------------------------------------------------


def hostile(url, pid, clips, count):
    """Throw hostile uploads at the service, and print what became of them."""
    with requests.Session() as session:
        good = [
            session.post(f"{url}/predict", files={"file": clip}).json()["prediction"] for clip in clips[:3]
        ]
        before = megabytes(pid)
        table = attack(url, clips, count)
        after = megabytes(pid)
        again = [
            session.post(f"{url}/predict", files={"file": clip}).json()["prediction"] for clip in clips[:3]
        ]
        restarts = re.search(r"hitsong_worker_restarts ([\d.]+)", session.get(f"{url}/metrics").text)[1]
    statuses = sorted({status for row in table.values() for status in row}, key=str)
    print(f"\n{'':18}" + "".join(f"{status:>8}" for status in statuses))
    for name, row in sorted(table.items()):
        print(f"{name:18}" + "".join(f"{row[status] or '':>8}" for status in statuses))
    total = sum(table.values(), Counter())
    print(f"{'total':18}" + "".join(f"{total[status]:>8}" for status in statuses))
    print(f"\nworkers replaced {float(restarts):.0f}; good songs answered as before: {good == again}")
    print("server {:.0f} MB, workers {:.0f} MB before".format(*before))
    print("server {:.0f} MB, workers {:.0f} MB after".format(*after))
    if total[500] or good != again:
        sys.exit("the service did not hold")


def attack(url, clips, count, seed=0, clients=8):
    """Send hostile uploads.

    Parameters
    ----------
    url : str
    clips : list of bytes
        Good audio files, to be spoilt.
    count : int
    seed : int
    clients : int
        That send at once.

    Returns
    -------
    dict of str to Counter
        By what was sent, how often which status came; "closed" where there was no answer.
    """
    songs = [clip[:60_000] for clip in clips] + encoded()
    names = [*FILES, *REQUESTS]

    def one(number):
        rng = np.random.default_rng([seed, number])
        name = names[number % len(names)]
        pieces = form(FILES[name](rng, songs)) if name in FILES else REQUESTS[name](rng, songs)
        return name, exchange(url, pieces, half_close=name in INCOMPLETE)

    table = defaultdict(Counter)
    with ThreadPoolExecutor(clients) as pool:
        for name, status in pool.map(one, range(count)):
            table[name][status] += 1
    return table


def exchange(url, pieces, half_close=False, patience=60):
    """Send pieces of bytes until there is a response, and read its status; `half_close` ends an incomplete request."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=patience) as wire:
        try:
            for piece in pieces:
                wire.sendall(piece)
                wire.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if answer := wire.recv(65536):
                        return status_of(answer)
                wire.settimeout(patience)
            if half_close:
                wire.shutdown(socket.SHUT_WR)
            return status_of(wire.recv(65536))
        except (ConnectionError, BrokenPipeError):
            with contextlib.suppress(OSError):
                return status_of(wire.recv(65536))
            return "closed"
        except TimeoutError:
            return "silent"


def status_of(answer):
    """The status in the first line of an answer."""
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(found[1]) if found else "closed"


def head(body_headers, path="/predict", host="127.0.0.1"):
    return f"POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{body_headers}\r\n".encode(
        "latin-1"
    )


BOUNDARY = "edge"
MULTIPART = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
PART = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'.encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()


def form(content):
    """A request with a file, as it should be."""
    body = PART + content + END
    return [head(f"{MULTIPART}Content-Length: {len(body)}\r\n") + body]


def encoded():
    """Short songs in other formats."""
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.normal(size=(3 * 44100, 2))).astype(np.float32)
    files = []
    for kind in ("FLAC", "OGG", "WAV", "MP3"):
        file = io.BytesIO()
        soundfile.write(file, samples, 44100, format=kind)
        files.append(file.getvalue())
    return files


def pick(rng, songs):
    return bytearray(songs[rng.integers(len(songs))])


def truncated(rng, songs):
    song = pick(rng, songs)
    return bytes(song[: rng.integers(len(song))])


def spliced(rng, songs):
    first, second = truncated(rng, songs), truncated(rng, songs)
    return first + second[rng.integers(len(second) + 1) :] + bytes(rng.bytes(rng.integers(100)))


def flipped(rng, songs):
    song = pick(rng, songs)
    for place in rng.integers(len(song), size=int(10 ** rng.uniform(0, 4))):
        song[place] ^= 1 << rng.integers(8)
    return bytes(song)


def overwritten(rng, songs):
    """A header of numbers at their ends: rates of 0, channels of 65,535, lengths of all ones."""
    song = pick(rng, songs)
    for _ in range(rng.integers(1, 5)):
        place, size = rng.integers(200), rng.integers(1, 9)
        song[place : place + size] = bytes([rng.choice([0, 1, 127, 128, 255])]) * int(size)
    return bytes(song)


def random(rng, songs):
    return rng.bytes(int(10 ** rng.uniform(0, 5)))


def crowned(rng, songs):
    """Noise behind the magic number of some format."""
    magic = [
        b"fLaC", b"OggS", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"RF64\xff\xff\xff\xffWAVE", b"FORM\0\0\0\xffAIFF",
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f", b"\xff\xfb\x90\x00", b".snd\0\0\0\x18", b"caff\0\x01\0\0",
        b"\0\0\0\x18ftypM4A ", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7\n", b"\x1f\x8b\x08", b"<html>",
        b"#!/bin/sh\n",
    ]  # fmt: skip
    return magic[rng.integers(len(magic))] + rng.bytes(int(10 ** rng.uniform(0, 4.5)))


@cache
def bombs():
    """Small files of more than ten minutes of silence, and one that says it has more."""
    files = []
    for kind, rate in (("WAV", 1000), ("OGG", 8000), ("FLAC", 44100)):
        file = io.BytesIO()
        with soundfile.SoundFile(file, "w", rate, 1, format=kind) as sound:
            for _ in range(700):
                sound.write(np.zeros(rate, np.float32))
        files.append(file.getvalue())
    liar = bytearray(files[-1][:50_000])
    liar[21:26] = b"\xff" * 5  # of its number of samples
    return [*files, bytes(liar)]


def bomb(rng, songs):
    """One of `bombs`."""
    return bombs()[rng.integers(len(bombs()))]


FILES = {
    "truncated": truncated, "spliced": spliced, "flipped": flipped, "overwritten": overwritten, "random": random,
    "crowned": crowned, "bomb": bomb, "empty": lambda rng, songs: b"",
}  # fmt: skip


def endless(rng, songs):
    """Chunks without end; at most 200 MB, in case no one stops it."""
    yield head(f"{MULTIPART}Transfer-Encoding: chunked\r\n")
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    for _ in range(3000):
        yield chunk


def endless_line(rng, songs):
    """A chunk whose first line has no end."""
    yield head(f"{MULTIPART}Transfer-Encoding: chunked\r\n")
    yield b"1;" + b"a" * 100
    for _ in range(500):
        yield b"a" * 65536


def crumbs(rng, songs):
    """A song in chunks of a byte, and then a broken one."""
    song = songs[rng.integers(len(songs))][:2000]
    yield head(f"{MULTIPART}Transfer-Encoding: chunked\r\n")
    yield b"".join(b"1\r\n%c\r\n" % byte for byte in PART + song + END)
    yield b"0\r\n\r\n" if rng.random() < 0.5 else b"zz\r\n"


def oversized(rng, songs):
    """A length beyond all bounds, announced or sent."""
    yield head(f"{MULTIPART}Content-Length: {int(10 ** rng.uniform(7.6, 18))}\r\n")
    for _ in range(rng.integers(20)):
        yield bytes(65536)


def stalled(rng, songs):
    """A body that breaks off."""
    song = songs[rng.integers(len(songs))]
    yield head(f"{MULTIPART}Content-Length: {len(song)}\r\n")
    yield song[: rng.integers(len(song))]


def fat_headers(rng, songs):
    yield head("".join(f"X-{number}: {'a' * 1000}\r\n" for number in range(rng.integers(15, 400))))


def torn_form(rng, songs):
    """A form that is none: parts without end, of other fields, with headers beyond all bounds, or thousands."""
    song = songs[rng.integers(len(songs))][:5000]
    bodies = [
        PART + song,
        PART.replace(b'"file"', b'"other"') + song + END,
        PART.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n") + song + END,
        PART.replace(b"Content-Disposition", b"Content-Nonsense") + song + END,
        PART.replace(b"form-data", rng.bytes(20)) + song + END,
        (PART + b"a\r\n") * 3000 + END,
        b"\r\n" * 5000 + END,
        END,
        rng.bytes(3000),
    ]
    body = bodies[rng.integers(len(bodies))]
    yield head(f"{MULTIPART}Content-Length: {len(body)}\r\n") + body


def mislabelled(rng, songs):
    """A song in something that is no form."""
    song = songs[rng.integers(len(songs))]
    kinds = ["audio/mpeg", "application/json", "multipart/mixed; boundary=edge", "multipart/form-data",
             "multipart/form-data; boundary=" + "b" * 200, "text/plain; charset=utf-7", "", "\x80\x81"]  # fmt: skip
    kind = kinds[rng.integers(len(kinds))]
    yield head(f"Content-Type: {kind}\r\nContent-Length: {len(song)}\r\n") + song


def garbage(rng, songs):
    """What is hardly HTTP."""
    first = [
        b"GET /", b"get / HTTP/1.1", b"POST /predict HTTP/9.9", b"POST /predict HTTP/1.1", b"BREW /pot HTTP/1.1",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET http://evil.example/ HTTP/1.1",
        b"GET /page/../app.py HTTP/1.0", b"GET /page/%2e%2e/app.py HTTP/1.0", b"GET /explain/%ff%00.png HTTP/1.0",
        rng.bytes(200),
    ]  # fmt: skip
    then = [
        b"", b"Host: localhost", b"Host: [::1", b"Content-Length: -5", b"Content-Length: 5\r\nContent-Length: 6",
        b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 3", rng.bytes(50),
    ]  # fmt: skip
    lines = [
        first[rng.integers(len(first))],
        then[rng.integers(len(then))],
        b"Host: localhost",
        b"",
        b"0\r\n\r\n",
    ]
    yield b"\r\n".join(lines)


def foreign(rng, songs):
    """A good song, sent by a page of another site or under another name."""
    body = PART + songs[rng.integers(len(songs))][:3000] + END
    extra = ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n", ""]
    number = rng.integers(len(extra))
    host = "127.0.0.1" if extra[number] else "evil.example"
    yield head(f"{extra[number]}{MULTIPART}Content-Length: {len(body)}\r\n", host=host) + body


REQUESTS = {
    "endless": endless, "endless_line": endless_line, "crumbs": crumbs, "oversized": oversized, "stalled": stalled,
    "fat_headers": fat_headers, "torn_form": torn_form, "mislabelled": mislabelled, "garbage": garbage,
    "foreign": foreign,
}  # fmt: skip

INCOMPLETE = {"stalled", "garbage"}


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
