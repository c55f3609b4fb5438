"""Songs from traits: a small synthesiser that turns eight numbers into thirty seconds of music.

Every song has a chord progression in its key and mode, a bass, a pad, plucked notes, drums and a
singing lead whose partials follow the formants of vowels. The traits set the level of each, the seed sets
the rest (progression, patterns, timbres, melody), so two songs of equal traits differ.

For speed, each pitch of an instrument is synthesised once, from a wavetable, and then added at each of its onsets.
"""

from functools import cache
from typing import NamedTuple

import lameenc
import numpy as np
from scipy.signal import lfilter

RATE = 44100  # samples per second
STEPS = 16  # sixteenth notes in a bar
TABLE = 2048  # samples in one period of a wavetable

# Chord roots as degrees of the scale, one chord a bar.
PROGRESSIONS = [(0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 3), (0, 2, 3, 4), (3, 4, 2, 5)]
SCALES = {1: (0, 2, 4, 5, 7, 9, 11), 0: (0, 2, 3, 5, 7, 8, 10)}  # by mode: major, natural minor

KICKS = [(0, 8), (0, 7, 8), (0, 4, 8, 12), (0, 6, 10), (0, 3, 8, 11)]
SNARES = [(4, 12), (4, 12, 15), (4, 11, 12), (8,)]
BASSES = [(0, 8), (0, 6, 8, 14), (0, 4, 8, 12), (0, 3, 6, 8, 11, 14), (0, 10)]

# Formants of sung vowels: frequency (Hz) and level of the first three, after Peterson and Barney (1952).
VOWELS = [
    ((730, 1.0), (1090, 0.5), (2440, 0.1)),  # ah
    ((530, 1.0), (1840, 0.3), (2480, 0.15)),  # eh
    ((570, 1.0), (840, 0.5), (2410, 0.05)),  # aw
    ((300, 1.0), (870, 0.2), (2240, 0.05)),  # oo
]


class Traits(NamedTuple):
    """The sound of a song. All but the first three lie between 0 (none, low) and 1 (much, high)."""

    tempo: float  # beats per minute
    key: int  # pitch class of the tonic, 0 = C
    mode: int  # 1 major, 0 minor
    brightness: float
    percussion: float
    loudness: float
    voice: float
    density: float


