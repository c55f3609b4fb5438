"""The registry of models: the inputs of each, and the recipe that trains it.

A network is a trunk, from normalised inputs to scores, and a head (`heads.py`), from scores to predictions, so that any
trunk can predict any target. A new network is a file with a trunk and a line in `MODELS`. Trunks are named rather than
imported, so that listing the models does not load TensorFlow.
"""

import importlib
from dataclasses import dataclass, field

from hitsong.config import nearest
from hitsong.errors import UserError

STUDY_1, STUDY_2 = "github.com/Irisfee/spotify_analysis", "github.com/NicholasIndorf/HipHopPopularity"
STUDY_3, STUDY_4 = "Rossi & Pleus, Stanford", "github.com/Naaafis/Song_Feature_Pred"
STUDY_5 = "WBS Coding School, Discover playlists"


@dataclass(frozen=True)
class Network:
    """A Keras network and the recipe that trains it.

    Attributes
    ----------
    trunk : str
        `module.function` in this package, see `hitsong.models`.
    citation : str
    inputs : tuple of str
        Kinds of features; "numeric" is the table that `train.numeric` names.
    optimizer, learning_rate, schedule, epochs, batch_size, loss
        The recipe, see `hitsong.training.recipe.Recipe`.
    bounded : bool
        Targets that lie between 0 and 1 are predicted through a sigmoid.
    scaling : str
        Of mels: "standard" (mean 0, deviation 1) or "range" (0 to 1), as measured on the training clips.
    crop_seconds : float, optional
        Length of crops: one at random in training, else several whose scores are averaged.
    parts : tuple of str
        Models that it is built from, and that are trained before it.
    rectified : bool
        Its trunk ends in study 1's rectifier and takes `zero`.
    version : int
        Rises whenever the code changes what a fit computes: fits of other versions are not current.
    search : dict
        The hyper-parameters that `--tune` tries: a list of values, or (low, high), or (low, high, "log").
    """

    trunk: str
    citation: str
    inputs: tuple = ("mel",)
    optimizer: str = "Adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    epochs: int = 100
    batch_size: int = 32
    loss: str | None = None
    bounded: bool = False
    scaling: str = "standard"
    crop_seconds: float | None = None
    parts: tuple = ()
    rectified: bool = False
    version: int = 1
    search: dict = field(default_factory=dict)

    def import_trunk(self):
        """Import the function that builds the trunk."""
        module, _, function = self.trunk.partition(".")
        return getattr(importlib.import_module(f"hitsong.models.{module}"), function)


@dataclass(frozen=True)
class Probe:
    """Simple estimators on the features that another network computes; the best on validation is kept.

    `inputs` are the tables that it needs, `optional` those that it also uses where they exist.
    """

    citation: str
    inputs: tuple
    optional: tuple = ()
    version: int = 1


@dataclass(frozen=True)
class Ensemble:
    """A weighted mean of the other models that are trained, its weights learnt on validation."""

    citation: str
    inputs: tuple = ()
    version: int = 1


RATES = {"learning_rate": (1e-4, 1e-2, "log")}

DROPOUT = {"dropout": (0.0, 0.5)}
IMAGES = {"learning_rate": 5e-4, "batch_size": 16, "scaling": "range", "search": RATES | DROPOUT}
RECTIFIED = {
    "optimizer": "Adagrad", "learning_rate": 5e-3, "schedule": "shrinking", "epochs": 10, "rectified": True,
    "version": 2,
}  # fmt: skip
SEQUENCES = {"inputs": ("mfcc",), "bounded": True}

