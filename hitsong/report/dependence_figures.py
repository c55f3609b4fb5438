"""Figures of what predictions depend on: frequency bands, parts of the clip, columns, tags."""

import altair as alt

from hitsong.explain.across_tracks import DISCOVERY_RATE
from hitsong.report import charts
from hitsong.report.explanation_figures import short_hertz
from hitsong.report.figure import ACCENT, MUTED, SECOND

SHOWN = 12  # columns in a figure


def importance_of_bands(bands, unit):
    """Draw the table of `hitsong.explain.across_tracks.band_importance`; importance in this unit."""
    table = bands.iloc[::-1].assign(
        band=[f"{short_hertz(row.begin)}–{short_hertz(row.end)} Hz" for row in bands.iloc[::-1].itertuples()]
    )
    return charts.intervals(
        table, "band", "importance", "Exchanging a frequency band", f"mean change ({unit})",
        ends=(0, 1.02 * max(table["high"].max(), table["importance"].max())),
    )  # fmt: skip


def importance_of_parts(parts, unit):
    """Draw the table of `hitsong.explain.across_tracks.time_importance`; importance in this unit."""
    table = parts.assign(part=[f"{row.begin:.2g}–{row.end:.2g} s" for row in parts.itertuples()])
    return charts.intervals(
        table, "part", "importance", "Exchanging a part of the clip", f"mean change ({unit})", alt.value(SECOND),
        ends=(0, 1.02 * max(table["high"].max(), table["importance"].max())),
    )  # fmt: skip


def correlations(table):
    """Draw the strongest rows of `hitsong.explain.across_tracks.correlate_columns`, and which of them may be chance."""
    strongest = table.head(SHOWN)
    names = {True: f"false discovery rate ≤ {DISCOVERY_RATE:.0%}", False: "may be chance"}
    strongest = strongest.assign(finding=(strongest["q"] <= DISCOVERY_RATE).map(names))
    present = [name for name in names.values() if (strongest["finding"] == name).any()]
    colour = alt.Color(
        "finding:N",
        **charts.colours(present, [{names[True]: ACCENT, names[False]: MUTED}[name] for name in present]),
    )
    return charts.intervals(
        strongest,
        "column",
        "spearman",
        "Correlation with the predictions",
        "Spearman correlation, 95 % interval",
        colour,
        at=0,
    )


def importance(table, metric):
    """Draw the table of `hitsong.explain.permutation.permutation_importance`; `metric` is its label."""
    title = f"decrease of {metric}, 95 % interval"
    return charts.intervals(table.head(SHOWN), "column", "importance", "Shuffling a column", title, at=0)
