"""Memory of 03 with music tags, where the reader is slower than the workers: at 2,000 and at 90,000 clips.

    python benchmarks/windows.py              # prints MiB of peak memory of the reading process, and their ratio
    python benchmarks/windows.py --json FILE

Workers hand over arrays of the size that the auto-tagger needs of a clip, without decoding any; the reader takes its
time with every sixteenth, as the network does. Each number of clips runs in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from hitsong.features.parallel import map_ordered
from hitsong.features.tags import FRAMES, SPECTRUM

CLIPS = (2_000, 90_000)
PATCHES = 10  # of 30 s
BATCH, NETWORK_S = 16, 0.05


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--clips", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clips:
        print(measure(arguments.clips))
        return
    peaks = {
        clips: float(subprocess.run([sys.executable, __file__, "--clips", str(clips)], check=True,
                                    capture_output=True, text=True).stdout)
        for clips in CLIPS
    }  # fmt: skip
    for clips, peak in peaks.items():
        print(f"{clips:7,} clips: {peak:,.0f} MiB")
    print(f"ratio {peaks[CLIPS[1]] / peaks[CLIPS[0]]:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(peaks))


def measure(clips):
    """Read the products of so many clips slowly; MiB of peak memory."""
    for number, _ in enumerate(map_ordered(make_patches, range(clips), workers=2)):
        if number % BATCH == 0 and number < 10_000:
            time.sleep(NETWORK_S)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_patches(number):
    return np.full((PATCHES, FRAMES, SPECTRUM.n_mels), number, np.float32)


if __name__ == "__main__":
    main()
