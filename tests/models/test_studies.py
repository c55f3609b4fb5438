"""The networks of the five studies, against the studies' own tables and numbers."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from scipy.ndimage import zoom

from hitsong.backend import keras, tf
from hitsong.errors import UserError
from hitsong.models import crnn, hiphop, inception, layers, song_features, spectrogram_images, two_stream

MEL, LONG_MEL, MFCC, TAGS = (128, 323), (128, 1292), (160, 20), (50,)
MOBILENET_V2 = 2_257_984  # without its top, as Keras says

# Name: trunk, inputs as in the study's preset, scores, parameters, hyper-parameters. Published counts as numbers,
# the others as the sum over the study's table.
TRUNKS = {
    "inception": (inception.trunk, {"mel": MEL, "tags": TAGS}, 1, 176_886, {"zero": -0.7}),
    "inception_cnn": (inception.cnn, {"mel": MEL}, 1, 158_625, {"zero": -0.7}),
    "tag_dnn": (inception.tag_dnn, {"tags": TAGS}, 1, 18_261, {"zero": -0.7}),
    "mlp": (hiphop.mlp, {"mel": LONG_MEL}, 1, 21_176_577, {}),
    "cnn1": (hiphop.cnn1, {"mel": LONG_MEL}, 1, 2_727_041, {}),
    "cnn2": (hiphop.cnn2, {"mel": LONG_MEL}, 1, 2_831_137, {}),
    "crnn": (crnn.trunk, {"mel": LONG_MEL}, 1, 391_585, {}),
    "conv2_mono": (
        spectrogram_images.conv2_mono, {"mel": MEL}, 3,
        11 * 32 + 321 * 64 + 65 * 512 + 513 * 3, {},
    ),
    "conv4_mono": (
        spectrogram_images.conv4_mono, {"mel": MEL}, 3,
        11 * 32 + 321 * 64 + 257 * 128 + 513 * 256 + 257 * 512 + 513 * 3, {},
    ),
    "conv4_rgb": (
        spectrogram_images.conv4_rgb, {"mel": MEL}, 3,
        31 * 32 + 321 * 64 + 257 * 128 + 513 * 256 + 257 * 512 + 513 * 3, {},
    ),
    "conv6_rgb": (
        spectrogram_images.conv6_rgb, {"mel": MEL}, 3,
        31 * 32 + 321 * 64 + 257 * 128 + 513 * 256 + 1025 * 512 + 7681 * 1024 + 1025 * 512 + 513 * 3, {},
    ),
    "numeric_mlp": (song_features.numeric_mlp, {"numeric": (6,)}, 5, 7 * 64 + 65 * 32 + 33 * 5, {}),
    "mfcc_cnn": (song_features.mfcc_cnn, {"mfcc": MFCC}, 5, 2_485_765, {}),
    "mfcc_cnn_simple": (
        song_features.mfcc_cnn_simple, {"mfcc": MFCC}, 1, 10 * 16 + (80 * 10 * 16 + 1) * 64 + 65, {},
    ),
    "mfcc_cnn_notebook": (
        song_features.mfcc_cnn_simple, {"mfcc": MFCC}, 1,
        10 * 16 + 145 * 32 + (32 * 5 * 40 + 1) * 64 + 65, {"convolutions": 2},
    ),
    "mfcc_rnn": (song_features.mfcc_rnn, {"mfcc": MFCC}, 1, 4 * (20 + 64 + 1) * 64 + 65, {}),
    "mfcc_rnn_multitask": (
        song_features.mfcc_rnn, {"mfcc": MFCC}, 5, 4 * (20 + 64 + 1) * 64 + 65 * 5, {},
    ),
    "features_only": (two_stream.features_only, {"numeric": (11,)}, 1, 12 * 64 + 65 * 32 + 33 * 64 + 65, {}),
    "two_stream": (
        two_stream.two_stream, {"mel": MEL, "numeric": (11,)}, 1,
        MOBILENET_V2 + 11521 * 64 + 65 * 64 + 12 * 64 + 65 * 32 + 97 * 64 + 65, {"weights": None},
    ),
}  # fmt: skip
WITHOUT_DROPOUT = {
    "mlp", "cnn2", "numeric_mlp", "mfcc_cnn_simple", "mfcc_cnn_notebook", "mfcc_rnn", "mfcc_rnn_multitask",
}  # fmt: skip


def make(trunk, shapes, n_scores=1, **parameters):
    x = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
    return keras.Model(x, trunk(x, n_scores, **parameters))


def random_inputs(shapes, n=2):
    rng = np.random.default_rng(0)
    return {name: rng.uniform(size=(n, *shape)).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", TRUNKS)
def test_parameters_are_as_many_as_in_the_study(name):
    trunk, shapes, n_scores, parameters, options = TRUNKS[name]
    model = make(trunk, shapes, n_scores, **options)
    assert model.count_params() == parameters
    assert model.output_shape == (None, n_scores)


@pytest.mark.long
@pytest.mark.parametrize("name", TRUNKS)
def test_dropout_acts_in_training_and_only_there(name):
    trunk, shapes, n_scores, _, options = TRUNKS[name]
    shorter = {"mel": (128, 128), "mfcc": (32, 20)}
    shapes = {item: shorter.get(item, shape) for item, shape in shapes.items()}
    model, x = make(trunk, shapes, n_scores, **options), random_inputs(shapes)
    quiet = [model(x, training=False).numpy() for _ in range(2)]
    trained = [model(x, training=True).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert np.array_equal(*trained) == (name in WITHOUT_DROPOUT)


def train_a_step_of_each():
    """Say which network comes next, then train it: what TensorFlow crashes on takes the process with it."""
    for name, (trunk, shapes, n_scores, _, options) in TRUNKS.items():
        print(name, flush=True)
        model = make(trunk, shapes, n_scores, **options)
        model.compile("adam", "mean_squared_error", jit_compile=False)
        assert np.isfinite(model.train_on_batch(random_inputs(shapes), np.ones((2, n_scores))))
    print("all", flush=True)


@pytest.mark.long
def test_a_step_of_training_at_the_studies_sizes_crashes_no_network():
    run = subprocess.run(
        [sys.executable, "-c", "from tests.models.test_studies import *; train_a_step_of_each()"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert run.stdout.split() == [*TRUNKS, "all"], run.stderr[-2000:]
    assert run.returncode == 0


# ---------------------------------------------------------------------- study 1


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_the_weighted_average_is_the_same_in_training_and_in_serving(weight):
    """The study trained 0.5 * cnn + 0.5 * tags and served cnn + 0.5 * tags."""
    shapes = {"mel": (16, 32), "tags": TAGS}
    model, x = make(inception.trunk, shapes, tag_weight=weight, dropout=0.0, zero=-0.7), random_inputs(shapes)
    average = model.layers[-1]
    assert isinstance(average, layers.WeightedAverage)
    cnn, tags = (part.numpy() for part in keras.Model(model.input, average.input)(x))
    expected = (1 - weight) * cnn + weight * tags
    assert np.abs(cnn - tags).max() > 1e-3
    for training in (True, False):
        np.testing.assert_allclose(model(x, training=training), expected, rtol=1e-5)


def test_a_weight_that_is_none_is_refused():
    with pytest.raises(UserError, match=r"tag_weight: 1\.5 is not between 0 and 1"):
        make(inception.trunk, {"mel": (16, 32), "tags": TAGS}, tag_weight=1.5, zero=None)


def toy_fit(trunk, zero):
    """Mean squared error [squared points] after fitting a dense tail on popularity as study 1's: many zeros."""
    rng = np.random.default_rng(0)
    tags = rng.normal(size=(2000, 50)).astype(np.float32)
    y = np.maximum(0, 2 + 8 * tags[:, 0] + 3 * rng.normal(size=2000)).astype(np.float32)
    mean, scale = y.mean(), y.std()
    x = keras.Input((50,), name="tags")
    scores = trunk({"tags": x}, 1, 0.0, zero=-mean / scale if zero == "head" else zero)
    model = keras.Model(x, keras.layers.Rescaling(scale, offset=mean)(scores))
    model.compile(keras.optimizers.Adam(3e-3), "mean_squared_error", jit_compile=False)
    keras.utils.set_random_seed(1)
    for layer in model.layers:  # the same start for all
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([rng.normal(0, 0.15, w.shape) for w in layer.get_weights()])
    model.fit(tags, y, epochs=8, batch_size=64, verbose=0)
    return np.mean((model.predict(tags, verbose=0)[:, 0] - y) ** 2)


