"""The test tracks of a report, one by one: a chart of predicted against actual values, and its tracks as data.

In a page the chart and the table of tracks belong together: `report.js` fills both from the same rows.
"""

import base64
import json
from dataclasses import dataclass

import altair as alt
import lameenc
import numpy as np
import pandas as pd

from hitsong.evaluation.compare import select_model
from hitsong.features import decode
from hitsong.report import charts, extreme_tracks
from hitsong.report.figure import ACCENT, MUTED, Figure, plain
from hitsong.report.formats import short

DATA = "tracks"  # the name of the chart's data
EXCERPTS = 100  # tracks that a page can play; each takes about 32 KB of it
LISTED = 20  # tracks in the table of a page without JavaScript
_SECONDS, _RATE, _KBITS = 6, 22050, 32
_DRAWN = 1500  # dots of the picture
_WIDE = 1000  # from this value on axes are logarithmic
_HEADINGS = {
    "title": "track", "artist": "artist", "year": "released", "class": "actual class",
    "predicted_class": "predicted class", "popularity": "popularity",
    "y": "actual", "p": "predicted", "d": "off by",
}  # fmt: skip
_TEXTS = ("title", "artist", "year", "class", "predicted_class")


@dataclass(frozen=True)
class Explorer:
    """The tracks of a report for its page.

    Attributes
    ----------
    figure : hitsong.report.figure.Figure
        Predicted against actual values, with a dot for each track.
    columns : list of dict
        `key`, `heading` and `text` (whether it is text) of each column of the table.
    rows : list of dict
        A track each, the highest prediction first, by column key; also `link` (str or None) and `audio` (MP3 as
        base64, or None).
    outputs : dict of str to dict
        For several audio features, the values `y` and `p` of each; else empty.
    name : str
        Of the chart's data, which the page adds.
    """

    figure: Figure
    columns: list
    rows: list
    outputs: dict
    name: str = DATA

    def draw(self):
        """The figure, for a gallery."""
        return self.figure

    @property
    def json(self):
        """Rows, columns and outputs as JSON that can stand in a page's script element."""
        content = {"columns": self.columns, "rows": self.rows, "outputs": self.outputs}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")

    @property
    def listed(self):
        """The first rows as text, for a page without JavaScript."""
        return [
            {column["key"]: _text(row.get(column["key"])) for column in self.columns}
            for row in self.rows[:LISTED]
        ]


def explore(study, tracks, table, target, model, source):
    """Collect the test tracks with the predictions of a model.

    Parameters
    ----------
    study : hitsong.study.Study
    tracks, table : pandas.DataFrame
        As for `hitsong.report.build.build_report`.
    target : hitsong.data.targets.Target
    model : str
    source : str
        As for `hitsong.report.extreme_tracks.describe_tracks`.

    Returns
    -------
    Explorer
    """
    y, p = select_model(table, model, target.names)
    test_tracks = tracks.set_index("track_id", drop=False).loc[p.index]
    frame = pd.DataFrame(
        {
            "title": [
                plain(name if isinstance(name, str) and name.strip() else row)
                for row, name in test_tracks["name"].items()
            ],
            "artist": [plain(name) if isinstance(name, str) else "" for name in test_tracks["artist_name"]],
            "year": [date[:4] if isinstance(date, str) else "" for date in test_tracks["release_date"]],
        },
        index=p.index,
    )
    frame = frame.join(_values(y, p, test_tracks, target)).sort_values(
        ["p", "title"], ascending=[False, True]
    )
    frame[["y", "p"]] = frame[["y", "p"]].map(_rounded)
    columns = [key for key in _HEADINGS if key in frame and not (key == "year" and not frame["year"].any())]
    sounds = extreme_tracks.Sounds(study, source)
    rows = _with_sound(frame.to_dict("records"), test_tracks.loc[frame.index], sounds)
    outputs = {}
    if target.kind == "audio_features":
        outputs = {
            name: {
                "y": y.loc[frame.index, name].map(_rounded).tolist(),
                "p": p.loc[frame.index, name].map(_rounded).tolist(),
            }
            for name in target.names
        }
    return Explorer(
        _figure(frame, target, model),
        [{"key": key, "heading": _HEADINGS[key], "text": key in _TEXTS} for key in columns],
        rows,
        outputs,
    )


def _values(y, p, tracks, target):
    """The columns of numbers and classes: `y` and `p` are the axes of the chart."""
    score = target.score(p.to_numpy() if p.shape[1] > 1 else p.to_numpy()[:, 0], target.names[0])
    values = pd.DataFrame({"p": score}, index=p.index)
    if target.classes:
        names = target.names if target.kind == "buckets" else ("not popular", "popular")
        predicted = p.to_numpy().argmax(1) if target.kind == "buckets" else (score >= 0.5).astype(int)
        actual = y.to_numpy().argmax(1) if target.kind == "buckets" else y.to_numpy()[:, 0].astype(int)
        values["y"] = tracks["popularity"].astype(float)
        values["class"] = np.array(names, dtype=object)[actual]
        values["predicted_class"] = np.array(names, dtype=object)[predicted]
        return values
    values["y"] = y.iloc[:, 0]
    values["d"] = (values["p"] - values["y"]).map(_rounded)
    if target.transform:
        values["popularity"] = tracks["popularity"].astype(float)
    return values


