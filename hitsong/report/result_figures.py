"""Figures of results: how good the models are, and where they err."""

import altair as alt
import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from hitsong.evaluation import kinds
from hitsong.report import charts, tables
from hitsong.report.figure import ACCENT, INK, LINES, MUTED, SECOND, Figure, plain
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

_MANY = 1500  # dots of a scatter plot
_PERCENT = charts.axis(".0%")


def comparison(table, kind, name="comparison", title="Models and reference rows"):
    """The main metric (of a target kind) of each row with its interval, best first.

    The table has columns model, value, low, high, reference, chosen; rows without a value are not drawn.
    """
    ranking = table.dropna(subset="value").sort_values("value", ascending=False).reset_index(drop=True)
    if ranking.empty:
        return None
    metric = kinds.metric(kinds.main(kind))
    colour = (
        alt.when(alt.datum.reference).then(alt.value(MUTED)).when(alt.datum.chosen).then(alt.value(SECOND))
        .otherwise(alt.value(ACCENT))
    )  # fmt: skip
    chart = charts.intervals(ranking, "model", "value", title, metric.label, colour, at=metric.chance)
    values = ", ".join(
        f"{row.model} {number(row.value, (row.low, row.high))}" for row in ranking.itertuples()
    )
    alt_text = f"{metric.label} of each row with its 95 % interval: {values}."
    colours = (
        " Orange: the model chosen on validation. Grey: reference rows." if table["reference"].any() else ""
    )
    caption = f"{metric.label} with its 95\xa0% interval over groups of artists. The upright line is chance.{colours}"
    return Figure(name, chart, table, alt_text, caption)


def curves(predictions, models):
    """ROC and precision-recall curves of the first models for the target "popular": a list of figures."""
    rows = {name: predictions[predictions["model"] == name] for name in models[: len(LINES)]}
    share = next(iter(rows.values()))["y"].mean()
    model_names = ", ".join(rows)
    parts = {"roc": [], "precision_recall": []}
    for model, part in rows.items():
        x, y = roc_curve(part["y"], part["prediction"])[:2]
        parts["roc"].append(
            pd.DataFrame({"model": plain(model), "false_positive_rate": x, "true_positive_rate": y})
        )
        y, x = precision_recall_curve(part["y"], part["prediction"], drop_intermediate=True)[:2]
        parts["precision_recall"].append(pd.DataFrame({"model": plain(model), "recall": x, "precision": y}))
    roc, precision_recall = (pd.concat(tables_of, ignore_index=True) for tables_of in parts.values())
    lines = _curves(roc, "share of unpopular tracks called popular", "share of popular tracks found")
    first = charts.framed(alt.layer(charts.diagonal(0, 1), lines), "ROC", 300)
    lines = _curves(precision_recall, "recall (share of popular tracks found)", "precision")
    second = charts.framed(
        alt.layer(charts.rule(share, "y", dashed=True), lines), "Precision and recall", 300
    )
    return [
        Figure(
            "roc", first, roc, f"ROC curves of {model_names}.",
            "Further to the upper left is better. The dashed line is chance.",
        ),
        Figure(
            "precision_recall", second, precision_recall, f"Precision against recall of {model_names}.",
            f"Further to the upper right is better. {percent(share)} of the test tracks are popular: the dashed line, "
            "chance.",
        ),
    ]  # fmt: skip


def _curves(table, x_title, y_title):
    """The curve of each model, through its points in their order."""
    x, y = table.columns[1:]
    models = list(table["model"].unique())
    return (
        alt.Chart(table.assign(order=range(len(table))))
        .mark_line(interpolate="linear")
        .encode(
            x=alt.X(f"{x}:Q", title=x_title, scale=alt.Scale(domain=[0, 1])),
            y=alt.Y(f"{y}:Q", title=y_title, scale=alt.Scale(domain=[0, 1])),
            order="order:Q",
            color=alt.Color("model:N", **charts.colours(models, LINES[: len(models)])),
            tooltip=["model:N", alt.Tooltip(f"{x}:Q", format=".2f"), alt.Tooltip(f"{y}:Q", format=".2f")],
        )
    )