@pytest.mark.long
def test_the_output_rectifier_bends_at_popularity_0():
    """Where the study has it: bent at the mean, it costs accuracy."""
    at_zero, at_mean, linear = (toy_fit(inception.tag_dnn, zero) for zero in ("head", 0.0, None))
    assert at_zero < 1.03 * linear
    assert at_zero < 0.9 * at_mean


def test_scores_below_popularity_0_fall_by_a_tenth_and_others_pass(monkeypatch):
    x = np.array([[-3.0], [-1.0], [0.5]], np.float32)
    rectified = inception._rectify_output(keras.ops.convert_to_tensor(x), -0.7)
    np.testing.assert_allclose(rectified, [[-0.7 - 0.23], [-0.73], [0.5]], rtol=1e-5)
    assert inception._rectify_output(x, None) is x


# ---------------------------------------------------------------------- study 2


@pytest.mark.parametrize("trunk", [hiphop.cnn1, hiphop.cnn2])
def test_mels_too_small_to_pool_are_refused_with_the_smallest(trunk):
    make(trunk, {"mel": (16, 64)})
    for small in [(15, 64), (16, 63)]:
        with pytest.raises(
            UserError, match=rf"{trunk.__name__} needs mels of at least 16 x 64 .*these are {small[0]}"
        ):
            make(trunk, {"mel": small})


