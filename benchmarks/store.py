"""A large study: what 05 and 06 do with the stored mels besides fitting, the first time and the second.

    python benchmarks/store.py                    # 90,000 clips; 2 GB of disk while it runs
    python benchmarks/store.py --clips 10000
    python benchmarks/store.py --json FILE

Writes the mels of songs that the stand-in composes, each in versions of other tempo and pitch that begin elsewhere, and
among them `PLANTED` pairs of excerpts of one song. Then a process for each time opens the store, seeks near-duplicates,
measures the levels of all clips, and identifies what a model would be fitted on. Prints CPU seconds and peak memory
(anonymous: without the pages of the mapped file), how many planted pairs are found, and how many other pairs: those of
two versions of one song, and of different songs.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from near_audio import RATE, SECONDS, SETTINGS, codes, song

from hitsong.config import Config
from hitsong.data import targets
from hitsong.data.corpus import Corpus
from hitsong.data.tracks import near_pairs
from hitsong.features.kinds import specification
from hitsong.features.store import Store
from hitsong.files import read_json, write_json
from hitsong.study import Study

CLIPS, SONGS, PLANTED = 90_000, 3000, 50
ROLLS = (0, -10, 10)  # bands
PARTS = ("near-duplicates", "levels", "fingerprint")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--study", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.study:
        write_json(arguments.study / "costs.json", measure(arguments.study))
        return
    folder = Path(tempfile.mkdtemp())
    try:
        write_study(folder, arguments.clips)
        print(f"{arguments.clips:,} clips, written in {time.process_time():.0f} CPU s", flush=True)
        times = [measure_apart(folder) for _ in ("first", "second")]
    finally:
        shutil.rmtree(folder)
    for name, costs in zip(("first", "second"), times, strict=True):
        parts = ", ".join(f"{part} {costs[part]:.1f}" for part in PARTS)
        print(f"{name} time: {costs['cpu_s']:.1f} CPU s ({parts}), {costs['mib']:,.0f} MiB")
    counts = times[0]["pairs"]
    print(f"pairs: {counts['planted']} of {PLANTED} planted, {counts['versions']} of versions of one song, "
          f"{counts['others']} of different songs; ratio {times[1]['cpu_s'] / times[0]['cpu_s']:.3f}")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps({"first": times[0], "second": times[1]}))


def settings(folder):
    return Config(study="large", data=str(folder), features={"kinds": ["mel"], "mel": SETTINGS.model_dump()})


def write_study(folder, clips):
    """Write the store of a study: versions of songs, then the planted pairs."""
    config = settings(folder)
    study, rng = Study.of(config), np.random.default_rng(0)
    study.features.mkdir(parents=True)
    ids = [f"t{number:06}" for number in range(clips)]
    store = Store(study.features)
    store.extend(pd.DataFrame({"track_id": ids, "sha256": [f"{name:0>64}" for name in ids], "path": "none"}))
    songs = [codes(song(1000 + seed, SECONDS)) for seed in range(min(SONGS, clips))]
    with store.writer(specification("mel", config.features)) as writer:
        for number in range(clips - 2 * PLANTED):
            version = number // len(songs)
            writer.write(
                number, make_version(songs[number % len(songs)], version, -(-clips // len(songs)), rng)
            )
        for pair in range(PLANTED):
            samples, start = song(pair, SECONDS + 26), int(rng.uniform(0, 25) * RATE)
            for begin in (0, start):
                writer.write(writer.done, codes(samples[begin : begin + SECONDS * RATE]))


def make_version(mel, version, versions, rng):
    """A song at another tempo, or of other bands, from any moment on: no two versions are alike."""
    tempo = np.geomspace(0.7, 1.4, -(-versions // len(ROLLS)))[version // len(ROLLS)] if versions > 1 else 1
    frames = mel.shape[1]
    places = (rng.integers(frames) + np.arange(frames) * tempo).astype(int) % frames
    return np.roll(mel[:, places], ROLLS[version % len(ROLLS)], axis=0)


def measure_apart(folder):
    """The costs of one time, in a process of its own."""
    subprocess.run([sys.executable, __file__, "--study", str(folder)], check=True)
    return read_json(folder / "costs.json")


def measure(folder):
    """CPU seconds of each part, peak memory, and the pairs that were found."""
    peak = [0.0]
    threading.Thread(target=watch_memory, args=(peak,), daemon=True).start()
    config, costs, started = settings(folder), {}, cpu()
    study = Study.of(config)
    pairs = near_pairs(study)
    costs["near-duplicates"] = cpu() - started
    corpus = make_corpus(study, config)
    before = cpu()
    about = corpus.about()
    costs["levels"] = cpu() - before
    before = cpu()
    fingerprint = corpus.fingerprint(["mel"])
    costs["fingerprint"] = cpu() - before
    assert about["seen"]["mel"]
    assert fingerprint["inputs"]["mel"]["content"]
    return {
        **costs,
        "cpu_s": cpu() - started,
        "mib": peak[0],
        "pairs": count_pairs(pairs, len(corpus.tracks)),
    }


def make_corpus(study, config):
    """The clips as tracks of random popularity, three quarters of them to train on."""
    ids = Store(study.features).index["track_id"]
    rng = np.random.default_rng(0)
    tracks = pd.DataFrame({
        "track_id": ids, "popularity": rng.uniform(0, 100, len(ids)), "popularity_source": "synthetic",
        "group": np.arange(len(ids)) // 4, "fetched_at": "2026-01-01", "licence": None,
        "side": rng.choice(["train", "train", "train", "validation", "test"], len(ids)),
    })  # fmt: skip
    target = targets.fit_target(config.target, tracks["popularity"][tracks["side"] == "train"])
    return Corpus(study, config, target.write(tracks), target, ["mel"])


def count_pairs(pairs, clips):
    """How many planted pairs were found, of versions of one song, and of different songs."""
    a, b = (pairs[name].str[1:].astype(int).to_numpy() for name in ("track_id", "other"))
    a, b = np.minimum(a, b), np.maximum(a, b)
    first = clips - 2 * PLANTED
    planted = (a >= first) & (b == a + 1) & ((a - first) % 2 == 0)
    versions = (b < first) & (a % SONGS == b % SONGS)
    counts = {"planted": planted, "versions": versions, "others": ~planted & ~versions}
    return {name: int(mask.sum()) for name, mask in counts.items()}


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def watch_memory(peak):
    """Keep the largest anonymous memory of this process in `peak` [MiB]."""
    while True:
        status = Path("/proc/self/status").read_text()
        peak[0] = max(peak[0], int(status.split("RssAnon:")[1].split()[0]) / 1024)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
