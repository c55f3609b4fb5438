"""What a result says, in plain sentences."""

from hitsong.evaluation import kinds
from hitsong.report.page import percent, short

METRICS = {metric.name: metric.label for metric in kinds.METRICS}
HEADINGS = {metric.name: metric.heading for metric in kinds.METRICS}
EXPLAINED = {metric.name: metric.meaning for metric in kinds.METRICS}
# Where published models that only hear the sound come out.
BAND = {metric.name: metric.published for metric in kinds.METRICS if metric.published}

_MUCH = 0.5  # Spearman


def question(target, audio):
    """What was asked."""
    names = f"{', '.join(target.names[:-1])} or {target.names[-1]}"
    kind = kinds.KINDS[target.kind]
    return (kind.question if audio else kind.question_without_audio).format(names=names)


def answer(result, n_test, unseen, pairs):
    """The answer to the question: a verdict, and a sentence with the interval.

    Parameters
    ----------
    result : dict
        What `report/metrics.json` holds.
    n_test : int
    unseen : bool
        Whether the test tracks' artists were kept from training.
    pairs : float or None
        For "popularity": the share of pairs that the best model puts in the right order.

    Returns
    -------
    verdict, sentence : str
    """
    kind, main, best = result["kind"], result["main"], result["best"]
    row = result["rows"][best]
    value, (low, high) = row["metrics"][main], row["intervals"][main]
    chance = kinds.chance(kind)
    if row["collapsed"]:
        verdict = "No answer: the model says nearly the same of every track."
    elif low > chance:
        much = "Much of it." if low > _MUCH else "Some of it."
        verdict = {"popularity": much, "audio_features": "To a degree."}.get(kind, "Better than guessing.")
    elif high < chance:
        verdict = "No: the model is worse than guessing."
    else:
        verdict = "Not that these tracks could show: guessing may do as well."
    heard = " by artists that no model was trained on" if unseen else ""
    bounds = f"(95\xa0% interval {minus(low)} to {minus(high)}; guessing has {chance:g})"
    tracks = f"On {n_test:,} test tracks{heard}, {best}"
    if kind == "popularity":
        sentence = (
            f"{tracks} reaches a Spearman correlation of {minus(value)} {bounds}: it puts two tracks in the right "
            f"order {percent(pairs)} of the time, where guessing does {percent(0.5)}."
        )
    elif kind == "popular":
        sentence = (
            f"{tracks} reaches a ROC-AUC of {minus(value)} {bounds}: a popular track scores higher than an unpopular "
            f"one {percent(value)} of the time, where guessing does {percent(0.5)}."
        )
    elif kind == "buckets":
        accuracy, commonest = (result["rows"][name]["metrics"]["accuracy"] for name in (best, "mean"))
        sentence = (
            f"{tracks} reaches a quadratic kappa of {minus(value)} {bounds}: it names the right bucket "
            f"{percent(accuracy)} of the time, where always answering the commonest does {percent(commonest)}."
        )
    else:
        each = {name: values["pearson"] for name, values in row["metrics"]["features"].items()}
        first, last = max(each, key=each.get), min(each, key=each.get)
        told = (
            f": best {first} ({minus(each[first])}), worst {last} ({minus(each[last])})"
            if len(each) > 1
            else ""
        )
        sentence = f"{tracks} reaches a mean correlation of {minus(value)} {bounds}{told}."
    return verdict, sentence


def against(result, baseline):
    """How the best model compares with the baseline, or None where it is the baseline."""
    best, main = result["best"], result["main"]
    if baseline not in result["paired"]:
        return None
    found = result["paired"][baseline][main]
    how = "not told apart from"
    if found["low"] > 0 or found["high"] < 0:
        how = "better than" if found["low"] > 0 else "worse than"
    return (
        f"{best} is {how} the baseline {baseline} (difference in {METRICS[main]} {minus(found['difference'])}, "
        f"95\xa0% interval {minus(found['low'])} to {minus(found['high'])})."
    )


def minus(value):
    """Two decimals, with a true minus."""
    return f"{value:z.2f}".replace("-", "−")


def too_good(result, heard):
    """A warning where a result lies far above what has been published of real sound, or None."""
    main = result["main"]
    if main not in BAND or not heard:
        return None
    low, high = BAND[main]
    value = result["rows"][result["best"]]["metrics"][main]
    if value <= high + 0.1:
        return None
    return (
        f"{METRICS[main]} {value:.2f} is far above the {low:.2f} to {high:.2f} of published models that only hear the "
        "sound: look for a leak before believing it"
    )


def reading(result, target, pairs, heard):
    """What the numbers mean, for somebody who does not work with them: paragraphs."""
    kind, main = result["kind"], result["main"]
    values = result["rows"][result["best"]]["metrics"]
    paragraphs = []
    if kind == "popularity":
        paragraphs.append(
            f"Take two test tracks that differ in popularity. {result['best']} gives the higher number to the more "
            f"popular one {percent(pairs)} of the time (counted over all pairs), a coin {percent(0.5)}. That is what a "
            f"Spearman correlation of {minus(values['spearman'])} means here."
        )
        gain = f"explains {percent(values['r2'])} of" if values["r2"] > 0 else "explains nothing of"
        paragraphs.append(
            f"An R² of {minus(values['r2'])} means that the model {gain} what differs between the tracks' popularity; "
            f"its predictions are off by {short(values['mae'])} on average."
        )
    elif kind == "popular":
        paragraphs.append(
            f"Take a popular and an unpopular test track. {result['best']} gives the higher score to the popular one "
            f"{percent(values['roc_auc'])} of the time, a coin {percent(0.5)}. A track counts as "
            f"popular from popularity {target.threshold:g} on."
        )
    elif kind == "buckets":
        paragraphs.append(
            f"The target: {target}. Accuracy must be read against the row mean, which always answers the largest. "
            "Quadratic kappa is 0 for that row, and takes an error of two buckets for four times as bad as one of one."
        )
    else:
        paragraphs.append(
            "Each audio feature is predicted by itself, by name. A correlation of 1 follows it exactly; squared errors "
            "are in the feature's own unit, so compare them only for the same feature."
        )
    if main in BAND and heard:
        low, high = BAND[main]
        paragraphs.append(
            f"Published models that only hear the sound lie between {low:.2f} and {high:.2f} in {METRICS[main]}. "
            "Fame, marketing and playlists are not in the sound."
        )
    paragraphs.append(
        "Look at the interval before the number. Where the intervals of two models overlap much, look at the paired "
        "difference; where that has 0 inside, these tracks cannot say which is better."
    )
    return paragraphs
