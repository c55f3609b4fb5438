"""Every picture of a report: its table, its figure, and what it says.

`gallery` is a `hitsong.report.page.Gallery`; the other arguments are those of `hitsong.report.build.report`.
"""

import numpy as np
import pandas as pd

from hitsong.evaluation import kinds
from hitsong.report import figures, tables, words
from hitsong.report.page import percent, short

CELLS = {
    "year": "by release",
    "artist_size": "by number of the artist's tracks",
    "genre": "by genre",
    "popularity": "by actual popularity",
}


def data(gallery, tracks, about):
    """Where popularity, releases and genres of the tracks lie, by side of the split."""
    table = tables.histogram(tracks)
    zero = (tracks["popularity"] == 0).mean()
    middle = tracks["popularity"].median()
    said = f"Half of the tracks have a popularity of at most {short(middle)}; {percent(zero)} have 0."
    drawn = [
        gallery.add(
            "popularity", figures.histogram(table, about["popularity"]["source"]), table,
            f"Histogram of popularity by side of the split. {said}", said,
        )
    ]  # fmt: skip
    known = tables.cells(tracks)
    for name, title in (("year", "Release"), ("genre", "Genre")):
        if name in known:
            table = tables.counts(tracks, known[name])
            largest = table.loc[table[list(figures.SIDES)].sum(axis=1).idxmax(), "cell"]
            drawn.append(
                gallery.add(
                    f"tracks_by_{name}", figures.counts(table, title), table,
                    f"Tracks by {title.lower()} and side of the split; most are {largest}.",
                )
            )  # fmt: skip
    return drawn


def comparison(gallery, result):
    """Every row's main metric with its interval."""
    table = tables.comparison(result)
    main = words.METRICS[result["main"]]
    listed = ", ".join(f"{row.model} {row.value:.2f}" for row in table.itertuples())
    return gallery.add(
        "comparison", figures.comparison(table, main, kinds.chance(result["kind"])), table,
        f"{main} of each row with its 95 % interval: {listed}.",
        f"{main} on the test tracks with its 95 % interval; the line is guessing.",
    )  # fmt: skip


def curves(gallery, table, models):
    """ROC and precision-recall curves of the first models named."""
    truth = table.loc[table["model"] == models[0], "y"]
    roc, precision = tables.roc(table, models), tables.precision_recall(table, models)
    listed = ", ".join(dict.fromkeys(roc["model"]))
    return [
        gallery.add(
            "roc", figures.roc(roc), roc, f"ROC curves of {listed}.",
            "Further to the upper left is better.",
        ),
        gallery.add(
            "precision_recall", figures.precision_recall(precision, truth.mean()), precision,
            f"Precision against recall of {listed}.",
            f"Further to the upper right is better; {percent(truth.mean())} of the test tracks are popular.",
        ),
    ]  # fmt: skip


def predictions(gallery, table, name, target, result):
    """A model's predictions against the truth; for classes its confusion matrix."""
    rows = table.loc[table["model"] == name, ["track_id", "output", "y", "prediction"]]
    if target.classes:
        labels = list(target.names) if target.kind == "buckets" else ["not popular", "popular"]
        counts = result["rows"][name]["metrics"]["confusion"]
        matrix = pd.DataFrame(counts, index=labels, columns=labels)
        right = np.trace(matrix) / matrix.to_numpy().sum()
        return gallery.add(
            f"confusion_{name}", figures.confusion(matrix, name), matrix.rename_axis("actual").reset_index(),
            f"Confusion matrix of {name}: {percent(right)} of the answers are right.",
        )  # fmt: skip
    if target.kind == "audio_features":
        figure = figures.several(rows, target.names, name)
    else:
        figure = figures.predicted_against_actual(rows, name)
    ends = f"{short(rows['prediction'].min())} to {short(rows['prediction'].max())}"
    return gallery.add(
        f"predictions_{name}", figure, rows,
        f"Actual against predicted values of {name} on {rows['track_id'].nunique():,} test tracks.",
        f"Predictions go from {ends}, the truth from {short(rows['y'].min())} to {short(rows['y'].max())}."
        if target.kind == "popularity" else "",
    )  # fmt: skip


