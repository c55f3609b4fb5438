"""Do explanations point to where the reason lies? Songs with a planted one, and three ways to look for it.

    python benchmarks/explain.py

Songs of the stand-in's composer get a bell of one second at a random moment, half of them, and it raises their
popularity; independently, half of them get a lower bell that changes nothing. A small network of the registry learns
popularity from their mel-spectrograms. For held-out songs that have both bells, every map is asked which share of what
it finds positive lies on the bell that counts, relative to what it finds there when the map is moved at random
(1 is chance), and which share of its highest bins (as many as the bell has) are the bell's. The same for
different things to put in the place of what is hidden, and for maps of a network with random weights. Then what an
explanation costs at the studies' sizes.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from scipy import stats

from hitsong.backend import keras
from hitsong.config import Mel
from hitsong.explain import across_tracks
from hitsong.explain.gradients import integrated_gradients
from hitsong.explain.lime import lime
from hitsong.explain.mels import band_edges, band_medians, patch_size
from hitsong.explain.occlusion import occlusion
from hitsong.features import decode
from hitsong.features.mel import mel_spectrogram
from hitsong.models import heads
from hitsong.models.registry import MODELS
from standin.composer import RATE, Traits, compose

SECONDS, SONGS, HELD_OUT, EXPLAINED = 10.0, 180, 60, 12
BELL, DECOY = (2600, 3150, 3900), (700, 890, 1100)  # Hz of the partials
EPOCHS = 40
MOVES = 200  # of a map, at random
SETTINGS = Mel(seconds=SECONDS)


def main():
    keras.utils.set_random_seed(1)
    mels, y, truth, decoy, combined = songs(SONGS + HELD_OUT, np.random.default_rng(0))
    model, untrained = (network("inception_cnn", mels[:SONGS], y[:SONGS]) for _ in range(2))
    model.compile(keras.optimizers.Adam(1e-3), "mean_squared_error", jit_compile=False)
    started = time.perf_counter()
    model.fit({"mel": mels[:SONGS]}, {"popularity": y[:SONGS]}, epochs=EPOCHS, batch_size=16, verbose=0)
    seconds = time.perf_counter() - started
    held_out = mels[SONGS:], y[SONGS:]
    r = np.corrcoef(predictor(model)(held_out[0]), held_out[1])[0, 1]
    print(
        f"{SONGS} songs of {SECONDS:g} s, {EPOCHS} epochs in {seconds:.0f} s; held-out correlation {r:.2f}; "
        f"the bell is {truth[0].mean():.1%} of a map"
    )
    chosen = SONGS + np.flatnonzero(combined[SONGS:])[:EXPLAINED]
    level = mels[:SONGS].mean(axis=(0, 2))[:, None]
    result = overlaps(model, mels, truth, decoy, chosen)
    replacements(model, mels, truth, chosen, level)
    randomised(untrained, mels, chosen, result)
    costs()


def songs(count, rng):
    """Compose, ring, transform: mels, popularity, where the bells are, and which songs have both."""
    hears, distracted = rng.random((2, count)) < 0.5
    mels, truth, decoy = [], [], []
    for song in range(count):
        traits = Traits(
            rng.uniform(80, 150), int(rng.integers(12)), int(rng.integers(2)), *rng.uniform(0.2, 0.9, 5)
        )
        samples = compose(traits, SECONDS, seed=song)
        level = np.sqrt(np.mean(samples**2))
        for rings, partials, places in ((hears[song], BELL, truth), (distracted[song], DECOY, decoy)):
            at = rng.uniform(0.5, SECONDS - 1.5)
            if rings:
                samples[:, round(at * RATE) : round((at + 1) * RATE)] += level * bell(partials)
            places.append(region(at, partials))
        mono = decode.resample(decode.mono(samples.T), RATE, SETTINGS.sample_rate)
        mels.append(mel_spectrogram(mono, SETTINGS))
    y = 20 + 15 * hears + rng.normal(0, 3, count)
    return np.stack(mels), y.astype(np.float32), np.stack(truth), np.stack(decoy), hears & distracted


def bell(partials):
    """One second of decaying partials, of unit power at first."""
    t = np.arange(RATE, dtype=np.float32) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * t) for hertz in partials) * np.exp(-t / 0.6)
    return (wave * np.sqrt(2 / len(partials)) * np.minimum(1, (1 - t) / 0.03)).astype(np.float32)


def region(at, partials):
    """The bins of a bell that begins `at` seconds: (n_mels, frames) of bool."""
    edges = band_edges(SETTINGS)
    frames = np.arange(1 + round(SECONDS * SETTINGS.sample_rate) // SETTINGS.hop_length)
    moments = frames * SETTINGS.hop_length / SETTINGS.sample_rate
    band = (edges[1:] > 0.95 * partials[0]) & (edges[:-1] < 1.05 * partials[-1])
    return band[:, None] & ((moments > at) & (moments < at + 1))


def network(name, mels, y):
    """A network of the registry that hears mels alone, on standardised ones."""
    mel = keras.Input(mels.shape[1:], dtype="float32", name="mel")
    x = keras.layers.Rescaling(1 / mels.std(), offset=-mels.mean() / mels.std())(mel)
    head = heads.make({"kind": "popularity"}, y)
    scores = MODELS[name].build_trunk()({"mel": x}, head.n_scores)
    return keras.Model({"mel": mel}, head.outputs(scores))


def predictor(model):
    return lambda mels: model.predict({"mel": mels}, batch_size=32, verbose=0)["popularity"][:, 0]


def ways(model, replacement=band_medians):
    """The three ways to explain: functions from a mel to a map."""
    size = patch_size(SETTINGS)
    return {
        "occlusion": lambda mel: occlusion(predictor(model), mel, size, replacement=replacement(mel)).values,
        "integrated gradients": lambda mel: integrated_gradients(
            model, {"mel": mel}, {"mel": replacement(mel)}
        ).values["mel"],
        "LIME": lambda mel: lime(predictor(model), mel, size, replacement=replacement(mel)).values,
    }


def share(values, place):
    """Which share of what a map finds positive lies in a place."""
    positive = np.maximum(values, 0)
    return positive[place].sum() / positive.sum()


def highest(values, place):
    """Which share of the highest bins, as many as the place has, lie in it."""
    top = np.argsort(values, axis=None)[-place.sum() :]
    return place.ravel()[top].mean()


def moved(values, place, rng):
    """The shares found when the map is moved at random, round its edges."""
    shifts = np.column_stack([rng.integers(n, size=MOVES) for n in values.shape])
    return np.array([share(np.roll(values, shift, axis=(0, 1)), place) for shift in shifts])


def overlaps(model, mels, truth, decoy, chosen):
    result = {}
    print(f"\nshare of the positive values on the bell, {len(chosen)} held-out songs with both bells")
    for name, explain in ways(model).items():
        rng = np.random.default_rng(1)
        started = time.perf_counter()
        maps = result[name] = [explain(mels[song]) for song in chosen]
        seconds = (time.perf_counter() - started) / len(chosen)
        chance = np.array([moved(item, truth[song], rng) for item, song in zip(maps, chosen, strict=True)])
        shares = np.array([share(item, truth[song]) for item, song in zip(maps, chosen, strict=True)])
        top = np.mean([highest(item, truth[song]) for item, song in zip(maps, chosen, strict=True)])
        astray = np.mean([share(item, decoy[song]) for item, song in zip(maps, chosen, strict=True)])
        ratios = shares / chance.mean(axis=1)
        spread = (chance / chance.mean(axis=1, keepdims=True)).mean(axis=0).std()
        print(
            f"  {name:21} {ratios.mean():5.1f} x moved maps (songs {ratios.min():.1f} to {ratios.max():.1f}; moved "
            f"1 +- {spread:.2f})   {top:4.0%} of the highest bins   {shares.mean():4.0%} on the bell, {astray:.0%} on "
            f"the decoy   {seconds:.2f} s each"
        )
    return result


def replacements(model, mels, truth, chosen, level):
    """The same with other things in the place of what is hidden."""
    kinds = {
        "the band's own median": band_medians,
        "its mean over songs": lambda mel: level,
        "the mean of all bins": lambda mel: np.full_like(level, level.mean()),
        "silence (-80 dB)": lambda mel: np.full_like(level, -80),
    }
    print("\nthe same as a multiple of the bell's area, by what replaces what is hidden")
    for name, replacement in kinds.items():
        ratios = {}
        for way, explain in ways(model, replacement).items():
            ratios[way] = np.mean(
                [share(explain(mels[song]), truth[song]) / truth[song].mean() for song in chosen]
            )
        print(f"  {name:21} " + "   ".join(f"{way} {ratio:4.1f}" for way, ratio in ratios.items()))


def randomised(untrained, mels, chosen, found):
    """Rank correlation of the maps' sizes with those of random weights (Adebayo et al., arXiv:1810.03292)."""
    print("\nrank correlation with the maps of random weights (1 would mean that the model does not matter)")
    for name, explain in ways(untrained).items():
        values = [
            stats.spearmanr(np.abs(explain(mels[song])), np.abs(item), axis=None).statistic
            for song, item in zip(chosen, found[name], strict=True)
        ]
        print(f"  {name:21} {np.mean(values):5.2f} (songs {np.min(values):.2f} to {np.max(values):.2f})")


