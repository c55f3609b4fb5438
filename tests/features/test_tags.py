"""musicnn and what is made of it.

Its authors document the tags of two clips, which cannot be had with the package. In their place stands a
second forward pass, written here in plain NumPy from the layers' definitions and the checkpoint alone.
"""

import subprocess
import sys

import librosa
import numpy as np
import pandas as pd
import pytest

from hitsong.errors import UserError
from hitsong.features import tags
from hitsong.features.decode import load

MODELS = ["MTT_musicnn", "MSD_musicnn"]
needs_musicnn = pytest.mark.skipif(not tags.available(), reason="needs the package musicnn")


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(name):
    return tags._package() / name


@pytest.fixture(scope="module")
def tagger(name):
    return tags.Tagger(name)


def clip(shared, number):
    """The samples of one of the real clips."""
    path = shared / "fma_mini" / "fma_small" / "000" / f"{number:06}.mp3"
    return load(path, tags.SAMPLE_RATE)


# ---------------------------------------------------------------------- what the network hears


def test_log_mels_agree_with_librosa(shared):
    samples = clip(shared, 2)
    power = librosa.feature.melspectrogram(y=samples, sr=16000, n_fft=512, hop_length=256, n_mels=96)
    mels = tags.log_mels(samples)
    assert mels.dtype == np.float32
    np.testing.assert_allclose(mels, np.log10(10000 * power.T + 1), atol=1e-4)


@pytest.mark.parametrize(
    ("seconds", "count"), [(1 / 16000, 1), (0.1, 1), (2.97, 1), (3, 1), (5.9, 1), (6, 2), (30, 10)]
)
def test_patches_of_a_clip(rng, seconds, count):
    samples = rng.normal(0, 0.1, round(seconds * 16000)).astype(np.float32)
    patches = tags.patches(samples)
    assert patches.shape == (count, 187, 96)
    assert patches.dtype == np.float32
    assert np.isfinite(patches).all()


def test_patches_lie_side_by_side(rng):
    samples = rng.normal(0, 0.1, 10 * 16000).astype(np.float32)
    np.testing.assert_array_equal(np.concatenate(tags.patches(samples)), tags.log_mels(samples)[: 3 * 187])


def test_a_short_clip_is_repeated(rng):
    second = rng.normal(0, 0.1, 16000).astype(np.float32)
    np.testing.assert_array_equal(tags.patches(second), tags.patches(np.tile(second, 3)[: 186 * 256]))


