"""Figures of training: learning curves of baselines, losses of networks."""

import altair as alt
import pandas as pd

from hitsong.report import charts
from hitsong.report.figure import ACCENT, LINES, SECOND, Figure, plain


def learning_curve(table, verdicts):
    """Train and test error of the baselines against the number of training tracks, with the `verdict` of each."""
    models = [plain(name) for name in table["model"].unique()]
    long = table.assign(model=table["model"].map(plain)).melt(
        ["model", "n_train"], ["test_error", "train_error"], "tracks", "error"
    )
    long["tracks"] = long["tracks"].str.removesuffix("_error")
    axis = charts.axis(charts.number_format(long["error"]))
    lines = (
        alt.Chart(long)
        .mark_line(point=True)
        .encode(
            x=alt.X("n_train:Q", title="training tracks", axis=charts.axis("~s")),
            y=alt.Y("error:Q", title="mean squared error", axis=axis, scale=alt.Scale(zero=False)),
            color=alt.Color("model:N", **charts.colours(models, (LINES * len(models))[: len(models)])),
            strokeDash=alt.StrokeDash("tracks:N", scale=alt.Scale(domain=["test", "train"], range=[[1, 0], [5, 3]])),
            tooltip=[
                "model:N", "tracks:N", alt.Tooltip("n_train:Q", format=","), alt.Tooltip("error:Q", format=",.3~r"),
            ],
        )
    )  # fmt: skip
    text = " ".join(f"{name}: {curve['verdict']}." for name, curve in verdicts.items())
    return Figure(
        "learning_curve", charts.framed(lines, "Learning curves of the baselines", 290), table,
        f"Train and test error of the baselines against the number of training tracks. {text}",
        "Where the test error still falls at the right end, more tracks would help.",
    )  # fmt: skip


def history(table, name, best_epoch):
    """Training loss of a network per epoch, and validation loss if there was validation."""
    names = {"loss": "train", "val_loss": "validation"}
    long = table.melt("epoch", [column for column in names if column in table], "side", "loss_value")
    long["side"] = long["side"].map(names)
    lines = (
        alt.Chart(long)
        .mark_line()
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
            y=alt.Y("loss_value:Q", title="loss", scale=alt.Scale(zero=False)),
            color=alt.Color("side:N", **charts.colours(["train", "validation"], [ACCENT, SECOND])),
            tooltip=["side:N", "epoch:Q", alt.Tooltip("loss_value:Q", title="loss", format=",.3~r")],
        )
    )
    layers, caption = [lines], ""
    if "val_loss" in table:
        layers.insert(0, charts.rule(best_epoch, dashed=True))
        caption = f"The dashed line is the best epoch, {best_epoch}, which is used."
    text = f"Training and validation loss of {name} over {len(table)} epochs; epoch {best_epoch} is used."
    chart = charts.framed(alt.layer(*layers), f"Training of {name}", 220)
    return Figure(f"history_{name.split(',')[0]}", chart, table, text, caption)


def save_history(folder, info):
    """Draw `history.png` beside the `history.csv` of a bundle; models that are not networks have none."""
    path = folder / "history.csv"
    if path.exists():
        figure = history(pd.read_csv(path), info["name"], info["best_epoch"])
        charts.save(figure.drawing, folder / "history.png")
