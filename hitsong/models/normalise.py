"""Normalisation as a layer of the model, fitted on the training clips and saved with the weights."""

import numpy as np

from hitsong.backend import keras


@keras.saving.register_keras_serializable("hitsong")
class Standardise(keras.layers.Layer):
    """Subtract a mean and divide by a deviation for each entry of the last axis; NaN becomes 0, the mean."""

    def __init__(self, mean, std, **options):
        super().__init__(dtype="float32", **options)
        self.mean, self.std = list(map(float, mean)), list(map(float, std))

    def call(self, x):
        x = (x - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return keras.ops.where(keras.ops.isnan(x), 0.0, x)

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return config | {"mean": self.mean, "std": self.std}


def make_normalisation(name, measured, scaling):
    """The layer that normalises an input, as measured on the training clips (`hitsong.data.examples.Statistics`).

    Mels are scaled to mean 0 and deviation 1 over all bins (`scaling` "standard"), or to 0..1 ("range").
    """
    if name != "mel":
        return Standardise(measured.mean, measured.std, name=f"normalise_{name}")
    low, width = measured.mean, measured.std
    if scaling == "range":
        low, width = measured.low, (measured.high - measured.low) or 1.0
    return keras.layers.Rescaling(
        float(1 / width), offset=float(-low / width), dtype="float32", name="normalise_mel"
    )
