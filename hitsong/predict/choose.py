"""Which of a study's models predicts for a file."""

from hitsong.config import nearest
from hitsong.errors import UserError
from hitsong.files import read_json, sha256
from hitsong.study import Study, command
from hitsong.training import bundle


def choose_bundle(config, name=None):
    """Choose the model of a study that predicts for audio files, and load it.

    The best model of a current report (06) if it needs nothing but the file; else the best on validation among those
    that need nothing else. Models of another target than the config's are not compared.

    Parameters
    ----------
    config : hitsong.config.Config
    name : str, optional
        The model to load instead.

    Returns
    -------
    bundle : hitsong.training.bundle.Bundle
    reason : str
        What was chosen, and why, in a line.

    Raises
    ------
    UserError
        If there is no such model, or none that needs nothing but the file.
    """
    study = Study.of(config)
    infos = {path.parent.name: read_json(path) for path in sorted(study.models.glob("*/bundle.json"))}
    if name is not None and name not in infos:
        raise UserError(f"{study.models}: there is no finished model {name!r}{nearest(name, infos)}")
    if not infos:
        raise UserError(f"{study.models}: there is no finished model; run: {command('train')}")
    usable = {model: info for model, info in infos.items() if not _needs_spotify(info)}
    if not usable or (name is not None and name not in usable):
        raise UserError(
            f"{name or ', '.join(infos)}: needs Spotify's audio features, which no file carries; add a model of the "
            f"sound, such as crnn, to train.models and run: {command('train')}"
        )
    chosen, reason = (name, "chosen by --model") if name else _best(study, config, infos, usable)
    return bundle.load(study.models / chosen), f"{chosen}: {reason}"


def load_bundle(folder):
    """Load a bundle from a folder of its own, without the study that it was trained in.

    Its files can run code (joblib's are pickles): load only what comes from somebody you trust.

    Parameters
    ----------
    folder : pathlib.Path
        A copy of `data/<study>/models/<name>/`.

    Returns
    -------
    bundle : hitsong.training.bundle.Bundle
    reason : str
        What was loaded, in a line.

    Raises
    ------
    UserError
        If it is no bundle, or one that needs more than the audio file.
    """
    if not (folder / "bundle.json").is_file():
        raise UserError(f"--bundle {folder}: no bundle.json in it; give a folder like data/demo/models/crnn")
    info = read_json(folder / "bundle.json")
    if _needs_spotify(info):
        raise UserError(f"--bundle {folder}: needs Spotify's audio features, which no file carries")
    note = "careful: its files can run code, serve only bundles from people you trust"
    return bundle.load(folder), f"{info['name']}: from {folder}; {note}"


def _best(study, config, infos, usable):
    """The best of the usable models, and why it is."""
    kinds = {model: info["target"]["kind"] for model, info in usable.items()}
    comparable = [model for model, kind in kinds.items() if kind == config.target.kind]
    if not comparable:
        if len(set(kinds.values())) > 1:
            models = ", ".join(f"{model} ({kind})" for model, kind in kinds.items())
            raise UserError(
                f"{study.models}: no model predicts {config.target.kind}; choose with --model: {models}"
            )
        comparable = list(kinds)
    best, note = _best_of_report(study)
    if best in comparable:
        return best, "the best of the study by 06_evaluate.py"
    from hitsong.evaluation.kinds import KINDS  # with scikit-learn, which a current report makes needless

    main = KINDS[kinds[comparable[0]]].main
    chosen = max(comparable, key=lambda model: usable[model]["validation"][main])
    if best in infos and best not in usable:
        note = f"; {best}, the best of the study, needs Spotify's audio features"
    elif best is not None:
        note = f"; {best}, the best of the study, is not among them"
    return chosen, f"the best on validation ({main}) of {len(comparable)} that need only the file{note}"


def _best_of_report(study):
    """The best model of the study's report; None and a note if it was fitted again since."""
    results, record = study.report / "metrics.json", study.record("evaluate")
    if not (results.exists() and record.exists()):
        return None, ""
    best = read_json(results)["best"]
    path = study.models / str(best) / "bundle.json"
    measured = read_json(record)["inputs"].get(path.relative_to(study.folder).as_posix())
    if path.exists() and sha256(path) != measured:
        return (
            None,
            f"; {best}, the best of the last report, was fitted again since: run {command('evaluate')}",
        )
    return best, ""


def _needs_spotify(info):
    return any(spec["kind"] == "spotify" for spec in info["inputs"].values())
