"""A model card: what a model is, what it was fitted on, how good it is, and what it must not be used for.

After Mitchell et al., "Model Cards for Model Reporting", arXiv:1810.03993.
"""

import pandas as pd

from hitsong.data.targets import CLASSES, Target
from hitsong.files import replacing
from hitsong.report import figures
from hitsong.training.stage import summarise

TERMS = {
    "spotify": "Spotify's Developer Terms (section IV.2) forbid training models on Spotify content.",
    "deezer": "Deezer's API terms allow personal, non-commercial use.",
    "fma": "FMA's metadata is CC BY 4.0; each clip has a Creative Commons licence of its own.",
}


def write_new(bundle):
    """Write the card, and the figure of the losses, of a model that has none; 06 adds the test results to it."""
    if (bundle.folder / "card.md").exists():
        return
    if bundle.info["form"] == "network":
        history = pd.read_csv(bundle.folder / "history.csv")
        figure = figures.history(history, bundle.info["name"], bundle.info["best_epoch"])
        figures.save(figure, bundle.folder / "history.png")
    write(bundle)


def write(bundle, tested=None):
    """Write `card.md` into a bundle's folder.

    Parameters
    ----------
    bundle : hitsong.training.bundle.Bundle
    tested : dict, optional
        The model's row of `report/metrics.json`: metrics on the test tracks, with intervals.
    """
    info = bundle.info
    target, account = Target(**info["target"]), summarise(info)
    lines = [
        f"# {info['name']}",
        "",
        f"Predicts {target} of a track from {_words(info['inputs'])}. {info['citation']}.",
        f"{account[0].upper()}{account[1:]}.",
        "",
        "## Data",
        "",
        f"- Study `{info['study']}`: {info['collected_from']}"
        + (", **synthetic songs**" if info["synthetic"] else ""),
        f"- Fitted on {info['trained_on']['train']:,} tracks, chosen on {info['trained_on']['validation']:,} more; "
        f"split `{info['scheme']}`",
        f"- Popularity as {info['popularity_source']} gave it, read up to {info['fetched']}",
        f"- {_terms(info)}",
        "",
        "## How good it is",
        "",
        *_metrics(info, tested),
        "",
        "## Limits",
        "",
        "- Sound explains a small part of popularity: in published work at best a tenth to a seventh of its variance.",
        "- A score sorts many songs; it says little about one. It knows nothing of the artist, the label or the time.",
        "- Popularity is a snapshot. A model of one genre, source or decade says nothing about another.",
    ]
    if info["collapsed"]:
        lines.insert(4, "\n**It has collapsed: it predicts nearly the same for every track.**")
    with replacing(bundle.folder / "card.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _words(inputs):
    kinds = {"mel": "mel-spectrograms", "mfcc": "MFCCs", "tags": "music tags", "embedding": "musicnn's embedding",
             "descriptors": "descriptors of the audio", "spotify": "Spotify's audio features"}  # fmt: skip
    return " and ".join(kinds[made["kind"]] for made in inputs.values())


def _terms(info):
    if info["synthetic"]:
        return "Composed by this program: free of anyone's rights"
    found = next((terms for source, terms in TERMS.items() if source in info["popularity_source"]), None)
    licences = f" Licences of the clips: {'; '.join(info['licences'])}" if info["licences"] else ""
    return (found or "The terms of whoever published the table apply.") + licences


def _metrics(info, tested):
    """A table of metrics: validation, and test with its intervals once it is known."""
    values = {name: value for name, value in info["validation"].items() if isinstance(value, int | float)}
    head = "| metric | validation |" + (" test | 95 % over artists |" if tested else "")
    rows = [head, "|---|---|" + ("---|---|" if tested else "")]
    for name, value in values.items():
        row = f"| {name} | {value:.3f} |"
        if tested and name in tested["metrics"]:
            ends = tested["intervals"].get(name)
            row += f" {tested['metrics'][name]:.3f} | {'' if ends is None else f'{ends[0]:.3f} to {ends[1]:.3f}'} |"
        elif tested:
            row += " | |"
        rows.append(row)
    if not tested:
        rows += ["", "The test tracks have not been looked at yet: run `python 06_evaluate.py`."]
    kind = "sets" if info["target"]["kind"] in CLASSES else "intervals"
    rows += [
        "",
        f"Split-conformal {kind} are calibrated on the validation tracks; the report says how often they hold.",
    ]
    return rows
