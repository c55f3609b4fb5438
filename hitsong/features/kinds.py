"""The table of feature kinds: how each is made, stored and named.

A new kind is an entry in `KINDS` and at most one file. Functions are named rather than imported, so that names and
parameters of kinds can be read without loading librosa.
"""

import importlib
from dataclasses import dataclass, field

from hitsong.config import Features, nearest
from hitsong.errors import UserError

LONGEST = {"seconds": 32}  # of longer files, only the middle is analysed


@dataclass(frozen=True)
class Kind:
    """A kind of feature.

    Attributes
    ----------
    maker : str
        `module.function` in this package: `(clip, section) -> array`, where `clip` is a `decode.Clip`.
    version : int
        Of the maker's code; raise it whenever the numbers change.
    label : str
        What the kind is called in text.
    unit : str
        Of the values; empty where columns name their own.
    section : str, optional
        The section of `features:` in the config that the maker takes.
    constants : dict
        Further parameters, passed to the maker by name.
    shape, columns : str, optional
        `module.function` of the section: the shape of an array, or the names of a row of numbers.
    dtype : str
    quantisation : str, optional
        `module.function` of the section: scale and offset of what is stored.
    patches : bool
        The maker gives patches for the auto-tagger, whose network turns them into the kind of this name.
    """

    maker: str
    version: int
    label: str
    unit: str = ""
    section: str | None = None
    constants: dict = field(default_factory=dict)
    shape: str | None = None
    columns: str | None = None
    dtype: str = "float32"
    quantisation: str | None = None
    patches: bool = False


KINDS = {
    "mel": Kind(
        "mel.compute", 1, "mel-spectrograms", "dB", section="mel",
        shape="mel.shape", dtype="uint8", quantisation="mel.quantisation",
    ),
    "mfcc": Kind("mfcc.compute", 1, "MFCCs", section="mfcc", shape="mfcc.shape"),
    "descriptors": Kind(
        "descriptors.compute", 4, "descriptors of the audio", constants=LONGEST, columns="descriptors.columns"
    ),
    "tags": Kind(
        "tags.compute", 1, "music tags", "score", section="tags", constants=LONGEST,
        columns="tags.columns", patches=True,
    ),
    "embedding": Kind(
        "tags.compute", 1, "musicnn's embedding", section="tags", constants=LONGEST,
        columns="tags.embedding_columns", patches=True,
    ),
}  # fmt: skip


def find(name, setting="features.kinds"):
    """Look up a kind by its name; UserError where there is none."""
    if name not in KINDS:
        raise UserError(f"{setting}: there is no kind of feature {name!r}{nearest(name, KINDS)}")
    return KINDS[name]


def check_config(config):
    """Refuse unknown kinds in a config, and kinds without columns where a table is needed."""
    for name in config.features.kinds:
        find(name)
    tables = [("baseline.inputs", name) for name in config.baseline.inputs or ()]
    for setting, name in [*tables, ("train.numeric", config.train.numeric)]:
        if name != "spotify" and find(name, setting).columns is None:
            raise UserError(f"{setting}: {name} is no table of named numbers")


def parameters(name, settings):
    """Everything besides the audio that decides a kind's values, for JSON."""
    kind = find(name)
    section = getattr(settings, kind.section).model_dump() if kind.section else {}
    return {**section, **kind.constants, "version": kind.version}


def specification(name, settings):
    """Describe how a kind is made and stored: `hitsong.features.store.Specification`."""
    from hitsong.features.store import Specification  # with pandas, which the service does without

    kind = find(name)
    section = getattr(settings, kind.section) if kind.section else None
    columns = tuple(_function(kind.columns)(section)) if kind.columns else None
    shape = (len(columns),) if columns else tuple(_function(kind.shape)(section))
    scale, offset = _function(kind.quantisation)(section) if kind.quantisation else (1.0, 0.0)
    return Specification(name, parameters(name, settings), shape, kind.dtype, scale, offset, columns)


def settings_of(made):
    """Rebuild the settings that features were made with.

    Parameters
    ----------
    made : dict of str to dict
        Parameters by kind, as `parameters` gave them.

    Returns
    -------
    hitsong.config.Features

    Raises
    ------
    UserError
        If a kind was made by another version of the code.
    """
    sections = {}
    for name, values in made.items():
        kind = find(name)
        if values.get("version") != kind.version:
            raise UserError(
                f"{name} features of version {values.get('version')} are needed, and this code makes version "
                f"{kind.version}; run: 03_features.py and what follows it"
            )
        if kind.section:
            names = values.keys() - kind.constants.keys() - {"version"}
            sections[kind.section] = {key: values[key] for key in names}
    return Features(kinds=list(made), **sections)


def products(names):
    """What workers compute for these kinds: the kinds themselves, or "patches" for the auto-tagger."""
    return list(dict.fromkeys("patches" if find(name).patches else name for name in names))


def make(product, clip, settings):
    """Make a product of a clip: an array as the store holds it, or the auto-tagger's patches.

    Parameters
    ----------
    product : str
        From `products`.
    """
    kind = KINDS["tags" if product == "patches" else product]
    section = (getattr(settings, kind.section),) if kind.section else (None,)
    return _function(kind.maker)(clip, *section, **kind.constants)


def _function(path):
    """A function by its `module.function` in this package."""
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(f"hitsong.features.{module}"), name)
