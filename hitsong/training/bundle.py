"""A finished model in a folder: all that serving, evaluation and explanations need of it, and nothing else.

`bundle.json` is written last and says what the model is, what it hears and answers, and how sure it is;
beside it lie the model itself (`model.keras`, `model.joblib`, or `members/`, bundles of an ensemble's own),
`validation.parquet` (truth and predictions of the validation tracks), `history.csv` and `card.md`.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from hitsong.data.examples import Examples, Input
from hitsong.data.targets import Target
from hitsong.errors import UserError
from hitsong.evaluation import conformal
from hitsong.files import read_json
from hitsong.models.registry import MODELS
from hitsong.training import ensemble, probe

N_REFERENCE = 50  # validation tracks whose predictions are made again to verify a bundle
AT_ONCE = 16  # clips that a network hears together


@dataclass(frozen=True)
class Bundle:
    """A finished model; see `load`.

    Attributes
    ----------
    folder : pathlib.Path
    info : dict
        The content of `bundle.json`.
    model : keras.Model, a fitted estimator, or dict of str to Bundle
        By the `form` in `info`: "network", "estimator" or "ensemble".
    """

    folder: Path
    info: dict
    model: object

    @property
    def target(self):
        """What it predicts: `hitsong.data.targets.Target`."""
        return Target(**self.info["target"])

    def predict(self, examples):
        """Predict the target of stored clips.

        Parameters
        ----------
        examples : hitsong.data.examples.Examples

        Returns
        -------
        np.ndarray [shape=(n,) or (n, k), dtype=float32]
            In the order of `examples`; columns are the target's `names`.

        Raises
        ------
        UserError
            If an input is missing, or not of the size that the model was trained on.
        """
        self._check({name: one.shape for name, one in examples.inputs.items()})
        return _PREDICT[self.info["form"]](self, examples.only(self.info["inputs"]))

    def predict_features(self, features):
        """Predict the target of features at hand.

        Parameters
        ----------
        features : dict of str to np.ndarray [shape=(n, ...)]
            By input, in natural units (mels in dB), made with the parameters in `info["inputs"]`.

        Returns
        -------
        np.ndarray [shape=(n,) or (n, k), dtype=float32]
        """
        self._check({name: np.shape(values)[1:] for name, values in features.items()})
        features = {name: np.asarray(features[name], np.float32) for name in self.info["inputs"]}
        return _ANSWER[self.info["form"]](self, features)

    @cached_property
    def _compiled(self):
        """The network as a function of a few clips: without the stream that reads ahead, 1 ms rather than 50."""
        from hitsong.backend import tf

        return tf.function(lambda features: self.model(features, training=False), reduce_retracing=True)

    def interval(self, predictions, level=0.9):
        """The split-conformal interval around predictions: low, high, each of the predictions' shape.

        Popularity, however it is transformed, does not go below 0, and neither does its interval.
        """
        low, high = conformal.interval(self.info["calibration"], predictions, level)
        return (np.maximum(low, 0), np.maximum(high, 0)) if self.target.kind == "popularity" else (low, high)

    def verify(self, examples):
        """Check that this machine predicts what the fit did, on some validation tracks.

        Parameters
        ----------
        examples : hitsong.data.examples.Examples
            With some of the validation tracks among them.

        Returns
        -------
        float
            The largest difference found.

        Raises
        ------
        UserError
            If none of these tracks is there, or if a prediction differs by more than rounding does.
        """
        reference = pd.read_parquet(self.folder / "validation.parquet").head(N_REFERENCE)
        positions = pd.Index(examples.track_ids).get_indexer(reference["track_id"])
        present = positions >= 0
        if not present.any():
            raise UserError(f"{self.folder}: none of the reference tracks is among the clips to verify with")
        expected = reference.filter(regex="^prediction").to_numpy()[present]
        found = self.predict(examples.take(positions[present])).reshape(expected.shape)
        difference = float(np.abs(found - expected).max())
        if not np.allclose(found, expected, rtol=1e-3, atol=1e-3):
            raise UserError(
                f"{self.folder}: predictions differ from the reference by up to {difference:.3g}; "
                "the features or the model changed since the fit: run 05_train.py again"
            )
        return difference

    def _check(self, shapes):
        for name, made in self.info["inputs"].items():
            if name not in shapes:
                raise UserError(f"{self.folder}: the model needs {name} ({made['kind']}), which is not there")
            if tuple(shapes[name]) != tuple(made["shape"]):
                wanted, found = (" x ".join(map(str, shape)) for shape in (made["shape"], shapes[name]))
                raise UserError(f"{self.folder}: the model takes {name} of {wanted}, not {found}")


def load(folder):
    """Load a finished bundle.

    Returns
    -------
    Bundle

    Raises
    ------
    UserError
        If there is none.
    """
    folder = Path(folder)
    if not (folder / "bundle.json").exists():
        raise UserError(f"{folder}: there is no finished model; run 05_train.py")
    info = read_json(folder / "bundle.json")
    if info["form"] == "network":
        model = load_network(info["name"], folder / "model.keras", compile=False)
    elif info["form"] == "estimator":
        model = joblib.load(folder / "model.joblib")
    else:
        model = {name: load(folder / "members" / name) for name in info["weights"]}
    return Bundle(folder, info, model)


def load_network(name, path, compile):
    """Load a saved network, after making known what its layers and losses are called.

    Parameters
    ----------
    name : str
        A network of `hitsong.models.registry.MODELS`.
    path : path-like
    compile : bool
        With its optimizer and losses, to go on training.

    Returns
    -------
    keras.Model
    """
    from hitsong.backend import keras
    from hitsong.models import augment, layers, losses, normalise  # noqa: F401 - each registers its own

    for one in (name, *MODELS[name].parts):
        MODELS[one].build_trunk()
    return keras.models.load_model(path, compile=compile)


def _by_network(bundle, examples):
    from hitsong.training import batches  # TensorFlow takes seconds

    return predicted(bundle.model, bundle.info["outputs"], batches.of_inputs(examples, AT_ONCE))


def _by_estimator(bundle, examples):
    return probe.predict(bundle.model, examples.table(bundle.info["inputs"]), bundle.target)


def _by_ensemble(bundle, examples):
    members = {name: member.predict(examples) for name, member in bundle.model.items()}
    return ensemble.predict(bundle.info["weights"], members)


def _network_answers(bundle, features):
    count = len(next(iter(features.values())))
    chunks = [
        bundle._compiled({name: values[start : start + AT_ONCE] for name, values in features.items()})
        for start in range(0, count, AT_ONCE)
    ]
    outputs = bundle.info["outputs"]
    return _joined({name: np.concatenate([chunk[name] for chunk in chunks]) for name in outputs}, outputs)


def _estimator_answers(bundle, features):
    count = len(next(iter(features.values())))
    inputs = {
        name: Input(values, np.arange(count), {**bundle.info["inputs"][name], "scale": 1.0, "offset": 0.0})
        for name, values in features.items()
    }
    return _by_estimator(bundle, Examples(np.arange(count).astype(str), inputs))


def _ensemble_answers(bundle, features):
    members = {name: member.predict_features(features) for name, member in bundle.model.items()}
    return ensemble.predict(bundle.info["weights"], members)


_PREDICT = {"network": _by_network, "estimator": _by_estimator, "ensemble": _by_ensemble}
_ANSWER = {"network": _network_answers, "estimator": _estimator_answers, "ensemble": _ensemble_answers}


def predicted(model, outputs, stream):
    """A network's answers side by side, in the order of the outputs' names: (n,) if they are one column."""
    return _joined(model.predict(stream, verbose=0), outputs)


def _joined(answers, outputs):
    joined = np.concatenate([answers[name] for name in outputs], axis=1)
    return joined[:, 0] if joined.shape[1] == 1 else joined
