"""The results in plain sentences."""

import numpy as np

from hitsong.data.targets import NUMBERS
from hitsong.evaluation import kinds
from hitsong.evaluation.compare import FEWEST_SEEDS, seeds_of, select_model, verdict
from hitsong.report.formats import interval, number, percent, short, with_minus

STRONG = 0.5  # Spearman correlation from which most of popularity can be predicted
SUSPICIOUS = 0.1  # above the best published result
TOP = 20  # tracks of the list in `lift`


def question(target, audio):
    """The question that a study asks."""
    names = f"{', '.join(target.names[:-1])} or {target.names[-1]}"
    kind = kinds.KINDS[target.kind]
    return (kind.question if audio else kind.question_without_audio).format(names=names)


def answer(result, n_test, new_artists, ordered_pairs, split=None):
    """The answer to the question: in a few words, and in a sentence with the main metric and its interval.

    Parameters
    ----------
    result : dict
        As `report/metrics.json`.
    new_artists : bool
        Whether no artist of the test tracks has training tracks.
    ordered_pairs : float or None
        For "popularity" and "growth": the share of pairs that the best model puts in the right order.
    split : dict, optional
        As `hitsong.evaluation.results.Split`: its folds or origins.
    """
    kind, main, best = result["kind"], result["main"], result["best"]
    row = result["rows"][best]
    value, bounds = row["metrics"][main], row["intervals"][main]
    chance = kinds.chance(kind)
    short_answer = verdict_of(result)
    artists = " of artists without training tracks" if new_artists else ""
    if split and split.get("origins"):
        artists += f", predicted from {len(split['origins'])} dates"
    elif split and split["folds"]:
        artists += f", in {split['folds']} folds"
    sentence = (
        f"On {n_test:,} test tracks{artists}, {best} reaches a {kinds.metric(main).label} of {number(value, bounds)} "
        f"(95\xa0% interval {interval(bounds)}; chance: {chance:g})"
    )
    if kind in NUMBERS:
        return short_answer, (
            f"{sentence}: it puts two tracks in the right order {percent(ordered_pairs)} of the time "
            f"(chance: {percent(0.5)})."
        )
    if kind == "popular":
        return short_answer, (
            f"{sentence}: a popular track gets a higher score than an unpopular one {percent(value)} of the time "
            f"(chance: {percent(0.5)})."
        )
    if kind == "buckets":
        accuracy, largest = (result["rows"][name]["metrics"]["accuracy"] for name in (best, "mean"))
        return short_answer, (
            f"{sentence}: it predicts the right class {percent(accuracy)} of the time; the largest class alone has "
            f"{percent(largest)}."
        )
    each = {name: values["pearson"] for name, values in row["metrics"]["features"].items()}
    first, last = max(each, key=each.get), min(each, key=each.get)
    ends = (
        f": highest for {first} ({each[first]:.2f}), lowest for {last} ({with_minus(f'{each[last]:z.2f}')})"
    )
    return short_answer, f"{sentence}, averaged over the audio features{ends if len(each) > 1 else ''}."


def verdict_of(result):
    """The answer in a few words, from the interval of the best model."""
    kind, row = result["kind"], result["rows"][result["best"]]
    low, high = row["intervals"][result["main"]]
    chance = kinds.chance(kind)
    if row["collapsed"]:
        return "No result: the model predicts nearly the same value for every track."
    if low > chance:
        extent = "To a large extent." if low > STRONG else "To some extent."
        return extent if kind in ("popularity", "growth", "audio_features") else "Better than chance."
    if high < chance:
        return "No: worse than chance."
    return "Not shown: on these tracks the model cannot be distinguished from chance."


def against_baseline(result, baseline):
    """How the best model compares with the baseline, or None where it is the baseline."""
    best, main = result["best"], result["main"]
    if baseline not in result["paired"]:
        return None
    difference = result["paired"][baseline][main]
    seeds = seeds_of(result["rows"][best])
    bounds = (difference["low"], difference["high"])
    relation = {
        "better": f"{best} is better than the baseline {baseline}",
        "worse": f"{best} is worse than the baseline {baseline}",
        "not distinguishable": f"{best} cannot be distinguished from the baseline {baseline}",
        "one of few seeds": f"{best} and the baseline {baseline} differ on these tracks, but {best} was fitted with "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}; {FEWEST_SEEDS} are needed to call one better",
    }[verdict(difference, seeds)]
    return (
        f"{relation} (difference in {kinds.metric(main).label}: {number(difference['difference'], bounds)}, "
        f"95\xa0% interval {interval(bounds)})."
    )