def test_making_patches_imports_no_tensorflow():
    code = (
        "import sys, numpy as np; from hitsong.features import tags;"
        "tags.patches(np.zeros(16000, np.float32)); tags.available() and tags.names('MTT_musicnn');"
        "print({'tensorflow', 'keras', 'musicnn'} & sys.modules.keys() or 'none')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout == "none\n", run.stderr


# ---------------------------------------------------------------------- the package


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(tags, "find_spec", lambda package: None)
    assert not tags.available()
    for use in (tags.names, tags.Tagger):
        with pytest.raises(UserError, match=r"pip install --no-deps .*\n.*features\.kinds"):
            use("MTT_musicnn")


@needs_musicnn
def test_names():
    magnatagatune, million_songs = map(tags.names, MODELS)
    assert (magnatagatune[0], magnatagatune[-1]) == ("guitar", "choral")
    assert (million_songs[0], million_songs[-1]) == ("rock", "happy")
    assert len(set(magnatagatune)) == len(set(million_songs)) == 50


# ---------------------------------------------------------------------- the network

# Of the published table: filters x (kernel + 1) and four values a channel for each batch norm.
VALUES = {
    "batch_normalization": 4,
    "conv2d": 204 * (7 * 38 + 1),
    "batch_normalization_1": 4 * 204,
    "conv2d_1": 204 * (7 * 67 + 1),
    "batch_normalization_2": 4 * 204,
    "conv2d_2": 51 * (128 + 1),
    "batch_normalization_3": 4 * 51,
    "conv2d_3": 51 * (64 + 1),
    "batch_normalization_4": 4 * 51,
    "conv2d_4": 51 * (32 + 1),
    "batch_normalization_5": 4 * 51,
    "conv2d_5": 64 * (7 * 561 + 1),
    "batch_normalization_6": 4 * 64,
    "conv2d_6": 64 * (7 * 64 + 1),
    "batch_normalization_7": 4 * 64,
    "conv2d_7": 64 * (7 * 64 + 1),
    "batch_normalization_8": 4 * 64,
    "batch_normalization_9": 4 * 1506,
    "dense": 200 * (1506 + 1),
    "batch_normalization_10": 4 * 200,
    "dense_1": 50 * (200 + 1),
}


def values_of_each_layer(sizes):
    """Add up (name of a variable, how many values it has) by layer."""
    layers = {}
    for name, size in sizes:
        layer = name.split("/")[-2]
        layers[layer] = layers.get(layer, 0) + size
    return layers


@needs_musicnn
def test_values_of_each_layer(folder):
    from hitsong.features import musicnn

    assert sum(VALUES.values()) == 792_079
    needed = values_of_each_layer((name, int(np.prod(shape))) for name, shape in musicnn.shapes().items())
    assert needed == VALUES
    trained = musicnn.weights(folder)
    assert values_of_each_layer((name, value.size) for name, value in trained.items()) == VALUES


@needs_musicnn
def test_each_weight_counts(rng, folder):
    from hitsong.features import musicnn

    patch = rng.uniform(0, 3, (1, 187, 96)).astype(np.float32)
    trained = musicnn.weights(folder)
    expected = musicnn.Network(trained)(patch)["tags"]
    for name, value in trained.items():
        other = musicnn.Network(trained | {name: value + 1})(patch)["tags"]
        assert np.abs(other - expected).max() > 1e-6, name


@needs_musicnn
@pytest.mark.parametrize("fault", ["more", "less", "another shape"])
def test_another_checkpoint_is_refused(monkeypatch, folder, fault):
    from hitsong.features import musicnn

    trained = musicnn.weights(folder)
    if fault == "more":
        trained["conv2d_8/bias"] = np.zeros(64, np.float32)
    elif fault == "less":
        del trained["dense/bias"]
    else:
        trained["dense/kernel"] = trained["dense/kernel"].T
    monkeypatch.setattr(musicnn, "weights", lambda folder: trained)
    with pytest.raises(ValueError, match="musicnn"):
        musicnn.load(folder)


def by_hand(patch, weights):
    """One patch through the network in float64, as the papers describe it.

    Parameters
    ----------
    patch : np.ndarray [shape=(187, 96)]
    weights : dict of str to np.ndarray

    Returns
    -------
    tags [shape=(50,)], embedding [shape=(200,)]
    """
    w = {name: value.astype(np.float64) for name, value in weights.items()}

    def numbered(layer, number):
        return layer + (f"_{number}" if number else "")

    def norm(x, number):
        gamma, beta, mean, variance = (
            w[f"{numbered('batch_normalization', number)}/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 0.001) * gamma + beta

    def convolve(x, number):  # (frames, height) -> (frames, height, filters), rectified
        kernel, bias = (w[f"{numbered('conv2d', number)}/{part}"] for part in ("kernel", "bias"))
        before = (kernel.shape[0] - 1) // 2
        x = np.pad(x, ((before, kernel.shape[0] - 1 - before), (0, 0)))
        y = np.zeros((187, x.shape[1] - kernel.shape[1] + 1, kernel.shape[3]))
        for i, j in np.ndindex(kernel.shape[:2]):
            y += x[i : i + 187, j : j + y.shape[1], None] * kernel[i, j, 0]
        return np.maximum(y + bias, 0)

    x = norm(patch.astype(np.float64), 0)
    front = np.concatenate([norm(convolve(x, n), n + 1).max(axis=1) for n in range(5)], axis=1)
    mid_1 = norm(convolve(front, 5)[:, 0], 6)
    mid_2 = norm(convolve(mid_1, 6)[:, 0], 7) + mid_1
    mid_3 = norm(convolve(mid_2, 7)[:, 0], 8) + mid_2
    all_layers = np.concatenate([front, mid_1, mid_2, mid_3], axis=1)
    x = norm(np.array([all_layers.max(axis=0), all_layers.mean(axis=0)]).T.ravel(), 9)
    embedding = norm(np.maximum(x @ w["dense/kernel"] + w["dense/bias"], 0), 10)
    return 1 / (1 + np.exp(-(embedding @ w["dense_1/kernel"] + w["dense_1/bias"]))), embedding


@pytest.mark.long
@needs_musicnn
def test_the_network_agrees_with_one_written_by_hand(rng, tagger, folder):
    from hitsong.features import musicnn

    sweep = librosa.chirp(fmin=60, fmax=6000, sr=16000, duration=3).astype(np.float32)
    noise = rng.normal(0, 0.05, len(sweep)).astype(np.float32)
    patch = tags.patches(0.3 * sweep + noise)
    scored = tagger.tag([patch])
    (scores,), (embedding,) = scored["tags"], scored["embedding"]
    expected_scores, expected_embedding = by_hand(patch[0], musicnn.weights(folder))
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    np.testing.assert_allclose(embedding, expected_embedding, atol=1e-4)


# ---------------------------------------------------------------------- clips


@pytest.mark.long
@needs_musicnn
def test_a_clip_is_heard_alone_as_among_others(rng, tagger):
    lengths = [1, 30, 3, 61, 8, 4]  # seconds: no clip ends where a batch ends
    clips = [tags.patches(rng.normal(0, 0.1, 16000 * n).astype(np.float32)) for n in lengths]
    scored = tagger.tag(clips)
    scores, embeddings = scored["tags"], scored["embedding"]
    assert scores.shape == (6, 50)
    assert embeddings.shape == (6, tags.EMBEDDING)
    for patches, score, embedding in zip(clips, scores, embeddings, strict=True):
        alone = [tagger.tag([patch[None]]) for patch in patches]
        np.testing.assert_allclose(score, np.mean([item["tags"] for item in alone], axis=(0, 1)), atol=1e-5)
        np.testing.assert_allclose(
            embedding, np.mean([item["embedding"] for item in alone], axis=(0, 1)), atol=1e-4
        )


@needs_musicnn
def test_extreme_clips_are_finite(tagger):
    square = np.sign(np.sin(np.arange(48000) / 10))
    clips = [np.zeros(480000), np.ones(1), square, 1e-30 * square]
    scored = tagger.tag([tags.patches(samples.astype(np.float32)) for samples in clips])
    scores, embeddings = scored["tags"], scored["embedding"]
    assert np.isfinite(scores).all()
    assert np.isfinite(embeddings).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


@pytest.mark.long
@needs_musicnn
@pytest.mark.parametrize(
    ("model", "number", "expected"),
    [
        ("MTT_musicnn", 213, ["piano"]),  # Au - Boute
        ("MTT_musicnn", 256, ["rock", "metal", "loud"]),  # Black Elk - Toggle
        ("MSD_musicnn", 2, ["Hip-Hop"]),  # AWOL - Food
        ("MSD_musicnn", 5, ["Hip-Hop"]),  # AWOL - This World
    ],
)
def test_real_clips_have_the_tags_that_a_listener_would_give(shared, model, number, expected):
    (scores,) = tags.Tagger(model).tag([tags.patches(clip(shared, number))])["tags"]
    ranked = pd.Series(scores, tags.names(model)).sort_values(ascending=False)
    assert list(ranked.index[: len(expected)]) == expected
