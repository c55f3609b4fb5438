"""How each model is trained, what it is built from, and the fingerprint of its fit."""

import inspect
import json
import math
from dataclasses import asdict, dataclass, field, fields

from hitsong.config import nearest
from hitsong.data.targets import CLASSES, Target
from hitsong.errors import UserError
from hitsong.files import digest, read_json
from hitsong.models.registry import MODELS, Ensemble, Probe, in_order
from hitsong.study import differences

_TUNABLE = ("learning_rate", "batch_size", "weight_decay")  # of the recipe; the rest belongs to the trunk


@dataclass(frozen=True)
class Recipe:
    """How one model is trained: its own recipe, with what the config and the search for parameters changed.

    Attributes
    ----------
    epochs, patience, batch_size, seed : int
    optimizer : str
        A class of `keras.optimizers`.
    learning_rate, weight_decay : float
    schedule : str
        "constant", "shrinking" (by a tenth after each epoch that brings no new best) or "cosine" (to 0).
    loss : str or None
        See `hitsong.models.heads`; None is the target's own.
    bounded, scaling, crop_seconds
        As in `Network`.
    spec_augment, balance, mixed_precision : bool
    mixup : float
        The alpha of its Beta distribution; 0 is none.
    parameters : dict
        Of the trunk.
    fixed_epochs : int, optional
        How many epochs to train, and keep the last, where folds chose their number.
    """

    epochs: int
    patience: int
    batch_size: int
    seed: int
    optimizer: str
    learning_rate: float
    schedule: str
    weight_decay: float = 0.0
    loss: str | None = None
    bounded: bool = False
    scaling: str = "standard"
    crop_seconds: float | None = None
    spec_augment: bool = False
    mixup: float = 0.0
    balance: bool = False
    mixed_precision: bool = False
    parameters: dict = field(default_factory=dict)
    fixed_epochs: int | None = None


@dataclass(frozen=True)
class ProbeRecipe:
    """How a probe's estimators are fitted: the penalties that ridge chooses from, and the seed."""

    alphas: tuple
    seed: int


def make_recipe(name, config, number=1, tuned=None):
    """The recipe of a model under a config.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    config : hitsong.config.Config
        What its `train` sets replaces the model's own recipe; `train.parameters` comes before all else.
    number : int
        Of the fit, where there are several of different seeds.
    tuned : dict, optional
        The best parameters of a search.

    Returns
    -------
    Recipe, ProbeRecipe, or None for an ensemble

    Raises
    ------
    UserError
        If the model has no such parameter.
    """
    model, settings = MODELS[name], config.train
    seed = settings.seed + number - 1
    if isinstance(model, Ensemble):
        return None
    if isinstance(model, Probe):
        return ProbeRecipe(tuple(config.baseline.alphas), seed)
    own = {part.name: getattr(model, part.name) for part in fields(Recipe) if hasattr(model, part.name)}
    given = settings.model_dump(
        include={"epochs", "batch_size", "loss", "schedule", "crop_seconds"}, exclude_none=True
    )
    aids = settings.model_dump(
        include={"patience", "weight_decay", "spec_augment", "mixup", "balance", "mixed_precision"}
    )
    chosen = {**(tuned or {}), **settings.parameters.get(name, {})}
    of_trunk = trunk_parameters(name) if chosen else {}  # its layers take seconds to import
    for key in chosen:
        if key not in of_trunk and key not in _TUNABLE:
            close = nearest(key, [*of_trunk, *_TUNABLE])
            raise UserError(f"train.parameters.{name}: {key!r} is none of its parameters{close}")
    of_recipe = {key: chosen.pop(key) for key in _TUNABLE if key in chosen}
    if own["loss"] == "huber" and config.target.kind in CLASSES:  # another target than its study's
        own["loss"] = None
    return Recipe(**{**own, **aids, **given, "seed": seed, **of_recipe, "parameters": chosen})


def trunk_parameters(name):
    """The hyper-parameters of a network's trunk, with the values of its study."""
    parameters = inspect.signature(MODELS[name].import_trunk()).parameters.values()
    return {part.name: part.default for part in parameters if part.default is not part.empty}