def costs():
    """Seconds for a clip of 30 s, and for what a model listens for in a sample of them; untrained networks."""
    for name, settings in (
        ("inception_cnn", Mel()),
        ("crnn", Mel()),
        ("crnn", Mel(n_fft=2048, hop_length=512)),
    ):
        frames = 1 + round(settings.seconds * settings.sample_rate) // settings.hop_length
        shape = (across_tracks.CLIPS, settings.n_mels, frames)
        mels = np.random.default_rng(0).normal(-40, 12, shape).astype(np.float32)
        model = network(name, mels, np.array([0.0, 40.0]))
        predict, mel, size = predictor(model), mels[0], patch_size(settings)
        groups = np.arange(len(mels)) // 2
        sampled = (
            (lambda features, predict=predict: predict(features["mel"])),
            {"mel": mels},
            groups,
            settings,
            1000,
            1,
        )
        print(f"\nseconds, {name} on {settings.n_mels} x {frames}")
        predict(mels)
        timed("occlusion", occlusion, predict, mel, size)
        timed("occlusion, overlap 1", occlusion, predict, mel, size, 1)
        timed("integrated gradients", integrated_gradients, model, {"mel": mel}, {"mel": band_medians(mel)})
        timed("the same again", integrated_gradients, model, {"mel": mel}, {"mel": band_medians(mel)})
        timed("LIME", lime, predict, mel, size)
        timed(f"bands, {len(mels)} clips", across_tracks.band_importance, *sampled)
        timed(f"moments, {len(mels)} clips", across_tracks.time_importance, *sampled)


def timed(name, explain, *arguments):
    started = time.perf_counter()
    explain(*arguments)
    print(f"  {name:21} {time.perf_counter() - started:5.1f}")


if __name__ == "__main__":
    main()
