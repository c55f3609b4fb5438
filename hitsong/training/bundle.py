"""A finished model in a folder: all that serving, evaluation and explanations need of it, and nothing else.

`bundle.json` is written last and says what the model is, its inputs and outputs, what it was fitted on, and how large
its errors are. Beside it lie the model itself (`model.keras`, `model.joblib`, or `members/`, the bundles of an
ensemble), `validation.parquet` (truth and predictions of tracks that no model of these predictions was fitted on),
`reference.parquet` (its own predictions for some tracks, to verify it), `history.csv` and `card.md`.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hitsong.data.examples import Examples, Input
from hitsong.data.targets import Target
from hitsong.errors import UserError
from hitsong.evaluation import conformal
from hitsong.files import read_json
from hitsong.models.registry import MODELS
from hitsong.study import command

REFERENCE = "reference.parquet"
N_REFERENCE = 50  # validation tracks whose predictions are made again to verify a bundle
BATCH = 16  # clips that a network computes together
# TensorFlow, scikit-learn and pandas take seconds to load: functions that need one of them import it.


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
            In the order of `examples`, within the target's range; columns are the target's `names`.

        Raises
        ------
        UserError
            If an input is missing, or not of the size that the model was trained on.
        """
        self._check({name: values.shape for name, values in examples.inputs.items()})
        examples = examples.only(self.info["inputs"])
        if self.info["form"] == "ensemble":
            members = {name: member.predict(examples) for name, member in self.model.items()}
            return weighted_mean(self.info["weights"], members)
        if self.info["form"] == "estimator":
            from hitsong.evaluation import baseline

            X = examples.table(self.info["inputs"])
            return self.target.clip(baseline.predict(self.model, X, self.target))
        from hitsong.training import batches

        stream = batches.stream_inputs(examples, BATCH)
        return predict_stream(self.model, self.info["outputs"], stream, self.target)

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
        count = len(next(iter(features.values())))
        if self.info["form"] == "ensemble":
            members = {name: member.predict_features(features) for name, member in self.model.items()}
            return weighted_mean(self.info["weights"], members)
        if self.info["form"] == "estimator":
            inputs = {
                name: Input(
                    values, np.arange(count), {**self.info["inputs"][name], "scale": 1.0, "offset": 0.0}
                )
                for name, values in features.items()
            }
            return self.predict(Examples(np.arange(count).astype(str), inputs))
        chunks = [
            self._compiled({name: values[start : start + BATCH] for name, values in features.items()})
            for start in range(0, count, BATCH)
        ]
        outputs = self.info["outputs"]
        joined = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in outputs}
        return self.target.clip(_join_outputs(joined, outputs))

    @cached_property
    def _compiled(self):
        """The network as a function of a few clips, without the stream that reads ahead: fast for one clip."""
        from hitsong.backend import tf

        return tf.function(
            lambda features: self.model(features, training=False), reduce_retracing=True, autograph=False
        )

    def interval(self, predictions, level=0.9):
        """The split-conformal interval around predictions: low, high, each of the predictions' shape."""
        low, high = conformal.interval(self.info["calibration"], predictions, level)
        return self.target.clip(low), self.target.clip(high)

    def verify(self, examples):
        """Check that this machine computes what the fit computed, on some validation tracks.

        Whether the bundle was fitted on the present data is for its fingerprint to say
        (`hitsong.training.workspace.status`).

        Parameters
        ----------
        examples : hitsong.data.examples.Examples
            With some of the validation tracks among them.

        Returns
        -------
        float
            The largest difference.

        Raises
        ------
        UserError
            If none of these tracks is there, or if a prediction differs by more than rounding does.
        """
        import pandas as pd

        reference = pd.read_parquet(self.folder / REFERENCE)
        positions = pd.Index(examples.track_ids).get_indexer(reference["track_id"])
        present = positions >= 0
        if not present.any():
            raise UserError(f"{self.folder}: none of the reference tracks is among the clips to verify with")
        expected = reference.filter(regex="^prediction").to_numpy()[present]
        predictions = self.predict(examples.take(positions[present])).reshape(expected.shape)
        difference = float(np.abs(predictions - expected).max())
        if not np.allclose(predictions, expected, rtol=1e-3, atol=1e-3):
            raise UserError(
                f"{self.folder}: predictions differ from those of the fit by up to {difference:.3g}, though the "
                f"data are the same (another version of TensorFlow?); run: {command('train')} --again"
            )
        return difference

    def _check(self, shapes):
        """Refuse inputs that are missing or of another shape; `shapes` is by input, without the tracks' axis."""
        for name, made in self.info["inputs"].items():
            if name not in shapes:
                raise UserError(f"{self.folder}: the model needs {name} ({made['kind']}), which is not there")
            if tuple(shapes[name]) != tuple(made["shape"]):
                expected, given = (" x ".join(map(str, shape)) for shape in (made["shape"], shapes[name]))
                raise UserError(f"{self.folder}: the model takes {name} of {expected}, not {given}")


def load(folder):
    """Load a finished bundle.

    Returns
    -------
    Bundle

    Raises
    ------
    UserError
        If there is none, or if its files cannot be read.
    """
    folder = Path(folder)
    if not (folder / "bundle.json").exists():
        raise UserError(f"{folder}: there is no finished model; run: {command('train')}")
    try:
        info = read_json(folder / "bundle.json")
        if info["form"] == "network":
            model = load_network(info["name"], folder / "model.keras", compile=False)
        elif info["form"] == "estimator":
            import joblib

            model = joblib.load(folder / "model.joblib")
        else:
            model = {name: load(folder / "members" / name) for name in info["weights"]}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise UserError(
            f"{folder}: the model cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}); if it was "
            f"just trained anew, try again, else run: {command('train')} --again"
        ) from error
    return Bundle(folder, info, model)


def load_network(name, path, compile):
    """Load a saved network, after registering its layers and losses with Keras.

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

    for part in (name, *MODELS[name].parts):
        MODELS[part].import_trunk()
    return keras.models.load_model(path, compile=compile)


def predict_stream(model, outputs, stream, target):
    """A network's predictions within the target's range, columns in the order of `outputs`: (n,) if there is one."""
    return target.clip(_join_outputs(model.predict(stream, verbose=0), outputs))


def weighted_mean(weights, members):
    """The prediction of an ensemble.

    Parameters
    ----------
    weights : dict of str to float
        From `hitsong.training.ensemble.fit_weights`.
    members : dict of str to np.ndarray [shape=(n,) or (n, k)]
        A prediction of each of them, for the same tracks.

    Returns
    -------
    np.ndarray [shape=(n,) or (n, k)]
    """
    return sum(weight * np.asarray(members[name]) for name, weight in weights.items())


def _join_outputs(predictions, outputs):
    joined = np.concatenate([predictions[name] for name in outputs], axis=1)
    return joined[:, 0] if joined.shape[1] == 1 else joined
