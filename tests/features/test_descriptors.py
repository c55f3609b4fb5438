"""Signals with known answers; `pytest -s` prints how often and how far they are missed."""

from collections import Counter

import librosa
import numpy as np
import pyloudnorm
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from hitsong.features import decode, descriptors
from hitsong.features.key import key
from hitsong.features.loudness import FLOOR, k_weighting, loudness

RATE = 22050


def described(samples, rate=RATE):
    """A clip's descriptors by name."""
    samples = np.asarray(samples, np.float32)
    values = descriptors.describe(decode.Clip(samples.reshape(len(samples), -1), rate))
    return dict(zip(descriptors.COLUMNS, map(float, values), strict=True))


def sine(hz, seconds, rate=RATE, level=0.5):
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def at_lufs(level, seconds, rate=48000):
    """A 1 kHz sine in both channels, at a loudness: -23 LUFS is 0.0708 of full scale."""
    return np.repeat(sine(1000, seconds, rate, 10 ** (level / 20))[:, None], 2, axis=1)


def test_columns():
    assert len(descriptors.COLUMNS) == len(set(descriptors.COLUMNS)) == 67
    spotify = {"energy", "danceability", "valence", "tempo", "loudness", "key", "mode", "speechiness"}
    assert not spotify & set(descriptors.COLUMNS)


# ---------------------------------------------------------------------- tempo

SECONDS = 15
TEMPI = range(60, 181, 5)
TICKS = np.arange(round(0.25 * RATE)) / RATE
HISS = np.random.default_rng(0).normal(size=len(TICKS))
SOUNDS = {
    "click": np.sin(2 * np.pi * 1000 * TICKS) * np.exp(-TICKS / 0.005),
    "kick": np.sin(2 * np.pi * (50 * TICKS - 4 * np.exp(-TICKS / 0.03))) * np.exp(-TICKS / 0.08),
    "snare": 0.8 * (0.4 * HISS + 0.5 * np.sin(2 * np.pi * 190 * TICKS)) * np.exp(-TICKS / 0.06),
    "hat": 0.15 * np.diff(HISS, prepend=0) * np.exp(-TICKS / 0.015),
}
# Per pattern: steps in a beat, steps in a bar, and where in the bar each drum is hit.
PATTERNS = {
    "clicks": (1, 1, {"click": [0]}),
    "quarters": (1, 4, {"kick": [0, 2], "snare": [1, 3], "hat": range(4)}),
    "waltz": (1, 3, {"kick": [0], "snare": [1, 2], "hat": range(3)}),
    "rock": (2, 8, {"kick": [0, 4], "snare": [2, 6], "hat": range(8)}),
    "house": (2, 8, {"kick": [0, 2, 4, 6], "snare": [2, 6], "hat": [1, 3, 5, 7]}),
    "shuffle": (3, 12, {"kick": [0, 6], "snare": [3, 9], "hat": [0, 2, 3, 5, 6, 8, 9, 11]}),
    "sixteenths": (4, 16, {"kick": [0, 7, 8], "snare": [4, 12], "hat": range(16)}),
    "hip-hop": (4, 16, {"kick": [0, 6, 10], "snare": [4, 12], "hat": range(16)}),
}


def drums(pattern, tempo, rng):
    beat, bar, hits = PATTERNS[pattern]
    step = 60 / tempo / beat
    wave = 0.003 * rng.normal(size=(SECONDS + 1) * RATE)
    for number in range(int((SECONDS - 0.2) / step)):
        start = round((0.2 + number * step) * RATE)
        for sound, places in hits.items():
            if number % bar in places:
                wave[start : start + len(TICKS)] += SOUNDS[sound]
    return wave[: SECONDS * RATE]


