"""The architectures against their papers' tables, and the parts that must not be got wrong twice."""

import numpy as np
import pytest

from hitsong.errors import UserError
from hitsong.models import MODELS, build, constant, crnn, heads, shrinking
from hitsong.models.backend import keras
from hitsong.models.heads import HEADS

MEAN, STD = -40.0, 12.0
Y = np.array([0, 1, 1, 0, 1], np.float32)
NAMES = {"buckets": ("low", "medium", "high"), "audio_features": ("tempo", "energy")}


def make(name, kind="popularity", n_mels=16, frames=32, y=Y):
    head = heads.make({"kind": kind, "names": NAMES.get(kind, (kind,))}, y)
    return build(name, head, n_mels=n_mels, frames=frames, mean=MEAN, std=STD)


@pytest.fixture
def mels():
    return np.random.default_rng(0).normal(MEAN, STD, (6, 16, 32)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "n_mels", "frames", "parameters"),
    [("inception", 128, 323, 158_625), ("crnn", 128, 1292, 391_585), ("crnn", 96, 187, 391_585)],
)
def test_parameter_counts_are_the_studies(name, n_mels, frames, parameters):
    assert make(name, n_mels=n_mels, frames=frames).count_params() == parameters


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("name", MODELS)
def test_any_trunk_takes_any_head_and_names_its_output(name, kind, mels):
    model = make(name, kind, y=np.column_stack([Y, 100 * Y]) if kind == "audio_features" else Y)
    answer = model.predict(mels, verbose=0)
    wanted = {
        "buckets": {"buckets": (6, 3)},
        "audio_features": dict.fromkeys(NAMES["audio_features"], (6, 1)),
    }
    assert {key: value.shape for key, value in answer.items()} == wanted.get(kind, {kind: (6, 1)})
    assert [tensor.name for tensor in model.inputs] == ["mel"]
    if kind == "popular":
        assert ((answer[kind] > 0) & (answer[kind] < 1)).all()
    if kind == "buckets":
        np.testing.assert_allclose(answer[kind].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_trunk_gives_as_many_scores_as_asked(name):
    assert MODELS[name].trunk(keras.Input((16, 32)), 5).shape == (None, 5)


def test_the_inception_convolutions_equal_the_published_padded_ones(mels):
    """The paper's 2-D filters, with arbitrary weights where they only meet padding, give the same maps."""
    model = make("inception")
    x = (mels - MEAN) / STD
    rng = np.random.default_rng(1)
    published = []
    wide = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv1D)][:3]
    for layer, pad in zip(wide, (0, 2, 6), strict=True):
        kernel, bias = layer.get_weights()  # (time, n_mels, filters)
        bias = rng.normal(size=bias.shape).astype(np.float32)
        layer.set_weights([kernel, bias])
        width, n_mels, filters = kernel.shape
        tall = rng.normal(size=(n_mels + 2 * pad, width, 1, filters)).astype(np.float32)
        tall[pad : pad + n_mels, :, 0] = kernel.transpose(1, 0, 2)
        padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, tall.shape[:2], axis=(1, 2))
        maps = np.einsum("bftij,ijcn->bftn", windows, tall) + bias
        assert maps.shape == (6, 1, 29, filters)
        published.append(np.where(maps > 0, maps, 0.1 * maps)[:, 0])
    concatenated = next(layer for layer in model.layers if isinstance(layer, keras.layers.Concatenate))
    found = keras.Model(model.inputs, concatenated.output).predict(mels, verbose=0)
    np.testing.assert_allclose(found, np.concatenate(published, axis=-1), rtol=1e-4, atol=1e-4)


def test_inception_rectifies_scores_before_averaging_them(mels):
    model = make("inception", y=np.array([0.0, 2.0]))  # mean 1, standard deviation 1
    scores = keras.Model(model.inputs, model.layers[-4].output).predict(mels, verbose=0)
    assert scores.shape[-1] == 1
    rectified = np.where(scores > 0, scores, 0.1 * scores)
    expected = rectified.mean(axis=(1, 2)) + 1
    np.testing.assert_allclose(model.predict(mels, verbose=0)["popularity"][:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_normalisation_is_part_of_the_model(name, mels):
    """Raw dB into the model equals mels normalised by hand into its trunk."""
    model = make(name, y=np.array([10.0, 30.0]))  # mean 20, standard deviation 10
    x = keras.Input((16, 32))
    bare = keras.Model(x, MODELS[name].trunk(x, 1))
    bare.set_weights(model.get_weights())
    by_hand = 20 + 10 * bare.predict((mels - MEAN) / STD, verbose=0)
    np.testing.assert_allclose(model.predict(mels, verbose=0)["popularity"], by_hand, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_dropout_acts_in_training_and_only_there(name, mels):
    model = make(name)
    quiet = [model(mels, training=False)["popularity"].numpy() for _ in range(2)]
    noisy = [model(mels, training=True)["popularity"].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert not np.array_equal(*noisy)


@pytest.mark.parametrize("name", MODELS)
def test_a_step_of_training_at_the_studies_size_does_not_crash(name):
    model = make(name, n_mels=128, frames=323)
    mel = np.zeros((2, 128, 323), np.float32)
    assert np.isfinite(model.train_on_batch(mel, {"popularity": np.ones((2, 1))}))


@pytest.mark.parametrize("n_mels", [1, 16, 64, 80, 96, 100, 128, 256])
def test_frequency_pools_leave_one_row(n_mels):
    height = n_mels
    for pool in crnn.frequency_pools(n_mels):
        height //= pool
    assert height == 1
    assert crnn.frequency_pools(128) == [2, 4, 4, 4]


@pytest.mark.parametrize(("name", "fewest"), [("inception", 13), ("crnn", 16)])
def test_mels_too_short_are_refused_with_advice(name, fewest):
    make(name, frames=fewest)
    with pytest.raises(UserError, match=rf"{name} needs mels of at least {fewest} frames.*hop_length"):
        make(name, frames=fewest - 1)


def test_learning_rates_follow_the_validation_losses():
    assert constant(1e-3)([5.0, 6.0]) == 1e-3
    rate = shrinking(1.0, 0.5)
    histories = [[], [3.0], [3.0, 2.0], [3.0, 2.0, 2.0], [3.0, 2.0, 2.5, 2.1, 1.0]]
    assert [rate(losses) for losses in histories] == [1, 1, 1, 0.5, 0.25]


def test_the_popular_head_wants_zeros_and_ones():
    with pytest.raises(ValueError, match="0 or 1"):
        HEADS["popular"](np.array([0.0, 40.0]))


def test_the_audio_features_head_weighs_features_alike_and_starts_from_their_means():
    y = np.column_stack([np.array([100.0, 140.0]), np.array([0.2, 0.6])]).astype(np.float32)
    model = make("inception", "audio_features", y=y)
    answer = model.predict(np.full((1, 16, 32), MEAN, np.float32), verbose=0)
    assert answer["tempo"][0, 0] == pytest.approx(120, abs=20)
    assert answer["energy"][0, 0] == pytest.approx(0.4, abs=0.2)
    head = heads.audio_features(y, ("tempo", "energy"))
    assert head.weights == pytest.approx({"tempo": 1 / (2 * 20**2), "energy": 1 / (2 * 0.2**2)})


def test_the_buckets_head_wants_its_classes():
    with pytest.raises(ValueError, match="0 to 2"):
        HEADS["buckets"](np.array([0.0, 3.0]), ("low", "medium", "high"))


def test_models_run_in_float32_without_xla():
    model = make("inception")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.jit_compile is False
