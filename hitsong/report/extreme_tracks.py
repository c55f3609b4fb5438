"""The tracks that a model predicts best and worst, with audio excerpts where the licence allows copies."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import soundfile

from hitsong.evaluation.compare import select_model
from hitsong.features import decode
from hitsong.report.formats import percent, short

SHOWN = 3
_SECONDS, _RATE = 15, 22050
_COMPRESSION = (
    0.65  # on libsndfile's scale: about 56 kbit/s, so that six excerpts take less than 1 MB of the page
)
_FREE = ("attribution", "creative commons", "public domain", "cc0", "free art")  # in names of licences


@dataclass(frozen=True)
class Track:
    """A track as the page shows it.

    `predictions` has a row (output, actual, predicted) for each output; `audio` is a data address, `link` a page or
    preview elsewhere, or None.
    """

    name: str
    artist: str
    year: str
    predictions: list
    audio: str | None
    link: str | None
    licence: str | None


def find_extremes(table, target, model):
    """Find the test tracks that a model predicts best and worst, compared with predicting the mean.

    By plain errors the average track would be best and the greatest hit worst for every model, so errors are compared
    with those of the mean; for classes, the probabilities of the true class.

    Parameters
    ----------
    table : pandas.DataFrame
        From `hitsong.evaluation.evaluate.table`, with the reference row `mean`.

    Returns
    -------
    best, worst : list of str
        Up to three track ids, the most extreme first.
    """
    gained = _cost(table, target, "mean") - _cost(table, target, model)
    gained = gained.sort_values(ascending=False, kind="stable")
    count = min(SHOWN, len(gained) // 2)
    return list(gained.index[:count]), list(gained.index[::-1][:count])


def _cost(table, target, model):
    y, p = select_model(table, model, target.names)
    if target.kind == "popular":
        return (y - p).abs().iloc[:, 0]
    if target.kind == "buckets":
        return 1 - (y * p).sum(axis=1)
    spread = y.std(ddof=0).replace(0, 1)  # so that units do not matter
    return ((y - p).abs() / spread).mean(axis=1)


def describe_tracks(track_ids, study, tracks, table, target, model, source):
    """Describe tracks for the page, with audio where copies are allowed.

    Copied are excerpts of synthetic songs, of clips whose licence allows it (FMA), and of a table's own audio files.
    The terms of Spotify and Deezer forbid copies of previews, so the page links to them.

    Parameters
    ----------
    tracks, table : pandas.DataFrame
        As for `hitsong.report.build.build_report`.
    source : str
        The `collect.source` of the crawl, or "synthetic".

    Returns
    -------
    list of Track
    """
    y, p = select_model(table, model, target.names)
    sounds, described = Sounds(study, source), []
    for track in tracks.set_index("track_id", drop=False).loc[track_ids].itertuples():
        path = sounds.path(track)
        described.append(
            Track(
                name=_known(track.name) or track.track_id,
                artist=_known(track.artist_name) or "unknown artist",
                year=(_known(track.release_date) or "")[:4],
                predictions=_predictions(y.loc[track.track_id], p.loc[track.track_id], target),
                audio=encode_excerpt(path) if path else None,
                link=sounds.link(track),
                licence=_known(track.licence),
            )
        )
    return described


class Sounds:
    """Where the sound of a study's tracks may be played: in the page, or on a page elsewhere.

    Parameters
    ----------
    study : hitsong.study.Study
    source : str
        As for `describe_tracks`.
    """

    def __init__(self, study, source):
        self._folder, self._source, self._paths = study.folder, source, {}
        if study.downloads.exists():
            downloads = pd.read_parquet(study.downloads, columns=["track_id", "status", "path"])
            self._paths = downloads[downloads["status"] == "ok"].set_index("track_id")["path"].to_dict()

    def path(self, track):
        """The clip (pathlib.Path) of a track, a row of `tracks`, if the page may copy it, or None."""
        path = self._paths.get(track.track_id)
        if path is None or not _may_be_copied(track, self._source) or not (self._folder / path).exists():
            return None
        return self._folder / path

    def link(self, track):
        """The address where a track can be played, if the page may not copy its clip, or None."""
        return None if self.path(track) else _link(track, self._source)


def encode_excerpt(path):
    """Encode the middle of a clip as an MP3 in a data address.

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
    """Whether a track's audio is synthetic, has a free licence, or is the user's own file."""
    if source == "fma":
        licence = _known(track.licence)
        return licence is not None and any(word in licence.lower() for word in _FREE)
    return source == "synthetic" or (source == "table" and _known(track.audio_path) is not None)


def _link(track, source):
    """The page of the track, or the address of its preview."""
    if source == "spotify":
        return f"https://open.spotify.com/track/{track.track_id}"
    if source == "deezer":
        return f"https://www.deezer.com/track/{track.track_id.removeprefix('deezer:')}"
    preview = _known(track.preview_url)
    return preview if source == "table" and preview and preview.startswith("https://") else None


def _predictions(y, p, target):
    """Truth and prediction as text: (output, actual, predicted) for each output."""
    if target.kind == "buckets":
        predicted = int(np.argmax(p.to_numpy()))
        actual = target.names[int(np.argmax(y.to_numpy()))]
        return [(target.kind, actual, f"{target.names[predicted]} ({percent(p.iloc[predicted])})")]
    if target.kind == "popular":
        actual = "popular" if y.iloc[0] else "not popular"
        return [(target.kind, actual, f"{percent(p.iloc[0])} popular")]
    return [(name, short(y[name]), short(p[name])) for name in y.index]


def _known(value):
    return value if isinstance(value, str) and value else None
