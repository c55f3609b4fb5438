"""The table of models and reference rows: for the comparison figure, as CSV and as LaTeX."""

import numpy as np
import pandas as pd

from hitsong.evaluation import kinds
from hitsong.evaluation.evaluate import ranked
from hitsong.files import replacing, write_table
from hitsong.report.formats import DASH, interval, number


def is_undefined(row, metric):
    """Whether a metric of a row is undefined, and has the value of chance by convention: all predictions are equal."""
    value, bounds = row["metrics"].get(metric.name), row["intervals"].get(metric.name)
    if metric.chance is None or value != metric.chance:
        return False
    return bounds is None or tuple(bounds) == (value, value)


def typical_intervals(rows, names):
    """For each metric the interval of median width, which sets the digits of its column in a table.

    Parameters
    ----------
    rows : iterable of dict
        With `intervals` by metric.
    names : sequence of str
        Of the metrics, the main one first; metrics without intervals take its digits.

    Returns
    -------
    dict of str to (float, float) or None
    """
    by_name = {}
    for name in names:
        intervals = [row["intervals"][name] for row in rows if row["intervals"].get(name)]
        widths = sorted((high - low, low, high) for low, high in intervals if high > low)
        by_name[name] = widths[len(widths) // 2][1:] if widths else by_name.get(names[0])
    return by_name


def chances(result):
    """What guessing reaches in each metric where higher is better, as text by name.

    Where no constant is known, it is what the row `mean` reaches, which predicts one value for all tracks.
    """
    texts, mean = {}, result["rows"]["mean"]["metrics"]
    for metric in kinds.metrics_of(result["kind"]).values():
        if metric.chance is not None:
            texts[metric.name] = f"{metric.chance:g}"
        elif metric.higher_is_better and metric.name in mean:
            texts[metric.name] = number(mean[metric.name], (0, 0.5))
    return texts


def main_values(result):
    """The main metric of each row: model, value, low, high, reference, chosen."""
    main = kinds.metric(result["main"])
    rows = [
        [
            name,
            np.nan if is_undefined(row, main) else row["metrics"][main.name],
            *row["intervals"][main.name],
            row["reference"] is not None,
            name == result["best"],
        ]
        for name, row in result["rows"].items()
    ]
    return pd.DataFrame(rows, columns=["model", "value", "low", "high", "reference", "chosen"])


def main_texts(result):
    """The main metric of each row as text: (model, value, interval), headings first."""
    main = kinds.metric(result["main"])
    support = typical_intervals(result["rows"].values(), [main.name])[main.name]
    texts = [("model", main.label, "95\xa0% interval")]
    for name, row in ranked(result):
        undefined = is_undefined(row, main)
        name = f"{name} (chosen on validation)" if name == result["best"] else name
        texts.append(
            (name, DASH, DASH)
            if undefined
            else (
                name,
                number(row["metrics"][main.name], support),
                interval(row["intervals"][main.name], support),
            )
        )
    return texts


def write_tables(folder, result):
    """Write the table as `models.csv`, for other programs, and as `models.tex`, for a paper."""
    metrics = kinds.metrics_of(result["kind"])
    support = typical_intervals(result["rows"].values(), list(metrics))
    values, texts = [], []
    for name, row in ranked(result):
        numbers, cells = {"model": name, "reference": row["reference"] is not None}, {"model": name}
        for metric in metrics.values():
            bounds = row["intervals"].get(metric.name)
            is_defined = metric.name in row["metrics"] and not is_undefined(row, metric)
            numbers[metric.name] = row["metrics"][metric.name] if is_defined else np.nan
            numbers[f"{metric.name}_low"], numbers[f"{metric.name}_high"] = (
                bounds if is_defined and bounds else (np.nan, np.nan)
            )
            cells[metric.heading] = (
                number(row["metrics"][metric.name], support[metric.name]) if is_defined else DASH
            )
            if is_defined and bounds:
                cells[metric.heading] += f" ({interval(bounds, support[metric.name])})"
        values.append(numbers)
        texts.append(cells)
    write_table(folder / "models.csv", pd.DataFrame(values))
    latex = [
        " & ".join(map(_latex, row)) + r" \\"
        for row in [texts[0].keys(), *(cells.values() for cells in texts)]
    ]
    latex = [
        rf"\begin{{tabular}}{{l{'r' * len(metrics)}}}",
        r"\hline",
        latex[0],
        r"\hline",
        *latex[1:],
        r"\hline",
    ]
    with replacing(folder / "models.tex") as temporary:
        temporary.write_text("\n".join([*latex, r"\end{tabular}"]) + "\n", encoding="utf-8")


_LATEX = {"_": r"\_", "%": r"\%", "&": r"\&", "−": "$-$", "²": "$^2$", "–": "--", "\xa0": "~"}


def _latex(text):
    return text.translate(str.maketrans(_LATEX))