def predictions(predictions, name, target, confusion):
    """The predictions of a model against the truth: a scatter plot, or for classes the confusion matrix.

    `predictions` are as in `report/predictions.parquet`; `confusion` are counts for classes, a row for each true class.
    """
    if target.classes:
        return _confusion(confusion, name, target)
    rows = predictions.loc[predictions["model"] == name, ["track_id", "output", "y", "prediction"]]
    alt_text = f"Actual against predicted values of {name} on {rows['track_id'].nunique():,} test tracks."
    if target.kind == "audio_features":
        panels = [
            _scatter(rows[rows["output"] == output], output, UNITS.get(output)).properties(
                width=150, height=130
            )
            for output in target.names
        ]
        chart = alt.concat(*panels, columns=2).properties(title=plain(name))
        return Figure(f"predictions_{name}", chart, rows, alt_text)
    caption = (
        f"Predictions range from {short(rows['prediction'].min())} to {short(rows['prediction'].max())}, the "
        f"truth from {short(rows['y'].min())} to {short(rows['y'].max())}."
    )
    chart = charts.framed(_scatter(rows, None, target.unit()), name, 290)
    return Figure(f"predictions_{name}", chart, rows, alt_text, caption)


def _scatter(rows, output, unit):
    """Dots of predicted and actual values (of an output), and the line on which they are equal."""
    sample = rows.iloc[:: len(rows) // _MANY + 1][["y", "prediction"]]
    ends = rows[["y", "prediction"]].min(axis=None), rows[["y", "prediction"]].max(axis=None)
    form, unit = charts.number_format(ends), f" ({unit})" if unit else ""
    axes = [
        channel(f"{column}:Q", title=title, axis=charts.axis(form, tickCount=4), scale=alt.Scale(zero=False))
        for channel, column, title in (
            (alt.X, "prediction", f"predicted{unit}"),
            (alt.Y, "y", f"actual{unit}"),
        )
    ]
    opacity = float(np.clip(6 / np.sqrt(len(sample)), 0.15, 0.6))
    dots = alt.Chart(sample).mark_point(size=28 if output is None else 14, opacity=opacity).encode(*axes)
    line = charts.diagonal(rows["prediction"].min(), rows["prediction"].max())
    chart = alt.layer(line, dots)
    return chart.properties(title=output) if output else chart


def _confusion(counts, name, target):
    """The confusion matrix, shaded by the share of each row."""
    labels = [
        plain(label) for label in (target.names if target.kind == "buckets" else ["not popular", "popular"])
    ]
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = pd.DataFrame(
        [
            {
                "actual": labels[truth], "predicted": labels[predicted], "tracks": int(count),
                "share": float(shares[truth, predicted]), "text": [f"{count:,}", percent(shares[truth, predicted])],
            }
            for (truth, predicted), count in np.ndenumerate(counts)
        ]
    )  # fmt: skip
    base = alt.Chart(cells).encode(
        x=alt.X("predicted:N", sort=labels, axis=alt.Axis(labelAngle=0, grid=False)),
        y=alt.Y("actual:N", sort=labels, axis=alt.Axis(grid=False)),
        tooltip=[
            "actual:N",
            "predicted:N",
            alt.Tooltip("tracks:Q", format=","),
            alt.Tooltip("share:Q", format=".0%"),
        ],
    )
    # Faint enough for text on it, on a light and on a dark page.
    shade = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, 0.45]), legend=None)
    chart = alt.layer(
        base.mark_rect(color=ACCENT).encode(opacity=shade),
        base.mark_text(color=INK, fontSize=13, lineBreak="\n", dy=-6).encode(text="text:N"),
    )
    matrix = pd.DataFrame(counts, columns=labels)
    matrix.insert(0, "actual", labels)
    right = np.trace(counts) / counts.sum()
    alt_text = f"Confusion matrix of {name}: {percent(right)} of the predictions are right."
    return Figure(f"confusion_{name}", charts.framed(chart, name, 260), matrix, alt_text)


def calibration(y, p, groups, target, name):
    """The mean truth of tracks with similar predictions.

    Truth `y`, predictions `p` (a column for each output) and groups of artists are indexed by track_id; `name` is the
    model's.
    """
    table = tables.calibration(y, p, groups, (0, 1) if target.classes else (-np.inf, np.inf))
    if target.kind == "audio_features":
        panels = [
            _calibrated(part, _title(output), target, [ACCENT]).properties(width=150, height=130)
            for output, part in table.groupby("output", sort=False)
        ]
        chart = alt.concat(*panels, columns=2).properties(title="Calibration")
    else:
        chart = charts.framed(_calibrated(table, None, target, LINES), "Calibration", 290)
    values = " and ".join(
        f"predicted {short(row.predicted)}, actual {short(row.actual)}"
        for row in table.iloc[[0, -1]].itertuples()
    )
    return Figure(
        "calibration", chart, table,
        f"Mean truth against mean prediction of {name}, from the lowest to the highest predictions: {values}.",
        f"Tracks with similar predictions of {name} are put together. If the model is well calibrated, the dots lie on "
        "the dashed line. Vertical lines are 95\xa0% intervals.",
    )  # fmt: skip