def compose(traits, seconds, seed):
    """Synthesise a song: stereo samples at 44.1 kHz within -1 and 1 [shape=(2, n), dtype=float32].

    The seed (int >= 0) sets everything that the traits leave open: equal arguments give equal samples.
    """
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    mix = np.zeros((2, n), dtype=np.float32)
    step = 15 / traits.tempo * RATE  # samples in a sixteenth note
    bars = int(np.ceil(n / (STEPS * step)))

    scale = np.array(SCALES[traits.mode])
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    chords = [progression[bar % 4] for bar in range(bars)]

    def pitch(degree, octave):
        """MIDI number of a degree of the scale; degrees past the seventh go on in the next octave."""
        return 12 * (octave + 1 + degree // 7) + traits.key + scale[degree % 7]

    def play(shot, bar, at, gain=1.0, pan=0.5):
        """Add a one-shot at a sixteenth of a bar; pan 0 is left, 1 is right."""
        start = round((bar * STEPS + at) * step)
        end = min(n, start + len(shot))
        if start < end:
            mix[0, start:end] += np.float32(gain * np.cos(pan * np.pi / 2)) * shot[: end - start]
            mix[1, start:end] += np.float32(gain * np.sin(pan * np.pi / 2)) * shot[: end - start]

    # Bright songs have stronger overtones, besides the tilt of the master.
    rolloff = 2.4 - 1.3 * traits.brightness + rng.normal(0, 0.1)
    pad, pluck, bass, voice, kick, snare, hat = _band(rng, rolloff, step)

    kicks, snares, basses = (lines[rng.integers(len(lines))] for lines in (KICKS, SNARES, BASSES))
    hats = range(0, STEPS, 2 if rng.random() < 0.6 else 1)
    arpeggio = rng.permutation([0, 2, 4, 7, 9, 2, 4, 7])
    plucked = rng.permutation(STEPS)[: 1 + round(traits.density * (STEPS - 3))]
    melody = rng.choice([0, 2, 4, 6, 7], size=(4, 8))  # degrees above the root of the chord
    sung = [at for at in range(0, STEPS, 2) if at == 0 or rng.random() < 0.6]

    for bar, root in enumerate(chords):
        for third, pan in ((0, 0.2), (2, 0.5), (4, 0.8)):
            play(pad(pitch(root + third, 4)), bar, 0, 0.35, pan)
        for at in basses:
            play(bass(pitch(root, 2)), bar, at, 0.5)
        for i, at in enumerate(sorted(plucked)):
            play(pluck(pitch(root + arpeggio[i % len(arpeggio)], 4)), bar, at, 0.35, 0.3 + 0.4 * (i % 2))
        for at in kicks:
            play(kick, bar, at, 1.6 * traits.percussion)
        for at in snares:
            play(snare, bar, at, 1.1 * traits.percussion)
        for at in hats:
            play(hat, bar, at, (0.4 if at % 4 else 0.25) * traits.percussion, 0.65)
        for at in sung if bar % 4 != 3 else ():  # the singer breathes every fourth bar
            note = pitch(root + melody[bar % 4, at // 2], 3 + (traits.key < 6))
            play(voice(note, at % len(VOWELS)), bar, at, 1.1 * traits.voice)

    return _master(_room(mix), traits)


def encode_mp3(samples):
    """Encode stereo samples as MP3 (MPEG-1 layer III) of 160 kbit/s.

    The bit rate is constant: clips of variable bit rate have no header with their length, and decoders cut them short.
    """
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(RATE)
    encoder.set_channels(2)
    encoder.set_bit_rate(160)
    encoder.set_quality(7)
    pcm = np.rint(32767 * samples.T).astype("<i2")
    return bytes(encoder.encode(pcm.tobytes()) + encoder.flush())


def _band(rng, rolloff, step):
    """The instruments of a song: functions of pitch that remember their one-shots, and three drum hits."""
    long, short = STEPS * step / RATE, 2 * step / RATE  # seconds in a bar and in an eighth note
    ring = rng.uniform(0.15, 0.4)
    even = rng.uniform(0.2, 1.0)  # level of the even partials: hollow as a clarinet, or full as a string
    vibrato = rng.uniform(0.004, 0.01), rng.uniform(4.8, 6.2)
    throat = rng.uniform(0.9, 1.15)  # formants differ between singers

    @cache
    def pad(midi):
        return _note(midi, lambda k: k ** -(rolloff + 0.4), long, attack=0.15, decay=long)

    @cache
    def pluck(midi):
        def partials(k):
            return k**-rolloff * np.where(k % 2, 1, even)

        return _note(midi, partials, 3 * ring, attack=0.004, decay=ring)

    @cache
    def bass(midi):
        return _note(midi, lambda k: k ** -(rolloff + 0.2), 2 * short, attack=0.01, decay=0.5)

    @cache
    def voice(midi, vowel):
        frequency = _hertz(midi)

        def formants(k):
            peaks = (g / (1 + ((k * frequency - f * throat) / 90) ** 2) for f, g in VOWELS[vowel])
            return sum(peaks) + 0.02 / k

        return _note(midi, formants, 2 * short, attack=0.05, decay=1.5, vibrato=vibrato)

    t = np.arange(round(0.3 * RATE), dtype=np.float32) / RATE
    noise = rng.standard_normal(len(t), dtype=np.float32)
    fall = rng.uniform(0.03, 0.06)
    kick = np.sin(2 * np.pi * (48 * t - 110 * fall * np.exp(-t / fall))) * np.exp(-t / 0.09)
    drumhead = np.sin(2 * np.pi * rng.uniform(160, 220) * t)
    snare = (0.5 * noise + 0.6 * drumhead) * np.exp(-t / rng.uniform(0.04, 0.09))
    hat = np.diff(noise[: RATE // 10], prepend=0) * np.exp(-t[: RATE // 10] / rng.uniform(0.01, 0.03))
    return pad, pluck, bass, voice, kick, snare, hat.astype(np.float32)


def _note(midi, level, seconds, *, attack, decay, vibrato=(0, 0)):
    """One note of unit power at its start: a wavetable read at the pitch, under an envelope.

    `level(k)` is the amplitude of the k-th partial; partials above 14 kHz are left out.
    """
    frequency = _hertz(midi)
    partials = np.arange(1, max(2, min(48, int(14000 / frequency)) + 1))
    spectrum = np.zeros(TABLE // 2 + 1, dtype=complex)
    spectrum[partials] = -1j * level(partials.astype(float))
    table = np.fft.irfft(spectrum).astype(np.float32)
    table /= table.std()

    t = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    depth, rate = vibrato
    phase = frequency * t
    if depth:
        phase += np.float32(frequency * depth / (2 * np.pi * rate)) * np.sin(2 * np.pi * rate * t)
    wave = table[(phase * TABLE).astype(np.int32) & (TABLE - 1)]
    release = np.minimum(1, (seconds - t) / 0.03)  # no click at the end
    return (wave * np.minimum(1, t / attack) * np.exp(-t / decay) * release).astype(np.float32)


def _hertz(midi):
    return float(440 * 2 ** ((midi - 69) / 12))


def _room(mix):
    """Two early reflections, each from the other side: a little space and width."""
    left, right = round(0.023 * RATE), round(0.031 * RATE)
    wet = mix.copy()
    wet[0, left:] += np.float32(0.25) * mix[1, :-left]
    wet[1, right:] += np.float32(0.25) * mix[0, :-right]
    return wet


def _master(mix, traits):
    """Tilt the spectrum by brightness, set the level by loudness, and round the peaks off.

    The level before mastering is normalised (a busy arrangement is not a loud record); loudness then spans 24 dB.
    """
    mix = _shelf(mix, 1000, 10 ** ((-24 + 34 * traits.brightness) / 20))
    power = np.sqrt(np.mean(np.square(mix[:, ::4])))
    gain = 10 ** ((-34 + 24 * traits.loudness) / 20) / max(power, 1e-6)
    return np.float32(0.9) * np.tanh(mix * np.float32(gain))


def _shelf(samples, frequency, gain):
    """First-order shelf: unchanged far below `frequency`, times `gain` far above (bilinear transform)."""
    w = np.tan(np.pi * frequency / RATE)
    b = np.array([w + gain, w - gain], dtype=np.float32) / np.float32(1 + w)
    a = np.array([1, (w - 1) / (w + 1)], dtype=np.float32)
    return lfilter(b, a, samples)
