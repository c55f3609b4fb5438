"""Figures of training: learning curves of baselines, losses of networks."""

import pandas as pd
from matplotlib.ticker import MaxNLocator

from hitsong.report.drawing import ACCENT, DASHED, LINES, SECOND, Figure, new_figure, plain, save


def learning_curve(table, verdicts):
    """Train and test error of the baselines against the number of training tracks, with the `verdict` of each."""
    drawing, axes = new_figure(3.6)
    for colour, (name, curve) in zip(LINES, table.groupby("model", sort=False), strict=False):
        for side, style, alpha in (("test", "o-", 1), ("train", "o--", 0.6)):
            axes.plot(
                curve["n_train"], curve[f"{side}_error"], style, color=colour, markersize=4, alpha=alpha,
                label=f"{plain(name)}, {side}",
            )  # fmt: skip
    axes.set(xlabel="training tracks", ylabel="mean squared error", title="Learning curves of the baselines")
    drawing.legend(loc="outside lower center", ncols=2)
    text = " ".join(f"{name}: {curve['verdict']}." for name, curve in verdicts.items())
    return Figure(
        "learning_curve", drawing, table,
        f"Train and test error of the baselines against the number of training tracks. {text}",
        "Where the test error still falls at the right end, more tracks would help.",
    )  # fmt: skip


def history(table, name, best_epoch):
    """Training loss of a network per epoch, and validation loss if there was validation."""
    drawing, axes = new_figure()
    axes.plot(table["epoch"], table["loss"], color=ACCENT, label="train")
    if "val_loss" in table:
        axes.plot(table["epoch"], table["val_loss"], color=SECOND, label="validation")
        axes.axvline(best_epoch, **DASHED, label=f"best epoch ({best_epoch})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="loss", title=f"Training of {plain(name)}")
    axes.legend()
    alt = f"Training and validation loss of {name} over {len(table)} epochs; epoch {best_epoch} is used."
    return Figure(f"history_{name.split(',')[0]}", drawing, table, alt)


def save_history(folder, info):
    """Draw `history.png` beside the `history.csv` of a bundle; models that are not networks have none."""
    path = folder / "history.csv"
    if path.exists():
        save(history(pd.read_csv(path), info["name"], info["best_epoch"]).drawing, folder / "history.png")
