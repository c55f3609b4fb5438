"""From a trunk, a head and the training clips to a compiled model: raw inputs in, named answers out."""

from hitsong.backend import keras
from hitsong.data.examples import statistics
from hitsong.errors import UserError
from hitsong.models import augment, normalise
from hitsong.models.registry import MODELS

CROPS = 8  # that a clip is heard in when their scores are averaged


def build(name, head, train, recipe, parts=None):
    """Build and compile a network.

    Parameters
    ----------
    name : str
        A network of `MODELS`.
    head : hitsong.models.heads.Head
        What the scores stand for.
    train : hitsong.data.examples.Examples
        The training clips, for the size of the inputs and for normalisation, which is a layer of the model.
    recipe : hitsong.training.recipe.Recipe
    parts : dict of str to keras.Model, optional
        The trained models that this one is built from, as far as their features; they hear raw inputs.

    Returns
    -------
    keras.Model
        From a dict of raw float32 inputs by name ("mel": (batch, n_mels, frames) in dB) to a dict of outputs,
        each of shape (batch, 1), or (batch, classes) for buckets.

    Raises
    ------
    UserError
        If the inputs are too small for the trunk, or crops are asked of a model that hears more than mels.
    """
    raw = {one: keras.Input(train.inputs[one].shape, dtype="float32", name=one) for one in train.inputs}
    trunk = MODELS[name].build_trunk()
    if parts:  # they normalise for themselves
        scores = trunk(raw, head.n_scores, parts=parts, **recipe.parameters)
    else:
        x = {
            one: normalise.layer(one, statistics(train, one), recipe.scaling)(tensor)
            for one, tensor in raw.items()
        }
        if recipe.spec_augment and "mel" in x:
            x["mel"] = augment.SpecAugment()(x["mel"])
        if recipe.crop_seconds:
            scores = _cropped(name, trunk, x, head.n_scores, train, recipe)
        else:
            scores = trunk(x, head.n_scores, **recipe.parameters)
    model = keras.Model(raw, head.outputs(scores), name=name)
    optimizer = getattr(keras.optimizers, recipe.optimizer)(
        recipe.learning_rate, weight_decay=recipe.weight_decay or None
    )
    # XLA halves the speed on CPU.
    model.compile(optimizer, loss=head.losses, loss_weights=head.weights or None, jit_compile=False)
    return model


def _cropped(name, trunk, x, n_scores, train, recipe):
    """The trunk on crops of the clip: one in training, several, whose scores are averaged, otherwise."""
    if list(x) != ["mel"]:
        raise UserError(
            f"train.crop_seconds: {name} hears {', '.join(x)}; only a model of mels alone hears crops"
        )
    mel = train.inputs["mel"].specification["parameters"]
    frames = round(recipe.crop_seconds * mel["sample_rate"] / mel["hop_length"])
    available = x["mel"].shape[2]
    if not 0 < frames <= available:
        raise UserError(
            f"train.crop_seconds {recipe.crop_seconds:g}: {frames} frames of clips that have {available}"
        )
    crops = augment.Crops(frames, CROPS)(x["mel"])
    return augment.CropMean(CROPS)(trunk({"mel": crops}, n_scores, **recipe.parameters))
