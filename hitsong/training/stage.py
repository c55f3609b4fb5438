"""The training stage: which models to train, in which order, and each of them once for every seed."""

from dataclasses import dataclass

from hitsong.config import nearest
from hitsong.data.tracks import has_audio
from hitsong.errors import UserError
from hitsong.evaluation import kinds
from hitsong.files import digest, read_json, write_json
from hitsong.models.registry import MODELS, in_order
from hitsong.training import workspace
from hitsong.training.recipe import (
    fingerprint,
    inputs_of,
    needs_audio,
    parts_of,
    tuned_parameters,
    tuned_recipe,
)

SIDES = ("train", "validation")


@dataclass(frozen=True)
class Plan:
    """What a run trains.

    Attributes
    ----------
    known : list of str
        All models that can be trained: those of `train.models` with the parts that they are built from.
    chosen : list of str
        Those to train now, parts first.
    requested : list of str
        Those of `chosen` that were asked for, rather than being parts of others.
    left_out : list of str
        Models that need audio, where no track comes with audio.
    """

    known: list
    chosen: list
    requested: list
    left_out: list


@dataclass(frozen=True)
class Trained:
    """A model after its turn: its bundle, and whether it was `trained` now or kept; `line` says so."""

    bundle: object
    trained: bool
    line: str


def plan(names, study, config):
    """Choose the models to train.

    Parameters
    ----------
    names : sequence of str
        From the command line; all of `train.models` if empty.
    study : hitsong.study.Study
    config : hitsong.config.Config

    Returns
    -------
    Plan

    Raises
    ------
    UserError
        If a name is not one of `train.models`.
    """
    known = in_order(config.train.models)
    for name in names:
        if name in known:
            continue
        if name in MODELS:
            models = ", ".join([*config.train.models, name])
            raise UserError(f"{name} is not one of train.models; add it: --set 'train.models=[{models}]'")
        raise UserError(f"there is no model {name!r}{nearest(name, MODELS)}")
    requested = list(names) or known
    chosen = in_order([*(part for name in requested for part in parts_of(name, config)), *requested])
    left_out = [] if has_audio(study) else [name for name in known if needs_audio(name, study, config)]
    return Plan(
        *([name for name in group if name not in left_out] for group in (known, chosen, requested)), left_out
    )


def train(corpus, plan, about, again=False, trials=None, report=print):
    """Train the chosen models one after the other, each once for every seed.

    Parameters
    ----------
    corpus : hitsong.data.corpus.Corpus
    plan : Plan
    about : dict
        What each bundle says of the data.
    again : bool
        Train the requested models anew although they are finished. If this is interrupted, the same request goes
        on with the models that are left.
    trials : int, optional
        Search for hyper-parameters first, until there are so many trials of each requested model.
    report : callable
        Takes lines for the user.

    Yields
    ------
    Trained
    """
    from hitsong.training import fit, tuning  # TensorFlow takes seconds to load

    study, config = corpus.study, corpus.config
    repeats = _Repeats(study.models / ".training" / "again.json", plan.requested) if again else None
    for name in plan.chosen:
        clips = {side: corpus.side(inputs_of(name, study, config), side) for side in SIDES}
        if trials and name in plan.requested:
            report(tuning.search(name, corpus, clips, trials))
        if note := tuned_parameters(corpus, name)[1]:
            report(note)
        for number in range(1, config.train.seeds + 1):
            folder, expected = study.model(name, number), fingerprint(corpus, name, number)
            repeat = again and name in plan.requested and not repeats.is_done(folder, expected)
            state = workspace.status(folder, expected)
            kept = not repeat and workspace.restore(folder, expected)
            if not kept and (line := _state_line(name, state, repeat)):
                report(line)
            bundle = fit.fit(
                folder, name, clips["train"], clips["validation"],
                target=corpus.target, recipe=tuned_recipe(corpus, name, number), fingerprint=expected, about=about,
                parts={part: study.model(part, number) for part in parts_of(name, config)}, again=repeat,
                logs=study.folder / "tensorboard" / name if config.train.tensorboard else None,
            )  # fmt: skip
            if repeat:
                repeats.add(folder, expected)
            seed = f" (seed {number})" if config.train.seeds > 1 else ""
            yield Trained(bundle, not kept, _line(f"{name}{seed}", bundle.info, kept, state))
    if again:
        repeats.finish()


def count_sides(corpus):
    """How many tracks there are to train on and to validate on, by side."""
    return {side: int((corpus.tracks["side"] == side).sum()) for side in SIDES}


def list_bundles(study):
    """The `bundle.json` of all models in use."""
    return sorted([*study.models.glob("[!.]*/bundle.json"), *study.models.glob("seed-*/[!.]*/bundle.json")])


class _Repeats:
    """Which models a run with `--again` has trained, so that the same command goes on after an interruption."""

    def __init__(self, path, requested):
        self.path, self.requested = path, requested
        earlier = read_json(path) if path.exists() else {}
        self.done = earlier["done"] if earlier.get("requested") == requested else {}

    def is_done(self, folder, fingerprint):
        return self.done.get(folder.as_posix()) == digest(fingerprint)

    def add(self, folder, fingerprint):
        self.done[folder.as_posix()] = digest(fingerprint)
        write_json(self.path, {"requested": self.requested, "done": self.done})

    def finish(self):
        self.path.unlink(missing_ok=True)


def _state_line(name, state, repeat):
    """What is done about a model that is not finished, in a line."""
    if state == "interrupted":
        return f"{name}: going on with an interrupted fit"
    if state == "stale":
        return f"{name}: its data or settings have changed; training anew"
    return f"{name}: training once more" if repeat else ""


def _line(name, info, kept, state):
    """What has become of a model, in a line."""
    main = kinds.main(info["target"]["kind"])
    kept_from = "kept" if state == "finished" else "kept from an earlier run with these settings"
    line = (
        f"{name}: {kept_from if kept else 'trained'}, {summarise(info)}, "
        f"validation {main} {info['validation'][main]:.3f}"
    )
    if info["collapsed"]:
        line += "; COLLAPSED: it predicts nearly the same for every track"
    return line + (f"; {info['advice']}" if info["advice"] else "")


def summarise(info):
    """How a model came about, in half a line."""
    if info["form"] == "network":
        return (
            f"{info['parameters']:,} parameters, epoch {info['best_epoch']} of {info['epochs']} "
            f"(stopped by {info['stopped']})" + "".join(f"; {note}" for note in info["notes"])
        )
    if info["form"] == "estimator":
        return "best of " + ", ".join(info["candidates"])
    return " + ".join(f"{weight:.2f} {name}" for name, weight in info["weights"].items() if weight >= 0.005)
