"""A small study with trained models, whose songs' brightness decides their popularity: for predict and service."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from hitsong.config import Compute, Config
from hitsong.data.corpus import Corpus
from hitsong.data.tracks import with_target
from hitsong.features.extract import extract
from hitsong.features.store import Store
from hitsong.files import sha256
from hitsong.predict.neighbours import write_neighbours
from hitsong.study import Study
from hitsong.training import bundle, recipe
from hitsong.training import fit as training

RATE, SECONDS, CLIPS = 22050, 6.0, 45
TARGETS = {
    "popularity": {"kind": "popularity"},
    "popular": {"kind": "popular"},
    "buckets": {"kind": "buckets"},
    "audio_features": {"kind": "audio_features", "features": ["energy", "danceability"]},
}


@cache
def small_study():
    """Config and tracks of the study; its features are made by stage 03's functions, `inception` by 05's."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    config = Config(
        study="planted",
        data=str(folder),
        features={
            "kinds": ["mel", "descriptors", "tags"],
            "mel": {"n_mels": 32, "n_fft": 1024, "hop_length": 1024, "seconds": SECONDS},
        },
        train={"models": ["inception", "numeric_mlp"], "epochs": 2, "numeric": "descriptors"},
        compute={"workers": 1},
    )
    study, rng = Study.of(config), np.random.default_rng(5)
    study.previews.mkdir(parents=True)
    brightness = rng.normal(size=CLIPS)
    ids = [f"track-{number:02}" for number in range(CLIPS)]
    for track_id, level in zip(ids, brightness, strict=True):
        soundfile.write(study.previews / f"{track_id}.wav", _song(rng, level), RATE, subtype="FLOAT")
    tracks = pd.DataFrame(
        {
            "track_id": ids, "name": [f"Song {number}" for number in range(CLIPS)], "artist_name": "Planted & Sons",
            "path": [f"previews/{track_id}.wav" for track_id in ids],
            "popularity": np.round(30 + 10 * brightness + 3 * rng.normal(size=CLIPS)).clip(0, 100),
            "energy": 1 / (1 + np.exp(-brightness)), "danceability": rng.uniform(size=CLIPS),
            "popularity_source": "synthetic songs", "fetched_at": "2026-02-03T04:05:06", "licence": None,
            "group": np.arange(CLIPS) // 3,
            "side": np.repeat(["train", "validation", "test"], CLIPS // 3),
        }
    )  # fmt: skip
    tracks.to_parquet(study.tracks)
    store = Store(study.features)
    store.extend(tracks.assign(sha256=[sha256(study.folder / path) for path in tracks["path"]]))
    extract(store, config.features, study.folder, Compute(workers=1))
    _fit(study, config, tracks, "inception", study.models / "inception")
    write_neighbours(study.models / "inception", study, config.features, tracks)
    return config, tracks


@cache
def bundle_of(kind):
    """A trained model of a kind of target: of mel and tags for popularity, of descriptors for the others."""
    config, tracks = small_study()
    study = Study.of(config)
    if kind == "popularity":
        return bundle.load(study.models / "inception")
    folder = study.folder / "others" / kind
    _fit(study, with_kind(config, kind), tracks, "numeric_mlp", folder)
    return bundle.load(folder)


def with_kind(config, kind):
    """The config with another kind of target."""
    return config.model_copy(update={"target": type(config.target)(**TARGETS[kind])})


def examples(kind, side):
    """A side's tracks as the model of a kind of target takes them."""
    config, tracks = small_study()
    name = bundle_of(kind).info["name"]
    config = with_kind(config, kind)
    study = Study.of(config)
    return _corpus(study, config, tracks, name).side(recipe.inputs_of(name, study, config), side)


def _corpus(study, config, tracks, name):
    labelled, target = with_target(tracks, tracks["side"] == "train", config)
    return Corpus(study, config, labelled, target, recipe.inputs_of_all([name], study, config))


def _fit(study, config, tracks, name, folder):
    """As stage 05."""
    corpus = _corpus(study, config, tracks, name)
    kinds = recipe.inputs_of(name, study, config)
    training.fit(
        folder, name, corpus.side(kinds, "train"), corpus.side(kinds, "validation"), target=corpus.target,
        recipe=recipe.tuned_recipe(corpus, name), fingerprint=recipe.fingerprint(corpus, name),
        about=corpus.about() | {"collected_from": "planted songs"},
    )  # fmt: skip


def _song(rng, brightness):
    """Noise under a chord."""
    times = np.arange(int(SECONDS * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * hz * times) for hz in rng.choice([220, 262, 330, 392], 3, replace=False))
    hiss = np.diff(rng.normal(size=len(times) + 1))
    return (0.05 * chord + 0.02 * np.exp(0.5 * brightness) * hiss).astype(np.float32)
