"""The models, by name.

A model is a trunk, from normalised mels to scores, and how it is trained; a head (`heads.py`) says what
the scores stand for. Any trunk takes any head. A new model is a file with a `trunk` and a line in
`MODELS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hitsong.models import crnn, inception
from hitsong.models.backend import keras


@dataclass(frozen=True)
class Model:
    """A trunk and the recipe that trains it.

    Attributes
    ----------
    trunk : callable
        `(x, n_scores) -> scores`: normalised mels, shape (batch, n_mels, frames), to scores, shape
        (batch, n_scores).
    optimizer : type
        Class of the Keras optimizer.
    learning_rate : callable
        The next epoch's learning rate from the validation losses of the epochs so far. A pure
        function, so that a resumed fit goes on exactly as an undisturbed one.
    citation : str
        Where the model comes from.
    """

    trunk: Callable
    optimizer: type
    learning_rate: Callable
    citation: str


def constant(rate):
    """Keep one learning rate for the whole fit."""
    return lambda losses: rate


def shrinking(rate, factor):
    """Multiply the learning rate by `factor` after each epoch whose validation loss is no new best."""

    def learning_rate(losses):
        failures = sum(loss >= min(losses[:epoch]) for epoch, loss in enumerate(losses) if epoch > 0)
        return rate * factor**failures

    return learning_rate


MODELS = {
    "inception": Model(inception.trunk, keras.optimizers.Adagrad, shrinking(5e-3, 0.9), "arXiv:1710.10814"),
    "crnn": Model(crnn.trunk, keras.optimizers.Adam, constant(1e-3), "arXiv:1609.04243"),
}


def build(name, head, *, n_mels, frames, mean, std):
    """Build and compile a model that hears mels in dB and answers by name.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    head : hitsong.models.heads.Head
        What the scores stand for.
    n_mels, frames : int
        Size of the mels.
    mean, std : float
        Mean and standard deviation of the training mels over all their bins [dB]; the normalisation
        is a layer of the model.

    Returns
    -------
    keras.Model
        From one float32 input "mel", shape (batch, n_mels, frames) [dB], to a dict of outputs, each
        of shape (batch, 1), or (batch, classes) for buckets.

    Raises
    ------
    UserError
        If the mels are too small for the trunk.
    """
    recipe = MODELS[name]
    mel = keras.Input((n_mels, frames), dtype="float32", name="mel")
    x = keras.layers.Rescaling(1 / std, offset=-mean / std, name="normalise")(mel)
    model = keras.Model(mel, head.outputs(recipe.trunk(x, head.n_scores)), name=name)
    # XLA halves the speed on CPU.
    optimizer = recipe.optimizer(recipe.learning_rate([]))
    model.compile(optimizer, loss=head.losses, loss_weights=head.weights or None, jit_compile=False)
    return model