def next_learning_rate(recipe, losses):
    """The next epoch's learning rate from the validation losses of the epochs so far.

    A pure function, so that a resumed fit goes on exactly as an undisturbed one.
    """
    if recipe.schedule == "shrinking":
        failures = sum(loss >= min(losses[:epoch]) for epoch, loss in enumerate(losses) if epoch > 0)
        return recipe.learning_rate * 0.9**failures
    if recipe.schedule == "cosine":
        return recipe.learning_rate * (1 + math.cos(math.pi * len(losses) / recipe.epochs)) / 2
    return recipe.learning_rate


def inputs_of(name, study, config):
    """The inputs of a model; a probe takes optional ones of `features.kinds`, an ensemble those of its members."""
    model = MODELS[name]
    if isinstance(model, Ensemble):
        return inputs_of_all(members(config), study, config)
    extracted = [kind for kind in config.features.kinds if (study.features / f"{kind}.json").exists()]
    return [*model.inputs, *(kind for kind in getattr(model, "optional", ()) if kind in extracted)]


def inputs_of_all(names, study, config):
    """The inputs of several models, each once."""
    return list(dict.fromkeys(kind for name in names for kind in inputs_of(name, study, config)))


def members(config):
    """The members of an ensemble: the other models of `train.models`."""
    return [name for name in in_order(config.train.models) if not isinstance(MODELS[name], Ensemble)]


def parts_of(name, config):
    """The models that a model is built from."""
    return members(config) if isinstance(MODELS[name], Ensemble) else list(getattr(MODELS[name], "parts", ()))


def needs_audio(name, study, config):
    """Whether a model needs audio."""
    kinds = {config.train.numeric if kind == "numeric" else kind for kind in inputs_of(name, study, config)}
    return kinds != {"spotify"}


def searched_on(corpus, name):
    """What tuned parameters of a model depend on, as JSON can hold it: its data, target and scheme."""
    return corpus.fingerprint(inputs_of(name, corpus.study, corpus.config))


def tuned_parameters(corpus, name):
    """The best parameters of a search on the same data, target and scheme.

    Returns
    -------
    parameters : dict or None
    note : str
        A line where a search was made on other data, and so is not used; else empty.
    """
    path = corpus.study.tuning / f"{name}.json"
    if not path.exists():
        return None, ""
    searches = read_json(path)["searches"]
    search = searches.get(digest(searched_on(corpus, name)))
    if search:
        return search["parameters"], ""
    return None, (
        f"{name}: {path} holds parameters that were searched on other data, another target or another split; "
        "they are not used (--tune N searches anew)"
    )


def tuned_recipe(corpus, name, number=1):
    """The recipe of a model, with the best parameters of a search on the same data."""
    return make_recipe(name, corpus.config, number, tuned_parameters(corpus, name)[0])


def fingerprint(corpus, name, number=1):
    """All that a fit of a model depends on, as JSON can hold it.

    Parameters
    ----------
    corpus : hitsong.data.corpus.Corpus
        Its own fingerprint covers the tracks, their sides and truth, and the content of the inputs.
    name : str
    number : int
        Of the fit, where there are several of different seeds.

    Returns
    -------
    dict
    """
    recipe = tuned_recipe(corpus, name, number)
    return {
        "model": name,
        "version": MODELS[name].version,
        "recipe": None if recipe is None else asdict(recipe),
        **corpus.fingerprint(inputs_of(name, corpus.study, corpus.config)),
        "parts": {part: digest(fingerprint(corpus, part, number)) for part in parts_of(name, corpus.config)},
    }


def changes(before, now):
    """Say in which of its parts the fingerprint of a fit differs from another; a list of short phrases."""
    now = json.loads(json.dumps(now))  # lists for tuples, as they are read back
    lines = []
    if before["tracks_hash"] != now["tracks_hash"] or before["scheme"] != now["scheme"]:
        lines.append("other tracks, sides or popularity")
    if before["target"] != now["target"]:
        lines.append(f"another target ({Target(**before['target'])} -> {Target(**now['target'])})")
    for kind in dict.fromkeys([*before["inputs"], *now["inputs"]]):
        if before["inputs"].get(kind) != now["inputs"].get(kind):
            lines.append(f"other values of {kind}")
    lines += differences(before["recipe"], now["recipe"])
    lines += [f"another {part}" for part in now["parts"] if before["parts"].get(part) != now["parts"][part]]
    if before.get("refit") != now.get("refit"):
        lines.append("other folds")
    return lines or ["another version of the model"]
