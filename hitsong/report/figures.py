"""Figures of a run, each a function from a table to a matplotlib figure.

All are drawn at about the width of a phone, so that their text is read there and two stand side by side on a
desk. The colours of the palette become variables of the page when a figure goes into it, which is why a figure
is right on a light and on a dark page.
"""

import io
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from hitsong.files import replacing

INK, MUTED, GRID, CARD = "#1f2933", "#616e7c", "#dfe3e8", "#ffffff"
ACCENT, SECOND, THIRD = "#0b6e8f", "#c2571f", "#8a963a"
SIDES = {"train": ACCENT, "validation": THIRD, "test": SECOND}
LINES = [ACCENT, SECOND, THIRD, MUTED]

# The page's variables, by the colour that stands for each of them here.
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "line", CARD: "card", ACCENT: "accent", SECOND: "second", THIRD: "third",
}  # fmt: skip

STYLE = {
    "figure.facecolor": CARD,
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "axes.facecolor": CARD,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titleweight": "bold",
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "font.size": 9.5,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "svg.fonttype": "none",
}
plt.rcParams.update(STYLE)

_MANY = 500  # points from which a scatter goes into the page as pixels
_RASTER_DPI = 180


def _axes(width=4.5, height=3.2):
    return plt.subplots(figsize=(width, height), layout="constrained")


def save(figure, path):
    """Write a figure as PNG and close it."""
    with replacing(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def svg(figure, name):
    """A figure as an `<svg>` element for the page, its colours the page's variables; closes it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    name : str
        Goes into the ids, so that no two figures of a page share one.
    """
    stream = io.StringIO()
    nothing = dict.fromkeys(["Creator", "Date", "Format", "Type"])
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing, dpi=_RASTER_DPI)
    plt.close(figure)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # matplotlib counts them anew in each figure
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--font)", text)
    text = re.sub(r"<!--.*?-->|\n\s*", lambda found: "" if found[0][0] == "<" else " ", text, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return text


def comparison(table, main, chance, title="Orange: chosen. Grey: reference."):
    """Each row's main metric with its interval, best first: model, value, low, high, reference, chosen."""
    table = table.sort_values("value")
    figure, axes = _axes(height=0.9 + 0.27 * len(table))
    for place, row in enumerate(table.itertuples()):
        color = MUTED if row.reference else SECOND if row.chosen else ACCENT
        axes.plot([row.low, row.high], [place, place], color=color, linewidth=2.2, solid_capstyle="round")
        axes.plot(row.value, place, "o", color=color, markersize=6.5)
    axes.axvline(chance, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(table)), table["model"])
    axes.set_ylim(-0.7, len(table) - 0.3)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=main, title=title)
    return figure


def histogram(table, unit):
    """Stacked histogram of popularity: low, high, and a column for each side."""
    figure, axes = _axes()
    _stacked(axes, table["low"], table, width=table["high"] - table["low"], align="edge")
    if table["high"].iat[-1] > 1000:
        axes.set_xscale("function", functions=(np.log1p, np.expm1))
        ticks = 10.0 ** np.arange(0, np.log10(table["high"].iat[-1]) + 1e-9)
        axes.set_xticks([0, *ticks], ["0", *(f"{tick:,.0f}" for tick in ticks)])
    axes.set(xlabel=f"popularity ({unit})", ylabel="tracks", title="Popularity")
    axes.grid(axis="x", visible=False)
    return figure


def counts(table, title):
    """Stacked bars: cell, and a column for each side."""
    figure, axes = _axes()
    places = np.arange(len(table))
    long = table["cell"].str.len().max() > 7
    if long:
        figure.set_figheight(0.9 + 0.27 * len(table))
        _stacked(axes, places[::-1], table, horizontal=True)
        axes.set_yticks(places[::-1], table["cell"])
    else:
        _stacked(axes, places, table, width=0.8)
        axes.set_xticks(places, table["cell"])
        if len(table) > 5:
            plt.setp(axes.get_xticklabels(), rotation=40, ha="right", rotation_mode="anchor")
    axes.grid(axis="y" if long else "x", visible=False)
    axes.set(title=title, **{"xlabel" if long else "ylabel": "tracks"})
    return figure


def _stacked(axes, places, table, horizontal=False, **options):
    """A bar for each row, of a piece for each side."""
    below = np.zeros(len(table))
    for side, color in SIDES.items():
        if horizontal:
            axes.barh(places, table[side], left=below, color=color, label=side, **options)
        else:
            axes.bar(places, table[side], bottom=below, color=color, label=side, **options)
        below = below + table[side].to_numpy()
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.97), ncols=3, columnspacing=1, handlelength=1)


