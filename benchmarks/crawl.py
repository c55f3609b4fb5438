"""What a crawl costs: requests, memory, and time on our side.

    python benchmarks/crawl.py                                   # the demo's catalogue
    python benchmarks/crawl.py --artists 5000 --recordings 160000

Crawls the stand-in, which runs as a process of its own so that its time and memory do not count as ours.
Prints requests per 1,000 tracks, the ratio to the least that the API's batch sizes allow and to study 1's way
(albums, tracks and features one by one), our peak memory, and our own CPU time per track.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parents[1]))

from hitsong.collect import deduplicate
from hitsong.collect.catalog import Catalog
from hitsong.collect.connection import Connection
from hitsong.collect.spotify import Spotify
from hitsong.config import Config
from standin.spotify import CLIENT_ID, CLIENT_SECRET


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artists", type=int, default=60)
    parser.add_argument("--recordings", type=int, default=450)
    parser.add_argument("--port", type=int, default=8899)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.yaml"
        settings.write_text(
            f"standin: {{artists: {arguments.artists}, recordings: {arguments.recordings}}}\n",
            encoding="utf-8",
        )
        command = [
            sys.executable,
            "-m",
            "standin",
            "--port",
            str(arguments.port),
            "--config",
            str(settings),
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[1])
        try:
            measure(Path(folder), f"http://127.0.0.1:{arguments.port}")
        finally:
            server.terminate()
            server.wait()


def measure(folder, url):
    session = requests.Session()
    session.trust_env = False
    _wait_for(session, url)
    connection = Connection(
        session=session,
        name="benchmark",
        api=f"{url}/v1/",
        token_url=f"{url}/api/token",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        planted=lambda track_ids: None,
    )
    config = Config()
    started, cpu = time.monotonic(), time.process_time()
    with Catalog(folder / "catalog.sqlite", Spotify.scope(connection, config.collect)) as catalog:
        source = Spotify(connection, config, catalog)
        ids = source.collect()["track_id"]
        sent, crawled, crawl_cpu = source.requests, time.monotonic() - started, time.process_time() - cpu
        cpu = time.process_time()
        recordings, _ = deduplicate.deduplicate(Spotify(connection, config, catalog).collect())
        export_cpu = time.process_time() - cpu
        lists, albums, artists = (
            catalog.column(f"SELECT count(*) FROM pages WHERE list LIKE '{kind}%' AND offset = 0")[0]
            for kind in ("albums of", "tracks of", "albums of")
        )
        megabytes = (folder / "catalog.sqlite").stat().st_size / 1e6
    tracks = len(ids)
    one_by_one = lists + albums + 2 * tracks
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{artists:,} artists, {albums:,} albums, {tracks:,} tracks -> {len(recordings):,} recordings")
    print(f"requests               {sent:,}, {1000 * sent / tracks:.1f} per 1,000 tracks")
    print(
        f"  against the least    {sent / source.least_requests:.3f} x ({source.least_requests:,} with full batches)"
    )
    print(f"  study 1's way        {one_by_one / sent:.1f} x ours (albums, tracks, features one by one)")
    print(f"peak memory            {peak:,.0f} MiB (catalogue on disk {megabytes:,.0f} MB)")
    ours = 1e3 / tracks
    print(
        f"our CPU time           {ours * crawl_cpu:.2f} ms a track to crawl, {ours * export_cpu:.2f} to export"
    )
    print(f"wall time              {crawled:,.0f} s, the stand-in's share included")


def _wait_for(session, url):
    for _ in range(600):
        try:
            session.get(f"{url}/v1/search", timeout=60)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise SystemExit("the stand-in did not start")


if __name__ == "__main__":
    main()
