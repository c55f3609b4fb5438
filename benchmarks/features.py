"""What a clip's features cost, against what they could cost.

    python benchmarks/features.py PATH                      # a folder with audio files, for example of fma_small
    python benchmarks/features.py PATH --json FILE          # only the first table, and its numbers as JSON

CPU time per clip, side by side in one run: the bare decoder; ours (decode, mel-spectrogram, MFCC); the descriptors of
a decoded clip; plain
librosa (load, melspectrogram, power_to_db, mfcc); and the studies' way (ffmpeg to WAV, librosa.load,
melspectrogram), which computes no MFCC. Then how two worker processes compare with one, what the store costs, and how
far the numbers are from librosa's.
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy loads: one core is one core
if "MALLOC_TOP_PAD_" not in os.environ:  # what our workers run with; glibc reads it at the start
    os.environ["MALLOC_TOP_PAD_"] = str(256 << 20)
    os.execv(sys.executable, [sys.executable, *sys.argv])

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import librosa
import numpy as np
import pandas as pd
import soundfile

from hitsong.config import Compute, Features, Mel, Mfcc
from hitsong.features import decode, descriptors, mel, mfcc
from hitsong.features.extract import extract
from hitsong.features.parallel import map_ordered
from hitsong.features.store import Specification, Store

MEL, MFCC = Mel(), Mfcc()
ROUNDS = 3


def bare_decode(path):
    soundfile.read(path, dtype="float32", always_2d=True)


def ours(path):
    clip = decode.Clip.read(path)
    return mel.compute(clip, MEL), mfcc.compute(clip, MFCC)


def plain_librosa(path):
    samples, rate = librosa.load(path, sr=MEL.sample_rate)
    power = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=MEL.n_fft, hop_length=MEL.hop_length, n_mels=MEL.n_mels
    )
    decibels = librosa.power_to_db(power, ref=1.0, top_db=None)
    return decibels, librosa.feature.mfcc(
        y=samples,
        sr=rate,
        n_mfcc=MFCC.n_mfcc,
        n_fft=MFCC.n_fft,
        hop_length=MFCC.hop_length,
        n_mels=MFCC.n_mels,
        htk=True,
    )


def studies_way(path):
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "clip.wav"
        subprocess.run(["ffmpeg", "-loglevel", "error", "-i", path, wav], check=True)
        samples, rate = librosa.load(wav)
        librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=MEL.n_fft, hop_length=MEL.hop_length)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.rglob("*") if path.suffix in (".mp3", ".flac", ".wav"))
    decoded = {path: decode.read(path) for path in paths}
    ways = {
        "bare decode": bare_decode,
        "ours": ours,
        "descriptors": lambda path: descriptors.describe(decode.Clip(*decoded[path])),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(one_core(paths, ways)))
        return
    ways["plain librosa"] = plain_librosa
    if shutil.which("ffmpeg"):
        ways["the studies' way"] = studies_way
    else:
        print("no ffmpeg here: the studies' way is left out")
    one_core(paths, ways)
    two_workers(paths)
    writing(paths)
    agreement(paths)


def one_core(paths, ways):
    for way in ways.values():
        way(paths[0])  # libraries load, tables are made
    seconds = {name: [] for name in ways}
    for _ in range(ROUNDS):  # interleaved: what disturbs one disturbs all
        for path in paths:
            for name, way in ways.items():
                started = time.thread_time()
                way(path)
                seconds[name].append(time.thread_time() - started)
    # The best of the rounds: other processes only ever add time.
    milliseconds = {
        name: 1e3 * float(np.reshape(values, (ROUNDS, -1)).min(axis=0).mean())
        for name, values in seconds.items()
    }
    print(f"{len(paths)} clips, best of {ROUNDS} rounds; mean CPU time per clip")
    for name, value in milliseconds.items():
        print(
            f"  {name:18} {value:7.1f} ms   {value / milliseconds['bare decode']:5.2f} x bare decode"
            f"   {value / milliseconds['ours']:5.2f} x ours"
        )
    return milliseconds


def two_workers(paths):
    many = paths * 8
    seconds = {}
    for workers in (1, 2):
        list(map_ordered(_timed, paths[:4], workers))  # processes start
        started = time.perf_counter()
        list(map_ordered(_timed, many, workers))
        seconds[workers] = time.perf_counter() - started
    print(f"two workers           {seconds[1] / seconds[2]:.2f} x one ({len(many) / seconds[2]:.0f} clips/s)")


def _timed(path):
    return [feature.shape for feature in ours(path)]


def writing(paths):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "features")
        rows = 3000
        clips = pd.DataFrame(
            {"track_id": [str(n) for n in range(rows)], "sha256": "x", "path": str(paths[0])}
        )
        store.extend(clips)
        feature = np.zeros((MEL.n_mels, 323), np.uint8)
        started = time.perf_counter()
        with store.writer(Specification("mel", {}, feature.shape, "uint8")) as writer:
            for row in range(rows):
                writer.write(row, feature)
        written = (time.perf_counter() - started) / rows
        array = store.read("mel").array
        order = np.random.default_rng(0).permutation(rows)
        started = time.perf_counter()
        for row in order:
            array[row].sum()
        read = (time.perf_counter() - started) / rows

        store = Store(Path(folder) / "resumed")
        store.extend(clips.assign(path="gone.mp3").head(0))
        many = pd.concat([clips] * 4, ignore_index=True).assign(
            track_id=lambda t: [f"{n:05}" for n in range(len(t))]
        )
        store.extend(many.head(10_000))
        settings = Features(mel=Mel(seconds=1.0))
        with store.writer(Specification("mel", settings.mel.model_dump(), mel.shape(settings.mel), "uint8",
                                        *mel.quantisation(settings.mel))) as writer:  # fmt: skip
            for row in range(9_990):
                writer.write(row, np.zeros(mel.shape(settings.mel), np.uint8))
        started = time.perf_counter()
        extract(store, settings, Path(folder), Compute(workers=1))
        resumed = time.perf_counter() - started
    print(
        f"the store             {1e3 * written:.3f} ms to write a clip, {1e3 * read:.3f} ms to read one at random"
    )
    print(f"an interrupted run    {resumed:.1f} s to the end from clip 9,990 of 10,000")


def agreement(paths):
    worst = {"mel": 0.0, "mel as stored": 0.0, "mfcc": 0.0}
    for path in paths:
        samples = decode.crop(decode.load(path, MEL.sample_rate), round(MEL.seconds * MEL.sample_rate))
        power = librosa.feature.melspectrogram(
            y=samples, sr=MEL.sample_rate, n_fft=MEL.n_fft, hop_length=MEL.hop_length, n_mels=MEL.n_mels
        )
        expected = librosa.power_to_db(power, ref=1.0, top_db=None)
        result = mel.mel_spectrogram(samples, MEL)
        inside = expected > mel.quantisation(MEL)[1]
        worst["mel"] = max(worst["mel"], np.abs(result - expected)[inside].max())
        stored = mel.decode(mel.encode(result, MEL), MEL)
        worst["mel as stored"] = max(worst["mel as stored"], np.abs(stored - expected)[inside].max())
        samples = decode.load(path, MFCC.sample_rate)
        expected = librosa.feature.mfcc(
            y=samples, sr=MFCC.sample_rate, n_mfcc=MFCC.n_mfcc, n_fft=MFCC.n_fft, hop_length=MFCC.hop_length,
            n_mels=MFCC.n_mels, htk=MFCC.htk,
        ).T[: MFCC.frames]  # fmt: skip
        worst["mfcc"] = max(worst["mfcc"], np.abs(mfcc.mfcc(samples, MFCC)[: len(expected)] - expected).max())
    print("largest difference    " + ", ".join(f"{name} {value:.4f}" for name, value in worst.items()))


if __name__ == "__main__":
    main()
