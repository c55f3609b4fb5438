"""From a trunk, a head and the training clips to a compiled model: raw inputs in, named predictions out."""

from hitsong.backend import keras
from hitsong.data.examples import statistics
from hitsong.errors import UserError
from hitsong.models import augment, normalise
from hitsong.models.registry import MODELS

CROPS = 8  # of a clip outside training; their scores are averaged


def build(name, head, train, recipe, parts=None):
    """Build and compile a network.

    Parameters
    ----------
    name : str
        A network of `MODELS`.
    head : hitsong.models.heads.Head
        From the scores to predictions.
    train : hitsong.data.examples.Examples
        The training clips, for the sizes of the inputs and for normalisation.
    recipe : hitsong.training.recipe.Recipe
    parts : dict of str to keras.Model, optional
        The trained models that this one is built from, cut before their scores; they take raw inputs.

    Returns
    -------
    keras.Model
        From a dict of raw float32 inputs (such as "mel", shape (batch, n_mels, frames), in dB) to a dict of outputs,
        each of shape (batch, 1), or (batch, classes) for buckets.

    Raises
    ------
    UserError
        If the inputs are too small for the trunk, or crops are asked of a model that takes more than mels.
    """
    raw = {kind: keras.Input(train.inputs[kind].shape, dtype="float32", name=kind) for kind in train.inputs}
    trunk, parameters = MODELS[name].import_trunk(), dict(recipe.parameters)
    if MODELS[name].rectified:
        parameters["zero"] = head.zero
    if parts:  # they normalise for themselves
        scores = trunk(raw, head.n_scores, parts=parts, **parameters)
    else:
        x = {
            kind: normalise.make_normalisation(kind, statistics(train, kind), recipe.scaling)(tensor)
            for kind, tensor in raw.items()
        }
        if recipe.spec_augment and "mel" in x:
            x["mel"] = augment.SpecAugment()(x["mel"])
        if recipe.crop_seconds:
            x["mel"] = _crop(name, x, train, recipe.crop_seconds)
            scores = augment.CropMean(CROPS)(trunk(x, head.n_scores, **parameters))
        else:
            scores = trunk(x, head.n_scores, **parameters)
    model = keras.Model(raw, head.outputs(scores), name=name)
    optimizer = getattr(keras.optimizers, recipe.optimizer)(
        recipe.learning_rate, weight_decay=recipe.weight_decay or None
    )
    # XLA halves the speed on CPU.
    model.compile(optimizer, loss=head.losses, loss_weights=head.weights or None, jit_compile=False)
    return model


def _crop(name, x, train, seconds):
    """Crops of the mels: one in training, several otherwise."""
    if list(x) != ["mel"]:
        raise UserError(
            f"train.crop_seconds: {name} takes {', '.join(x)}; only a model of mels alone takes crops"
        )
    mel = train.inputs["mel"].specification["parameters"]
    frames = round(seconds * mel["sample_rate"] / mel["hop_length"])
    available = x["mel"].shape[2]
    if not 0 < frames <= available:
        raise UserError(f"train.crop_seconds {seconds:g}: {frames} frames of clips that have {available}")
    return augment.Crops(frames, CROPS)(x["mel"])
