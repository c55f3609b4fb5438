"""What it costs to count listens and users per song in a dump: DuckDB in bounded memory, beside pandas.

    python benchmarks/listens.py                       # 50 million generated listens
    python benchmarks/listens.py --millions 8

The dump is generated in a temporary folder (about 35 MB per million listens) and removed at the end. Each measurement
runs in a process of its own; pandas reads one file more each time until it exceeds the memory limit.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1]))

FILE = 4_000_000  # listens of a file
LIMIT_GB = 4.0
RECORDINGS, USERS = 2_000_000, 20_000


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--millions", type=int, default=50)
    parser.add_argument("--measure", nargs=2, metavar=("HOW", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        how, folder = arguments.measure
        {"duckdb": count_duckdb, "pandas": count_pandas}[how](Path(folder), arguments.millions)
        return
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        generate(Path(folder), arguments.millions * 1_000_000)
        print(
            f"{arguments.millions} million listens generated in {time.monotonic() - started:,.0f} s",
            flush=True,
        )
        measure("duckdb", folder, arguments.millions)
        for files in (1, 2, 3, 4, 6, 8):
            if files * FILE > arguments.millions * 1_000_000 or measure("pandas", folder, files) > LIMIT_GB:
                break


def generate(folder, rows):
    """Write listens as the Spark dump has them; few recordings have most of the listens."""
    (folder / "dump").mkdir()
    with duckdb.connect(config={"memory_limit": "2GB"}) as database:
        for number, first in enumerate(range(0, rows, FILE)):
            count = min(FILE, rows - first)
            database.execute(
                f"""COPY (
                    SELECT make_timestamp_ms(1420070400000 + (random() * 370e9)::BIGINT) AS listened_at,
                           (power(random(), 2) * {USERS})::BIGINT AS user_id,
                           CASE WHEN random() < 0.9 THEN
                               md5((power(random(), 4) * {RECORDINGS})::BIGINT::VARCHAR)::UUID::VARCHAR
                           END AS recording_mbid
                    FROM range({count})
                ) TO '{folder}/dump/{number}.parquet' (FORMAT parquet)"""
            )


def measure(how, folder, amount):
    """Run one measurement; print and return its peak memory [GB]."""
    command = [sys.executable, __file__, "--measure", how, folder, "--millions", str(amount)]
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline().strip()
    peak = 0.0
    if line:
        listens, songs, peak = line.split()
        process.wait()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"{how:7} {int(listens):>12,} listens of {int(songs):,} recordings: {time.monotonic() - started:6.1f} s, "
            f"{cpu:6.1f} s CPU, peak {float(peak):.2f} GB",
            flush=True,
        )
    else:
        process.wait()
        peak = LIMIT_GB + 1
        print(f"{how:7} {amount} files: ended with {process.returncode}", flush=True)
    return float(peak)


def count_duckdb(folder, _):
    """Users of every recording, and by month: as 01 counts them."""
    from hitsong.collect.listens import Dump

    dump = Dump(folder / "dump", folder / "cache")
    totals = dump.count_recordings()
    report(dump.describe()[1], totals)


def count_pandas(folder, files):
    """The same of some files by pandas."""
    import pandas as pd

    names = sorted((folder / "dump").glob("*.parquet"))[:files]
    listens = pd.concat(
        [pd.read_parquet(name, columns=["listened_at", "user_id", "recording_mbid"]) for name in names]
    ).dropna()
    listens["month"] = listens["listened_at"].dt.year * 100 + listens["listened_at"].dt.month
    totals = listens.groupby("recording_mbid")["user_id"].agg(["size", "nunique"])
    listens.groupby(["recording_mbid", "month"])["user_id"].agg(["size", "nunique"])
    report(len(listens), totals)


def report(listens, totals):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(listens, len(totals), peak)


if __name__ == "__main__":
    main()