def predicted_against_actual(table, name):
    """Scatter of truth against prediction: y, prediction."""
    figure, axes = _axes(height=3.6)
    top = max(table["y"].max(), table["prediction"].max())
    low = min(0, table["y"].min(), table["prediction"].min())
    axes.plot([low, top], [low, top], color=MUTED, linewidth=1, linestyle="--", label="perfect")
    _scatter(axes, table)
    axes.set(xlabel="predicted", ylabel="actual", title=name)
    axes.legend(loc="upper left")
    return figure


def several(table, names, name):
    """Scatter of truth against prediction for each of several named numbers: output, y, prediction."""
    rows = -(-len(names) // 2)
    figure, panels = plt.subplots(
        rows, 2, figsize=(4.5, 0.4 + 2.1 * rows), layout="constrained", squeeze=False
    )
    for axes, output in zip(panels.flat, names, strict=False):
        shown = table[table["output"] == output]
        ends = [shown["y"].min(), shown["y"].max()]
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
        _scatter(axes, shown, size=7)
        axes.set_title(output)
    for axes in panels.flat[len(names) :]:
        axes.remove()
    figure.suptitle(name, x=0.02, ha="left", fontsize=10.5, fontweight="bold")
    figure.supxlabel("predicted", fontsize=9.5)
    figure.supylabel("actual", fontsize=9.5)
    return figure


def _scatter(axes, table, size=14):
    many = len(table) > _MANY
    alpha = float(np.clip(6 / np.sqrt(len(table)), 0.05, 0.6))
    axes.scatter(
        table["prediction"], table["y"], s=size, alpha=alpha, color=ACCENT, edgecolors="none", rasterized=many
    )


def confusion(table, name):
    """Confusion matrix, rows the truth: counts, shaded by the share of their row."""
    count = table.to_numpy()
    shares = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes(height=3.6)
    for truth, answer in np.ndindex(count.shape):
        cell = plt.Rectangle((answer - 0.5, truth - 0.5), 1, 1, color=ACCENT, linewidth=0)
        cell.set_alpha(0.45 * shares[truth, answer])  # faint enough for the ink on it, light or dark
        axes.add_patch(cell)
        words = f"{count[truth, answer]:,}\n{shares[truth, answer]:.0%}"
        axes.text(answer, truth, words, ha="center", va="center")
    places = np.arange(len(count))
    axes.set_xticks(places, table.columns)
    axes.set_yticks(places, table.index)
    axes.set(xlim=(-0.5, len(count) - 0.5), ylim=(len(count) - 0.5, -0.5))
    axes.grid(visible=False)
    axes.set(xlabel="answered", ylabel="actual", title=name)
    return figure


def calibration(table, probabilities):
    """Mean truth of tracks with similar predictions: output, predicted, actual, low, high."""
    figure, axes = _axes(height=3.6)
    ends = [table[["predicted", "low"]].min(axis=None), table[["predicted", "high"]].max(axis=None)]
    ends = [0, 1] if probabilities else ends
    axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--", label="as predicted")
    outputs = table["output"].unique()
    for color, output in zip(LINES, outputs, strict=False):
        rows = table[table["output"] == output]
        _points(axes, rows["predicted"], rows, color, output if len(outputs) > 1 else None)
        axes.plot(rows["predicted"], rows["actual"], color=color, linewidth=1.2)
    if probabilities:
        axes.set(xlabel="predicted probability", ylabel="share that were", ylim=(-0.02, 1.02))
    else:
        axes.set(xlabel="predicted", ylabel="actual, on average")
    axes.set_title("Calibration")
    axes.legend(loc="upper left")
    return figure


def calibrations(table, names):
    """`calibration` of several named numbers, a panel for each."""
    rows = -(-len(names) // 2)
    figure, panels = plt.subplots(
        rows, 2, figsize=(4.5, 0.4 + 2.1 * rows), layout="constrained", squeeze=False
    )
    for axes, output in zip(panels.flat, names, strict=False):
        shown = table[table["output"] == output]
        ends = [shown["predicted"].min(), shown["predicted"].max()]
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
        _points(axes, shown["predicted"], shown, ACCENT)
        axes.set_title(output)
    for axes in panels.flat[len(names) :]:
        axes.remove()
    figure.supxlabel("predicted", fontsize=9.5)
    figure.supylabel("actual, on average", fontsize=9.5)
    return figure


def _points(axes, x, rows, color, label=None):
    whiskers = [rows["actual"] - rows["low"], rows["high"] - rows["actual"]]
    axes.errorbar(
        x, rows["actual"], yerr=np.clip(whiskers, 0, None), fmt="o", color=color, markersize=5, linewidth=1.2,
        label=label,
    )  # fmt: skip


def errors(table, what, title):
    """Error by cell: cell, tracks, error, low, high, guessing, few.

    Full dots are the model, rings are what guessing the mean would give; cells with few tracks are grey.
    """
    figure, axes = _axes(height=1.1 + 0.27 * len(table))
    places = np.arange(len(table))[::-1]
    for place, row in zip(places, table.itertuples(), strict=True):
        color, alpha = (MUTED, 0.4) if row.few else (ACCENT, 1)
        if not row.few:
            axes.plot([row.low, row.high], [place, place], color=color, linewidth=2, solid_capstyle="round")
        axes.plot(row.guessing, place, "o", markersize=6, markerfacecolor=CARD, markeredgecolor=MUTED)
        axes.plot(row.error, place, "o", markersize=6, color=color, alpha=alpha, markeredgewidth=0)
    labels = [f"{row.cell} ({row.tracks:,})" for row in table.itertuples()]
    axes.set_yticks(places, labels)
    for label, few in zip(axes.get_yticklabels(), table["few"], strict=True):
        label.set_color(MUTED if few else INK)
    axes.set_ylim(-0.7, len(table) - 0.3)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=what, title=title)
    last = max(table[["error", "guessing"]].max(axis=None), table.loc[~table["few"], "high"].max()) or 1
    axes.set_xlim(-0.02 * last, 1.05 * last)
    return figure


def roc(table):
    """ROC curves: model, false_positive_rate, true_positive_rate; the first model stands out."""
    figure, axes = _axes(height=3.6)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="guessing")
    _curves(axes, table, "false_positive_rate", "true_positive_rate")
    axes.set(
        xlabel="unpopular tracks taken for popular", ylabel="popular tracks found", title="ROC", aspect=1
    )
    axes.legend(loc="lower right")
    return figure


