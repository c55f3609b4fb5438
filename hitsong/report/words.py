"""What a result says, in plain sentences."""

from hitsong.evaluation import metrics
from hitsong.report.page import percent, short

# By target kind, and whether there was anything to hear.
QUESTIONS = {
    ("popularity", True): "How much of a track's popularity can be heard in its audio?",
    ("popularity", False): "How much of a track's popularity do its audio features tell?",
    ("popular", True): "Can one hear whether a track is popular?",
    ("popular", False): "Do audio features tell whether a track is popular?",
    ("buckets", True): "Can one hear how popular a track is: {names}?",
    ("buckets", False): "Do audio features tell how popular a track is: {names}?",
    ("audio_features", True): "Can Spotify's audio features be heard in the audio?",
    ("audio_features", False): "Do some of Spotify's audio features tell the others?",
}
METRICS = {
    "spearman": "Spearman correlation",
    "kendall": "Kendall's tau",
    "pearson": "Pearson correlation",
    "r2": "R²",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "ndcg@100": "nDCG@100",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "quadratic_kappa": "quadratic kappa",
    "macro_f1": "macro F1",
}
# The same where a column of a table has little room.
HEADINGS = METRICS | {
    "spearman": "Spearman", "kendall": "Kendall", "pearson": "Pearson", "mse": "MSE", "rmse": "RMSE", "mae": "MAE",
    "balanced_accuracy": "balanced acc.", "brier": "Brier",
}  # fmt: skip
EXPLAINED = {
    "spearman": "whether tracks come in the right order: 1 is the perfect order, 0 is no better than chance",
    "kendall": "the same by counting pairs: pairs in the right order less pairs in the wrong one",
    "pearson": "how closely predictions follow the truth in a straight line: 1 exactly, 0 not at all",
    "r2": "how much less the squared error is than that of guessing the mean: 1 is no error, 0 no gain, below 0 worse",
    "mse": "the mean of squared errors, so that large errors weigh most; only comparable on the same tracks",
    "rmse": "its root, in the unit of the target",
    "mae": "how far off a prediction is on average",
    "ndcg@100": "whether the 100 highest predictions are the popular tracks: 1 is the best list",
    "roc_auc": "how often a popular track scores higher than an unpopular one: 0.5 is guessing, 1 is perfect",
    "pr_auc": "how pure the list of tracks called popular is; guessing has the share of popular tracks",
    "accuracy": "the share of right answers; read it against the row mean, which answers the largest class",
    "balanced_accuracy": "the share of right answers in each class, averaged: 0.5 is guessing",
    "brier": "the squared error of the probabilities: 0 is perfect, lower is better",
    "quadratic_kappa": "agreement beyond chance, errors counted by their squared distance: 0 is chance, 1 perfect",
    "macro_f1": "the F1 score of each class, averaged, so that small classes count as much as large ones",
}
# Where published models that only hear the sound come out.
BAND = {"spearman": (0.27, 0.40), "roc_auc": (0.60, 0.68)}

_MUCH = 0.5  # Spearman

LOSS = {
    "popularity": "mean absolute error",
    "popular": "share of wrong answers",
    "buckets": "share of wrong answers",
    "audio_features": "mean absolute error",
}


def question(target, audio):
    """What was asked."""
    names = f"{', '.join(target.names[:-1])} or {target.names[-1]}"
    return QUESTIONS[target.kind, audio].format(names=names)


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
    chance = metrics.CHANCE[kind]
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