def calibration(gallery, y, p, groups, target, name):
    """What tracks with similar predictions really were."""
    if target.kind == "popular":
        y, p = y.set_axis(["popular"], axis=1), p.set_axis(["popular"], axis=1)
    table = tables.calibration(y, p, groups, (0, 1) if target.classes else (-np.inf, np.inf))
    if target.kind == "audio_features":
        figure = figures.calibrations(table, target.names)
    else:
        figure = figures.calibration(table, target.classes)
    ends = table.iloc[[0, -1]]
    said = " and ".join(
        f"predicted {short(row.predicted)}, actual {short(row.actual)}" for row in ends.itertuples()
    )
    return gallery.add(
        "calibration", figure, table,
        f"Mean truth against mean prediction of {name}, from the lowest to the highest predictions: {said}.",
        f"Tracks are put together by what {name} predicted. A model that can be taken at its word has its dots on the "
        "dashed line; whiskers are 95\xa0% intervals.",
    )  # fmt: skip


def coverage(gallery, result, models, target):
    """Whether conformal intervals or sets keep their promise; None where there are none."""
    known = [name for name in models if result["rows"][name].get("coverage")]
    table = tables.coverage(result["rows"], known[: len(figures.LINES)])
    if table.empty:
        return None
    ours = table[table["model"] == table["model"].iat[0]]
    listed = ", ".join(f"{percent(row.coverage)} for {percent(row.nominal)}" for row in ours.itertuples())
    return gallery.add(
        "coverage", figures.coverage(table, "sets" if target.classes else "intervals"), table,
        f"Share of test tracks whose truth was held against the share promised; {table['model'].iat[0]}: {listed}.",
        f"Below the dashed line {'sets are too small' if target.classes else 'intervals are too narrow'}, above it "
        "larger than they need be.",
    )  # fmt: skip


def errors(gallery, table, tracks, test, target, result):
    """The best model's error by release, artist size, genre and popularity, as far as known."""
    losses = [
        tables.loss(target.kind, *tables.of_model(table, name, target.names))
        for name in (result["best"], "mean")
    ]
    known = tables.cells(tracks)
    if target.kind != "audio_features":
        known["popularity"] = tables.popularity_cells(test["popularity"])
    drawn = []
    for name, where in known.items():
        cells = tables.errors(*losses, test["group"], where, 1 if target.classes else np.inf)
        if len(cells) < 2:
            continue
        listed = ", ".join(f"{row.cell} {short(row.error)}" for row in cells.itertuples() if not row.few)
        what = kinds.KINDS[target.kind].loss
        drawn.append(
            gallery.add(
                f"error_by_{name}",
                figures.errors(cells, what, f"Error {CELLS[name]}"),
                cells,
                f"{what.capitalize()} of {result['best']} {CELLS[name]}: {listed or 'all cells are small'}.",
            )
        )
    return drawn


def learning_curve(gallery, study, fitted):
    """The error of the baselines against the number of training tracks."""
    table = pd.read_csv(study.baseline / "learning_curve.csv")
    said = " ".join(f"{name}: {curve['verdict']}." for name, curve in fitted["learning_curve"].items())
    return gallery.add(
        "learning_curve", figures.learning_curve(table), table,
        f"Train and test error of the baselines against the number of training tracks. {said}",
        "Where the test error still falls at the right end, more tracks would help.",
    )  # fmt: skip


def histories(gallery, study, infos):
    """How the loss of each network went."""
    drawn = []
    for name, info in infos.items():
        path = study.model(name) / "history.csv"
        if path.exists():  # networks alone have one
            table = pd.read_csv(path)
            best = info["best_epoch"]
            drawn.append(
                gallery.add(
                    f"history_{name}", figures.history(table, name, best), table,
                    f"Training and validation loss of {name} in each of {len(table)} epochs; epoch {best} was kept.",
                )
            )  # fmt: skip
    return drawn
