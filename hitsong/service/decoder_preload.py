"""Imported once by the server that decoder processes are forked from, so that they inherit all loaded libraries."""

import av  # noqa: F401
import numpy as np

from hitsong.config import Features
from hitsong.features.decode import Clip
from hitsong.predict import variants
from hitsong.predict.song_features import features_of_clip

SETTINGS = Features(kinds=["mel", "mfcc", "descriptors", "tags"])

# Some libraries import parts of themselves at the first use only.
NOISE = np.random.default_rng(0).normal(0, 0.1, (SETTINGS.mel.sample_rate, 1)).astype(np.float32)
features_of_clip(Clip(NOISE, SETTINGS.mel.sample_rate), SETTINGS)
variants.change_sound(NOISE, SETTINGS.mel.sample_rate, "brighter")
