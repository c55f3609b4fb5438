"""Which stages of a study are current, by the same checks that the stages make; nothing is trained or written."""

from hitsong.data.corpus import Corpus
from hitsong.data.tables import baseline_tables
from hitsong.data.tracks import has_audio, load_tracks, require_kinds
from hitsong.errors import UserError
from hitsong.evaluation import fitted
from hitsong.evaluation.divisions import divide
from hitsong.files import read_json
from hitsong.models.registry import in_order
from hitsong.study import STAGES, changed_since, hashes, inputs_of, problem
from hitsong.training import workspace
from hitsong.training.crossfit import fits_of
from hitsong.training.predictions import bundle_files
from hitsong.training.recipe import changes, inputs_of_all
from hitsong.training.stage import plan


def states(study, config):
    """Say of each stage whether its results are those that a run with these settings would leave.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config

    Returns
    -------
    dict of str to (str, str)
        By stage: "current", "stale" or "missing", and when it finished or what is stale or missing.
    """
    results = {}
    for stage, (_, earlier) in STAGES.items():
        outdated = next((name for name in earlier if results[name][0] == "stale"), None)
        if needless := _needless(study, stage, config):
            results[stage] = ("current", needless)
        elif not study.record(stage).exists():
            results[stage] = ("missing", _unfinished(study) if stage == "train" else "")
        elif outdated:
            results[stage] = ("stale", f"{STAGES[outdated][0]} comes first")
        elif reason := problem(study, stage, config) or _content_problem(study, stage, config):
            results[stage] = ("stale", reason)
        else:
            results[stage] = ("current", f"since {read_json(study.record(stage))['finished_at']}")
    return results


def _needless(study, stage, config):
    """Why a stage has nothing to do; None if it has."""
    if stage == "features" and study.downloads.exists() and not has_audio(study):
        return "nothing to do: no track comes with audio"
    if stage == "train" and study.tracks.exists() and not plan((), study, config).known:
        return "nothing to do: no model can be trained" if config.train.models else "nothing to do: no models"
    return None


def _unfinished(study):
    """The models that an interrupted first run has finished or begun, in a line."""
    finished = sorted(path.parent.name for path in study.models.glob(f"[!.]*/{workspace.COMPLETE}"))
    begun = sorted(path.parent.name for path in study.models.glob(f".training/*/{workspace.STATE}"))
    lines = [*(f"{name} is finished" for name in finished), *(f"{name} was interrupted" for name in begun)]
    return ", ".join(lines)


def _content_problem(study, stage, config):
    """What is stale in the results of a stage, all of whose files are as it left them; None if nothing is."""
    if stage == "evaluate":
        inputs = inputs_of(study, stage) | hashes(study, [study.splits, *bundle_files(study, config)])
        return changed_since(study, stage, inputs, config)
    if stage not in ("features", "baseline", "train"):
        return None
    if stage == "train" and not study.splits.exists():
        return f"{study.splits} is missing"
    try:
        if stage == "features":
            return require_kinds(study, config)
        kinds = inputs_of_all(in_order(config.train.models), study, config)
        tracks, target, _ = load_tracks(study, config, kinds, freeze=False)
        return (_baseline_problem if stage == "baseline" else _models_problem)(study, config, tracks, target)
    except UserError as error:
        return str(error)


def _baseline_problem(study, config, tracks, target):
    tables = baseline_tables(study, config, tracks, target)
    divisions, _ = divide(tracks, config)
    return fitted.problem(study.baseline, fitted.fingerprint(divisions, tables, config))


def _models_problem(study, config, tracks, target):
    """Each model that is not what 05 would train, with the reason."""
    names = plan((), study, config).known
    corpus = Corpus(study, config, tracks, target, inputs_of_all(names, study, config))
    lines = []
    for name in names:
        for fit in fits_of(corpus, name):
            if not fit.is_ready:
                lines.append(f"{fit.label}: not trained")
                continue
            folder, expected = fit.folder, fit.fingerprint
            state = workspace.status(folder, expected)
            if state == "stale" and (folder / workspace.COMPLETE).exists():
                before = read_json(folder / workspace.COMPLETE)["fingerprint"]
                lines.append(f"{fit.label}: {'; '.join(changes(before, expected))}")
            elif state != "finished":
                lines.append(f"{fit.label}: {'interrupted' if state == 'interrupted' else 'not trained'}")
    return ", ".join(lines) or None