MODELS = {
    # Study 1: popularity from mels and music tags
    "inception": Network(
        "inception.trunk", f"arXiv:1710.10814; {STUDY_1}", ("mel", "tags"), **RECTIFIED,
        search=RATES | DROPOUT | {"tag_weight": (0.0, 1.0)},
    ),
    "inception_cnn": Network(
        "inception.cnn", f"arXiv:1710.10814; {STUDY_1}", **RECTIFIED, search=RATES | DROPOUT
    ),
    "tag_dnn": Network("inception.tag_dnn", STUDY_1, ("tags",), **RECTIFIED, search=RATES | DROPOUT),
    # Study 2: popular or not
    "mlp": Network("hiphop.mlp", STUDY_2, batch_size=30, scaling="range", search=RATES),
    "cnn1": Network("hiphop.cnn1", STUDY_2, scaling="range", search=RATES | DROPOUT),
    "cnn2": Network("hiphop.cnn2", STUDY_2, scaling="range", search=RATES),
    "crnn": Network(
        "crnn.trunk", f"arXiv:1609.04243; {STUDY_2}", scaling="range",
        search=RATES | {"dropout": (0.0, 0.4), "gru_dropout": (0.0, 0.5)},
    ),
    # Study 3: buckets from pictures of spectrograms
    "conv2_mono": Network("spectrogram_images.conv2_mono", STUDY_3, **IMAGES),
    "conv4_mono": Network("spectrogram_images.conv4_mono", STUDY_3, **IMAGES),
    "conv4_rgb": Network("spectrogram_images.conv4_rgb", STUDY_3, **IMAGES),
    "conv6_rgb": Network("spectrogram_images.conv6_rgb", STUDY_3, **IMAGES),
    # Study 4: audio features from MFCCs and from each other
    "numeric_mlp": Network("song_features.numeric_mlp", STUDY_4, ("numeric",), search=RATES),
    "mfcc_cnn": Network(
        "song_features.mfcc_cnn", STUDY_4, ("mfcc",), epochs=6, search=RATES | DROPOUT | {"dense_dropout": (0.0, 0.6)}
    ),
    "mfcc_cnn_simple": Network(
        "song_features.mfcc_cnn_simple", STUDY_4, ("mfcc",), epochs=20, search=RATES | {"convolutions": [1, 2]}
    ),
    "mfcc_rnn": Network(
        "song_features.mfcc_rnn", STUDY_4, ("mfcc",), epochs=20, search=RATES | {"units": [32, 64, 128]}
    ),
    "mfcc_rnn_multitask": Network(
        "song_features.mfcc_rnn", STUDY_4, epochs=20, loss="huber", search=RATES | {"units": [32, 64, 128]}, **SEQUENCES
    ),
    "combiner": Network(
        "song_features.combiner", STUDY_4, ("mfcc", "numeric"), epochs=6, bounded=True,
        parts=("mfcc_rnn_multitask", "numeric_mlp"),
    ),
    # Study 5: popularity from pictures and audio features
    "two_stream": Network(
        "two_stream.two_stream", f"arXiv:1801.04381; {STUDY_5}", ("mel", "numeric"), scaling="range",
        search={"learning_rate": (1e-5, 1e-3, "log")} | DROPOUT,
    ),
    "features_only": Network("two_stream.features_only", STUDY_5, ("numeric",), search=RATES | DROPOUT),
    # Today's choices
    "embedding_probe": Probe("arXiv:1909.06654", ("embedding",), ("tags", "descriptors"), version=2),
    "short_chunk_cnn": Network(
        "short_chunk_cnn.trunk", "arXiv:2006.00751", learning_rate=3e-4, schedule="cosine", epochs=40, batch_size=16,
        crop_seconds=3.7, search=RATES | DROPOUT | {"channels": [16, 32, 64]},
    ),
    "attention_cnn": Network(
        "attention_cnn.trunk", "arXiv:1703.03130", schedule="cosine", epochs=40,
        search=RATES | DROPOUT | {"channels": [32, 64, 128], "heads": [1, 2, 4, 8]},
    ),
    "ensemble": Ensemble("Breiman, Stacked Regressions, 1996"),
}  # fmt: skip


def require(names, setting="train.models"):
    """Refuse names of models that do not exist."""
    for name in names:
        if name not in MODELS:
            raise UserError(f"{setting}: there is no model {name!r}{nearest(name, MODELS)}")


def in_order(names):
    """Names of models, each after its parts, ensembles last."""
    ordered = [part for name in names for part in (*getattr(MODELS[name], "parts", ()), name)]
    return sorted(dict.fromkeys(ordered), key=lambda name: isinstance(MODELS[name], Ensemble))