@pytest.mark.long
def test_tempo(rng):
    """Accuracy 1: within 4 %. Accuracy 2: or of half, double, a third or triple (Gouyon et al. 2006)."""
    print(f"\n{'pattern':12}{'acc. 1':>8}{'acc. 2':>8}  octave errors")
    hits, related = {}, {}
    for pattern in PATTERNS:
        descriptors_of_clip = np.array(
            [described(drums(pattern, tempo, rng))["tempo_bpm"] for tempo in TEMPI]
        )
        ratios = descriptors_of_clip / np.array(TEMPI)
        kinds = [
            next((name for name, factor in FACTORS.items() if abs(ratio / factor - 1) < 0.04), "other")
            for ratio in ratios
        ]
        hits[pattern] = np.mean([kind == "exact" for kind in kinds])
        related[pattern] = np.mean([kind != "other" for kind in kinds])
        errors = dict(Counter(kinds) - Counter({"exact": len(kinds)}))
        print(f"{pattern:12}{hits[pattern]:8.0%}{related[pattern]:8.0%}  {errors or ''}")
        if pattern == "clicks":
            print(f"{'':12}largest error of a click track: {np.abs(ratios - 1).max():.2%}")
            assert np.abs(ratios - 1).max() < 0.02
    print(f"{'all':12}{np.mean([*hits.values()]):8.0%}{np.mean([*related.values()]):8.0%}")
    assert all(hits[pattern] >= 0.95 for pattern in ("clicks", "quarters", "waltz", "shuffle", "rock"))
    assert np.mean([*hits.values()]) >= 0.8
    assert np.mean([*related.values()]) >= 0.97
    assert min(related.values()) >= 0.9


FACTORS = {"exact": 1, "half": 1 / 2, "double": 2, "third": 1 / 3, "triple": 3}


def test_level_does_not_change_the_beat(rng):
    wave = drums("rock", 100, rng)
    loud, quiet = described(wave / 4), described(wave / 400)
    for name in ("tempo_bpm", "tempo_confidence", "beat_strength_db", "beat_regularity", "onset_rate_hz"):
        assert loud[name] == pytest.approx(quiet[name], rel=0.03), name


def test_a_beat_is_stronger_and_more_regular_than_noise(rng):
    beat, noise = described(drums("clicks", 120, rng)), described(rng.normal(0, 0.1, SECONDS * RATE))
    assert beat["beat_regularity"] > 0.8 > 0.2 > noise["beat_regularity"]
    assert beat["beat_strength_db"] > 10 > 5 > noise["beat_strength_db"]


def test_no_tempo_without_a_beat():
    for wave in (np.zeros(10 * RATE), sine(440, 10), sine(440, 0.1)):
        values = described(wave)
        assert values["tempo_bpm"] == values["tempo_confidence"] == values["onset_rate_hz"] == 0


@pytest.mark.parametrize("rate", [0.5, 1, 2, 4, 8])
def test_onset_rate_of_clicks(rate, rng):
    values = described(drums("clicks", 60 * rate, rng))["onset_rate_hz"]
    assert values == pytest.approx(rate, abs=1.5 / SECONDS)  # one at the edge


# ---------------------------------------------------------------------- key


def chord(midi, seconds):
    """Notes with five harmonics, struck and ringing."""
    times = np.arange(round(seconds * RATE)) / RATE
    hertz = 440 * 2 ** ((np.array(midi) - 69) / 12)
    waves = (np.sin(2 * np.pi * f * k * times) / k**1.2 for f in hertz for k in range(1, 6))
    return 0.05 * sum(waves) * np.minimum(1, times / 0.01) * np.exp(-times / seconds)


def cadence(tonic, major, detuned):
    """I-IV-V-I, or i-iv-V-i with the leading note, over its roots."""
    third = 4 if major else 3
    chords = [(0, third, 7), (5, 5 + third, 12), (7, 11, 14), (0, third, 7)]
    notes = [[root - 12, *rest] for root, *rest in ((c[0], *c) for c in chords)]
    return np.concatenate([chord(60 + tonic + detuned + np.array(n), 0.5) for n in notes] * 2)


