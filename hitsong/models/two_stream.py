"""Study 5's networks: popularity from a song's audio features, alone or beside the picture of its mel.

As by students of the WBS Coding School, on some 11,000 songs of archived "Discover" playlists. They name a
MobileNetV2 on the picture followed by convolutional and dense layers, dense layers on the features and more dense
layers on both, but no sizes: those here are common ones.
"""

import threading
import urllib.error
import urllib.request
import warnings
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path

from hitsong.backend import keras
from hitsong.config import nearest
from hitsong.errors import UserError
from hitsong.models.layers import Inference, Picture, Pixels

SIDE = 224  # of the picture, as the backbones were trained on
PATIENCE = 5  # seconds that a server may take to respond
BACKBONES = [name for name in dir(keras.applications) if name[0].isupper()]


def features_only(x, n_scores, dropout=0.3):
    """Build the dense network on the features alone; 5,025 parameters with eleven columns and one score."""
    return _scores(_dense_stream(x["numeric"]), n_scores, dropout)


def two_stream(x, n_scores, backbone="MobileNetV2", weights="imagenet", fine_tune=False, dropout=0.3):
    """Build the network of two streams; 3,008,609 parameters with eleven columns and one score.

    Some 11,000 songs are few for a backbone, so one that comes with weights stays as it is: 750,625 parameters
    are trained. With `fine_tune` all of them are, which is better on spectrograms where there are many clips
    (arXiv:2007.11154); its batch norms keep their statistics, and a learning rate of 1e-5 to 1e-4 suits it.
    Without weights it is trained from scratch, with a warning unless the config sets so.

    Parameters
    ----------
    backbone : str
        A network of Keras Applications.
    weights : str or None
        What the backbone starts from: "imagenet", a file of its weights, or None, from scratch.
    fine_tune : bool
        Whether a backbone that comes with weights is trained too.
    """
    available, sentence = pretrained(backbone, weights)
    if available != weights:
        warnings.warn(sentence, stacklevel=2)
    network = _backbone(backbone, available)
    maps = Pixels(backbone)(Picture(SIDE, SIDE, colour=True)(x["mel"]))  # (224, 224, 3)
    if available is None:
        maps = network(maps)  # (7, 7, 1280)
    else:
        network.trainable = bool(fine_tune)
        maps = Inference(network)(maps)  # (7, 7, 1280)
    maps = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(maps)  # (7, 7, 64)
    features = keras.layers.GlobalAveragePooling2D()(maps)  # (64,)
    features = keras.layers.Dense(64, activation="relu")(features)  # (64,)
    features = keras.layers.Concatenate()([features, _dense_stream(x["numeric"])])  # (96,)
    return _scores(features, n_scores, dropout)


@lru_cache
def pretrained(backbone, weights):
    """Find the weights that a backbone can start from.

    ImageNet's weights come from Keras' cache or, once, over the network. Where the server does not
    respond within seconds, there are none.

    Parameters
    ----------
    backbone : str
        A network of Keras Applications.
    weights : str or None
        "imagenet", a file of its weights without the top, or None.

    Returns
    -------
    available : str or None
        `weights`, or None if ImageNet's cannot be downloaded.
    sentence : str
        For the reader of the training's output.
    """
    if backbone not in BACKBONES:
        raise UserError(
            f"train.parameters.two_stream.backbone: Keras Applications has no {backbone!r}"
            f"{nearest(backbone, BACKBONES)}"
        )
    if weights is None:
        return None, f"{backbone} is trained from scratch."
    if weights != "imagenet":
        if not Path(weights).is_file():
            raise UserError(
                f"train.parameters.two_stream.weights: there is no file {weights}; give one, or imagenet, or null"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "error", UserWarning
                )  # Keras only warns of weights that it did not find
                _backbone(backbone, weights)
        except (OSError, ValueError, UserWarning) as error:
            raise UserError(
                f"train.parameters.two_stream.weights: {weights} holds no weights of {backbone} without its top"
            ) from error
        return weights, f"{backbone} starts from the weights in {weights}."
    urllib.request.install_opener(urllib.request.build_opener(_WithTimeout))
    try:
        _backbone(backbone, weights)
    except Exception as error:  # Keras raises nothing more special
        reason = getattr(error.__context__, "reason", error)
        return (
            None,
            f"{backbone} is trained from scratch: ImageNet weights could not be downloaded ({reason}).",
        )
    finally:
        urllib.request.install_opener(None)
    return weights, f"{backbone} starts from its ImageNet weights."


class _WithTimeout(urllib.request.HTTPSHandler):
    """Limits a request to `PATIENCE` seconds, the look-up of the name included, which has no limit of its own."""

    def https_open(self, request):
        request.timeout = PATIENCE
        response = Future()

        def request_in_thread():
            try:
                response.set_result(super(_WithTimeout, self).https_open(request))
            except Exception as error:
                response.set_exception(error)

        threading.Thread(target=request_in_thread, daemon=True).start()
        try:
            return response.result(PATIENCE)
        except TimeoutError:
            raise urllib.error.URLError(f"no response within {PATIENCE} s") from None


def _backbone(name, weights):
    """A network of Keras Applications, as far as its last maps."""
    network = getattr(keras.applications, name)(
        include_top=False, weights=weights, input_shape=(SIDE, SIDE, 3)
    )
    if weights is None:
        # Their momentum suits a million pictures; here the averages would take thousands of steps to follow.
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.9
    return network


def _dense_stream(numbers):
    """The stream of the features."""
    x = keras.layers.Dense(64, activation="relu")(numbers)  # (64,)
    return keras.layers.Dense(32, activation="relu")(x)  # (32,)


def _scores(x, n_scores, dropout):
    """The layers behind the streams."""
    x = keras.layers.Dense(64, activation="relu")(x)  # (64,)
    x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Dense(n_scores)(x)  # (n_scores,)