def choice(result):
    """Which model validation chose and how, and what other choices would have given on the test tracks, or None."""
    main, best, chosen = result["main"], result["best"], result["choice"]
    candidates = {name: row for name, row in result["rows"].items() if row.get("validation")}
    if len(candidates) < 2:
        return None
    label, error = kinds.metric(main).label, f"one standard error ({chosen['standard_error']:.2f})"
    highest, within = chosen["highest"], chosen["within"]
    scores = {
        name: number(row["validation"][main], row["intervals"][main]) for name, row in candidates.items()
    }
    text = f"{best} was chosen among {len(candidates)} models: it has the highest {label} on validation, {scores[best]}"
    if best != highest:
        text = (
            f"{best} was chosen among {len(candidates)} models: it is the simplest of {len(within)} whose {label} on "
            f"validation is within {error} of the highest ({scores[highest]}, {highest}); its own is {scores[best]}"
        )
    elif len(within) > 1:
        text += f", and none that is simpler is within {error} of it"
    top = max(candidates, key=lambda name: candidates[name]["metrics"][main])
    others = {
        name: why for name, why in ((highest, "highest on validation"), (top, "best on test")) if name != best
    }
    if not others:
        return f"{text}. It is also the best of them on the test tracks."
    differences = []
    for name, why in others.items():
        change = result["paired"][name][main]
        bounds = (-change["high"], -change["low"])
        differences.append(f"{name} ({why}) {number(-change['difference'], bounds)} ({interval(bounds)})")
    return (
        f"{text}. On the test tracks, which must not influence the choice, another choice would have changed the "
        f"{label} by: {'; '.join(differences)}."
    )


def lift(table, target, model, tracks):
    """How many of the test tracks with the highest predictions are among the most popular, in a sentence.

    `table` is from `hitsong.evaluation.evaluate.table`. None where popularity is not predicted, there are few test
    tracks, or all predictions are equal.
    """
    if target.kind == "audio_features":
        return None
    y, p = select_model(table, model, target.names)
    growth = target.kind == "growth"
    y = (y.iloc[:, 0] if growth else tracks.set_index("track_id")["popularity"].reindex(p.index)).to_numpy(
        float
    )
    p = target.score(p.to_numpy(float)) if target.kind == "buckets" else p.iloc[:, 0].to_numpy(float)
    top = min(TOP, len(y) // 4)
    if top < 3 or np.ptp(p) == 0:
        return None
    ranked = np.argsort(-p, kind="stable")[:top]
    edge = np.sort(y)[-max(top, len(y) // 10)]  # at least a tenth, so that chance is no rare event
    popular = y >= edge  # ties with the last included
    hits, expected = int(popular[ranked].sum()), top * popular.mean()
    return (
        f"Of the {top} test tracks with the highest predictions, {hits} are among the {int(popular.sum()):,} "
        f"{'that grew most' if growth else 'most popular'}; by chance it would be {expected:.1f} "
        f"({hits / expected:.1f} times as many)."
    )


def suspicion(result, real_audio):
    """A warning where a result lies far above what has been published for real audio, or None."""
    main = result["main"]
    published = kinds.metric(main).published
    value = result["rows"][result["best"]]["metrics"][main]
    if not published or not real_audio or value <= published[1] + SUSPICIOUS:
        return None
    low, high = published
    return (
        f"{kinds.metric(main).label} {value:.2f} is far above the {low:.2f} to {high:.2f} of published models that use "
        "only audio: look for leakage before you believe it"
    )


def explanation(result, target, ordered_pairs, real_audio):
    """The meaning of the numbers for readers without statistics: a list of paragraphs."""
    kind, main, best = result["kind"], result["main"], result["best"]
    values, intervals = result["rows"][best]["metrics"], result["rows"][best]["intervals"]
    paragraphs = []
    if kind in NUMBERS:
        what, higher = (
            ("popularity", "more popular one") if kind == "popularity" else (kind, "one that grew more")
        )
        paragraphs.append(
            f"Take any two test tracks of different {what}. {best} predicts the higher value for the {higher} in "
            f"{percent(ordered_pairs)} of all such pairs; tossing a coin would do so in {percent(0.5)}. This is what "
            f"a Spearman correlation of {number(values['spearman'], intervals['spearman'])} means here."
        )
        part = f"explains {percent(values['r2'])}" if values["r2"] > 0 else "explains nothing"
        r2 = number(values["r2"], intervals["r2"])
        paragraphs.append(
            f"An R² of {r2} means that the model {part} of the variance of {what}. Its predictions are off by "
            f"{short(values['mae'])} on average."
        )
    elif kind == "popular":
        paragraphs.append(
            f"Take a popular and an unpopular test track. {best} gives the higher score to the popular one in "
            f"{percent(values['roc_auc'])} of all such pairs; tossing a coin would do so in {percent(0.5)}. A track "
            f"counts as popular from popularity {target.threshold:g} on."
        )
    elif kind == "buckets":
        paragraphs.append(
            f"The target: {target}. Compare accuracy with the row mean, which always predicts the largest class. "
            "Quadratic kappa is 0 for that row. An error of two classes counts four times as much as one of one."
        )
    else:
        paragraphs.append(
            "Each audio feature is predicted separately. A correlation of 1 is perfect. Squared errors are in the unit "
            "of the feature, so compare them only for the same feature."
        )
    if (published := kinds.metric(main).published) and real_audio:
        low, high = published
        paragraphs.append(
            f"Published models that use only audio lie between {low:.2f} and {high:.2f} in {kinds.metric(main).label}. "
            "Fame, marketing and playlists are not in the audio."
        )
    paragraphs.append(
        "Read the interval before the number. Where the intervals of two models overlap, look at the paired "
        "difference. Where its interval contains 0, these tracks do not show which model is better."
    )
    return paragraphs
