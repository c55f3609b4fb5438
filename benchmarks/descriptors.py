"""Loudness, tempo and key: our measures beside those of libraries, by accuracy and time.

    python benchmarks/descriptors.py            # drum patterns and composed songs of known tempo and key
    python benchmarks/descriptors.py PATH       # also the time on real clips, and the agreement of loudness

Accuracy of tempo: within 4 % of the truth (accuracy 1), or of half, double, a third or three times it (accuracy 2;
Gouyon et al. 2006). Key: tonic and mode exact, and the MIREX score (0.5 for a fifth, 0.3 for the relative key, 0.2 for
the parallel key). Essentia (AGPL) is measured where it is installed. Times are processor time, the median of the clips.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads
sys.path.insert(0, str(Path(__file__).parents[1]))

import librosa
import numpy as np
import pyloudnorm

from hitsong.config import Standin
from hitsong.features import decode, descriptors
from hitsong.features.key import _profiles, key
from hitsong.features.loudness import loudness
from hitsong.features.mel import mel_power
from hitsong.features.rhythm import rhythm
from standin.composer import RATE, compose
from standin.world import World
from tests.features.test_descriptors import PATTERNS, TEMPI, drums

try:
    import essentia.standard as essentia
except ImportError:
    essentia = None

SAMPLE_RATE, HOP = descriptors.SAMPLE_RATE, descriptors.HOP
SONGS, SECONDS = 60, 30
FACTORS = (1, 1 / 2, 2, 1 / 3, 3)


# ---------------------------------------------------------------------- tempo: from mono samples at 22,050 Hz


def our_tempo(samples):
    return rhythm(mel_power(samples, descriptors.SPECTRUM), SAMPLE_RATE / HOP).tempo


def librosa_onsets(samples):
    decibels = librosa.power_to_db(mel_power(samples, descriptors.SPECTRUM))
    return librosa.onset.onset_strength(S=decibels, sr=SAMPLE_RATE, hop_length=HOP)


def librosa_tempo(samples):
    envelope = librosa_onsets(samples)
    return librosa.feature.tempo(onset_envelope=envelope, sr=SAMPLE_RATE, hop_length=HOP)[0]


def librosa_beats(samples):
    envelope = librosa_onsets(samples)
    return np.ravel(librosa.beat.beat_track(onset_envelope=envelope, sr=SAMPLE_RATE, hop_length=HOP)[0])[0]


def essentia_tempo(samples):
    return essentia.RhythmExtractor2013(method="degara")(_at_44100(samples))[0]


# ---------------------------------------------------------------------- key: (pitch class, major)


def our_key(samples):
    return key(samples, SAMPLE_RATE)[:2]


def librosa_key(chroma):
    """Chroma by librosa, and our correlation with key profiles."""

    def estimate(samples):
        weights = chroma(y=samples, sr=SAMPLE_RATE).mean(axis=1)
        best = int((_profiles() @ (weights - weights.mean())).argmax())
        return best % 12, float(best < 12)

    return estimate


def essentia_key(samples):
    name, scale, _ = essentia.KeyExtractor(sampleRate=44100)(_at_44100(samples))
    sharps = {"Bb": "A#", "Eb": "D#", "Ab": "G#", "Db": "C#", "Gb": "F#"}
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    return names.index(sharps.get(name, name)), float(scale == "major")


def _at_44100(samples):
    return decode.resample(np.asarray(samples, np.float32), SAMPLE_RATE, 44100)


def mirex(estimate, truth):
    """The score of a key estimate."""
    away, (major, true_major) = (estimate[0] - truth[0]) % 12, (estimate[1], truth[1])
    if major == true_major:
        return {0: 1.0, 5: 0.5, 7: 0.5}.get(away, 0.0)
    return {0: 0.2, (9 if true_major else 3): 0.3}.get(away, 0.0)


# ---------------------------------------------------------------------- loudness: from channels and their rate


def pyloudnorm_loudness(channels, rate):
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    return meter.integrated_loudness(channels), meter.loudness_range(channels)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="audio files, for example of fma_small")
    folder = parser.parse_args().folder
    tempi = {
        "ours": our_tempo,
        "librosa.feature.tempo": librosa_tempo,
        "librosa.beat.beat_track": librosa_beats,
    }
    keys = {"ours": our_key} | {
        f"librosa {name}, our profiles": librosa_key(getattr(librosa.feature, name))
        for name in ("chroma_stft", "chroma_cqt", "chroma_cens")
    }
    if essentia:
        tempi["essentia RhythmExtractor2013"], keys["essentia KeyExtractor"] = essentia_tempo, essentia_key
    rng = np.random.default_rng(1)
    patterns = [(drums(name, tempo, rng).astype(np.float32), tempo) for name in PATTERNS for tempo in TEMPI]
    show_tempi("drum patterns", tempi, patterns)
    songs = list(composed_songs())
    show_tempi("composed songs", tempi, [(samples, traits.tempo) for samples, traits in songs])
    show_keys(keys, [(samples, (traits.key, traits.mode)) for samples, traits in songs])
    if folder:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".mp3", ".flac", ".wav"))
        clips = [decode.Clip.read(path) for path in paths]
        print(f"\n{len(clips)} real clips: ms a clip")
        for name, estimate in (
            tempi | {f"{name} (key)": estimate for name, estimate in keys.items()}
        ).items():
            print(f"  {name:40} {measure(estimate, [(c.at(SAMPLE_RATE),) for c in clips])[1]:8.1f}")
        show_loudness(clips)


def composed_songs():
    """Songs of the stand-in, as samples and traits."""
    traits = [recording.traits for recording in World(Standin(recordings=SONGS), "mandopop").recordings]
    for seed, song in enumerate(traits[:SONGS]):
        samples = decode.mono(np.ascontiguousarray(compose(song, SECONDS, seed).T))
        yield decode.resample(samples, RATE, SAMPLE_RATE), song


def measure(function, rows):
    """Results of each row of arguments, and the median processor time [ms]."""
    function(*rows[0])  # libraries load, tables are made
    results, seconds = [], []
    for arguments in rows:
        started = time.process_time()
        results.append(function(*arguments))
        seconds.append(time.process_time() - started)
    return results, 1e3 * float(np.median(seconds))


def show_tempi(title, estimators, rows):
    print(f"\n{title} ({len(rows)}): {'':20} acc. 1  acc. 2  ms a clip")
    truth = np.array([tempo for _, tempo in rows])
    for name, estimate in estimators.items():
        estimates, milliseconds = measure(estimate, [(samples,) for samples, _ in rows])
        near = [np.abs(np.array(estimates) / (truth * factor) - 1) < 0.04 for factor in FACTORS]
        print(f"  {name:40} {near[0].mean():6.0%}  {np.any(near, axis=0).mean():6.0%}  {milliseconds:8.1f}")


def show_keys(estimators, rows):
    print(f"\nkeys of composed songs ({len(rows)}): {'':10} exact   MIREX  ms a clip")
    for name, estimate in estimators.items():
        estimates, milliseconds = measure(estimate, [(samples,) for samples, _ in rows])
        scores = np.array(
            [mirex(*pair) for pair in zip(estimates, (truth for _, truth in rows), strict=True)]
        )
        print(f"  {name:40} {(scores == 1).mean():6.0%}  {scores.mean():6.2f}  {milliseconds:8.1f}")


def show_loudness(clips):
    rows = [(clip.channels, clip.sample_rate) for clip in clips]
    ours, our_ms = measure(loudness, rows)
    theirs, their_ms = measure(pyloudnorm_loudness, rows)
    integrated, spread = np.abs(np.array(ours) - np.array(theirs)).max(axis=0)
    print(
        f"loudness and its range: ours {our_ms:.1f} ms, pyloudnorm {their_ms:.1f} ms; largest difference "
        f"{integrated:.3f} LU and {spread:.3f} LU"
    )


if __name__ == "__main__":
    main()
