"""Tracks with their target and their side of the split, and their clips as models take them."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from hitsong.collect import deduplicate
from hitsong.config import AUDIO_FEATURES
from hitsong.data import leakage, splits, targets
from hitsong.data.examples import Examples, Input
from hitsong.data.targets import percentiles
from hitsong.errors import UserError
from hitsong.features.store import Feature, Store
from hitsong.files import digest, read_json
from hitsong.models import MODELS, Ensemble, in_order, recipe

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
    target : hitsong.data.targets.Target
        Fitted on the train side.
    counts : dict
        Tracks on each side of each scheme, and how many of the recordings were left out, why.

    Raises
    ------
    UserError
        If the split leaves nothing to train or test on, or no track has the target's audio features.
    """
    tracks = deduplicate.read(study.tracks)
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
    """What stands on two sides of each scheme: counts by scheme and check (see `hitsong.data.leakage`)."""
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
    target : hitsong.data.targets.Target
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


def heard(tracks, *features):
    """The tracks that have a clip in each of the features."""
    for feature in features:
        tracks = tracks[tracks["track_id"].isin(list(feature.rows))]
    return tracks


def inputs_of(name, study, config):
    """The inputs of a model: a probe takes what there is of its optional ones, an ensemble those of its members."""
    model = MODELS[name]
    if isinstance(model, Ensemble):
        return list(dict.fromkeys(kind for one in members(config) for kind in inputs_of(one, study, config)))
    optional = getattr(model, "optional", ())
    return [*model.inputs, *(kind for kind in optional if (study.features / f"{kind}.json").exists())]


def members(config):
    """What an ensemble is made of: the other models that are trained."""
    return [name for name in in_order(config.train.models) if not isinstance(MODELS[name], Ensemble)]


def hears(name, study, config):
    """Whether a model needs audio."""
    kinds = {config.train.numeric if kind == "numeric" else kind for kind in inputs_of(name, study, config)}
    return kinds != {"spotify"}


class Corpus:
    """The tracks of a study as its models take them.

    Parameters
    ----------
    study : hitsong.study.Study
    config : hitsong.config.Config
    tracks : pandas.DataFrame
        As `labelled` gives them.
    target : hitsong.data.targets.Target
    names : sequence of str
        The models; only tracks that all of them can hear are kept, so that all are measured on the same.

    Raises
    ------
    UserError
        If a feature that a model needs is not there, or was made with other settings.
    """

    def __init__(self, study, config, tracks, target, names):
        self.study, self.config, self.target = study, config, target
        wanted = dict.fromkeys(kind for name in names for kind in inputs_of(name, study, config))
        self.features = {kind: self._open(kind, tracks) for kind in wanted}
        self.tracks = heard(tracks, *self.features.values()).reset_index(drop=True)
        fitted = self.tracks[self.tracks["side"].isin(["train", "validation"])].sort_values("track_id")
        truth = target.truth(fitted).tolist()
        clips = [list(row) for row in zip(fitted["track_id"], fitted["side"], truth, strict=True)]
        self._clips = {"count": len(clips), "hash": digest(clips)}

    def _open(self, name, tracks):
        """A feature by the name of the input."""
        kind = self.config.train.numeric if name == "numeric" else name
        if kind != "spotify":
            settings = self.config.features
            made_with = {
                "tags": settings.tags,
                "embedding": settings.tags,
                "mel": settings.mel,
                "mfcc": settings.mfcc,
            }
            parameters = made_with[kind].model_dump() if kind in made_with else None
            return Store(self.study.features).read(kind, parameters)
        table = _spotify(tracks, self.config, self.target)
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

    def examples(self, name, tracks):
        """The inputs of a model for some of the tracks, with their targets.

        Returns
        -------
        hitsong.data.examples.Examples
        """
        ids = tracks["track_id"]
        inputs = {
            kind: Input(feature.array, ids.map(feature.rows).to_numpy(int), feature.specification)
            for kind, feature in (
                (kind, self.features[kind]) for kind in inputs_of(name, self.study, self.config)
            )
        }
        truth = self.target.truth(tracks).astype("float32")
        return Examples(ids.to_numpy(str), inputs, truth, tracks["group"].to_numpy())

    def side(self, name, side):
        """The inputs of a model for a side of the split."""
        return self.examples(name, self.tracks[self.tracks["side"] == side])

    def recipe(self, name, number=1):
        """How a model is trained, with the parameters that a search has found."""
        found = self.study.tuning / f"{name}.json"
        tuned = read_json(found)["parameters"] if found.exists() else None
        return recipe(name, self.config, number, tuned)

    def parts(self, name):
        """The models that a model is built from."""
        return (
            members(self.config)
            if isinstance(MODELS[name], Ensemble)
            else list(getattr(MODELS[name], "parts", ()))
        )

    def fingerprint(self, name, number=1):
        """All that a fit depends on, as JSON can hold it."""
        made, inputs = self.recipe(name, number), inputs_of(name, self.study, self.config)
        return {
            "model": name,
            "recipe": None if made is None else asdict(made),
            "inputs": {kind: self.features[kind].specification for kind in inputs},
            "target": self.target.description(),
            "scheme": self.config.split.scheme,
            "clips": self._clips,
            "parts": {part: digest(self.fingerprint(part, number)) for part in self.parts(name)},
        }

    def about(self):
        """What a bundle says of its data: study, popularity, tracks, and the range of what was heard."""
        tracks = self.tracks
        train = tracks[tracks["side"] == "train"]
        popularity = None if self.target.kind == "audio_features" else tracks["popularity"].to_numpy(float)
        if self.target.kind == "popularity":
            popularity = self.target.truth(tracks)
        return {
            "study": self.config.study,
            "synthetic": self.study.planted.exists(),
            "popularity_source": tracks["popularity_source"].iat[0],
            "fetched": str(tracks["fetched_at"].astype(str).max())[:10],
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
        """Between what ends 99 % of the training clips lie: level and spread [dB], and descriptors."""
        seen = {}
        if "mel" in self.features:
            feature = self.features["mel"]
            rows = train["track_id"].map(feature.rows).to_numpy(int)
            scale, offset = feature.specification["scale"], feature.specification["offset"]
            moments = [
                (feature.array[row].mean() * scale + offset, feature.array[row].std() * scale) for row in rows
            ]
            seen["mel"] = dict(zip(("level", "spread"), _ends(np.array(moments)), strict=True))
        table = tabular(self.study, "descriptors")
        if table is not None:
            known = table.reindex(train["track_id"]).dropna()
            if len(known):
                seen["descriptors"] = dict(zip(known.columns, _ends(known.to_numpy()), strict=True))
        return seen


def _ends(values):
    """The ends of the middle 99 % of each column."""
    return [list(map(float, pair)) for pair in np.quantile(values, [0.005, 0.995], axis=0).T]
