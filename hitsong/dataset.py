"""Tracks with their target and their side of the split, and their clips as models take them."""

import pandas as pd

from hitsong import recordings, splits, targets
from hitsong.features.store import Store
from hitsong.files import digest


def labelled(study, config):
    """The study's tracks that have a popularity, with target, group and side.

    Makes and freezes the splits if no stage has done so before.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config

    Returns
    -------
    tracks : pandas.DataFrame
        The columns of `tracks.parquet` and, by `track_id`: `group` (of artists), a column per split scheme,
        `side` (train, validation, test or excluded, under the config's scheme) and `y`.
    target : hitsong.targets.Target
        Fitted on the train side.
    counts : dict
        Tracks on each side of each scheme.
    """
    tracks = recordings.read(study.tracks)
    if study.downloads.exists():  # what only its audio gave away as a copy
        downloads = pd.read_parquet(study.downloads, columns=["track_id", "status"])
        copies = downloads.loc[downloads["status"] == "duplicate", "track_id"]
        tracks = tracks[~tracks["track_id"].isin(copies)]
    table, counts = splits.load_or_make(study.splits, tracks, "popularity", config.split, config.seed)
    splits.require(table, config.split.scheme)
    tracks = tracks.merge(table, on="track_id", validate="one_to_one")
    tracks["side"] = tracks[config.split.scheme]
    target = targets.fit(config.target, tracks.loc[tracks["side"] == "train", "popularity"])
    tracks["y"] = target.encode(tracks["popularity"])
    return tracks, target, counts


def has_audio(study):
    """Whether any of the study's tracks comes with a preview or an audio file; a table of numbers does not.

    Without `tracks.parquet` the answer is yes: the stage that asks will say what is missing.
    """
    if not study.tracks.exists():
        return True
    return bool(pd.read_parquet(study.tracks, columns=["preview_url", "audio_path"]).notna().any(axis=None))


def mels(study, config):
    """The study's stored mel-spectrograms, if they are the ones that the config asks for."""
    return Store(study.features).read("mel", config.features.mel.model_dump())


def heard(tracks, feature):
    """The tracks that have a clip in the store."""
    return tracks[tracks["track_id"].isin(list(feature.rows))]


def examples(tracks, feature):
    """Clips with their targets, for fitting or predicting.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `track_id` and `y`; all of them `heard`.
    feature : hitsong.features.store.Feature

    Returns
    -------
    hitsong.training.Examples
    """
    from hitsong.training import Examples  # TensorFlow takes seconds

    return Examples(
        tracks["track_id"].to_numpy(str),
        feature.array,
        tracks["track_id"].map(feature.rows).to_numpy(int),
        feature.specification["scale"],
        feature.specification["offset"],
        tracks["y"].to_numpy("float32"),
    )


def fingerprint(tracks, feature, target, config):
    """All that a fit depends on but the model itself, as JSON can hold it."""
    fitted = tracks[tracks["side"].isin(["train", "validation"])].sort_values("track_id")
    clips = [[row.track_id, row.side, float(row.y)] for row in fitted.itertuples()]
    return {
        "features": feature.specification,
        "target": target.description(),
        "scheme": config.split.scheme,
        "clips": {"count": len(clips), "hash": digest(clips)},
        "train": config.train.model_dump(exclude={"models"}),
    }
