"""Which of a study's models predicts for a file."""

from hitsong.config import nearest
from hitsong.errors import UserError
from hitsong.evaluation import kinds
from hitsong.files import read_json
from hitsong.training import bundle as bundles


def choose(study, name=None):
    """Choose the study's model that a song is to be judged by, and load it.

    The one that 06 found best, if it can judge a file; else, of those that can, the best on validation.

    Parameters
    ----------
    study : hitsong.study.Study
    name : str, optional
        Of a model that is wanted.

    Returns
    -------
    bundle : hitsong.training.bundle.Bundle
    why : str
        What was chosen, and why not another, in a line.

    Raises
    ------
    UserError
        If there is no such model, or none that hears.
    """
    infos = {path.parent.name: read_json(path) for path in sorted(study.models.glob("*/bundle.json"))}
    if name is not None and name not in infos:
        raise UserError(f"{study.models}: there is no finished model {name!r}{nearest(name, infos)}")
    if not infos:
        raise UserError(f"{study.models}: there is no finished model; run: python 05_train.py")
    deaf = [one for one, info in infos.items() if _blind(info)]
    if name in deaf or len(deaf) == len(infos):
        raise UserError(
            f"{', '.join([name] if name else deaf)}: made for Spotify's audio features, which no file carries; "
            "add one that hears to train.models, such as crnn, and run: python 05_train.py"
        )
    results = study.report / "metrics.json"
    best = read_json(results)["best"] if results.exists() else None
    able = [one for one in infos if one not in deaf]
    if name is not None:
        chosen, why = name, "as asked for"
    elif best in able:
        chosen, why = best, "the best of the study by 06_evaluate.py"
    else:
        main = kinds.main(infos[able[0]]["target"]["kind"])
        chosen = max(able, key=lambda one: infos[one]["validation"][main])
        why = f"of those that can judge a file the best on validation ({main})"
        if best is not None:
            why += f"; {best}, the best of the study, " + (
                "needs Spotify's audio features" if best in deaf else "is no bundle in models/"
            )
    return bundles.load(study.models / chosen), f"{chosen}: {why}"


def _blind(info):
    """Whether a model asks for what no file carries."""
    return any(made["kind"] == "spotify" for made in info["inputs"].values())