# ---------------------------------------------------------------------- study 3

TABLE = [  # behind each block
    (102, 159, 3), (50, 77, 32), (24, 36, 64), (11, 17, 128), (5, 8, 256), (3, 6, 512), (1024,), (512,), (3,),
]  # fmt: skip


@pytest.mark.parametrize(
    ("trunk", "blocks", "channels"),
    [
        (spectrogram_images.conv2_mono, 2, 1),
        (spectrogram_images.conv4_mono, 4, 1),
        (spectrogram_images.conv4_rgb, 4, 3),
        (spectrogram_images.conv6_rgb, 6, 3),
    ],
)
def test_shapes_are_the_tables(trunk, blocks, channels):
    model = make(trunk, {"mel": MEL}, 3)
    ends = (layers.Picture, keras.layers.MaxPooling2D, keras.layers.GlobalMaxPooling2D, keras.layers.Dense)
    shapes = [layer.output.shape[1:] for layer in model.layers if isinstance(layer, ends)]
    expected = [(102, 159, channels), *TABLE[1:]]
    if blocks < 6:
        expected = [*expected[: blocks + 1], expected[blocks][-1:], (512,), (3,)]
    assert shapes == expected
    convolved = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolved) == blocks
    assert {(layer.padding, layer.activation.__name__) for layer in convolved} == {("valid", "relu")}


@pytest.mark.parametrize(("n_mels", "frames"), [MEL, (96, 1292), (40, 50)])
@pytest.mark.parametrize(("height", "width"), [(102, 159), (224, 224)])
def test_the_picture_in_the_model_is_the_picture(n_mels, frames, height, width):
    codes = np.random.default_rng(0).integers(0, 256, (n_mels, frames)).astype(np.uint8)
    resized = zoom(
        codes.astype(float), (height / n_mels, width / frames), order=1, grid_mode=True, mode="nearest"
    )
    grey = 255 * layers.Picture(height, width)(codes[None] / 255).numpy()[0]
    np.testing.assert_allclose(grey[::-1, :, 0], resized, atol=0.05)  # levels of 255: coordinates are float32

    colour = 255 * layers.Picture(height, width, colour=True)(codes[None] / 255).numpy()[0]
    viridis = np.rint(255 * matplotlib.colormaps["viridis"](np.arange(256))[:, :3])
    expected = viridis[np.rint(grey[:, :, 0]).astype(int)]
    assert np.abs(colour - expected).max() <= 0.501 * np.abs(np.diff(viridis, axis=0)).max()


def test_gradients_reach_the_mel_through_the_colours():
    """A little brighter everywhere: each pixel goes on towards the map's next colour."""
    picture = layers.Picture(7, 9, colour=True, colormap="magma")
    mel = tf.fill((1, 5, 6), 100.25 / 255)
    with tf.GradientTape() as tape:
        tape.watch(mel)
        colours = tf.reduce_sum(picture(mel), axis=(0, 1, 2))
    gradients = tf.reduce_sum(tape.jacobian(colours, mel), axis=(1, 2, 3))
    levels = np.rint(255 * matplotlib.colormaps["magma"](np.arange(256))[:, :3])
    np.testing.assert_allclose(gradients, 7 * 9 * (levels[101] - levels[100]), rtol=1e-3)


