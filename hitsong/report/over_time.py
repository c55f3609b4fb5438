"""The section "Over time": careers, skill at each origin, calibration of growth, and what early readings add."""

import altair as alt
import numpy as np
import pandas as pd

from hitsong.collect import history
from hitsong.data.growth import MONTH, load_readings
from hitsong.evaluation import kinds
from hitsong.evaluation.bootstrap import Resampling
from hitsong.evaluation.compare import select_model
from hitsong.report import charts, tables
from hitsong.report.figure import ACCENT, LINES, MUTED, SECOND, Figure
from hitsong.report.formats import number, short

IN_A_PART = 10  # tracks in each tenth of the careers, at least; of fewer tracks parts are larger
LONGEST = 24  # months of a career that are drawn
EARLY_ROWS = {
    "sound_first_weeks": "sound and first months",
    "first_weeks": "first months alone",
    "age": "age alone",
}


def reason_absent(study, target):
    """Why a report has no section on time, in a sentence; None where it has one."""
    if target.kind == "growth":
        return None
    readings = history.read(study.history)
    if readings.empty or readings.groupby("track_id").size().max() < 2:
        return "There is no section “Over time”: the popularity of each track was read once."
    return (
        f"There is no section “Over time”: the target is {target}; growth is predicted with target.kind growth "
        "(configs/growth.yaml)."
    )


def rows_of_early_readings(result, sound):
    """The rows that show what early readings add to the sound: name in words -> row of the results.

    Parameters
    ----------
    result : dict
        As `report/metrics.json`.
    sound : str
        The baseline of the sound alone.
    """
    labels = {sound: "sound alone"} | EARLY_ROWS
    return {
        f"{words} ({name})": result["rows"][name] for name, words in labels.items() if name in result["rows"]
    }


