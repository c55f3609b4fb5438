"""Tracks with their target and their side of the split, and their clips as models take them."""

import numpy as np
import pandas as pd

from hitsong import leakage, recordings, splits, targets
from hitsong.config import AUDIO_FEATURES
from hitsong.errors import UserError
from hitsong.features.store import Store
from hitsong.files import digest

INPUTS = ["spotify", "descriptors", "tags", "embedding"]


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
        `side` (train, validation, test or excluded, under the config's scheme) and the encoded target
        (the columns `target.encoded`: `y`, or one for each audio feature).
    target : hitsong.targets.Target
        Fitted on the train side.
    counts : dict
        Tracks on each side of each scheme, and how many of the recordings were left out, why.

    Raises
    ------
    UserError
        If the split leaves nothing to train or test on, or no track has the target's audio features.
    """
    tracks = recordings.read(study.tracks)
    collected = len(tracks)
    if study.downloads.exists():  # what only its audio gave away as a copy
        downloads = pd.read_parquet(study.downloads, columns=["track_id", "status"])
        copies = downloads.loc[downloads["status"] == "duplicate", "track_id"]
        tracks = tracks[~tracks["track_id"].isin(copies)]
    distinct = len(tracks)
    # Divided by popularity whatever the target, so that all targets of a study share their test tracks.
    table, counts = splits.load_or_make(study.splits, tracks, "popularity", config.split, config.seed)
    splits.require(table, config.split.scheme)
    tracks = tracks.merge(table, on="track_id", validate="one_to_one")
    if config.target.kind == "audio_features":
        there = tracks[config.target.features].notna().all(axis=1)
        counts["without_features"] = int((~there).sum())
        tracks = tracks[there].reset_index(drop=True)
        if tracks.empty:
            raise UserError(
                f"target.features: no track has all of {', '.join(config.target.features)}; this source gives none"
            )
        splits.require(tracks, config.split.scheme)
    tracks["side"] = tracks[config.split.scheme]
    counts |= {"recordings": collected, "same_audio": collected - distinct}
    return *labelled_by(tracks, tracks["side"] == "train", config), counts


def labelled_by(tracks, train, config):
    """Fit the target on the tracks that `train` marks, and encode it for all: tracks, target."""
    columns = config.target.features if config.target.kind == "audio_features" else "popularity"
    target = targets.fit(config.target, tracks.loc[train, columns])
    return target.write(tracks), target


def schemes(tracks):
    """The split schemes that tracks have sides of, the scheme of `side` included."""
    return [name for name in ("artist", "random", "time", "own") if name in tracks]


def leaks(study, tracks):
    """What stands on two sides of each scheme: counts by scheme and check (see `hitsong.leakage`)."""
    hashes = near = None
    if study.downloads.exists():
        downloads = pd.read_parquet(study.downloads, columns=["track_id", "sha256"])
        hashes = downloads.dropna().drop_duplicates("track_id").set_index("track_id")["sha256"]
    if (study.features / "mel.json").exists():
        mel = Store(study.features).read("mel")
        known = heard(tracks, mel)["track_id"]
        vectors = leakage.fingerprints(
            mel.array, known.map(mel.rows).to_numpy(int), mel.specification["scale"]
        )
        near = leakage.near_duplicates(known, vectors)
    by_id = tracks.set_index("track_id")
    return {scheme: leakage.check(tracks, by_id[scheme], hashes, near) for scheme in schemes(tracks)}


def tabular(study, kind):
    """A kind of feature that is one row of named numbers per clip, as a table.

    Parameters
    ----------
    study : hitsong.study.Study
    kind : str
        "descriptors", "tags" or "embedding": those whose `<kind>.json` lists `columns`.

    Returns
    -------
    pandas.DataFrame [dtype=float64] or None
        Indexed by track_id, a row for each clip that could be heard; None if there is no such kind.
    """
    if not (study.features / f"{kind}.json").exists():
        return None
    feature = Store(study.features).read(kind)
    rows = pd.Series(feature.rows, dtype=int)
    rows = rows[rows < len(feature.array)]  # clips that came after this kind was made have none
    values = np.asarray(feature.array[rows.to_numpy()], dtype=float)
    index = pd.Index(rows.index, name="track_id")
    return pd.DataFrame(values, index=index, columns=feature.specification["columns"])


def inputs(study, config, tracks, target):
    """What baselines can be fitted on: a table of named numbers for each kind of input.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
        `baseline.inputs` (those that are there, if not given) and `baseline.controls`.
    tracks : pandas.DataFrame
    target : hitsong.targets.Target
        Its own columns are no input.

    Returns
    -------
    dict of str to pandas.DataFrame
        By kind, the controls last, each indexed by track_id in the order of `tracks`, NaN where a value is
        missing.

    Raises
    ------
    UserError
        If an input that the config names is not there, or there is none at all.
    """
    index = pd.Index(tracks["track_id"], name="track_id")
    wanted = config.baseline.inputs
    found = {}
    for kind in wanted or INPUTS:
        table = _spotify(tracks, config, target) if kind == "spotify" else tabular(study, kind)
        if table is not None:
            found[kind] = table.reindex(index)
        elif wanted:
            advice = (
                "this source gives none"
                if kind == "spotify"
                else "add it to features.kinds and run 03_features.py"
            )
            raise UserError(f"baseline.inputs {kind}: there is no such input; {advice}")
    if not wanted and len(found) > 1 and not set(found.get("spotify", ())) & set(AUDIO_FEATURES):
        found.pop("spotify", None)  # a duration says little beside features of the sound
    if not found:
        raise UserError(
            "baseline: these tracks have nothing to fit on; run: python 03_features.py with descriptors"
        )
    if "age" in config.baseline.controls and (age := _age(tracks)).notna().any():
        found["age"] = pd.DataFrame({"age": age.to_numpy()}, index=index)
    if "artist" in config.baseline.controls:
        found["artist"] = pd.DataFrame({"artist_id": tracks["artist_id"].to_numpy()}, index=index)
    return found


def _spotify(tracks, config, target):
    """The audio features that tracks have, or None."""
    names = [name for name in config.baseline.features if name not in target.columns]
    names = [name for name in names if tracks[name].notna().any()]
    if not names:
        return None
    values = tracks[names].to_numpy(float, na_value=np.nan)
    return pd.DataFrame(values, index=pd.Index(tracks["track_id"], name="track_id"), columns=names)


def _age(tracks):
    """Years between release and the reading of popularity, NaN where the release is unknown."""

    def years(dates):
        parts = dates.astype("str").str.extract(r"^(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?").astype(float)
        return parts[0].where(parts[0] > 0) + (parts[1].fillna(7) - 1) / 12 + (parts[2].fillna(1) - 1) / 365

    return years(tracks["fetched_at"]) - years(tracks["release_date"])


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


def examples(tracks, feature, target):
    """Clips with their targets, for fitting or predicting.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `track_id` and the encoded target; all of them `heard`.
    feature : hitsong.features.store.Feature
    target : hitsong.targets.Target

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
        target.truth(tracks).astype("float32"),
    )


def fingerprint(tracks, feature, target, config):
    """All that a fit depends on but the model itself, as JSON can hold it."""
    fitted = tracks[tracks["side"].isin(["train", "validation"])].sort_values("track_id")
    truth = target.truth(fitted).tolist()
    clips = [list(row) for row in zip(fitted["track_id"], fitted["side"], truth, strict=True)]
    return {
        "features": feature.specification,
        "target": target.description(),
        "scheme": config.split.scheme,
        "clips": {"count": len(clips), "hash": digest(clips)},
        "train": config.train.model_dump(exclude={"models"}),
    }