def _with_sound(rows, tracks, sounds):
    """Add a link or an excerpt to each row; excerpts to the first and the last ones where there are too many."""
    playable = [place for place, track in enumerate(tracks.itertuples()) if sounds.path(track)]
    chosen = set(playable[: EXCERPTS // 2]) | set(
        playable[len(playable) - min(len(playable), EXCERPTS // 2) :]
    )
    for place, (row, track) in enumerate(zip(rows, tracks.itertuples(), strict=True)):
        row["audio"] = encode(sounds.path(track)) if place in chosen else None
        row["link"] = sounds.link(track)
    return rows


def encode(path):
    """Encode the middle six seconds of a clip as a small mono MP3 (base64 str)."""
    clip = decode.Clip.read(path)
    samples = clip.middle(_SECONDS).at(_RATE)
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_bit_rate(_KBITS)
    encoder.set_in_sample_rate(_RATE)
    encoder.set_channels(1)
    encoder.set_quality(7)
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return base64.b64encode(bytes(encoder.encode(pcm.tobytes()) + encoder.flush())).decode()


def _figure(frame, target, model):
    """The chart: readers of the page select tracks by dragging over it (`brush`) and by searching (`words`)."""
    every = len(frame) // _DRAWN + 1
    part = frame.iloc[::every]
    middle = float(part["y"].abs().median())  # the same for both axes, so that the diagonal is straight
    wide = part["y" if target.classes else ["p", "y"]].abs().to_numpy().max() > _WIDE
    x, y = (
        alt.X("p:Q", title=_titles(target)[0], **_scale(part["p"], middle, wide and not target.classes)),
        alt.Y("y:Q", title=_titles(target)[1], **_scale(part["y"], middle, wide)),
    )
    brush = alt.selection_interval(name="brush", encodings=["x", "y"])
    words = alt.param(name="words", value="")
    chosen = brush & (alt.expr.indexof(alt.expr.lower(alt.datum.title + " " + alt.datum.artist), words) >= 0)
    few = 1 / np.sqrt(len(part))
    strong = float(np.clip(8 * few, 0.25, 0.75))
    dots = (
        alt.Chart(alt.Data(name=DATA, values=part[["title", "artist", "p", "y"]].to_dict("records")))
        .mark_point(filled=True, size=float(np.clip(1500 * few, 12, 90)), clip=True, cursor="pointer")
        .encode(
            x=x,
            y=y,
            color=alt.when(chosen).then(alt.value(ACCENT)).otherwise(alt.value(MUTED)),
            opacity=alt.when(chosen).then(alt.value(strong)).otherwise(alt.value(0.12)),
        )
        .add_params(brush, words)
    )
    layers = [dots]
    if not target.classes and target.kind != "audio_features":
        layers.insert(0, charts.diagonal(part["p"].min(), part["p"].max()))
    note = f" The picture shows {len(part):,} of {len(frame):,} tracks." if every > 1 else ""
    line = " On the dashed line both are equal." if len(layers) > 1 else ""
    return Figure(
        f"tracks_{model}",
        charts.framed(alt.layer(*layers), f"Predicted and actual values, {model}", 330),
        frame.reset_index(),
        f"Actual against predicted values of {model} for {len(frame):,} test tracks.",
        f"Each dot is a test track.{line}{note}",
    )


def _scale(values, middle, wide):
    """Scale and axis of a column; those of wide values (plays) are logarithmic from about a middle value on."""
    form = charts.number_format(values)
    if not wide:
        return {"scale": alt.Scale(zero=False), "axis": charts.axis(form)}
    middle = max(1.0, middle)
    powers = [
        10.0**power for power in range(int(np.log10(middle)), int(np.log10(values.abs().max() + 1)) + 1)
    ]
    ticks = [sign * power for power in powers for sign in (-1, 1) if sign > 0 or values.min() < -power]
    return {
        "scale": alt.Scale(type="symlog", constant=middle / 3, nice=False),
        "axis": charts.axis(form, values=[0, *ticks]),
    }


def _titles(target):
    """What the axes show: predicted, actual."""
    if target.kind == "popular":
        return "predicted probability of being popular", "actual popularity"
    if target.kind == "buckets":
        return f"predicted class (0 is {target.names[0]})", "actual popularity"
    if target.kind == "audio_features":
        return "predicted", "actual"
    return f"predicted ({target.unit()})", f"actual ({target.unit()})"


def _rounded(value):
    """Four significant digits, which keep the page small."""
    return float(f"{value:.4g}")


def _text(value):
    return value if isinstance(value, str) else short(value)
