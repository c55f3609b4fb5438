"""Figures of a run, each a function from data to a matplotlib figure."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_curve

from hitsong.files import replacing

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
ACCENT, SECOND, THIRD = "#0b6e8f", "#d1662f", "#6b7f2a"
SIDES = {"train": ACCENT, "validation": THIRD, "test": SECOND}

STYLE = {
    "figure.facecolor": "white",
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "font.size": 10,
}
plt.rcParams.update(STYLE)


def _axes(width=6.4, height=3.8):
    return plt.subplots(figsize=(width, height), layout="constrained")


def save(figure, path):
    """Write a figure as PNG and close it."""
    with replacing(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def popularity(tracks, unit):
    """Histogram of popularity per side of the split."""
    figure, axes = _axes()
    values = tracks["popularity"].to_numpy(float)
    edges = np.linspace(0, max(values.max(), 1), 41)
    axes.hist(
        [tracks.loc[tracks["side"] == side, "popularity"] for side in SIDES],
        bins=edges, stacked=True, color=list(SIDES.values()), label=list(SIDES),
    )  # fmt: skip
    axes.set(
        xlabel=f"popularity ({unit})",
        ylabel="tracks",
        title=f"{(values == 0).mean():.0%} of the tracks have popularity 0",
    )
    axes.grid(axis="x", visible=False)
    axes.legend()
    return figure


def comparison(rows, main, best, chance):
    """Each row's main metric with its interval, best first."""
    order = sorted(rows, key=lambda name: rows[name]["metrics"][main])
    figure, axes = _axes(height=0.9 + 0.42 * len(order))
    for place, name in enumerate(order):
        low, high = rows[name]["intervals"][main]
        color = MUTED if rows[name]["reference"] else (SECOND if name == best else ACCENT)
        axes.plot([low, high], [place, place], color=color, linewidth=2.5, solid_capstyle="round")
        axes.plot(rows[name]["metrics"][main], place, "o", color=color, markersize=8)
    axes.axvline(chance, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(order)), order)
    axes.grid(axis="y", visible=False)
    axes.set(
        xlabel=f"{main} on the test tracks, with 95 % interval over artists",
        title="Models (colour) and reference rows (grey)",
    )
    return figure


def predicted_against_actual(y, p, name):
    """Scatter of prediction against truth."""
    figure, axes = _axes(width=4.8, height=4.4)
    top = max(y.max(), p.max())
    axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle="--", label="perfect")
    axes.scatter(p, y, s=18, alpha=0.55, color=ACCENT, edgecolors="none")
    axes.set(xlabel="predicted popularity", ylabel="actual popularity", title=name)
    axes.legend(loc="upper left")
    return figure


def several(rows, names, name):
    """Scatter of prediction against truth for each of several named numbers."""
    figure, panels = plt.subplots(
        1, len(names), figsize=(2.4 * len(names), 2.9), layout="constrained", squeeze=False
    )
    for axes, output in zip(panels[0], names, strict=True):
        shown = rows[rows["output"] == output]
        ends = [shown["y"].min(), shown["y"].max()]
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
        axes.scatter(shown["prediction"], shown["y"], s=10, alpha=0.5, color=ACCENT, edgecolors="none")
        axes.set(xlabel="predicted", title=output)
    panels[0][0].set_ylabel(f"actual ({name})")
    return figure


def confusion(table, names, name):
    """Confusion matrix of ordered classes: counts, shaded by the share of their row."""
    table = np.asarray(table)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes(width=4.8, height=4.4)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for truth, answer in np.ndindex(table.shape):
        dark = shares[truth, answer] > 0.5
        text = f"{table[truth, answer]:,}\n{shares[truth, answer]:.0%}"
        axes.text(answer, truth, text, ha="center", va="center", color="white" if dark else INK)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    axes.set(xlabel="answered", ylabel="actual", title=name)
    return figure


def roc(y, p, name):
    """ROC curve of a classifier."""
    figure, axes = _axes(width=4.8, height=4.4)
    false_positives, true_positives, _ = roc_curve(y, p)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="chance")
    axes.plot(false_positives, true_positives, color=ACCENT, linewidth=2)
    axes.set(xlabel="false positives", ylabel="true positives", title=name)
    axes.legend(loc="lower right")
    return figure


def learning_curve(curves):
    """Train and test error of each baseline against the number of training tracks."""
    figure, axes = _axes()
    for color, (name, curve) in zip(
        [ACCENT, SECOND, THIRD], curves.groupby("model", sort=False), strict=False
    ):
        axes.plot(curve["n_train"], curve["test_error"], "o-", color=color, label=f"{name}, test")
        axes.plot(
            curve["n_train"], curve["train_error"], "o--", color=color, alpha=0.6, label=f"{name}, train"
        )
    axes.set(xlabel="training tracks", ylabel="mean squared error", title="Learning curves of the baselines")
    axes.legend()
    return figure


def history(table, name, best_epoch):
    """Training and validation loss per epoch, the best epoch marked."""
    figure, axes = _axes(width=4.8, height=3.6)
    axes.plot(table["epoch"], table["loss"], color=ACCENT, label="train")
    axes.plot(table["epoch"], table["val_loss"], color=SECOND, label="validation")
    axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle="--", label="kept")
    axes.set(xlabel="epoch", ylabel="loss", title=name)
    axes.legend()
    return figure
