"""Figures of results: how good the models are, and where they err."""

import matplotlib
import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from hitsong.evaluation import kinds
from hitsong.report import tables
from hitsong.report.drawing import (
    ACCENT,
    CARD,
    DASHED,
    INK,
    LINES,
    MUTED,
    SECOND,
    Figure,
    clip_to,
    draw_intervals,
    name_rows,
    new_figure,
    plain,
)  # fmt: skip
from hitsong.report.formats import number, percent, short

CELLS = {
    "year": "by year of release",
    "artist_size": "by number of the artist's tracks",
    "genre": "by genre",
    "popularity": "by actual popularity",
}
UNITS = {
    "loudness": "dB",
    "tempo": "BPM",
    "duration_ms": "ms",
}  # of audio features; the others lie between 0 and 1

_MANY = 500  # points; larger scatter plots are drawn as pixels


def comparison(table, kind, name="comparison", title="Models and reference rows"):
    """The main metric (of a target kind) of each row with its interval, best first.

    The table has columns model, value, low, high, reference, chosen; rows without a value are not drawn.
    """
    shown = table.dropna(subset="value").sort_values("value").reset_index(drop=True)
    if shown.empty:
        return None
    metric = kinds.metric(kinds.main(kind))
    drawing, axes = new_figure(0.9 + 0.27 * len(shown))
    for colour, rows in (
        (MUTED, shown["reference"]),
        (SECOND, shown["chosen"] & ~shown["reference"]),
        (ACCENT, ~shown["chosen"] & ~shown["reference"]),
    ):
        draw_intervals(axes, np.flatnonzero(rows), shown[rows], "value", colour)
    axes.axvline(metric.chance, color=INK, linewidth=0.8)
    name_rows(axes, range(len(shown)), shown["model"])
    axes.set(xlabel=f"{metric.label}, with 95 % interval", title=title)
    values = ", ".join(f"{row.model} {number(row.value, (row.low, row.high))}" for row in shown.itertuples())
    alt = f"{metric.label} of each row with its 95 % interval: {values}."
    colours = (
        " Orange: the model chosen on validation. Grey: reference rows." if table["reference"].any() else ""
    )
    caption = (
        f"{metric.label} with its 95\xa0% interval over groups of artists. The black line is chance.{colours}"
    )
    return Figure(name, drawing, table, alt, caption)


def curves(predictions, models):
    """ROC and precision-recall curves of the first models for the target "popular": a list of figures."""
    rows = {name: predictions[predictions["model"] == name] for name in models[: len(LINES)]}
    share = next(iter(rows.values()))["y"].mean()
    drawn = ", ".join(rows)
    figures = []
    for name, x, y in (
        ("roc", "false_positive_rate", "true_positive_rate"),
        ("precision_recall", "recall", "precision"),
    ):
        drawing, axes = new_figure(3.6)
        parts = []
        for colour, (model, part) in zip(LINES, rows.items(), strict=False):
            if name == "roc":
                points = roc_curve(part["y"], part["prediction"])[:2]
            else:
                points = precision_recall_curve(part["y"], part["prediction"], drop_intermediate=True)[1::-1]
            parts.append(pd.DataFrame({"model": model, x: points[0], y: points[1]}))
            width = 2 if colour == ACCENT else 1.2
            axes.plot(*points, color=colour, linewidth=width, label=plain(model))
        if name == "roc":
            axes.plot([0, 1], [0, 1], **DASHED, label="chance")
            labels = ("share of unpopular tracks called popular", "share of popular tracks found", "ROC")
            alt, caption = f"ROC curves of {drawn}.", "Further to the upper left is better."
        else:
            axes.axhline(share, **DASHED, label="chance")
            labels = ("recall (share of popular tracks found)", "precision", "Precision and recall")
            alt = f"Precision against recall of {drawn}."
            caption = (
                f"Further to the upper right is better. {percent(share)} of the test tracks are popular."
            )
        axes.set(xlabel=labels[0], ylabel=labels[1], title=labels[2], ylim=(-0.02, 1.02), aspect=1)
        axes.legend(loc="lower right" if name == "roc" else "lower left")
        figures.append(Figure(name, drawing, pd.concat(parts, ignore_index=True), alt, caption))
    return figures


