"""What the studies' networks need beyond Keras' own layers; import this module before loading a saved model."""

import sys

from hitsong.backend import keras
from hitsong.features import image

register = keras.saving.register_keras_serializable("hitsong")


@register
class WeightedAverage(keras.layers.Layer):
    """The weighted average of two tensors: `(1 - weight) * first + weight * second`.

    The same weights serve in training and in prediction.

    Parameters
    ----------
    weight : float
        Of the second tensor, 0 to 1.
    """

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
    """The picture of a mel-spectrogram, as `hitsong.features.image.picture` draws it, but differentiable.

    From mels between 0 and 1, shape (batch, n_mels, frames), to brightness or colours between 0 and 1,
    shape (batch, height, width, 1 or 3), low frequencies in the bottom row. Mels outside 0 to 1 are clipped.
    Between two of the map's 256 colours it interpolates, so that gradients reach the mel through the colours.

    Parameters
    ----------
    height, width : int
        Of the picture, in pixels.
    colour : bool
        Colour-mapped RGB rather than greyscale.
    colormap : str
        One of matplotlib's.
    """

    def __init__(self, height, width, colour=False, colormap="viridis", dtype="float32", **kwargs):
        # Always in float32: half precision has too few digits for 256 levels.
        super().__init__(dtype=dtype, **kwargs)
        self.height, self.width, self.colour, self.colormap = height, width, colour, colormap

    def build(self, shape):
        _, n_mels, frames = shape
        self.rows = image.resizing(n_mels, self.height)[::-1]  # (height, n_mels)
        self.columns = image.resizing(frames, self.width).T  # (frames, width)
        if self.colour:
            self.colours = image.colours(self.colormap).astype("float32") / 255  # (256, 3)

    def call(self, mels):
        grey = keras.ops.matmul(keras.ops.matmul(self.rows, mels), self.columns)  # (height, width)
        grey = keras.ops.clip(grey, 0, 1)[..., None]  # (height, width, 1)
        if not self.colour:
            return grey
        levels = 255 * grey
        lower = keras.ops.minimum(keras.ops.floor(levels), 254)
        index = keras.ops.cast(lower[..., 0], "int32")
        steps = self.colours[1:] - self.colours[:-1]
        return keras.ops.take(self.colours, index, axis=0) + (levels - lower) * keras.ops.take(
            steps, index, axis=0
        )  # (height, width, 3)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("height", "width", "colour", "colormap")}
        return {**super().get_config(), **own}


@register
class Pixels(keras.layers.Layer):
    """Colours between 0 and 1 to the pixels that a backbone of Keras Applications was trained on.

    Each family expects its own: MobileNet -1 to 1, ResNet BGR less ImageNet's mean, EfficientNet 0 to 255.

    Parameters
    ----------
    backbone : str
        Name of the network in Keras Applications, such as "MobileNetV2".
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

    Calling the network itself with `training=False` would not do: a model that is fitted passes
    `training=True` on to all that it is made of, whatever was set when it was built.

    Parameters
    ----------
    network : keras.Model
        Its own `trainable` decides whether its weights are trained.
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
    """Cut a trained network behind its layer "trunk": from its inputs to features, without scores or head.

    The two share their weights.

    Parameters
    ----------
    model : keras.Model
        From a dict of raw inputs.
    name : str
        Of the model to be made; in a combiner each part has its own.

    Returns
    -------
    keras.Model
        From the same dict of inputs to the trunk's features, shape (batch, features).
    """
    return keras.Model(model.input, model.get_layer("trunk").output, name=name)
