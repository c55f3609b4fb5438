"""The tracks of the study whose sound is nearest to a song's, and how popular they are.

They lie in the bundle (`neighbours.npz`), so that a copied model still has them. Titles are kept only of sources whose
terms let them be passed on: synthetic songs, FMA (CC BY 4.0) and ListenBrainz (CC0); not of Spotify or Deezer.
"""

import json
from dataclasses import dataclass

import numpy as np

from hitsong.features.kinds import parameters
from hitsong.files import replacing

FILE = "neighbours.npz"
FREE_SOURCES = ("synthetic", "fma", "listenbrainz")  # in names of sources of popularity
KINDS = ("embedding", "descriptors")  # the first that the study has is used
SHOWN = 5


def write_new_neighbours(folder, study, settings, tracks):
    """`write_neighbours`, for a bundle that has none."""
    if not (folder / FILE).exists():
        write_neighbours(folder, study, settings, tracks)


def write_neighbours(folder, study, settings, tracks):
    """Write the training and validation tracks of a study into a bundle, if they may be shown.

    Parameters
    ----------
    folder : pathlib.Path
        Of the bundle.
    study : hitsong.study.Study
    settings : hitsong.config.Features
    tracks : pandas.DataFrame
        With `track_id`, `side`, `name`, `artist_name`, `popularity` and `popularity_source`.

    Returns
    -------
    bool
        Whether there was something to write.
    """
    from hitsong.data.tables import read_table  # with pandas, which predictions do without

    free = tracks["popularity_source"].map(_is_free)
    candidates = tracks[free & tracks["side"].isin(["train", "validation"]) & tracks["popularity"].notna()]
    tables = ((kind, read_table(study, kind, settings)) for kind in KINDS)
    kind, table = next(((kind, table) for kind, table in tables if table is not None), (None, None))
    if table is None or candidates.empty:
        return False
    vectors = table.reindex(candidates["track_id"]).to_numpy(np.float32)
    complete = np.isfinite(vectors).all(axis=1)
    candidates, vectors = candidates[complete], vectors[complete]
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    deviation[deviation == 0] = 1
    with replacing(folder / FILE) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            kind=kind,
            parameters=json.dumps(parameters(kind, settings), sort_keys=True),
            mean=mean,
            deviation=deviation,
            vectors=((vectors - mean) / deviation).astype(np.float16),
            name=candidates["name"].fillna("").to_numpy(str),
            artist=candidates["artist_name"].fillna("").to_numpy(str),
            popularity=candidates["popularity"].to_numpy(float),
        )
    return True


@dataclass(frozen=True)
class Neighbours:
    """The tracks of a bundle, by their sound.

    Attributes
    ----------
    kind : str
        What sounds are compared by: "embedding" or "descriptors".
    mean, deviation : np.ndarray [shape=(k,)]
        That vectors are standardised by.
    vectors : np.ndarray [shape=(n, k), dtype=float32]
        Standardised.
    name, artist : np.ndarray [shape=(n,), dtype=str]
    popularity : np.ndarray [shape=(n,)]
        As the source gave it.
    """

    kind: str
    mean: np.ndarray
    deviation: np.ndarray
    vectors: np.ndarray
    name: np.ndarray
    artist: np.ndarray
    popularity: np.ndarray

    @classmethod
    def read(cls, folder, settings):
        """Those of a bundle; None if it has none, or if this code makes their features in another way."""
        if not (folder / FILE).exists():
            return None
        with np.load(folder / FILE, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        kind = str(arrays.pop("kind"))
        if str(arrays.pop("parameters")) != json.dumps(parameters(kind, settings), sort_keys=True):
            return None
        return cls(kind, **arrays | {"vectors": arrays["vectors"].astype(np.float32)})

    def nearest(self, vector, count=SHOWN):
        """The nearest tracks, by the Euclidean distance of standardised vectors.

        Parameters
        ----------
        vector : np.ndarray [shape=(k,)]
            Of a song, as the store holds it.
        count : int

        Returns
        -------
        list of dict
            `name`, `artist` and `popularity` of each, the nearest first.
        """
        distances = np.linalg.norm(self.vectors - (vector - self.mean) / self.deviation, axis=1)
        return [
            {
                "name": str(self.name[row]),
                "artist": str(self.artist[row]),
                "popularity": float(self.popularity[row]),
            }
            for row in np.argsort(distances, kind="stable")[:count]
        ]


def _is_free(source):
    """Whether tracks of a source of popularity may be passed on; one without a source may not."""
    return isinstance(source, str) and any(name in source for name in FREE_SOURCES)