def predictions(predictions, name, target, confusion):
    """The predictions of a model against the truth: a scatter plot, or for classes the confusion matrix.

    `predictions` are as in `report/predictions.parquet`; `confusion` are counts for classes, a row for each true class.
    """
    if target.classes:
        return _confusion(confusion, name, target)
    rows = predictions.loc[predictions["model"] == name, ["track_id", "output", "y", "prediction"]]
    if target.kind == "audio_features":
        drawing, panels = _panels(target.names, name)
        for axes, output in panels:
            shown = rows[rows["output"] == output]
            ends = [shown["y"].min(), shown["y"].max()]
            axes.plot(ends, ends, **DASHED)
            _scatter(axes, shown, size=7)
        caption = ""
    else:
        drawing, axes = new_figure(3.6)
        ends = [min(0, rows["y"].min(), rows["prediction"].min()), rows[["y", "prediction"]].max(axis=None)]
        axes.plot(ends, ends, **DASHED, label="prediction = truth")
        _scatter(axes, rows)
        unit = target.unit()
        axes.set(xlabel=f"predicted ({unit})", ylabel=f"actual ({unit})", title=plain(name))
        _legend_above(axes)
        caption = (
            f"Predictions range from {short(rows['prediction'].min())} to {short(rows['prediction'].max())}, the "
            f"truth from {short(rows['y'].min())} to {short(rows['y'].max())}."
        )
    alt = f"Actual against predicted values of {name} on {rows['track_id'].nunique():,} test tracks."
    return Figure(f"predictions_{name}", drawing, rows, alt, caption)


def _confusion(counts, name, target):
    """The confusion matrix, shaded by the share of each row."""
    labels = list(target.names) if target.kind == "buckets" else ["not popular", "popular"]
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawing, axes = new_figure(3.6)
    for (truth, predicted), count in np.ndenumerate(counts):
        share = shares[truth, predicted]
        # Faint enough for text on it, on a light and on a dark page.
        cell = matplotlib.patches.Rectangle(
            (predicted - 0.5, truth - 0.5), 1, 1, color=ACCENT, linewidth=0, alpha=0.45 * share
        )
        axes.add_patch(cell)
        axes.text(predicted, truth, f"{count:,}\n{percent(share)}", ha="center", va="center")
    places = np.arange(len(counts))
    axes.set_xticks(places, map(plain, labels))
    axes.set_yticks(places, map(plain, labels))
    axes.set(xlim=(-0.5, len(counts) - 0.5), ylim=(len(counts) - 0.5, -0.5))
    axes.set(xlabel="predicted", ylabel="actual", title=plain(name))
    axes.grid(visible=False)
    matrix = pd.DataFrame(counts, columns=labels)
    matrix.insert(0, "actual", labels)
    right = np.trace(counts) / counts.sum()
    alt = f"Confusion matrix of {name}: {percent(right)} of the predictions are right."
    return Figure(f"confusion_{name}", drawing, matrix, alt)


def calibration(y, p, groups, target, name):
    """The mean truth of tracks with similar predictions.

    Truth `y`, predictions `p` (a column for each output) and groups of artists are indexed by track_id; `name` is the
    model's.
    """
    table = tables.calibration(y, p, groups, (0, 1) if target.classes else (-np.inf, np.inf))
    if target.kind == "audio_features":
        drawing, panels = _panels(target.names, "Calibration")
        for axes, output in panels:
            shown = table[table["output"] == output]
            ends = [shown["predicted"].min(), shown["predicted"].max()]
            axes.plot(ends, ends, **DASHED)
            _draw_calibration(axes, shown, ACCENT)
    else:
        drawing, axes = new_figure(3.6)
        ends = [0, 1] if target.classes else [table["predicted"].min(), table["predicted"].max()]
        axes.plot(ends, ends, **DASHED, label="calibrated")
        outputs = list(table["output"].unique())
        for colour, output in zip(LINES, outputs, strict=False):
            shown = table[table["output"] == output]
            _draw_calibration(axes, shown, colour, plain(output) if len(outputs) > 1 else None)
            axes.plot(shown["predicted"], shown["actual"], color=colour, linewidth=1.2)
        if target.classes:
            axes.set(xlabel="predicted probability", ylabel="actual share", ylim=(-0.02, 1.02))
        else:
            axes.set(xlabel=f"predicted ({target.unit()})", ylabel=f"actual, mean ({target.unit()})")
        axes.set_title("Calibration")
        _legend_above(axes)
    values = " and ".join(
        f"predicted {short(row.predicted)}, actual {short(row.actual)}"
        for row in table.iloc[[0, -1]].itertuples()
    )
    return Figure(
        "calibration", drawing, table,
        f"Mean truth against mean prediction of {name}, from the lowest to the highest predictions: {values}.",
        f"Tracks with similar predictions of {name} are put together. If the model is well calibrated, the dots lie on "
        "the dashed line. Whiskers are 95\xa0% intervals.",
    )  # fmt: skip


def _draw_calibration(axes, table, colour, label=None):
    axes.errorbar(
        table["predicted"], table["actual"], yerr=clip_to(table["actual"], table["low"], table["high"]), fmt="o",
        color=colour, markersize=5, linewidth=1.2, label=label,
    )  # fmt: skip