def _title(output):
    return f"{output} ({UNITS[output]})" if output in UNITS else output


def _calibrated(table, title, target, colours):
    """Mean truth against mean prediction, with intervals, for each output."""
    outputs = [plain(output) for output in table["output"].unique()]
    table = table.assign(output=[plain(output) for output in table["output"]])
    ends = (0, 1) if target.classes else (table["predicted"].min(), table["predicted"].max())
    form = ".0%" if target.classes else charts.number_format([*table["actual"], *table["predicted"]])
    unit = "" if target.classes or target.kind == "audio_features" else f" ({target.unit()})"
    x, y = (
        ("predicted probability", "actual share")
        if target.classes
        else (f"predicted{unit}", f"actual, mean{unit}")
    )
    legend = {} if len(outputs) > 1 else {"legend": None}
    base = alt.Chart(table).encode(
        x=alt.X("predicted:Q", title=x, axis=charts.axis(form), scale=alt.Scale(zero=False)),
        color=alt.Color("output:N", **charts.colours(outputs, colours[: len(outputs)], **legend)),
        tooltip=[alt.Tooltip(f"{column}:Q", format=form) for column in ("predicted", "actual", "low", "high")]
        + [alt.Tooltip("tracks:Q", format=",")],
    )
    scale = alt.Scale(zero=False, domain=[0, 1] if target.classes else alt.Undefined)
    chart = alt.layer(
        charts.diagonal(*ends),
        base.mark_rule(strokeWidth=1.4).encode(
            y=alt.Y("low:Q", title=y, axis=charts.axis(form), scale=scale), y2="high:Q"
        ),
        base.mark_line(strokeWidth=1.2).encode(y="actual:Q"),
        base.mark_point().encode(y="actual:Q"),
    )
    return chart.properties(title=title) if title else chart


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
    lines = (
        alt.Chart(table)
        .mark_line(point=True, strokeWidth=1.4)
        .encode(
            x=alt.X("nominal:Q", title="stated", axis=_PERCENT, scale=alt.Scale(domain=[0.45, 1], nice=False)),
            y=alt.Y("coverage:Q", title="on the test tracks", axis=_PERCENT, scale=alt.Scale(zero=False)),
            color=alt.Color("model:N", **charts.colours(models, LINES[: len(models)])),
            tooltip=[
                "model:N",
                alt.Tooltip("nominal:Q", title="stated", format=".0%"),
                alt.Tooltip("coverage:Q", format=".0%"),
            ],
        )
    )  # fmt: skip
    first = table[table["model"] == models[0]]
    values = ", ".join(f"{percent(row.coverage)} for {percent(row.nominal)}" for row in first.itertuples())
    return Figure(
        "coverage",
        charts.framed(alt.layer(charts.diagonal(0.45, 1), lines), f"How often {what} contain the truth", 290),
        table,
        f"Share of test tracks whose truth lies in the {what}, against the stated share; {models[0]}: {values}.",
        f"Below the dashed line {'sets are too small' if classes else 'intervals are too narrow'}; above it they are "
        "larger than necessary.",
    )


def errors(losses, groups, name, cells, target, model):
    """The error of a model in each cell beside that of the training mean; None if there are fewer than two cells.

    `losses` are those of the model and of the training mean (`hitsong.report.tables.loss`); they, groups of artists and
    cells are indexed by track_id. `name` is a key of `CELLS`.
    """
    table = tables.errors(*losses, groups, cells, 1 if target.classes else np.inf)
    if len(table) < 2:
        return None
    loss = kinds.KINDS[target.kind].loss
    chart_rows = table.assign(
        cell=[f"{plain(row.cell, 20)} ({row.tracks:,})" for row in table.itertuples()],
        **{end: table[end].where(~table["few"]) for end in ("low", "high")},
    )
    unit = "" if target.classes or target.kind == "audio_features" else f" ({target.unit()})"
    chart = charts.intervals(
        chart_rows, "cell", "error", f"Error {CELLS[name]}", f"{loss}{unit}",
        alt.when(alt.datum.few).then(alt.value(MUTED)).otherwise(alt.value(ACCENT)),
        ends=(0, 1.05 * (chart_rows[["error", "of_mean", "high"]].max(axis=None) or 1)),
        rings=("of_mean", "of the mean"),
    )  # fmt: skip
    values = ", ".join(f"{row.cell} {short(row.error)}" for row in table.itertuples() if not row.few)
    alt_text = f"{loss.capitalize()} of {model} {CELLS[name]}: {values or 'all cells are small'}."
    return Figure(f"error_by_{name}", chart, table, alt_text)