def scale(tonic, major, detuned):
    """Up and down: major, or harmonic minor."""
    degrees = [0, 2, 4, 5, 7, 9, 11, 12] if major else [0, 2, 3, 5, 7, 8, 11, 12]
    return np.concatenate([chord([60 + tonic + detuned + degree], 0.3) for degree in degrees + degrees[::-1]])


@pytest.mark.parametrize("detuned", [0, 0.3])
@pytest.mark.parametrize("piece", [cadence, scale])
def test_keys(piece, detuned):
    errors = Counter()
    for major in (1, 0):
        for tonic in range(12):
            values = described(piece(tonic, major, detuned))
            away = (int(values["key_pitch_class"]) - tonic) % 12
            if values["mode_major"] == major:
                errors[{0: "exact", 5: "fifth", 7: "fifth"}.get(away, "other")] += 1
            else:
                errors[{0: "parallel", 9 if major else 3: "relative"}.get(away, "other")] += 1
            assert np.hypot(values["key_cos"], values["key_sin"]) == pytest.approx(1)
    print(f"\n{piece.__name__}, {detuned * 100:.0f} cents off: {dict(errors)} of 24")
    assert errors["exact"] >= 22


def test_the_circle_of_fifths():
    angles = {}
    for tonic in (0, 7, 6):
        values = described(cadence(tonic, 1, 0))
        angles[tonic] = np.degrees(np.arctan2(values["key_sin"], values["key_cos"]))
    assert angles == pytest.approx({0: 0, 7: 30, 6: 180})


def test_no_key_in_silence():
    assert key(np.zeros(RATE, np.float32), RATE) == (0, 0.5, 0.0)
    values = described(np.zeros(RATE))
    assert values["key_cos"] == values["key_sin"] == values["key_strength"] == 0


# ---------------------------------------------------------------------- loudness


def test_k_weighting_is_the_tables():
    """ITU-R BS.1770-4, tables 1 and 2, at 48 kHz."""
    expected = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585],
        [1, -2, 1, 1, -1.99004745483398, 0.99007225036621],
    ]
    np.testing.assert_allclose(k_weighting(48000), expected, atol=1e-8)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_a_full_scale_sine_in_one_channel(rate):
    channels = np.stack([sine(997, 5, rate, 1), np.zeros(5 * rate)], axis=1)
    assert loudness(channels, rate)[0] == pytest.approx(-3.01, abs=0.1 if rate > 8000 else 0.2)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
    ids=range(1, 6),
)
def test_integrated_loudness_of_ebu_tech_3341(parts, expected):
    samples = np.concatenate([at_lufs(*part) for part in parts])
    assert loudness(samples, 48000)[0] == pytest.approx(expected, abs=0.1)


def test_channels_of_surround():
    """EBU Tech 3341, case 6: -28, -24 and -30 dBFS in front, centre and surrounds make -23 LUFS."""
    levels = {5: (-28, -28, -24, -30, -30), 6: (-28, -28, -24, 0, -30, -30)}
    for front in levels.values():
        channels = np.stack([sine(1000, 20, 48000, 10 ** (level / 20)) for level in front], axis=1)
        assert loudness(channels, 48000)[0] == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
@pytest.mark.parametrize("colour", ["white", "pink"])
def test_noise_is_as_loud_as_pyloudnorm_says(rate, colour, rng, monkeypatch):
    noise = rng.normal(0, 0.1, (12 * rate, 2))
    if colour == "pink":
        spectrum = np.fft.rfft(noise, axis=0)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))[:, None]
        noise = np.fft.irfft(10 * spectrum, axis=0)
    noise *= np.linspace(1, 0.1, len(noise))[:, None]
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    # It adds 1.5 s of silence, which the standard asks of test signals only, and which lowers the 10th percentile.
    monkeypatch.setattr(meter, "_append_silence", lambda samples, silence_duration_sec: samples)
    integrated, spread = loudness(noise, rate)
    assert integrated == pytest.approx(meter.integrated_loudness(noise), abs=0.05)
    assert spread == pytest.approx(meter.loudness_range(noise), abs=0.1)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [((-20, -30), 10), ((-20, -15), 5), ((-40, -20), 20), ((-50, -35, -20, -35, -50), 15)],
)
def test_loudness_range_of_ebu_tech_3342(levels, expected):
    samples = np.concatenate([at_lufs(level, 20) for level in levels])
    assert loudness(samples, 48000)[1] == pytest.approx(expected, abs=1)


