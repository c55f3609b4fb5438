"""Synthetic clips with a planted signal, and fits on them: for tests of whatever trains or loads a model."""

import numpy as np

from hitsong.config import Config
from hitsong.data.examples import Examples, Input
from hitsong.data.targets import Target
from hitsong.training import fit as training
from hitsong.training.recipe import make_recipe

POPULARITY = Target("popularity")
MEL = {
    "kind": "mel", "parameters": {"sample_rate": 22050, "n_fft": 2048, "hop_length": 2048, "n_mels": 16},
    "scale": 80 / 255, "offset": -80.0, "columns": None,
}  # fmt: skip
MFCC = {"kind": "mfcc", "parameters": {}, "scale": 1.0, "offset": 0.0, "columns": None}
ABOUT = {
    "study": "planted", "synthetic": True, "collected_from": "planted", "popularity_source": "planted",
    "fetched": "2026-01-01", "licences": [], "scheme": "artist", "trained_on": {"train": 40, "validation": 20},
    "genre": {"tracks": 60, "popularity": [[0.0, 0.0], [100.0, 100.0]]}, "seen": {},
}  # fmt: skip


def table(kind, columns):
    """What the store says of a table of named numbers."""
    return {"kind": kind, "parameters": {}, "scale": 1.0, "offset": 0.0, "columns": list(columns)}


def clips(folder, n=60, noise=4.0, shape=(16, 24), seed=3):
    """Clips whose popularity is the level of one band, plus noise; their other inputs tell it, too.

    Inputs: mel [uint8, on disk], mfcc (frames, 20), tags (50), embedding (200), descriptors (6), numeric (6).
    """
    rng = np.random.default_rng(seed)
    level = rng.normal(size=n)
    codes = rng.normal(128, 25, (n, *shape))
    codes[:, shape[0] // 4 : shape[0] // 2] += 20 * level[:, None, None]
    np.save(folder / "mel.npy", codes.clip(0, 255).astype(np.uint8))
    rows = np.arange(n)

    def random_values(*size):
        values = rng.normal(size=(n, *size))
        values[..., :2] += level.reshape(-1, *[1] * len(size))
        return values.astype(np.float32)

    def named(kind, count):
        return Input(random_values(count), rows, table(kind, [f"{kind}_{i}" for i in range(count)]))

    inputs = {
        "mel": Input(np.load(folder / "mel.npy", mmap_mode="r"), rows, MEL),
        "mfcc": Input(random_values(20, 20), rows, MFCC),
        "tags": named("tags", 50),
        "embedding": named("embedding", 200),
        "descriptors": named("descriptors", 6),
        "numeric": named("spotify", 6),
    }
    y = (30 + 8 * level + noise * rng.normal(size=n)).astype(np.float32)
    return Examples(np.array([f"track-{i:03d}" for i in range(n)]), inputs, y, np.arange(n) // 3)


def settings(name="inception_cnn", **changed):
    """The recipe of a short fit."""
    train = {"epochs": 3, "patience": 3, "batch_size": 16, "seed": 7, **changed}
    return make_recipe(name, Config(train={"models": [name], **train}))


def fit(
    folder,
    name,
    train,
    validation,
    *,
    target=POPULARITY,
    fingerprint=None,
    made=None,
    inputs=("mel",),
    **options,
):
    """Fit a model on some of the inputs of planted clips."""
    return training.fit(
        folder, name, train.only(inputs), validation.only(inputs), target=target,
        recipe=made or settings(name), fingerprint=fingerprint or {"inputs": "0a1b2c"}, about=ABOUT, **options,
    )  # fmt: skip