def precision_recall(table, share):
    """Precision against recall: model, recall, precision; guessing has the share of popular tracks."""
    figure, axes = _axes(height=3.6)
    axes.axhline(share, color=MUTED, linewidth=1, linestyle="--", label="guessing")
    _curves(axes, table, "recall", "precision")
    axes.set(
        xlabel="popular tracks found (recall)", ylabel="right among those found (precision)",
        title="Precision and recall", ylim=(0, 1.02), aspect=1,
    )  # fmt: skip
    axes.legend(loc="lower left")
    return figure


def _curves(axes, table, x, y):
    for color, (name, rows) in zip(LINES, table.groupby("model", sort=False), strict=False):
        axes.plot(rows[x], rows[y], color=color, linewidth=2 if color == ACCENT else 1.2, label=name)


def learning_curve(curves):
    """Train and test error of each baseline against the number of training tracks."""
    figure, axes = _axes(height=3.6)
    for color, (name, curve) in zip(LINES, curves.groupby("model", sort=False), strict=False):
        axes.plot(
            curve["n_train"], curve["test_error"], "o-", color=color, markersize=4, label=f"{name}, test"
        )
        axes.plot(
            curve["n_train"], curve["train_error"], "o--", color=color, markersize=4, alpha=0.6,
            label=f"{name}, train",
        )  # fmt: skip
    axes.set(xlabel="training tracks", ylabel="mean squared error", title="Learning curves of the baselines")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    return figure


def history(table, name, best_epoch):
    """Training and validation loss per epoch, the best epoch marked."""
    figure, axes = _axes()
    axes.plot(table["epoch"], table["loss"], color=ACCENT, label="train")
    axes.plot(table["epoch"], table["val_loss"], color=SECOND, label="validation")
    axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle="--", label="kept")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="loss", title=f"Training of {name}")
    axes.legend()
    return figure


def coverage(table, what):
    """How often intervals or sets held the truth against how often they promised to: model, nominal, coverage."""
    figure, axes = _axes(height=3.6)
    axes.plot([0.45, 1], [0.45, 1], color=MUTED, linewidth=1, linestyle="--", label="as promised")
    for color, (name, rows) in zip(LINES, table.groupby("model", sort=False), strict=False):
        axes.plot(
            rows["nominal"], rows["coverage"], "o-", color=color, markersize=5, linewidth=1.2, label=name
        )
    axes.set(xlabel="promised", ylabel="found on the test tracks", title=f"Do {what} hold the truth?")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, 0, "\xa0%"))
    axes.legend(loc="upper left")
    return figure
