"""The registry: every model can be built as its recipe says, hears by name, answers by name."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hitsong.backend import keras
from hitsong.config import Config
from hitsong.data.examples import Examples, Input
from hitsong.errors import UserError
from hitsong.models import crnn, heads
from hitsong.models.build import build
from hitsong.models.registry import MODELS, Network, in_order
from hitsong.training.recipe import make_recipe, next_learning_rate, trunk_parameters
from tests.planted import MEL, MFCC, table

Y = np.array([0, 1, 1, 0, 1, 0], np.float32)
NAMES = {"buckets": ("low", "medium", "high"), "audio_features": ("tempo", "energy")}
NETWORKS = [name for name, model in MODELS.items() if isinstance(model, Network)]
WHOLE = [name for name in NETWORKS if not MODELS[name].parts and name != "two_stream"]  # of small parts


def examples(mel=(16, 32), n=6):
    """Random clips with all kinds of input."""
    rng, rows = np.random.default_rng(0), np.arange(n)

    def named(kind, count):
        return Input(
            rng.normal(5, 2, (n, count)).astype(np.float32), rows, table(kind, map(str, range(count)))
        )

    inputs = {
        "mel": Input(rng.integers(40, 220, (n, *mel), np.uint8), rows, MEL),
        "mfcc": Input(rng.normal(size=(n, 40, 20)).astype(np.float32), rows, MFCC),
        "tags": named("tags", 50),
        "embedding": named("embedding", 200),
        "descriptors": named("descriptors", 67),
        "numeric": named("spotify", 6),
    }
    return Examples(rows.astype(str), inputs)


def make(name, kind="popularity", mel=(16, 32), y=Y, **train):
    head = heads.make_head({"kind": kind, "names": NAMES.get(kind, (kind,))}, y)
    recipe = make_recipe(name, Config(train={"models": [name], **train}))
    return build(name, head, examples(mel).only(MODELS[name].inputs), recipe)


def random_clips(model, n=6):
    """Raw inputs for a model."""
    result = examples(tuple(model.input["mel"].shape[1:]) if "mel" in model.input else (16, 32), n)
    return {name: result.inputs[name].read() for name in model.input}


def size_for(name):
    """Mels that are large enough, and not larger."""
    return (128, 192) if name.startswith(("cnn", "conv")) else (16, 64)


@pytest.mark.long
@pytest.mark.parametrize("name", WHOLE)
def test_a_network_hears_and_answers_by_name(name):
    model = make(name, mel=size_for(name))
    assert set(model.input) == set(MODELS[name].inputs)
    answer = model.predict(random_clips(model), verbose=0)
    assert {key: value.shape for key, value in answer.items()} == {"popularity": (6, 1)}
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert model.jit_compile is False
    assert type(model.optimizer).__name__ == MODELS[name].optimizer


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["inception", "crnn", "numeric_mlp", "mfcc_rnn", "attention_cnn", "short_chunk_cnn"]
)
@pytest.mark.parametrize("kind", ["popular", "buckets", "audio_features"])
def test_any_trunk_takes_any_head(name, kind):
    y = np.column_stack([Y, 100 * Y]) if kind == "audio_features" else Y
    model = make(name, kind, mel=(16, 64), y=y)
    answer = model.predict(random_clips(model), verbose=0)
    expected = {
        "buckets": {"buckets": (6, 3)},
        "audio_features": dict.fromkeys(NAMES["audio_features"], (6, 1)),
    }
    assert {key: value.shape for key, value in answer.items()} == expected.get(kind, {kind: (6, 1)})
    if kind == "popular":
        assert ((answer[kind] > 0) & (answer[kind] < 1)).all()
    if kind == "buckets":
        np.testing.assert_allclose(answer[kind].sum(axis=1), 1, rtol=1e-5)


def test_the_inception_convolutions_equal_the_published_padded_ones():
    """The paper's 2-D filters, with arbitrary weights where they only meet padding, give the same maps."""
    model = make("inception_cnn")
    mel = random_clips(model)["mel"]
    x = keras.Model(model.input, model.get_layer("normalise_mel").output).predict({"mel": mel}, verbose=0)
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
    predictions = keras.Model(model.input, concatenated.output).predict({"mel": mel}, verbose=0)
    np.testing.assert_allclose(predictions, np.concatenate(published, axis=-1), rtol=1e-4, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(("name", "scaling"), [("inception_cnn", "standard"), ("crnn", "range")])
def test_normalisation_is_part_of_the_model(name, scaling):
    """Raw dB into the model equals mels normalised by hand into its trunk."""
    y = np.array([10.0, 30.0] * 3)  # mean 20, standard deviation 10
    model = make(name, y=y)
    mel = random_clips(model)["mel"]
    low, width = (mel.mean(), mel.std()) if scaling == "standard" else (mel.min(), np.ptp(mel))
    x = keras.Input((16, 32))
    zero = {"zero": -2.0} if MODELS[name].rectified else {}
    bare = keras.Model(x, MODELS[name].import_trunk()({"mel": x}, 1, **zero))
    bare.set_weights(model.get_weights())
    by_hand = 20 + 10 * bare.predict((mel - low) / width, verbose=0)
    predictions = model.predict({"mel": mel}, verbose=0)["popularity"]
    np.testing.assert_allclose(predictions, by_hand, rtol=1e-3, atol=1e-3)


def test_crops_hear_parts_of_a_clip_and_specaugment_hides_parts_in_training_only():
    model = make("inception_cnn", crop_seconds=1.4, spec_augment=True)  # 15 of 32 frames
    clips = random_clips(model)
    quiet = [model(clips, training=False)["popularity"].numpy() for _ in range(2)]
    noisy = [model(clips, training=True)["popularity"].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert not np.array_equal(*noisy)
    for seconds in (0.01, 100.0):
        with pytest.raises(UserError, match="frames of clips that have 32"):
            make("inception_cnn", crop_seconds=seconds)
    with pytest.raises(UserError, match="inception takes mel, tags"):
        make("inception", crop_seconds=1.4)


@pytest.mark.parametrize("n_mels", [1, 16, 64, 80, 96, 100, 128, 256])
def test_frequency_pools_leave_one_row(n_mels):
    height = n_mels
    for pool in crnn.frequency_pools(n_mels):
        height //= pool
    assert height == 1
    assert crnn.frequency_pools(128) == [2, 4, 4, 4]


@pytest.mark.parametrize(("name", "fewest"), [("inception_cnn", 13), ("crnn", 16)])
def test_mels_too_short_are_refused_with_advice(name, fewest):
    make(name, mel=(16, fewest))
    with pytest.raises(UserError, match=rf"needs mels of at least {fewest} frames.*hop_length"):
        make(name, mel=(16, fewest - 1))


# --- Recipes ----------------------------------------------------------------------------------------


def test_learning_rates_follow_the_schedule():
    recipe = make_recipe("crnn", Config())
    constant, shrinking, cosine = (
        replace(recipe, schedule=item, learning_rate=1.0, epochs=4)
        for item in ("constant", "shrinking", "cosine")
    )
    assert next_learning_rate(constant, [5.0, 6.0]) == 1
    histories = [[], [3.0], [3.0, 2.0], [3.0, 2.0, 2.0], [3.0, 2.0, 2.5, 2.1, 1.0]]
    assert [next_learning_rate(shrinking, losses) for losses in histories] == pytest.approx(
        [1, 1, 1, 0.9, 0.81]
    )
    assert [next_learning_rate(cosine, [0.0] * epoch) for epoch in (0, 2, 4)] == pytest.approx([1, 0.5, 0])


def test_the_config_stands_above_the_models_own_recipe_and_its_parameters_above_all():
    own = make_recipe("inception_cnn", Config())
    assert (own.optimizer, own.learning_rate, own.schedule, own.epochs) == ("Adagrad", 5e-3, "shrinking", 10)
    train = {"epochs": 3, "parameters": {"inception_cnn": {"learning_rate": 0.1, "dropout": 0.4}}}
    recipe = make_recipe(
        "inception_cnn", Config(train=train), number=2, tuned={"dropout": 0.2, "batch_size": 8}
    )
    assert (recipe.epochs, recipe.learning_rate, recipe.batch_size, recipe.seed) == (3, 0.1, 8, 2)
    assert recipe.parameters == {"dropout": 0.4}
    with pytest.raises(UserError, match="'dropuot' is none of its parameters - did you mean 'dropout'"):
        make_recipe("inception_cnn", Config(train={"parameters": {"inception_cnn": {"dropuot": 0.4}}}))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_searched_is_there_to_be_set(name):
    known = {*trunk_parameters(name), "learning_rate", "batch_size", "weight_decay"}
    assert set(MODELS[name].search) <= known


def test_parts_come_before_what_is_built_from_them_and_ensembles_last():
    assert in_order(["ensemble", "combiner", "mlp"]) == [
        "mfcc_rnn_multitask",
        "numeric_mlp",
        "combiner",
        "mlp",
        "ensemble",
    ]


def test_asking_for_the_names_of_models_does_not_load_tensorflow():
    script = "import sys; from hitsong.models.registry import MODELS; print(len(MODELS), 'tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(len(MODELS)), "False"]
