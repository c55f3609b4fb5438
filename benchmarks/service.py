"""The service: speed, memory, and hostile uploads.

    python benchmarks/service.py FOLDER --study demo                  # FOLDER: audio files of 30 s, as in fma_small
    python benchmarks/service.py FOLDER --study demo --against OTHER  # and the same of another checkout, in turn
    python benchmarks/service.py FOLDER --study demo --json FILE      # and this checkout's medians as JSON
    python benchmarks/service.py FOLDER --memory 5000                 # memory over so many requests, instead
    python benchmarks/service.py FOLDER --hostile 10000               # hostile uploads, instead

Starts 07_serve.py with the remaining options and sends it songs over HTTP. Speed: CPU seconds and time until the first
answer; one song after the other; 16 clients at once, as a share of what the cores can do (cores / CPU seconds of one
song alone): the share of cores that the service's ready threads could fill, sampled, times the CPU seconds of a song
alone over those of a song among 16 clients. On a machine without other work, that is answers a second over what the
cores can do; on a busy one it is not disturbed. Then a song of 3 min 30 s, alone and beside two short songs. Each is
the median of --rounds starts. With --hostile: the status codes, which must never be 500, lost decoder
processes, and memory.
"""

import argparse
import contextlib
import io
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import psutil
import requests
import soundfile
from hostile_uploads import attack