def coverage(rows, models, classes):
    """How often conformal intervals, or sets of classes, of the first models contain the truth; None without any."""
    models = [name for name in models if rows[name].get("coverage")][: len(LINES)]
    table = pd.DataFrame(
        [
            [name, float(nominal), values["coverage"], values["width"]]
            for name in models
            for nominal, values in rows[name]["coverage"].items()
        ],
        columns=["model", "nominal", "coverage", "width"],
    )
    if table.empty:
        return None
    what = "sets" if classes else "intervals"
    drawing, axes = new_figure(3.6)
    axes.plot([0.45, 1], [0.45, 1], **DASHED, label="as stated")
    for colour, name in zip(LINES, models, strict=False):
        shown = table[table["model"] == name]
        axes.plot(
            shown["nominal"], shown["coverage"], "o-", color=colour, markersize=5, linewidth=1.2, label=name
        )
    axes.set(xlabel="stated", ylabel="on the test tracks", title=f"How often {what} contain the truth")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, 0, "\xa0%"))
    axes.legend(loc="upper left")
    first = table[table["model"] == models[0]]
    values = ", ".join(f"{percent(row.coverage)} for {percent(row.nominal)}" for row in first.itertuples())
    return Figure(
        "coverage", drawing, table,
        f"Share of test tracks whose truth lies in the {what}, against the stated share; {models[0]}: {values}.",
        f"Below the dashed line {'sets are too small' if classes else 'intervals are too narrow'}; above it they are "
        "larger than necessary.",
    )  # fmt: skip


def errors(losses, groups, name, cells, target, model):
    """The error of a model in each cell beside that of the training mean; None if there are fewer than two cells.

    `losses` are those of the model and of the training mean (`hitsong.report.tables.loss`); they, groups of artists and
    cells are indexed by track_id. `name` is a key of `CELLS`.
    """
    table = tables.errors(*losses, groups, cells, 1 if target.classes else np.inf)
    if len(table) < 2:
        return None
    loss = kinds.KINDS[target.kind].loss
    drawing, axes = new_figure(1.1 + 0.27 * len(table))
    places, few = np.arange(len(table))[::-1], table["few"].to_numpy()
    axes.hlines(places[~few], table["low"][~few], table["high"][~few], color=ACCENT, linewidth=2)
    axes.plot(table["of_mean"], places, "o", markersize=6, markerfacecolor=CARD, markeredgecolor=MUTED)
    for colour, alpha, rows in ((ACCENT, 1, ~few), (MUTED, 0.4, few)):
        points = {"color": colour, "alpha": alpha, "markersize": 6, "markeredgewidth": 0}
        axes.plot(table["error"][rows], places[rows], "o", **points)
    name_rows(axes, places, [f"{plain(row.cell, 20)} ({row.tracks:,})" for row in table.itertuples()])
    for label, is_few in zip(axes.get_yticklabels(), few, strict=True):
        label.set_color(MUTED if is_few else INK)
    unit = "" if target.classes or target.kind == "audio_features" else f" ({target.unit()})"
    axes.set(xlabel=f"{loss}{unit}", title=f"Error {CELLS[name]}")
    largest = (
        max(table[["error", "of_mean"]].max(axis=None), table["high"][~few].max() if not few.all() else 0)
        or 1
    )
    axes.set_xlim(-0.02 * largest, 1.05 * largest)
    values = ", ".join(f"{row.cell} {short(row.error)}" for row in table.itertuples() if not row.few)
    alt = f"{loss.capitalize()} of {model} {CELLS[name]}: {values or 'all cells are small'}."
    return Figure(f"error_by_{name}", drawing, table, alt)


def _panels(names, title):
    """A figure with a panel for each of several audio features: the drawing, and pairs of axes and name."""
    rows = -(-len(names) // 2)
    drawing, panels = new_figure(0.4 + 2.1 * rows, rows=rows, columns=2, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        axes.set_title(f"{name} ({UNITS[name]})" if name in UNITS else name)
    for axes in panels.flat[len(names) :]:
        axes.remove()
    drawing.suptitle(plain(title), x=0.02, ha="left", fontsize=10.5, fontweight="bold")
    drawing.supxlabel("predicted", fontsize=9.5)
    drawing.supylabel("actual", fontsize=9.5)
    return drawing, list(zip(panels.flat, names, strict=False))


def _legend_above(axes):
    """A legend beside the title, where it hides no point."""
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.97), ncols=2, columnspacing=1, handlelength=1.5)


def _scatter(axes, table, size=14):
    alpha = float(np.clip(6 / np.sqrt(len(table)), 0.05, 0.6))
    axes.scatter(
        table["prediction"], table["y"], s=size, alpha=alpha, color=ACCENT, edgecolors="none",
        rasterized=len(table) > _MANY,
    )  # fmt: skip