@given(st.floats(-30, 10))
@settings(max_examples=10)
def test_gain_shifts_loudness(gain):
    wave = np.random.default_rng(0).normal(0, 0.05, 3 * RATE)
    before, after = described(wave), described(wave * 10 ** (gain / 20))
    for name in ("loudness_lufs", "rms_dbfs"):
        assert after[name] - before[name] == pytest.approx(gain, abs=0.01)
    for name in ("crest_db", "spectral_centroid_hz", "harmonic_percussive_db", "mfcc_01_mean"):
        assert after[name] == pytest.approx(before[name], rel=1e-2, abs=0.05)


def test_silence_and_less_than_a_block():
    assert loudness(np.zeros((48000, 2)), 48000) == (FLOOR, 0)
    assert loudness(at_lufs(-23, 0.2), 48000)[0] == pytest.approx(-23, abs=0.3)
    assert loudness(at_lufs(-23, 0.01), 48000)[1] == 0


def test_levels():
    values = described(sine(441, 2, level=1))
    assert values["rms_dbfs"] == pytest.approx(-3.01, abs=0.01)
    assert values["crest_db"] == pytest.approx(3.01, abs=0.02)  # no sample at the very top
    assert described(np.zeros(RATE))["rms_dbfs"] == descriptors.FLOOR_DBFS


# ---------------------------------------------------------------------- spectrum


@pytest.mark.parametrize("hz", [300, 1000, 4000])
def test_a_sine_is_where_it_is(hz):
    values = described(sine(hz, 3))
    assert values["spectral_centroid_hz"] == pytest.approx(hz, rel=0.03)
    assert values["spectral_rolloff_hz"] == pytest.approx(hz, abs=25)
    assert values["zero_crossing_rate_hz"] == pytest.approx(2 * hz, rel=0.01)


def test_an_offset_is_not_heard(rng):
    noise = rng.normal(0, 0.1, 3 * RATE)
    plain, offset = described(noise), described(noise + 0.3)
    for name in descriptors.COLUMNS[14:]:
        assert offset[name] == pytest.approx(plain[name], rel=0.02, abs=0.5), name


def test_noise_is_flat_and_a_sine_is_not(rng):
    noise, tone = described(rng.normal(0, 0.1, 3 * RATE)), described(sine(1000, 3))
    assert noise["spectral_flatness_db"] > -4 > -30 > tone["spectral_flatness_db"]


def test_harmonic_and_percussive(rng):
    tone, noise = described(chord([60, 64, 67], 5)), described(rng.normal(0, 0.1, 5 * RATE))
    clicks = described(drums("clicks", 120, rng))
    order = [sound["harmonic_percussive_db"] for sound in (tone, noise, clicks)]
    assert order == sorted(order, reverse=True)
    assert order[0] - order[2] > 10


def test_silence_between_is_not_a_timbre(rng):
    noise = rng.normal(0, 0.1, 5 * RATE)
    alone, followed = described(noise), described(np.append(noise, np.zeros(5 * RATE)))
    for name in ("spectral_centroid_hz", "mfcc_00_mean", "mfcc_01_mean"):
        assert followed[name] == pytest.approx(alone[name], rel=0.02, abs=3)  # but for where it ends


# ---------------------------------------------------------------------- anything


