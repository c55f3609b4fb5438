"""How many excerpts of one recording are found by their shift, how many false pairs there are, and what it costs.

    python benchmarks/near_audio.py ../shared/data/fma_mini --songs 3000

Excerpts of 30 s of songs that the stand-in composes, and of the clips of a folder: what follows a clip of 30 s is
unknown, so it goes on backwards. They are sought alone, where all landmarks are compared with each other, and among
other songs, where each is compared with those of the nearest cells. False pairs are those among songs of different
traits and seeds.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).parents[1]))

from hitsong.config import Mel
from hitsong.data import near_audio
from hitsong.features import mel
from standin import composer

SETTINGS = Mel(n_mels=64)
RATE, SECONDS = SETTINGS.sample_rate, 30
SHIFTS = [0, 0.5, 1.3, 2.5, 5.02, 7.77, 10.03, 15.06, 20.01, 22.33, 25]
COMPOSED = 16  # songs of which excerpts are sought


def codes(samples):
    """The stored mel-spectrogram of mono samples."""
    return mel.encode(mel.mel_spectrogram(samples, SETTINGS), SETTINGS)


def song(seed, seconds):
    """Mono samples of a song of random traits."""
    rng = np.random.default_rng(seed)
    tempo, key, mode = rng.uniform(70, 170), int(rng.integers(12)), int(rng.integers(2))
    samples = composer.compose(composer.Traits(tempo, key, mode, *rng.random(5)), seconds, seed).mean(axis=0)
    return soxr.resample(samples, composer.RATE, RATE).astype(np.float32)


def read(path):
    """Mono samples of a file, its first 30 seconds."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, RATE)[: SECONDS * RATE].astype(np.float32)


def excerpts(samples):
    """The first 30 seconds, and those that begin later by each shift."""
    samples = np.concatenate([samples, samples[::-1]]) if len(samples) < (SECONDS + 25) * RATE else samples
    starts = [round(shift * RATE) for shift in [0, *SHIFTS]]
    return [codes(samples[start : start + SECONDS * RATE]) for start in starts]


def specification():
    """Of the mels, as the store describes them."""
    scale, offset = mel.quantisation(SETTINGS)
    parameters = {"hop_length": SETTINGS.hop_length, "sample_rate": RATE}
    return {"scale": scale, "offset": offset, "parameters": parameters}


def find(array):
    """The pairs among some mels, by number, and the CPU seconds of the search."""
    started = time.process_time()
    names = np.arange(len(array))
    return near_audio.find_pairs(names, array, names, specification()), time.process_time() - started


def recall(name, clips, others):
    """Print the share of recordings whose excerpts are found, by shift, alone and among other songs."""
    print(f"{name}: {len(clips)} recordings, alone and among {len(others):,} other songs")
    true = {(2 * place, 2 * place + 1) for place in range(len(clips))}
    for number, shift in enumerate(SHIFTS, start=1):
        array, lines = np.array([clip for pair in clips for clip in (pair[0], pair[number])]), []
        for among in (array, np.concatenate([array, others])):
            result, _ = find(among)
            pairs = set(zip(result["track_id"], result["other"], strict=True))
            lines.append(f"{len(true & pairs) / len(true):.2f} found, {len(pairs - true)} false pairs")
        print(f"  {shift:5.2f} s: {'; '.join(lines)}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--songs", type=int, default=3000)
    arguments = parser.parse_args()
    others = np.array([codes(song(1000 + seed, SECONDS)) for seed in range(arguments.songs)])
    composed = [excerpts(song(seed, SECONDS + 26)) for seed in range(COMPOSED)]
    recall("composed songs", composed, others)
    recall("clips", [excerpts(read(path)) for path in sorted(arguments.folder.rglob("*.mp3"))], others)
    for count in (len(others) // 4, len(others) // 2, len(others)):
        result, seconds = find(others[:count])
        print(f"{count:,} different songs: {len(result)} pairs, {seconds:.1f} CPU s")


if __name__ == "__main__":
    main()