def test_the_picture_shows_what_lies_outside_0_to_1_as_the_outermost_colours():
    x = np.array([[[-3.0, -3.0], [4.0, 4.0]]], np.float32)
    colours = 255 * layers.Picture(2, 2, colour=True)(x).numpy()[0, :, 0]
    np.testing.assert_allclose(colours, [[253, 231, 37], [68, 1, 84]], atol=0.01)  # viridis, low below


# ---------------------------------------------------------------------- study 4


def test_mfccs_too_small_are_refused_with_the_smallest():
    make(song_features.mfcc_cnn, {"mfcc": (16, 16)})
    with pytest.raises(UserError, match="needs MFCCs of at least 16 x 16 .*these are 160 x 13"):
        make(song_features.mfcc_cnn, {"mfcc": (160, 13)})
    with pytest.raises(UserError, match="20 coefficients or frames cannot be halved 5 times"):
        make(song_features.mfcc_cnn_simple, {"mfcc": MFCC}, convolutions=5)


def trained(name):
    """A whole network as a bundle has it: raw inputs, normalisation, trunk, head."""
    trunk, shapes, n_scores, _, _ = TRUNKS[name]
    raw = {item: keras.Input(shape, name=item) for item, shape in shapes.items()}
    x = {item: keras.layers.Rescaling(0.5, offset=-1.0)(tensor) for item, tensor in raw.items()}
    scores = trunk(x, n_scores)
    return keras.Model(raw, {"energy": keras.layers.Activation("sigmoid", name="energy")(scores)})


@pytest.mark.parametrize("name", ["numeric_mlp", "mfcc_cnn", "mfcc_cnn_simple", "mfcc_rnn_multitask"])
def test_what_is_cut_off_a_network_are_its_last_layers(name):
    model, x = trained(name), random_inputs(TRUNKS[name][1])
    half = layers.cut_before_scores(model, name)
    kernel, bias = model.layers[-2].get_weights()
    scores = half(x, training=False) @ kernel + bias
    np.testing.assert_allclose(tf.sigmoid(scores), model(x)["energy"], rtol=1e-4)


@pytest.mark.long
def test_the_combiner_learns_behind_frozen_parts_and_is_saved_with_them(tmp_path):
    names = ("mfcc_rnn_multitask", "numeric_mlp")
    parts = {name: layers.cut_before_scores(trained(name), name) for name in names}
    shapes = {"mfcc": MFCC, "numeric": (6,)}
    model, x = make(song_features.combiner, shapes, 5, parts=parts), random_inputs(shapes, 8)
    features = [part({item: x[item] for item in part.input}).numpy() for part in parts.values()]
    assert [item.shape for item in features] == [(8, 64), (8, 32)]
    before = model.predict(x, verbose=0)

    model.compile("adam", "mean_squared_error", jit_compile=False)
    model.fit(x, np.ones((8, 5)), epochs=3, verbose=0)
    after = [part({item: x[item] for item in part.input}).numpy() for part in parts.values()]
    for item, other in zip(features, after, strict=True):
        np.testing.assert_array_equal(item, other)
    answers = model.predict(x, verbose=0)
    assert np.abs(answers - before).max() > 1e-4

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), answers, rtol=1e-5)
    for item in (model, loaded):
        assert sum(np.prod(w.shape) for w in item.trainable_weights) == 65 * 32 + 33 * 32 + 65 * 5


# ---------------------------------------------------------------------- study 5

STREAMS = {"mel": MEL, "numeric": (11,)}
MOBILENET_V2_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"  # Keras' name for it


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of Keras, and no answer remembered."""
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    two_stream.pretrained.cache_clear()
    yield tmp_path / "models"
    two_stream.pretrained.cache_clear()


@pytest.fixture(scope="module")
def mobilenet():
    """A MobileNetV2 that could have been trained: no two of its kernels are what building it again gives."""
    return keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(224, 224, 3))


@pytest.fixture
def silent_proxy(monkeypatch):
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


@pytest.fixture
def silent_names(monkeypatch):
    """Looking up a name takes until the test has ended."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    ended, overdue = threading.Event(), []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(60) or overdue.append(1))
    yield
    ended.set()
    assert not overdue


