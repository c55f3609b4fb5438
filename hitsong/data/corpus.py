"""The tracks of a study as models take them, and the fingerprint of whatever is fitted on them.

Everything fitted (baselines, networks, tuned parameters) stores what it was fitted on: the tracks with their side
and truth, the content of each input, and how the input was made. Whoever reads it compares, and refuses what
differs.
"""

import copy
import hashlib

import numpy as np
import pandas as pd

from hitsong.data import mel_cache
from hitsong.data.examples import Examples, Input
from hitsong.data.tables import read_table, spotify
from hitsong.data.targets import percentiles
from hitsong.data.tracks import with_features, with_target
from hitsong.errors import UserError
from hitsong.features import kinds as feature_kinds
from hitsong.features.store import Feature, Store


class Corpus:
    """The tracks of a study with the inputs of its models.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    tracks : pandas.DataFrame
        As `labelled` gives them.
    target : hitsong.data.targets.Target
    kinds : iterable of str
        The inputs: kinds of feature, or "numeric" for the table that `train.numeric` names. Only tracks that
        have all of them are kept, so that all models are measured on the same tracks.

    Raises
    ------
    UserError
        If a feature that a model needs is not there, or was made with other settings.
    """

    def __init__(self, study, config, tracks, target, kinds):
        self.study, self.config, self.target, self._folds = study, config, target, {}
        self.features = {kind: self._open(kind, tracks) for kind in dict.fromkeys(kinds)}
        self.tracks = with_features(tracks, *self.features.values()).reset_index(drop=True)

    def _open(self, name, tracks):
        """A feature by the name of the input."""
        kind = self.config.train.numeric if name == "numeric" else name
        if kind != "spotify":
            return Store(self.study.features).read(kind, feature_kinds.parameters(kind, self.config.features))
        table = spotify(tracks, self.config, self.target)
        if table is None:
            raise UserError(
                "train.numeric spotify: this source gives no audio features; "
                "take the sound's own: --set train.numeric=descriptors"
            )
        specification = {
            "kind": "spotify", "parameters": {}, "scale": 1.0, "offset": 0.0, "columns": list(table),
        }  # fmt: skip
        rows = {track_id: row for row, track_id in enumerate(table.index)}
        return Feature(specification, table.to_numpy(np.float32), rows)

    def examples(self, kinds, tracks):
        """Some of the inputs of some of the tracks, with their targets.

        Returns
        -------
        hitsong.data.examples.Examples
        """
        ids = tracks["track_id"]
        inputs = {
            kind: Input(feature.array, ids.map(feature.rows).to_numpy(int), feature.specification)
            for kind, feature in ((kind, self.features[kind]) for kind in kinds)
        }
        truth = self.target.truth(tracks).astype("float32")
        return Examples(ids.to_numpy(str), inputs, truth, tracks["group"].to_numpy())

    def side(self, kinds, side):
        """Some of the inputs of a side of the split."""
        return self.examples(kinds, self.tracks[self.tracks["side"] == side])

    def fold(self, number):
        """This corpus while a fold tests: with its sides, and the target fitted on its training side; of 0 itself."""
        if number and number not in self._folds:
            corpus, tracks = copy.copy(self), self.tracks.assign(side=self.tracks[f"fold-{number}"])
            corpus.tracks, corpus.target = with_target(tracks, tracks["side"] == "train", self.config)
            self._folds[number] = corpus
        return self._folds[number] if number else self

    def fingerprint(self, kinds):
        """All that a fit on some of the inputs depends on, besides its recipe; as JSON can hold it."""
        fitted = _fitted(self.tracks, "side")
        inputs = {
            kind: {**self.features[kind].specification, "content": self._content(kind, fitted["track_id"])}
            for kind in kinds
        }
        return {
            **fitted_on(self.tracks, "side", self.target),
            "scheme": self.config.split.scheme,
            "inputs": inputs,
        }

    def _content(self, kind, track_ids):
        """Hash an input of some tracks: the audio that it was made from, or the numbers of a table."""
        feature = self.features[kind]
        if feature.specification["kind"] == "spotify":
            return content_hash(feature.array[track_ids.map(feature.rows).to_numpy(int)])
        return content_hash(track_ids.map(Store(self.study.features).audio()))

    def about(self):
        """Describe the data for a bundle: study, popularity, tracks, and the ranges of the training clips."""
        tracks = self.tracks
        train = tracks[tracks["side"] == "train"]
        popularity = None if self.target.kind == "audio_features" else tracks["popularity"].to_numpy(float)
        if self.target.number:
            popularity = self.target.truth(tracks)
        return {
            "study": self.config.study,
            "synthetic": self.study.synthetic,
            "popularity_source": tracks["popularity_source"].iat[0],
            "fetched": last_date(tracks["fetched_at"]),
            "licences": sorted(tracks["licence"].dropna().unique())[:20],
            "scheme": self.config.split.scheme,
            "trained_on": {side: int((tracks["side"] == side).sum()) for side in ("train", "validation")},
            "genre": {
                "tracks": len(tracks),
                "popularity": None
                if popularity is None
                else [list(pair) for pair in percentiles(popularity)],
            },
            "seen": self._seen(train),
        }

    def _seen(self, train):
        """The ranges of the middle 99 % of the training clips: level and spread [dB], and descriptors."""
        ranges = {}
        if "mel" in self.features:
            levels = mel_cache.levels(self.study, self.features["mel"]).loc[train["track_id"]]
            ranges["mel"] = dict(zip(levels.columns, _ends(levels.to_numpy()), strict=True))
        table = read_table(self.study, "descriptors", self.config.features)
        if table is not None:
            complete = table.reindex(train["track_id"]).dropna()
            if len(complete):
                ranges["descriptors"] = dict(zip(complete.columns, _ends(complete.to_numpy()), strict=True))
        return ranges