@st.composite
def anything(draw):
    rate = draw(st.sampled_from([1000, 8000, 11025, 16000, 22050, 44100, 48000]))
    shape = (draw(st.integers(0, 20000)), draw(st.sampled_from([1, 2, 5, 6, 8])))
    rng = np.random.default_rng(draw(st.integers(0, 100)))
    samples = rng.normal(0, draw(st.sampled_from([0, 1e-12, 1e-4, 0.1, 1, 1e6, 1e30])), shape)
    samples += draw(st.sampled_from([0, 0.5, -1e4, 1e20]))
    if draw(st.booleans()):
        samples = np.clip(samples, -1, 1)
    samples[rng.random(shape) < draw(st.sampled_from([0, 0.01, 1]))] = draw(
        st.sampled_from([0, np.nan, np.inf, -np.inf])
    )
    return samples.astype(np.float32), rate


@given(anything())
@settings(max_examples=60)
@pytest.mark.filterwarnings("error")
def test_anything_is_described(clip):
    before = clip[0].copy()
    values = descriptors.describe(decode.Clip(*clip))
    assert values.shape == (len(descriptors.COLUMNS),)
    assert values.dtype == np.float32
    assert np.isfinite(values).all(), [
        name for name, value in zip(descriptors.COLUMNS, values, strict=True) if not np.isfinite(value)
    ]
    np.testing.assert_array_equal(clip[0], before)


# ---------------------------------------------------------------------- real clips


def clips(shared, count):
    paths = sorted((shared / "fma_mini" / "fma_small").rglob("*.mp3"))
    return [decode.read(path) for path in paths[:: len(paths) // count]]


def test_real_clips_are_sane(shared):
    ranges = {
        "loudness_lufs": (-45, -4), "loudness_range_lu": (0, 30), "rms_dbfs": (-50, -3), "crest_db": (3, 40),
        "tempo_bpm": (54, 200), "tempo_confidence": (0, 1), "beat_strength_db": (0, 18.1),
        "beat_regularity": (0, 1), "onset_rate_hz": (0.05, 15), "key_strength": (0, 1), "key_cos": (-1, 1),
        "spectral_centroid_hz": (200, 6000), "spectral_bandwidth_hz": (200, 5000),
        "spectral_rolloff_hz": (300, 10500), "spectral_flatness_db": (-70, 0),
        "zero_crossing_rate_hz": (50, 12000), "harmonic_percussive_db": (-20, 20),
        "spectral_contrast_0_db": (3, 50), "spectral_contrast_6_db": (3, 50),
    }  # fmt: skip
    for channels, rate in clips(shared, 10):
        values = described(channels, rate)
        for name, (low, high) in ranges.items():
            assert low <= values[name] <= high, name


def test_real_clips_agree_with_librosa_and_pyloudnorm(shared):
    for channels, rate in clips(shared, 3):
        values = described(channels, rate)
        samples = soxr.resample(channels.mean(axis=1), rate, RATE)
        amplitude = np.abs(librosa.stft(samples, n_fft=2048, hop_length=512))
        levels = (amplitude**2).mean(axis=0)
        amplitude = amplitude[:, levels >= 1e-6 * levels.max()]
        power = librosa.feature.melspectrogram(S=amplitude**2, sr=RATE)
        mfcc = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=20)
        for row, name in enumerate(f"mfcc_{number:02}" for number in range(20)):
            assert values[name + "_mean"] == pytest.approx(mfcc[row].mean(), abs=0.05), name
            assert values[name + "_std"] == pytest.approx(mfcc[row].std(), abs=0.05), name
        for name in ("centroid", "bandwidth", "rolloff"):
            expected = getattr(librosa.feature, "spectral_" + name)(S=amplitude, sr=RATE).mean()
            assert values[f"spectral_{name}_hz"] == pytest.approx(expected, rel=2e-3), name
        meter = pyloudnorm.Meter(rate, filter_class="DeMan")
        assert values["loudness_lufs"] == pytest.approx(meter.integrated_loudness(channels), abs=0.05)
