"""A large table: CPU time and memory of 01, 04 and 06.

    python benchmarks/table.py                                         # 1,000,000 tracks by 200,000 artists, 01 only
    python benchmarks/table.py --stages 01 04 06                       # and what comes after it
    python benchmarks/table.py --tracks 100000 --artists 20000

Writes a CSV with ten audio features, credits of one to three artists, ISRCs and release dates, and runs the scripts on
it, each in a process of its own. Prints CPU seconds (user and system), seconds and peak memory of each.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
FEATURES = [
    "danceability", "energy", "loudness", "speechiness", "acousticness", "instrumentalness", "liveness", "valence",
    "tempo", "duration_ms",
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--artists", type=int, default=200_000)
    parser.add_argument("--stages", nargs="+", default=["01"], choices=["01", "04", "06"])
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_table(folder / "tracks.csv", arguments.tracks, arguments.artists)
        config = folder / "config.yaml"
        config.write_text(
            f"study: table\ndata: {folder / 'data'}\ncollect:\n  source: table\n  table:\n"
            f"    path: {folder / 'tracks.csv'}\n    columns: {{artist_name: artists}}\n    read_at: 2024-03-01\n",
            encoding="utf-8",
        )
        print(f"{arguments.tracks:,} tracks, {arguments.artists:,} artists")
        for stage in arguments.stages:
            script = next(ROOT.glob(f"{stage}_*.py"))
            cpu, seconds, memory = measure([sys.executable, str(script), "--config", str(config)])
            print(f"{script.name}: {cpu:.1f} CPU s, {seconds:.1f} s, {memory / 2**30:.2f} GiB", flush=True)


def write_table(path, tracks, artists):
    """Write a table whose popularity depends on energy and the artist; about one track in ten has guests."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.uniform(0, 1, tracks).round(4) for name in FEATURES})
    frame["tempo"] = (60 + 120 * frame["tempo"]).round(3)
    frame["duration_ms"] = rng.integers(90_000, 400_000, tracks)
    artist = rng.integers(0, artists, tracks)
    level = rng.uniform(0, 30, artists)
    frame["popularity"] = (
        (40 * frame["energy"] + level[artist] + rng.uniform(0, 20, tracks)).round().astype(int)
    )
    guests = np.where(rng.uniform(size=tracks) < 0.1, rng.integers(0, artists, tracks), -1)
    frame.insert(0, "artists", [
        f"['Artist {main}']" if guest < 0 else f"['Artist {main}', 'Artist {guest}']"
        for main, guest in zip(artist, guests, strict=True)
    ])  # fmt: skip
    frame.insert(0, "name", [f"Song No. {number} - Remastered" for number in rng.permutation(tracks)])
    frame.insert(0, "track_id", [f"track{number:08d}" for number in range(tracks)])
    frame["isrc"] = [f"QZABC{number:07d}" for number in rng.permutation(tracks)]
    days = pd.Timestamp("1990-01-01") + pd.to_timedelta(rng.integers(0, 12_000, tracks), unit="D")
    frame["release_date"] = days.strftime("%Y-%m-%d")
    frame.to_csv(path, index=False)


def measure(command):
    """CPU seconds, seconds, and bytes of peak memory of a command."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: exit status {status}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - started, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