def _ends(values):
    """The ends of the middle 99 % of each column."""
    return [list(map(float, pair)) for pair in np.quantile(values, [0.005, 0.995], axis=0).T]


def last_date(times):
    """The last day of a column of ISO times; None where all are unknown."""
    dates = times.dropna()
    return str(dates.astype(str).max())[:10] if len(dates) else None


def fitted_on(tracks, scheme, target):
    """Identify the tracks that something is fitted on, with their sides, groups of artists and truth, and the target.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With the encoded target, `group`, and sides in the column `scheme`.
    scheme : str
        "side" for that of the config.
    target : hitsong.data.targets.Target

    Returns
    -------
    dict
        Equal exactly when the training and validation tracks, their sides, groups and truth are equal: groups decide
        the inner folds of baselines and the weights of ensembles.
    """
    fitted = _fitted(tracks, scheme)
    return {
        "tracks": len(fitted),
        "tracks_hash": content_hash(
            fitted["track_id"], fitted[scheme], fitted["group"], target.truth(fitted)
        ),
        "target": target.description(),
    }


def _fitted(tracks, scheme):
    return tracks[tracks[scheme].isin(["train", "validation"])].sort_values("track_id")


def content_hash(*arrays):
    """Hash arrays, columns or tables of numbers or text; 16 hexadecimal digits.

    Numbers are compared as float64, missing ones are equal to each other; the names of a table's columns count.
    """
    state = hashlib.sha256()
    for array in arrays:
        if isinstance(array, pd.DataFrame):
            state.update(repr(list(array.columns)).encode())
        values = np.asarray(array)
        if values.dtype.kind in "fiub":
            content = np.ascontiguousarray(np.where(np.isnan(values), np.nan, values), dtype="<f8").tobytes()
        else:
            content = "\x1f".join(map(str, values.ravel())).encode()
        state.update(f"{values.shape}{len(content)}".encode())
        state.update(content)
    return state.hexdigest()[:16]