@pytest.mark.parametrize("silence", ["silent_proxy", "silent_names"])
def test_a_network_that_does_not_answer_means_from_scratch(silence, cache, request, monkeypatch):
    request.getfixturevalue(silence)
    monkeypatch.setattr(two_stream, "PATIENCE", 0.5)
    result, sentence = two_stream.pretrained("MobileNetV2", "imagenet")
    assert result is None
    assert "MobileNetV2 is trained from scratch" in sentence
    assert not list(cache.glob("*"))
    with pytest.warns(UserWarning, match="trained from scratch: ImageNet weights could not be downloaded"):
        model = make(two_stream.two_stream, STREAMS)
    norms = [item for item in model.get_layer("mobilenetv2_1.00_224").layers if "BN" in item.name]
    assert norms[0].trainable
    assert {item.momentum for item in norms} == {0.9}


@pytest.mark.long
def test_imagenet_weights_in_the_cache_are_used_and_stay_as_they_are(cache, mobilenet, recwarn):
    cache.mkdir()
    mobilenet.save(cache / MOBILENET_V2_FILE)
    recwarn.clear()
    model = make(two_stream.two_stream, STREAMS)
    assert (
        two_stream.pretrained("MobileNetV2", "imagenet")[1] == "MobileNetV2 starts from its ImageNet weights."
    )
    assert not recwarn.list
    model(random_inputs(STREAMS), training=True)  # would move the batch norms' averages if they were trained
    backbone = next(layer.network for layer in model.layers if isinstance(layer, layers.Inference))
    for result, expected in zip(backbone.get_weights(), mobilenet.get_weights(), strict=True):
        np.testing.assert_array_equal(result, expected)
    assert not backbone.trainable_weights
    assert model.count_params() - MOBILENET_V2 == sum(np.prod(w.shape) for w in model.trainable_weights)


@pytest.mark.long
def test_a_backbone_is_fine_tuned_from_a_file_of_weights(tmp_path, mobilenet):
    path = str(tmp_path / "mine.weights.h5")
    mobilenet.save_weights(path)
    model = make(two_stream.two_stream, STREAMS, weights=path, fine_tune=True)
    backbone = next(layer.network for layer in model.layers if isinstance(layer, layers.Inference))
    assert len(backbone.trainable_weights) == len(mobilenet.trainable_weights)
    model(random_inputs(STREAMS), training=True)
    for result, expected in zip(backbone.get_weights(), mobilenet.get_weights(), strict=True):
        np.testing.assert_array_equal(result, expected)
    with pytest.raises(UserError, match=r"mine\.weights\.h5 holds no weights of MobileNet without its top"):
        two_stream.pretrained("MobileNet", path)


def test_what_a_backbone_cannot_start_from_is_refused():
    with pytest.raises(UserError, match="weights: there is no file nowhere.h5"):
        two_stream.pretrained("MobileNetV2", "nowhere.h5")
    with pytest.raises(UserError, match="no 'MobileNetV22' - did you mean 'MobileNetV2'"):
        two_stream.pretrained("MobileNetV22", "imagenet")


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [  # of the colour (1, 0.5, 0)
        ("MobileNetV2", [1, 0, -1]),
        ("ResNet50", [0 - 103.939, 127.5 - 116.779, 255 - 123.68]),  # blue, green, red
        ("EfficientNetB0", [255, 127.5, 0]),
        ("DenseNet121", [(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0 - 0.406) / 0.225]),
    ],
)
def test_pixels_are_what_the_backbone_was_trained_on(backbone, expected):
    pixels = layers.Pixels(backbone)(np.array([[[[1, 0.5, 0]]]], np.float32))
    np.testing.assert_allclose(pixels[0, 0, 0], expected, atol=1e-4)


def test_a_network_in_inference_learns_but_answers_as_in_serving():
    x = np.random.default_rng(0).normal(3, 2, (16, 4)).astype(np.float32)
    network = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
        ]
    )
    served = network(x, training=False).numpy()
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Inference(network)(inputs))
    np.testing.assert_array_equal(model(x, training=True), served)
    assert len(model.trainable_weights) == 4
    network.trainable = False
    assert not model.trainable_weights


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (layers.Inference(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])), [(4,)]),
        (layers.WeightedAverage(0.3), [(4,), (4,)]),
        (layers.Picture(7, 9), [(5, 6)]),
        (layers.Picture(7, 9, colour=True, colormap="magma"), [(5, 6)]),
        (layers.Pixels("ResNet50"), [(5, 6, 3)]),
    ],
)
def test_layers_are_saved_with_the_model(layer, shapes, tmp_path):
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    x = [np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32) for shape in shapes]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
