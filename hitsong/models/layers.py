"""Layers that Keras lacks, and helpers of several networks; import this module before loading a saved model."""

import sys

import numpy as np

from hitsong.backend import keras
from hitsong.errors import UserError

register = keras.saving.register_keras_serializable("hitsong")


@register
class WeightedAverage(keras.layers.Layer):
    """The weighted average of two tensors: `(1 - weight) * first + weight * second`, weight from 0 to 1."""

    def __init__(self, weight, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, tensors):
        first, second = tensors
        return (1 - self.weight) * first + self.weight * second

    def get_config(self):
        return {**super().get_config(), "weight": self.weight}


@register
class Picture(keras.layers.Layer):
    """The picture of a mel-spectrogram.

    From mels between 0 and 1 (others are clipped), shape (batch, n_mels, frames), to brightness, or to the colours of
    one of matplotlib's maps, between 0 and 1, shape (batch, height, width, 1 or 3), low frequencies in the bottom row.
    Resizing is bilinear. Colours between two of the map's 256 are interpolated, so that gradients reach the mel.
    """

    def __init__(self, height, width, colour=False, colormap="viridis", dtype="float32", **kwargs):
        # Always in float32: half precision has too few digits for 256 levels.
        super().__init__(dtype=dtype, **kwargs)
        self.height, self.width, self.colour, self.colormap = height, width, colour, colormap

    def build(self, shape):
        import matplotlib  # which other networks do without

        colours = np.rint(255 * matplotlib.colormaps[self.colormap](np.linspace(0, 1, 256))[:, :3])
        self.colours = colours.astype(np.float32) / 255  # (256, 3)

    def call(self, mels):
        size = (self.height, self.width)
        grey = keras.ops.image.resize(mels[:, ::-1, :, None], size, data_format="channels_last")
        grey = keras.ops.clip(grey, 0, 1)  # (height, width, 1)
        if not self.colour:
            return grey
        levels = 255 * grey
        lower = keras.ops.minimum(keras.ops.floor(levels), 254)
        index = keras.ops.cast(lower[..., 0], "int32")
        steps = self.colours[1:] - self.colours[:-1]
        below, step = (keras.ops.take(values, index, axis=0) for values in (self.colours, steps))
        return below + (levels - lower) * step  # (height, width, 3)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("height", "width", "colour", "colormap")}
        return {**super().get_config(), **own}


@register
class Pixels(keras.layers.Layer):
    """Colours between 0 and 1 in the range that a backbone of Keras Applications was trained on.

    Each family has its own: MobileNet -1 to 1, ResNet BGR less ImageNet's mean, EfficientNet 0 to 255.
    """

    def __init__(self, backbone, **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone
        family = sys.modules[getattr(keras.applications, backbone).__module__]
        self.preprocess = family.preprocess_input

    def call(self, colours):
        return self.preprocess(255 * colours)

    def get_config(self):
        return {**super().get_config(), "backbone": self.backbone}


@register
class Inference(keras.layers.Layer):
    """A network in inference mode, in training too: no dropout, batch norms with their averages.

    In a model that is being fitted Keras passes `training=True` to every layer, also to a network that was called with
    `training=False`. The network's own `trainable` decides whether its weights are trained.
    """

    def __init__(self, network, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.network = network

    def call(self, inputs):
        return self.network(inputs, training=False)

    def get_config(self):
        return {**super().get_config(), "network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


def cut_before_scores(model, name):
    """The part of a trained network as far as its layer "trunk", as a model of this name; it shares the weights."""
    return keras.Model(model.input, model.get_layer("trunk").output, name=name)


def require_frames(network, mel, fewest):
    """Refuse mels (batch, n_mels, frames) with too few frames for a network."""
    if mel.shape[2] < fewest:
        raise UserError(
            f"{network} needs mels of at least {fewest} frames, these have {mel.shape[2]}: "
            "lower features.mel.hop_length or raise features.mel.seconds"
        )
