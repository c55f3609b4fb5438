"""Excerpts of one recording are found by their sound, and different recordings are not paired."""

import numpy as np
import pytest
import soundfile
import soxr

from hitsong.config import Mel
from hitsong.data import landmarks, near_audio
from hitsong.features import mel
from standin import composer

SETTINGS = Mel(n_mels=64)
RATE = SETTINGS.sample_rate
SHIFTS = [0, 1.3, 5.02, 12.51, 25]
LENGTH = 30 * RATE


def specification():
    scale, offset = mel.quantisation(SETTINGS)
    parameters = {"hop_length": SETTINGS.hop_length, "sample_rate": RATE}
    return {"scale": scale, "offset": offset, "parameters": parameters}


def pairs_of(clips):
    """The pairs among some clips of mono samples, by number."""
    array = np.array([mel.encode(mel.mel_spectrogram(clip, SETTINGS), SETTINGS) for clip in clips])
    result = near_audio.find_pairs(np.arange(len(clips)), array, np.arange(len(clips)), specification())
    return {
        frozenset(pair): shift
        for *pair, shift in zip(result["track_id"], result["other"], result["shift"], strict=True)
    }


def song(seed, seconds):
    rng = np.random.default_rng(seed)
    traits = composer.Traits(rng.uniform(80, 160), int(rng.integers(12)), seed % 2, *rng.random(5))
    return soxr.resample(composer.compose(traits, seconds, seed).mean(axis=0), 44100, RATE).astype(np.float32)


def test_excerpts_of_composed_songs_are_found_at_every_shift():
    rng, clips = np.random.default_rng(0), []
    for seed in range(4):
        samples = song(seed, 56)
        for shift in SHIFTS:
            start = round(shift * RATE)
            clip = samples[start : start + LENGTH] * rng.uniform(0.3, 1)  # quieter, and a little noisier
            clips.append((clip + rng.normal(0, 1e-3, LENGTH)).astype(np.float32))
    result, count = pairs_of(clips), len(SHIFTS)
    assert all(len({number // count for number in pair}) == 1 for pair in result)
    first = {frozenset([count * n, count * n + k]) for n in range(4) for k in range(1, count)}
    assert len(first & set(result)) >= 0.9 * len(first)


def test_excerpts_of_real_clips_are_found_at_every_shift(shared):
    clips, true = [], {}
    for path in sorted((shared / "fma_mini").rglob("*.mp3"))[:8]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        samples = soxr.resample(samples.mean(axis=1), rate, RATE)[:LENGTH].astype(np.float32)
        true |= {frozenset([len(clips), len(clips) + k]): shift for k, shift in enumerate(SHIFTS) if k}
        for shift in SHIFTS:  # what follows the clip is unknown: it goes on backwards
            start = round(shift * RATE)
            clips.append(np.concatenate([samples[start:], samples[::-1][:start]]))
    result, count = pairs_of(clips), len(SHIFTS)
    assert all(len({number // count for number in pair}) == 1 for pair in result)
    hits = [pair for pair in true if pair in result]
    assert len(hits) >= 0.9 * len(true)
    assert np.median([abs(abs(result[pair]) - true[pair]) for pair in hits]) < 0.1  # seconds


@pytest.mark.parametrize("clips", [0, 1, 5])
def test_silence_noise_and_few_clips_are_no_pairs(clips, rng):
    none = np.zeros((clips, 64, 162), np.uint8)
    noise = rng.integers(0, 255, (clips, 64, 162)).astype(np.uint8)
    short = rng.integers(0, 255, (clips, 8, 12)).astype(np.uint8)
    for array in (none, noise, short):
        assert near_audio.find_pairs(list("abcde"[:clips]), array, np.arange(clips), specification()).empty


def test_clips_shorter_than_their_mels_are_no_pairs():
    times = np.arange(2 * RATE) / RATE
    tones = [0.5 * np.sin(2 * np.pi * hz * times) for hz in range(200, 800, 50)]
    songs = [song(seed, 10) for seed in range(8)]
    assert not pairs_of([np.pad(clip, (0, LENGTH - len(clip))).astype(np.float32) for clip in tones])
    assert not pairs_of([np.pad(clip, (0, LENGTH - len(clip))).astype(np.float32) for clip in songs])


def composed_mels(clips):
    """Mels of clips whose notes are drawn at random: quick to make, and no two alike."""
    rng = np.random.default_rng(clips)
    mels = rng.integers(0, 60, (clips, 64, 162)).astype(np.uint8)
    for clip in mels:
        for start in np.cumsum(rng.integers(3, 12, 20))[:-1]:
            clip[rng.choice(44, 12, replace=False), start : start + 6] += np.uint8(120)
    return mels


def compared(monkeypatch, clips):
    """Pairs and comparisons among so many clips, of which the last repeats what the first has from 2.5 s on."""
    mels, count, compare = composed_mels(clips), [0], landmarks.compare
    mels[-1, :, :-27] = mels[0, :, 27:]

    def counted(vectors, others):
        count[0] += len(vectors) * len(others)
        return compare(vectors, others)

    monkeypatch.setattr(landmarks, "compare", counted)
    monkeypatch.setattr(landmarks, "SAMPLED", 150)
    result = near_audio.find_pairs(np.arange(clips), mels, np.arange(clips), specification())
    return result, count[0]


@pytest.mark.long
def test_comparisons_are_not_quadratic_and_a_pair_among_many_clips_is_found(monkeypatch):
    monkeypatch.setattr(landmarks, "EXACT", 1000)
    comparisons = {}
    for clips in (1000, 2000):
        with monkeypatch.context() as patch:
            result, comparisons[clips] = compared(patch, clips)
        assert list(zip(result["track_id"], result["other"], strict=True)) == [(0, clips - 1)]
        assert abs(result["shift"][0]) == pytest.approx(2.5, abs=0.15)
    assert comparisons[2000] < 3.1 * comparisons[1000]  # 2.8 with the power 1.5, 4 where all are compared


def test_many_and_few_clips_give_the_same_pairs(monkeypatch):
    mels = composed_mels(300)
    for copy in range(20):
        mels[100 + copy, :, : -8 * copy or None] = mels[copy, :, 8 * copy :]
    exact = near_audio.find_pairs(np.arange(300), mels, np.arange(300), specification())
    monkeypatch.setattr(landmarks, "EXACT", 100)
    cells = near_audio.find_pairs(np.arange(300), mels, np.arange(300), specification())
    assert len(exact) >= 12
    assert len(cells) >= 0.9 * len(exact)
    assert set(cells["track_id"]) <= set(exact["track_id"])
