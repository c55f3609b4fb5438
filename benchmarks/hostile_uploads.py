"""Hostile uploads: broken, lying and endless requests, and files that are no songs or spoilt ones."""

import contextlib
import io
import re
import socket
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from urllib.parse import urlsplit

import av
import numpy as np
import soundfile


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
    """Songs in other formats, a little longer than the shortest that gets a score."""
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.normal(size=(6 * 44100, 2))).astype(np.float32)
    files = []
    for kind in ("FLAC", "OGG", "WAV", "MP3"):
        file = io.BytesIO()
        soundfile.write(file, samples, 44100, format=kind)
        files.append(file.getvalue())
    return files + [in_container(samples, 44100, *kind) for kind in CONTAINERS]


def in_container(samples, rate, muxer, codec):
    """Samples [shape=(n, channels), float32] in a format that only PyAV reads."""
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(file, "w", format=muxer) as container:
        sound = container.add_stream(codec, rate=48000 if codec == "libopus" else rate, layout=layout)
        context = sound.codec_context
        resampler = av.AudioResampler(context.format, layout, sound.rate, context.frame_size or None)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate = rate
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(sound.encode(part))
    return file.getvalue()


CONTAINERS = [
    ("ipod", "aac"), ("ipod", "alac"), ("adts", "aac"), ("webm", "libopus"), ("mp4", "libopus"), ("mov", "pcm_s16le")
]  # fmt: skip


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
        b"#!/bin/sh\n", b"\0\0\0\x14ftypqt  ", b"\0\0\0\x08wide\0\0\x10\0mdat", b"\0\0\0\x10moov\0\0\0\x08mvhd",
        b"\x1aE\xdf\xa3\x9fB\x86\x81\x01", b"\xff\xf1P\x80$?\xfc",
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
    silence = np.zeros((700 * 8000, 1), np.float32)
    files += [in_container(silence, 8000, *kind) for kind in (("ipod", "alac"), ("webm", "libopus"))]
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
    yield head(f"{MULTIPART}Transfer-Encoding: chunked\r\n") + b"%x\r\n%s\r\n" % (len(PART), PART)
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
