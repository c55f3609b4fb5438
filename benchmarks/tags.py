"""What a clip's tags cost: getting it ready for musicnn, and the network itself.

    python benchmarks/tags.py PATH              # a folder with audio files, for example of fma_small
    python benchmarks/tags.py PATH --json FILE  # of 8 clips, and the numbers in ms as JSON

CPU time per clip, of all threads, side by side in one run: decoding and log-mels; the network with many clips at a
time and with one. Then the network's multiply-adds per second, against those of a large matrix product.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from hitsong.backend import tf
from hitsong.features import decode, musicnn, tags

MODEL = "MTT_musicnn"
ROUNDS = 3
FEW = 8  # clips, where only the ratios are asked for
PRODUCT = 4096  # rows and columns of the matrices


def multiply_adds():
    """Count the multiplications of convolutions and dense layers for one patch."""
    front = sum(np.prod(kernel) * (tags.SPECTRUM.n_mels - kernel[1] + 1) for kernel in musicnn.FRONT)
    middle = sum(map(np.prod, musicnn.MIDDLE))
    return int(tags.FRAMES * (front + middle) + sum(map(np.prod, musicnn.DENSE)))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.rglob("*") if path.suffix in (".mp3", ".flac", ".wav"))
    paths = paths[:FEW] if arguments.json else paths
    samples = [decode.load(path, tags.SAMPLE_RATE) for path in paths]
    clips = [tags.patches(clip) for clip in samples]
    tagger = tags.Tagger(MODEL)
    matrix = tf.random.normal((PRODUCT, PRODUCT))
    steps = {
        "decode and resample": lambda: [decode.load(path, tags.SAMPLE_RATE) for path in paths],
        "log-mels": lambda: [tags.patches(clip) for clip in samples],
        "network, many clips": lambda: tagger.tag(clips),
        "network, one by one": lambda: [tagger.tag([clip]) for clip in clips],
        "matrix product": lambda: tf.matmul(matrix, matrix).numpy(),
    }
    seconds = {name: [] for name in steps}
    for step in steps.values():
        step()  # libraries load, graphs are made
    for _ in range(ROUNDS):  # interleaved: what disturbs one disturbs all
        for name, step in steps.items():
            started = time.process_time()
            step()
            seconds[name].append(time.process_time() - started)
    best = {name: min(values) for name, values in seconds.items()}

    network = best["network, many clips"]
    patches = sum(map(len, clips))
    print(
        f"{len(clips)} clips, {patches} patches, batches of {tags.BATCH}, best of {ROUNDS} rounds; per clip"
    )
    for name in list(steps)[:-1]:
        print(
            f"  {name:20} {1e3 * best[name] / len(clips):7.1f} ms   {best[name] / network:5.2f} x the network"
        )
    ready = (best["decode and resample"] + best["log-mels"]) / network
    print(f"getting ready         {ready:.2f} x the network")
    print(f"many clips at a time  {best['network, one by one'] / network:.2f} x as fast as one")
    per_patch = multiply_adds()
    rate, peak = per_patch * patches / network, PRODUCT**3 / best["matrix product"]
    print(
        f"multiply-adds         {per_patch:,} a patch, {per_patch * patches / len(clips) / 1e9:.1f} G a clip"
    )
    print(f"share of the peak     {rate / peak:.2f} ({rate / 1e9:.0f} of {peak / 1e9:.0f} G a second)")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({name: 1e3 * value / len(clips) for name, value in best.items()})
        )


if __name__ == "__main__":
    main()
