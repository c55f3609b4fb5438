"""Model cards: description, training data, accuracy and limits of a model.

After Mitchell et al., "Model Cards for Model Reporting", arXiv:1810.03993.
"""

from hitsong.data.targets import CLASSES, Target
from hitsong.evaluation import kinds
from hitsong.features.kinds import KINDS
from hitsong.files import replacing
from hitsong.report import training_figures
from hitsong.report.formats import interval, number
from hitsong.training.stage import summarise

TERMS = {
    "spotify": "Spotify's Developer Terms (section IV.2) forbid training models on Spotify content.",
    "deezer": "Deezer's API terms allow personal, non-commercial use.",
    "fma": "FMA's metadata is CC BY 4.0; each clip has a Creative Commons licence of its own.",
}

INPUTS = {name: kind.label for name, kind in KINDS.items()} | {
    "spotify": "the source's audio features and duration"
}


def write_new_card(bundle):
    """Write the card, and the figure of the losses, of a model that has none; 06 adds the test results to it."""
    if not (bundle.folder / "card.md").exists():
        training_figures.save_history(bundle.folder, bundle.info)
        write_card(bundle)


def write_card(bundle, tested=None):
    """Write `card.md` into a bundle's folder; `tested` is the model's row of `report/metrics.json`, if there is one."""
    info = bundle.info
    target, summary = Target(**info["target"]), summarise(info)
    inputs = " and ".join(INPUTS[made["kind"]] for made in info["inputs"].values())
    lines = [
        f"# {info['name']}",
        "",
        f"Predicts {target} of a track from {inputs}. {info['citation']}.",
        f"{summary[0].upper()}{summary[1:]}.",
        "",
        "## Data",
        "",
        f"- Study `{info['study']}`: {info['collected_from']}"
        + (", **synthetic songs**" if info["synthetic"] else ""),
        _fitted_on(info),
        f"- Popularity from {info['popularity_source']}, read until {info['fetched'] or 'an unknown day'}",
        f"- {_terms(info)}",
        "",
        "## Accuracy",
        "",
        *_metrics(info, tested),
        "",
        "## Limits",
        "",
        "- Sound explains a small part of popularity: in published work at most a tenth to a seventh of its variance.",
        "- Scores can rank many songs; a single score says little. The artist, the label and the time are not inputs.",
        "- Popularity changes with time. A model of one genre, source or decade does not transfer to another.",
    ]
    if info.get("advice"):
        lines.append(f"- {info['advice'][0].upper()}{info['advice'][1:]}.")
    if info["collapsed"]:
        lines.insert(4, "\n**Collapsed: the model predicts nearly the same value for every track.**")
    with replacing(bundle.folder / "card.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _fitted_on(info):
    """On how many tracks a model was fitted, and chosen."""
    fitted, chosen, refit = *info["trained_on"].values(), info.get("refit")
    how = f"chosen on {chosen:,} more"
    if refit:
        how = f"chosen and calibrated in {refit['folds']} folds of all {chosen:,}"
    return f"- Fitted on {fitted:,} tracks, {how}; split `{info['scheme']}`"


def _terms(info):
    if info["synthetic"]:
        return "Composed by this program: nobody else has rights in it."
    terms = [terms for source, terms in TERMS.items() if source in info["popularity_source"]]
    licences = f" Licences of the clips: {'; '.join(info['licences'])}" if info["licences"] else ""
    return (terms[0] if terms else "The terms of the table's publisher apply.") + licences


def _metrics(info, tested):
    """A table of metrics: validation, and test with its intervals once it is known."""
    values = {name: value for name, value in info["validation"].items() if isinstance(value, int | float)}
    head = "| metric | validation |" + (" test | 95 % over artists |" if tested else "")
    rows = [head, "|---|---|" + ("---|---|" if tested else "")]
    for name, value in values.items():
        row = f"| {kinds.metric(name).label} | {number(value)} |"
        if tested:
            bounds = tested["intervals"].get(name)
            row += f" {number(tested['metrics'].get(name), bounds)} | {interval(bounds)} |"
        rows.append(row)
    if not tested:
        rows += ["", "Not evaluated on the test tracks yet: run `python 06_evaluate.py`."]
    kind = "sets" if info["target"]["kind"] in CLASSES else "intervals"
    rows += [
        "",
        f"Split-conformal {kind} are calibrated on the validation tracks. The report shows how often they contain the "
        "truth.",
    ]
    return rows
