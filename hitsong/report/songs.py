"""The songs that a model got most right and most wrong, and what of them may be heard in the page."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import soundfile

from hitsong.features import decode
from hitsong.report import tables
from hitsong.report.page import percent, short

SHOWN = 3
_SECONDS, _RATE = 15, 22050
_COMPRESSION = 0.65  # libsndfile's scale: about 56 kbit/s, so that six excerpts make less than 1 MB of page
_FREE = ("attribution", "creative commons", "public domain", "cc0", "free art")  # in names of licences


@dataclass(frozen=True)
class Song:
    """A song as the page shows it.

    `answers` has a row (of what, actual, predicted) for each output; `sound` is a data address, `link` a page or
    preview elsewhere, or None.
    """

    name: str
    artist: str
    year: str
    answers: list
    sound: str | None
    link: str | None
    licence: str | None


def extremes(table, target, model):
    """The test tracks on which a model did best and worst, compared with guessing the mean.

    Plain errors would show the average song as most right and the greatest hit as most wrong, whatever the
    model. What counts is how much smaller (or larger) than the mean's its error is; for classes, how much more
    (or less) probable it made the truth.

    Parameters
    ----------
    table : pandas.DataFrame
        From `hitsong.evaluation.evaluate.table`, with the reference row `mean`.
    target : hitsong.data.targets.Target
    model : str

    Returns
    -------
    right, wrong : list of str
        Up to three track ids each, the most extreme first.
    """
    gained = _cost(table, target, "mean") - _cost(table, target, model)
    gained = gained.sort_values(ascending=False, kind="stable")
    shown = min(SHOWN, len(gained) // 2)
    return list(gained.index[:shown]), list(gained.index[::-1][:shown])


def _cost(table, target, model):
    y, p = tables.of_model(table, model, target.names)
    if target.kind == "popular":
        return (y - p).abs().iloc[:, 0]
    if target.kind == "buckets":
        return 1 - (y * p).sum(axis=1)
    spread = y.std(ddof=0).replace(0, 1)  # so that no number counts more for its unit
    return ((y - p).abs() / spread).mean(axis=1)


def describe(track_ids, study, tracks, table, target, model, source):
    """Songs as the page shows them, with sound where that may be copied.

    Copied are excerpts of synthetic songs, of clips with a licence that allows it (FMA), and of a table's own
    audio files. Previews of Spotify and Deezer are not: their terms forbid it, so the page names their address.

    Parameters
    ----------
    track_ids : list of str
    study : hitsong.study.Study
    tracks, table : pandas.DataFrame
        As for `hitsong.report.build.report`.
    target : hitsong.data.targets.Target
    model : str
    source : str
        The config's `collect.source`, or "synthetic".

    Returns
    -------
    list of Song
    """
    y, p = tables.of_model(table, model, target.names)
    paths = {}
    if study.downloads.exists():
        downloads = pd.read_parquet(study.downloads, columns=["track_id", "status", "path"])
        paths = downloads[downloads["status"] == "ok"].set_index("track_id")["path"].to_dict()
    songs = []
    for track in tracks.set_index("track_id", drop=False).loc[track_ids].itertuples():
        path = paths.get(track.track_id)
        copied = path is not None and _may_be_copied(track, source)
        songs.append(
            Song(
                name=_known(track.name) or track.track_id,
                artist=_known(track.artist_name) or "unknown artist",
                year=(_known(track.release_date) or "")[:4],
                answers=_answers(y.loc[track.track_id], p.loc[track.track_id], target),
                sound=excerpt(study.folder / path) if copied else None,
                link=None if copied else _link(track, source),
                licence=_known(track.licence),
            )
        )
    return songs


def excerpt(path):
    """The middle of a clip as an MP3 in a data address.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    str
    """
    samples = decode.load(path, _RATE)
    samples = decode.crop(samples, min(len(samples), _SECONDS * _RATE))
    file = io.BytesIO()
    soundfile.write(
        file, samples, _RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=_COMPRESSION
    )
    return "data:audio/mpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _may_be_copied(track, source):
    """Whether a track's audio was made here, came under a free licence, or is the user's own."""
    if source == "fma":
        licence = _known(track.licence)
        return licence is not None and any(word in licence.lower() for word in _FREE)
    return source == "synthetic" or (source == "table" and _known(track.audio_path) is not None)


def _link(track, source):
    """A page where the track can be heard, or the address of its preview."""
    if source == "spotify":
        return f"https://open.spotify.com/track/{track.track_id}"
    if source == "deezer":
        return f"https://www.deezer.com/track/{track.track_id.removeprefix('deezer:')}"
    preview = _known(track.preview_url)
    return preview if source == "table" and preview and preview.startswith("https://") else None


def _answers(y, p, target):
    """Truth and prediction in words: (of what, actual, predicted) for each output."""
    if target.kind == "buckets":
        answer = int(np.argmax(p.to_numpy()))
        actual = target.names[int(np.argmax(y.to_numpy()))]
        return [(target.kind, actual, f"{target.names[answer]} ({percent(p.iloc[answer])})")]
    if target.kind == "popular":
        actual = "popular" if y.iloc[0] else "not popular"
        return [(target.kind, actual, f"{percent(p.iloc[0])} popular")]
    return [(name, short(y[name]), short(p[name])) for name in y.index]


def _known(value):
    return value if isinstance(value, str) and value else None