ROOT = Path(__file__).parents[1]
SUFFIXES = (".mp3", ".flac", ".ogg", ".wav")
ALONE, CLIENTS, TOGETHER, BESIDE = (
    8,
    16,
    64,
    4,
)  # songs one after the other; clients, their songs; repetitions
LONG_SECONDS = 210
ROWS = {
    "first_s": "first answer after the start, s",
    "first_cpu": "first answer after the start, CPU s",
    "one_s": "one song of 30 s, s",
    "one_cpu": "one song of 30 s, CPU s",
    "share": f"answers a second with {CLIENTS} clients / (cores / CPU s of one)",
    "long_s": "one song of 3:30 / one of 30 s, time",
    "long_cpu": "one song of 3:30 / one of 30 s, CPU",
    "beside": "two short songs beside one of 3:30 / without it, time",
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", type=Path, metavar="OTHER", help="another checkout with the same study")
    parser.add_argument(
        "--rounds", type=int, default=5, help="starts of each measurement (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write this checkout's medians, too")
    parser.add_argument("--memory", type=int, metavar="N")
    parser.add_argument("--hostile", type=int, metavar="N")
    arguments, others = parser.parse_known_args()
    paths = sorted(path for path in arguments.folder.rglob("*") if path.suffix in SUFFIXES)
    clips = [path.read_bytes() for path in paths]
    if not clips:
        parser.error(f"{arguments.folder} holds no audio files")
    if not (arguments.memory or arguments.hostile):
        compare(paths, clips, arguments, others)
        return
    with served(ROOT, others) as (url, process, _):
        if arguments.hostile:
            hostile(url, process.pid, clips, arguments.hostile)
        else:
            memory(url, process.pid, clips, arguments.memory)


@contextlib.contextmanager
def served(checkout, options):
    """07_serve.py of a checkout in a process of its own: address, process, and when it was started."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "07_serve.py", "--port", "0", *options],
        cwd=checkout, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for line in process.stdout:
            if address := re.match(r"serving on (\S+)", line):
                break
        else:
            sys.exit(process.wait())
        yield address[1], process, started
    finally:
        process.terminate()
        process.wait()


# --- Speed ------------------------------------------------------------------------------------------


def compare(paths, clips, arguments, options):
    """Print the medians of `speed`, of this checkout and perhaps of another one, started in turn."""
    checkouts = [ROOT] + ([arguments.against.resolve()] if arguments.against else [])
    long = long_song(paths)
    results = {checkout: [] for checkout in checkouts}
    # Load slows some machines down for a while, so the first answers come before it.
    for measure in (first_answer, speed):
        for _ in range(arguments.rounds):
            for checkout in checkouts:
                with served(checkout, options) as (url, process, started):
                    results[checkout].append(measure(url, process.pid, started, clips, long))
    print(
        f"{'':75}"
        + "".join(f"{name:>8}" for name in ("here", "other", "ratio")[: 3 * len(checkouts) - 3 or 1])
    )
    medians = {
        key: [statistics.median(result[key] for result in rows if key in result) for rows in results.values()]
        for key in ROWS
    }
    if arguments.json:
        arguments.json.write_text(json.dumps({key: values[0] for key, values in medians.items()}))
    for key, label in ROWS.items():
        values = medians[key]
        if len(values) > 1:
            values.append(values[0] / values[1])
        print(f"{label:75}" + "".join(f"{value:8.2f}" for value in values))


def long_song(paths):
    """An MP3 of 3 min 30 s out of the first clips."""
    clips = [soundfile.read(path, dtype="float32", always_2d=True) for path in paths[:20]]
    samples = [samples for samples, rate in clips if rate == 44100 and samples.shape[1] == 2]
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(samples)[: LONG_SECONDS * 44100], 44100, format="MP3")
    return file.getvalue()


def first_answer(url, pid, started, clips, long):
    """Measure the start of a service up to its first answer: numbers by the keys of `ROWS`."""
    ask(requests.Session(), url, clips[0])
    return {"first_s": time.perf_counter() - started, "first_cpu": cpu_seconds(pid)}


def speed(url, pid, started, clips, long):
    """Measure a service in work: numbers by the keys of `ROWS`."""
    session = requests.Session()
    ask(session, url, clips[0])
    one_s, one_cpu = alone(session, url, pid, clips, ALONE)
    long_s, long_cpu = alone(session, url, pid, [long], 4)
    before = cpu_seconds(pid)
    with sampled_cores(pid) as cores:
        statuses = load(url, clips, CLIENTS, TOGETHER)[1]
    assert set(statuses) == {200}, statuses
    together_cpu = (cpu_seconds(pid) - before) / TOGETHER
    short, beside = zip(*(beside_long(url, clips, long) for _ in range(BESIDE)), strict=True)
    return {
        "one_s": one_s, "one_cpu": one_cpu,
        "share": statistics.mean(cores) / os.cpu_count() * one_cpu / together_cpu,
        "long_s": long_s / one_s, "long_cpu": long_cpu / one_cpu,
        "beside": statistics.median(beside) / statistics.median(short),
    }  # fmt: skip


def alone(session, url, pid, clips, count):
    """Seconds (median) and CPU seconds (mean) of an answer, one song after the other."""
    before = cpu_seconds(pid)
    seconds = []
    for clip in islice(cycle(clips), count):
        began = time.perf_counter()
        ask(session, url, clip)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), (cpu_seconds(pid) - before) / count


def beside_long(url, clips, long):
    """Seconds of the slower of two short songs that are sent at once: without a long one, and just after it."""
    without = max(load(url, clips, 2, 2)[0])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask, requests.Session(), url, long)
        time.sleep(0.1)
        return without, max(load(url, clips, 2, 2)[0])


@contextlib.contextmanager
def sampled_cores(pid):
    """Samples how many cores a process and its descendants could fill: threads that run or wait for a core (Linux)."""
    samples, stop = [], threading.Event()
    process = psutil.Process(pid)
    tree = [item.pid for item in [process, *process.children(recursive=True)]]

    def sample():
        while not stop.wait(0.03):
            ready = 0
            for path in [path for item in tree for path in Path(f"/proc/{item}/task").glob("*/stat")]:
                with contextlib.suppress(OSError):
                    ready += path.read_text().rpartition(")")[2].split()[0] == "R"
            samples.append(min(ready, os.cpu_count()))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def cpu_seconds(pid):
    """CPU seconds of a process and its descendants so far."""
    process = psutil.Process(pid)
    return sum(sum(item.cpu_times()[:2]) for item in [process, *process.children(recursive=True)])


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
    """Send a song: the status of the answer."""
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
    process = psutil.Process(pid)
    descendants = process.children(recursive=True)
    return tuple(
        sum(item.memory_full_info().pss for item in group) / 2**20 for group in ([process], descendants)
    )


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


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
