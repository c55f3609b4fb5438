"""What a report of a large study costs: seconds and bytes.

    python benchmarks/report.py [TRACKS] [MODELS]

Invents a finished study with TRACKS test tracks (10,000) and MODELS networks (2), for each kind of target, and builds
its report: every figure as PNG and in the page, every table as CSV.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hitsong.report import build
from tests import finished

MOST_SECONDS, MOST_BYTES = 30, 10_000_000


def main():
    tracks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    models = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    print(
        f"{tracks:,} test tracks, {models} networks; at most {MOST_SECONDS} s and {MOST_BYTES / 1e6:.0f} MB"
    )
    for kind in ("popularity", "popular", "buckets", "audio_features"):
        with tempfile.TemporaryDirectory() as folder:
            finished_study = finished.study(
                Path(folder), kind, round(tracks / finished.SIDES["test"]), models=models, source="synthetic"
            )
            begun = time.perf_counter()
            page = build.build_report(**finished_study)
            seconds, size = time.perf_counter() - begun, page.stat().st_size
        verdict = "ok" if seconds < MOST_SECONDS and size < MOST_BYTES else "too much"
        tested = (finished_study["tracks"]["side"] == "test").sum()
        print(f"{kind:15} {tested:7,} test tracks {seconds:6.1f} s {size / 1e6:6.1f} MB   {verdict}")


if __name__ == "__main__":
    main()