def careers(study, config, tracks, table, target, best):
    """Popularity by month after release, for each tenth of the predicted growth.

    Parameters
    ----------
    tracks : pandas.DataFrame
        From `hitsong.data.tracks.load_tracks`.
    table : pandas.DataFrame
        Truth and predictions, from `hitsong.evaluation.evaluate.table`.
    best : str
        The model whose predictions order the tracks.

    Returns
    -------
    hitsong.report.figure.Figure or None
    """
    if target.between:  # tracks of any age
        return None
    predicted = select_model(table, best, target.names)[1].iloc[:, 0]
    parts = int(np.clip(len(predicted) // IN_A_PART, 2, 10))
    part = pd.qcut(predicted.rank(method="first"), parts, labels=False)
    last = int(min(LONGEST, np.ceil(target.predict_months[1])))
    points = typical_careers(tracks, load_readings(study, config), part, last)
    if points.empty:
        return None
    names = ["lowest", "between", "highest"]
    place = points["part"].map(lambda part: 0 if part == 0 else 2 if part == parts - 1 else 1)
    points = points.assign(growth=np.take(names, place))
    form = charts.number_format(points["popularity"])
    base = alt.Chart(points).encode(
        x=alt.X("month:Q", title="months after release"),
        y=alt.Y("popularity:Q", title="typical popularity", axis=alt.Axis(format=form)),
        color=alt.Color("growth:N", **charts.colours(names, [SECOND, MUTED, ACCENT])),
        detail="part:N",
        tooltip=[alt.Tooltip("growth:N"), alt.Tooltip("month:Q"), alt.Tooltip("popularity:Q", format=form)],
    )  # fmt: skip
    between = alt.datum.growth == names[1]
    thin = base.transform_filter(between).mark_line(strokeWidth=0.8)
    chart = alt.layer(thin, base.transform_filter(~between).mark_line(strokeWidth=3))
    share = "tenth" if parts == 10 else f"of {parts} parts"
    ends = [points[points["part"] == part]["popularity"] for part in (0, parts - 1)]
    values = " and ".join(f"{short(end.iloc[0])} to {short(end.iloc[-1])}" for end in ends)
    return Figure(
        "careers", charts.framed(chart, "Careers by predicted growth", 260), points,
        f"Typical popularity by month after release, for the {share} of test tracks with the lowest and the highest "
        f"predicted growth: {values}.",
        f"Test tracks in {parts} parts by the growth that {best} predicts: the geometric mean of their popularity in "
        "each month. If the predictions are right, the highest part falls least, or rises.",
    )  # fmt: skip


def typical_careers(tracks, readings, part, last):
    """The geometric mean of popularity in each month after release, of parts of the tracks.

    Counts are a month; a month without a row counts 0 up to the last reading of all.

    Parameters
    ----------
    tracks, readings : pandas.DataFrame
    part : pandas.Series
        The part of each track, by track_id.
    last : int
        The last month.

    Returns
    -------
    pandas.DataFrame
        `part`, `month`, `popularity` and `tracks`.
    """
    chosen = tracks[tracks["track_id"].isin(part.index)][["track_id", "released"]]
    rows = readings.merge(chosen, on="track_id")
    begin = rows["start"].fillna(rows["read_at"])
    counted = rows["start"].notna().to_numpy()
    middle = begin + (rows["read_at"] - begin) / 2
    rows["month"] = np.floor((middle - rows["released"]) / MONTH)
    rows = rows[(begin >= rows["released"]) & (rows["month"] < last)]
    months = ((rows["read_at"] - rows["start"]) / MONTH).fillna(1.0).clip(lower=1e-6)
    rows["log"] = np.log1p((rows["value"] / months).clip(lower=0))
    rows["part"] = rows["track_id"].map(part)
    by_month = rows.groupby(["part", "month"])["log"]
    if counted.any():
        rows = rows[
            rows["month"] >= 1
        ]  # periods that began before the release are left out of the first month
        by_month = rows.groupby(["part", "month"])["log"]
        age = np.floor((readings["read_at"].max() - chosen["released"]) / MONTH)
        alive = chosen.assign(age=age, part=chosen["track_id"].map(part))
        pairs = by_month.sum().index
        number_of = [((alive["part"] == p) & (alive["age"] > month)).sum() for p, month in pairs]
        mean, size = by_month.sum() / np.maximum(number_of, 1), pd.Series(number_of, pairs)
    else:
        mean, size = by_month.mean(), by_month.size()
    points = pd.DataFrame({"popularity": np.expm1(mean), "tracks": size}).reset_index()
    return points.assign(month=points["month"] + 0.5)


def skill_by_origin(result, tracks, table, target, names, config):
    """The main metric of some models at each date of a rolling origin, with intervals; None for a single split."""
    if "origin" not in tracks:
        return None
    dates = tracks.dropna(subset="origin").groupby("fold")["origin"].first()
    groups, main = tracks.set_index("track_id")["group"], result["main"]
    rows = []
    for name in names:
        y, p = (values.iloc[:, 0] for values in select_model(table, name, target.names))
        fold = tracks.set_index("track_id")["fold"].reindex(y.index)
        for origin, date in dates.items():
            ids = y.index[fold == origin]
            if groups[ids].nunique() < 2:
                continue
            resampling = Resampling(groups[ids].to_numpy(), config.evaluate.draws, config.seed)
            measured = resampling.measure(target.kind, y[ids].to_numpy(), [p[ids].to_numpy()], [main])
            value = kinds.evaluate(target.kind, y[ids], p[ids])[main]
            rows.append([name, f"{date:%Y-%m-%d}", value, *measured.intervals()[main], len(ids)])
    points = pd.DataFrame(rows, columns=["model", "origin", "value", "low", "high", "tracks"])
    label = kinds.metric(main).label
    form = charts.number_format(points["value"])
    base = alt.Chart(points).encode(
        x=alt.X("origin:N", title="predicted from this date on", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("model:N", sort=None),
        color=alt.Color("model:N", **charts.colours(names, LINES[: len(names)])),
        tooltip=["model:N", "origin:N"]
        + [alt.Tooltip(f"{column}:Q", format=form) for column in ("value", "low", "high", "tracks")],
    )
    y = alt.Y("low:Q", title=label)
    chart = alt.layer(
        charts.rule(kinds.chance(target.kind), "y"),
        base.mark_rule(strokeWidth=2).encode(y=y, y2="high:Q"),
        base.mark_point().encode(y="value:Q"),
    )
    first = points[points["model"] == names[0]]
    values = ", ".join(f"{row.origin} {number(row.value, (row.low, row.high))}" for row in first.itertuples())
    return Figure(
        "skill_by_origin", charts.framed(chart, "Skill at each date", 260), points,
        f"{label} at each date of the rolling origin, {names[0]}: {values}.",
        "At each date all models are fitted anew on what had been read by then; they predict the tracks until the next "
        "date. Vertical lines are 95\xa0% intervals over groups of artists; the line across is chance.",
    )  # fmt: skip


def calibration(tracks, table, target, names):
    """The mean growth of tracks with similar predictions, of several models."""
    groups, parts = tracks.set_index("track_id")["group"], []
    for name in names:
        y, p = select_model(table, name, target.names)
        parts.append(tables.calibration(y, p, groups).assign(model=name))
    points = pd.concat(parts, ignore_index=True)
    form = charts.number_format([*points["actual"], *points["predicted"]])
    base = alt.Chart(points).encode(
        x=alt.X(
            "predicted:Q", title="predicted growth", axis=alt.Axis(format=form), scale=alt.Scale(zero=False)
        ),
        color=alt.Color("model:N", **charts.colours(names, LINES[: len(names)])),
        tooltip=["model:N"]
        + [alt.Tooltip(f"{column}:Q", format=form) for column in ("predicted", "actual", "low", "high")],
    )
    y = alt.Y("low:Q", title="actual growth, mean", axis=alt.Axis(format=form), scale=alt.Scale(zero=False))
    chart = alt.layer(
        charts.diagonal(points["predicted"].min(), points["predicted"].max()),
        base.mark_rule().encode(y=y, y2="high:Q"),
        base.mark_line(strokeWidth=1.2).encode(y="actual:Q"),
        base.mark_point().encode(y="actual:Q"),
    )
    first = points[points["model"] == names[0]].iloc[[0, -1]]
    values = " and ".join(
        f"predicted {short(row.predicted)}, actual {short(row.actual)}" for row in first.itertuples()
    )
    return Figure(
        "growth_calibration", charts.framed(chart, "Calibration of growth", 260), points,
        f"Mean growth against predicted growth, from the lowest to the highest predictions of {names[0]}: {values}.",
        f"In units of the target, {target.unit()}. On the dashed line predicted and actual growth are equal.",
    )  # fmt: skip


def draw(gallery, study, config, result, tracks, table, target, sound):
    """The pictures of the section; none where growth is not predicted.

    Parameters
    ----------
    gallery : hitsong.report.page.Gallery
    sound : str
        The baseline of the sound alone.
    """
    if target.kind != "growth":
        return []
    best = result["best"]
    names = list(dict.fromkeys([best, *(name for name in ("first_weeks", "age") if name in result["rows"])]))
    compared = list(dict.fromkeys([best, sound, "sound_first_weeks"]))[:3]
    return (
        gallery.add(careers, study, config, tracks, table, target, best)
        + gallery.add(skill_by_origin, result, tracks, table, target, names, config)
        + gallery.add(calibration, tracks, table, target, compared)
    )
