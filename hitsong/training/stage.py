"""The training stage: which models to train, in which order, and each of them once for every seed."""

from dataclasses import dataclass

from hitsong.config import nearest
from hitsong.data.tracks import has_audio
from hitsong.errors import UserError
from hitsong.evaluation import kinds
from hitsong.files import digest, read_json, write_json
from hitsong.models.registry import MODELS, in_order
from hitsong.progress import duration
from hitsong.training import workspace
from hitsong.training.crossfit import fits_of
from hitsong.training.recipe import needs_audio, parts_of, tuned_parameters

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
    """A fit after its turn: its bundle, whether it was `trained` now or kept (`line` says so), whether it is served."""

    bundle: object
    trained: bool
    line: str
    served: bool


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
    trainable = in_order(config.train.models)
    for name in names:
        if name in trainable:
            continue
        if name in MODELS:
            models = ", ".join([*config.train.models, name])
            raise UserError(f"{name} is not one of train.models; add it: --set 'train.models=[{models}]'")
        raise UserError(f"there is no model {name!r}{nearest(name, MODELS)}")
    requested = list(names) or trainable
    chosen = in_order([*(part for name in requested for part in parts_of(name, config)), *requested])
    left_out = [] if has_audio(study) else [name for name in trainable if needs_audio(name, study, config)]
    return Plan(
        *([name for name in group if name not in left_out] for group in (trainable, chosen, requested)),
        left_out,
    )


def train(corpus, plan, about, again=False, trials=None, report=print):
    """Train the chosen models one after the other: all their fits (`hitsong.training.crossfit`).

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
    from hitsong.training import tuning  # TensorFlow takes seconds to load
    from hitsong.training.fit import fit as fit_model

    study, config = corpus.study, corpus.config
    repeats = _Repeats(study.models / ".training" / "again.json", plan.requested) if again else None
    for name in plan.chosen:
        remarks = []
        for fit in fits_of(corpus, name):
            if fit.number == 1:
                if trials and name in plan.requested:
                    clips = {side: fit.examples(side) for side in SIDES}
                    report(tuning.search(name, fit.corpus, clips, trials))
                note = tuned_parameters(fit.corpus, name)[1]
                if note and note not in remarks:
                    remarks.append(note)
                    report(note)
            folder, expected = fit.folder, fit.fingerprint
            repeat = again and name in plan.requested and not repeats.is_done(folder, expected)
            state = workspace.status(folder, expected)
            kept = not repeat and workspace.restore(folder, expected)
            if not kept and (line := _state_line(fit.label, state, repeat)):
                report(line)
            logs = study.folder / "tensorboard" / folder.relative_to(study.models)
            bundle = fit_model(
                folder, name, fit.training_examples(), fit.examples("validation"),
                target=fit.corpus.target, recipe=fit.recipe, fingerprint=expected, about=_about(fit, about),
                parts=fit.parts, again=repeat, logs=logs if config.train.tensorboard else None, label=fit.label,
                folds=fit.fold_results,
            )  # fmt: skip
            if repeat:
                repeats.add(folder, expected)
            yield Trained(bundle, not kept, _line(fit.label, bundle.info, kept, state), fit.fold == 0)
    if again:
        repeats.finish()


def _about(fit, about):
    """What the bundle of a fit says of its data."""
    counts = {side: len(fit.examples(side)) for side in SIDES}
    if fit.fold_results:
        counts = {"train": sum(counts.values()), "validation": len(fit.fold_results.held_out)}
    return about | {"trained_on": counts} | ({"scheme": fit.label} if fit.fold else {})


def describe_cost(corpus, plan):
    """What cross-fitting will cost, in a sentence; None for a single split.

    The time is that of the finished fits of the same models, if there are any.
    """
    if not corpus.config.rounds:
        return None
    left, seconds, is_timed = 0, 0.0, True
    for name in plan.chosen:
        fits = fits_of(corpus, name)
        finished = [fit for fit in fits if (fit.folder / "bundle.json").exists()]
        current = [fit for fit in fits[:-1] if workspace.status(fit.folder, fit.fingerprint) == "finished"]
        # What is served depends on what the folds will choose.
        if (
            len(current) == len(fits) - 1
            and workspace.status(fits[-1].folder, fits[-1].fingerprint) == "finished"
        ):
            current = fits
        left += len(fits) - len(current)
        if len(current) < len(fits):
            each = [read_json(fit.folder / "bundle.json")["seconds"] for fit in finished]
            is_timed = is_timed and bool(each)
            seconds += (len(fits) - len(current)) * (sum(each) / len(each) if each else 0)
    count = corpus.config.rounds
    total = len(plan.chosen) * len(fits_of(corpus, plan.chosen[0]))
    fits_of_model = f"{count} {corpus.config.round_name}s, and a last fit to be served"
    line = f"cross-fitting: {fits_of_model}: {total} fits, {total - left} of them finished"
    if not left:
        return line
    shares = corpus.config.split
    factor = (count - 2 + shares.train + shares.validation) / shares.train
    if corpus.config.split.origins:  # each is fitted on the tracks before it
        factor = count + 1
    cost = f"about {duration(seconds)}" if is_timed else f"about {factor:.0f} times as long as a single split"
    return f"{line}; the other {left} take {cost}" if left < total else f"{line}; they take {cost}"


def count_sides(corpus):
    """How many tracks there are to train on and to validate on, by side."""
    return {side: int((corpus.tracks["side"] == side).sum()) for side in SIDES}


def list_bundles(study):
    """The `bundle.json` of all models in use."""
    patterns = ("[!.]*", "seed-*/[!.]*", "fold-*/[!.]*", "fold-*/seed-*/[!.]*")
    return sorted({path for pattern in patterns for path in study.models.glob(f"{pattern}/bundle.json")})


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
    if "refit" in info:
        return _summarise_refit(info)
    if info["form"] == "network":
        return (
            f"{info['parameters']:,} parameters, epoch {info['best_epoch']} of {info['epochs']} "
            f"(stopped by {info['stopped']})" + "".join(f"; {note}" for note in info["notes"])
        )
    if info["form"] == "estimator":
        return "best of " + ", ".join(info["candidates"])
    return " + ".join(f"{weight:.2f} {name}" for name, weight in info["weights"].items() if weight >= 0.005)


def _summarise_refit(info):
    """How a model that is served came about after cross-fitting."""
    refit = info["refit"]
    if info["form"] == "network":
        epochs = f"{refit['epochs']} epoch{'s' * (refit['epochs'] > 1)}"
        chosen = f"{info['parameters']:,} parameters, {epochs}, the median of {refit['folds']} fits"
    elif info["form"] == "estimator":
        chosen = f"{refit['estimator']}, the best on average of {refit['folds']} folds"
    else:
        weights = [f"{weight:.2f} {name}" for name, weight in info["weights"].items() if weight >= 0.005]
        chosen = f"{' + '.join(weights)}, the mean of {refit['folds']} folds"
    return f"{chosen}; fitted on training and validation tracks"
