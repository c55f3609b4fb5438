"""What a run is: the typed content of `config.yaml`.

Every setting has its type, its bounds and its default here, and nowhere else. A file only says what
differs. A misspelt key, a wrong type or an impossible value is refused with the key's path.
"""

import difflib
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hitsong.errors import UserError


def _as_text(value):
    """Numbers and dates as YAML reads them (`years: 2021`, `study: 2024`), as the text that stands in the file."""
    return str(value) if type(value) is int or isinstance(value, date) else value


def _matching(pattern, description):
    """Text of a given form, refused with a description of it."""

    def check(text):
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {description}")
        return text

    return Annotated[str, BeforeValidator(_as_text), AfterValidator(check)]


Text = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]

# Spotify's audio features, in its own names and order of documentation.
AUDIO_FEATURES = [
    "danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness",
    "instrumentalness", "liveness", "valence", "tempo", "time_signature",
]  # fmt: skip


# Pydantic's messages in the words of a YAML file, and its names for the types of a setting.
_WORDS = {
    "^(Input|String|List) should be a valid dictionary.*": "must be a section of `key: value` lines",
    "^(Input|String|List|Value) should": "must", "a valid string": "text", "a valid (integer|number|list)": r"a \1",
    "a integer": "a whole number", "a list$": "a list [a, b]", "a valid boolean": "true or false",
    "have at least 1 (character|item).*": "not be empty", " after validation.*": "",
}  # fmt: skip
_TYPE_NAME = re.compile(r"(function-|literal\[|list\[|constrained-|str$|int$|float$|bool$)")


class Section(BaseModel):
    """A part of the config: immutable, strict about types, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Shares(Section):
    """How much of a stand-in song's popularity (variance) comes from what."""

    artist: Share = 0.40
    audio: Share = 0.25
    noise: Share = 0.35

    @model_validator(mode="after")
    def _sum_to_one(self):
        total = self.artist + self.audio + self.noise
        if abs(total - 1) > 1e-6:
            raise ValueError(f"artist + audio + noise must be 1, not {total:g}")
        return self


class Fault(Section):
    """One thing that goes wrong at the stand-in: requests `at` to `at + times - 1` (those whose path holds `path`)."""

    kind: Literal[
        "rate_limit", "rate_limit_text", "rate_limit_long", "quota",
        "server_error", "empty_body", "not_json", "expired_token", "dropped", "slow", "null_items",
        "truncated_audio", "html_audio", "expired_preview",
    ]  # fmt: skip
    at: Positive = 1
    times: Positive = 1
    path: str = ""


class Standin(Section):
    """The synthetic services on loopback: what kind of app they take us for, their catalogue, their faults."""

    profile: Literal["extended", "dev_old", "dev_new", "no_premium"] = "extended"
    faults: list[Fault] = []
    artists: Annotated[int, Field(ge=4)] = 60
    recordings: Annotated[int, Field(ge=12)] = 450
    seconds: Annotated[float, Field(ge=1, le=60)] = 30.0
    seed: Seed = 1
    shares: Shares = Shares()


# The columns of a table of tracks that have a meaning here.
TABLE_COLUMNS = [
    "track_id", "name", "artist_name", "artist_id", "artist_ids", "album_id", "album_name", "album_type",
    "release_date", "duration_ms", "explicit", "isrc", "preview_url", "audio_path", "genre", "licence", "split",
    "popularity", "read_at", *AUDIO_FEATURES,
]  # fmt: skip


class Table(Section):
    """A table of tracks: which of its columns is what, and how cells are written.

    `columns` maps names of `TABLE_COLUMNS` to the table's; a column that has such a name needs no line.
    `artist_separator` (one, or several) divides the artists of a cell; without it, lists and ";" are recognised.
    `decimal` and `date_format` (as `datetime.strptime` has it) are needed only where the table is ambiguous.
    `read_at` is the day popularity was read at its source, if no column says so. Audio files are looked for in
    `audio_root`, or else beside the table.
    """

    path: str
    columns: dict[str, str] = {}
    artist_separator: (
        Annotated[str, Field(min_length=1)] | list[Annotated[str, Field(min_length=1)]] | None
    ) = None
    decimal: Literal[".", ","] | None = None
    date_format: _matching(".*%[Yy].*", "a format as strptime has it, for example '%d/%m/%Y'") | None = None
    encoding: str | None = None
    audio_root: str | None = None
    popularity_source: Annotated[str, Field(min_length=1)] = "table"
    read_at: _matching(r"\d{4}(-\d\d){0,2}", "a date as 2024-03-01, 2024-03 or 2024") | None = None

    @model_validator(mode="after")
    def _known_columns(self):
        for name in self.columns:
            if name not in TABLE_COLUMNS:
                raise ValueError(f"columns: no column is called {name!r} here{nearest(name, TABLE_COLUMNS)}")
        return self

    @property
    def separators(self):
        """The separators as a list; None if they are to be recognised."""
        return [self.artist_separator] if isinstance(self.artist_separator, str) else self.artist_separator


class Collect(Section):
    """Where tracks come from."""

    source: Literal["spotify", "deezer", "fma", "table"] = "spotify"
    api: Literal["standin", "live"] = "standin"

    # Spotify and Deezer: what to look for
    strategy: Literal["artists", "search", "ids", "playlist"] = "artists"
    genre: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)] = "mandopop"
    per_genre: Positive | None = None
    years: _matching(r"\d{4}(-\d{4})?", "a year or a range of years, such as 2019 or 2019-2021") | None = None
    album_types: Annotated[list[Literal["album", "single", "compilation"]], Field(min_length=1)] = [
        "album",
        "single",
    ]
    market: _matching("[A-Z]{2}", "a country's two capital letters, such as TW") | None = None
    artists_file: str | None = None
    ids_file: str | None = None
    playlist: Text | None = None

    # Spotify and Deezer: how to ask
    gap_s: Annotated[float, Field(ge=0)] = 0.1
    longest_wait_s: Annotated[float, Field(ge=0)] = 60.0
    request_budget: Positive = 20_000

    # FMA and tables: where they lie
    root: str | None = None
    subset: Literal["small", "medium", "large"] | None = None
    popularity: Literal["listens", "listens_per_month"] = "listens"
    table: Table | None = None

    @property
    def genres(self):
        """The genres as a list."""
        return [self.genre] if isinstance(self.genre, str) else self.genre

    @model_validator(mode="after")
    def _complete(self):
        needed = {
            "fma": (self.root, "collect.root, the folder that holds fma_metadata/"),
            "table": (self.table, "collect.table.path, a CSV or Parquet file"),
        }
        value, what = needed.get(self.source, (True, ""))
        if value is None:
            raise ValueError(f"source {self.source} needs {what}")
        if self.source == "spotify":
            needed = {"ids": ("ids_file", self.ids_file), "playlist": ("playlist", self.playlist)}
            name, value = needed.get(self.strategy, ("", True))
            if value is None:
                raise ValueError(f"strategy {self.strategy} needs collect.{name}")
        if self.per_genre and (self.source, self.strategy) != ("spotify", "search"):
            raise ValueError("per_genre belongs to source spotify with strategy search")
        if self.years and len(years := self.years.split("-")) == 2 and years[0] > years[1]:
            raise ValueError(f"years {self.years} run backwards")
        return self


class Download(Section):
    """How previews are fetched, and what counts as one."""

    workers: Annotated[int, Field(gt=0, le=64)] = 8
    timeout_s: Annotated[float, Field(gt=0)] = 20.0
    attempts: Positive = 3
    gap_s: Annotated[float, Field(ge=0)] = 0.0
    longest_wait_s: Annotated[float, Field(ge=0)] = 60.0
    min_seconds: Annotated[float, Field(ge=0)] = 5.0


class Mel(Section):
    """Mel-spectrogram parameters; the default is study 1's (22,050 Hz, 128 x 323 for 30 s)."""

    sample_rate: Annotated[int, Field(ge=4000, le=96000)] = 22050
    n_fft: Annotated[int, Field(ge=64)] = 4096
    hop_length: Positive = 2048
    n_mels: Positive = 128
    fmin: Annotated[float, Field(ge=0)] = 0.0
    fmax: Annotated[float, Field(gt=0)] | None = None
    htk: bool = False
    seconds: Annotated[float, Field(gt=0)] = 30.0

    @model_validator(mode="after")
    def _bounds(self):
        nyquist = self.sample_rate / 2
        top = nyquist if self.fmax is None else self.fmax
        if top > nyquist:
            raise ValueError(f"fmax {top:g} Hz lies above half the sample rate ({nyquist:g} Hz)")
        if self.fmin >= top:
            raise ValueError(f"fmin {self.fmin:g} Hz must lie below fmax ({top:g} Hz)")
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"hop_length {self.hop_length} skips samples: it must not exceed n_fft {self.n_fft}"
            )
        return self


class Mfcc(Section):
    """MFCC parameters; the default is study 4's (44,100 Hz, 20 coefficients of 256 HTK mels, 160 frames)."""

    sample_rate: Annotated[int, Field(ge=4000, le=96000)] = 44100
    n_mfcc: Positive = 20
    n_fft: Annotated[int, Field(ge=64)] = 4096
    hop_length: Positive = 8192
    n_mels: Positive = 256
    htk: bool = True
    frames: Positive = 160

    @model_validator(mode="after")
    def _bounds(self):
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc {self.n_mfcc} must not exceed n_mels {self.n_mels}")
        return self


class Tags(Section):
    """Which auto-tagger: musicnn trained on MagnaTagATune (MTT) or on the Million Song Dataset (MSD)."""

    model: Literal["MTT_musicnn", "MSD_musicnn"] = "MTT_musicnn"


class Features(Section):
    """What is extracted from each clip: which kinds (see hitsong/features/kinds.py), and how."""

    kinds: Annotated[list[str], Field(min_length=1)] = ["mel"]
    mel: Mel = Mel()
    mfcc: Mfcc = Mfcc()
    tags: Tags = Tags()


class Split(Section):
    """Shares of the tracks, and the scheme behind the headline results."""

    scheme: Literal["artist", "random", "own"] = "artist"
    train: Share = 0.65
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    test: Annotated[float, Field(gt=0, lt=1)] = 0.20

    @model_validator(mode="after")
    def _sum_to_one(self):
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


class Target(Section):
    """What is predicted: a track's popularity, whether it is popular, its bucket, or its audio features.

    `threshold` and `quantile` (of the training tracks, instead of a threshold) belong to "popular"; `labels`,
    lowest first, with `shares` (of the training tracks) or `edges` to "buckets"; `features` to
    "audio_features"; `transform` to "popularity".
    """

    kind: Literal["popularity", "popular", "buckets", "audio_features"] = "popularity"
    transform: Literal["log1p", "percentile"] | None = None
    threshold: float | Literal["median"] = "median"
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    labels: Annotated[list[str], Field(min_length=2)] = ["low", "medium", "high"]
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = [0.168, 0.467, 0.365]
    edges: list[float] | None = None
    features: Annotated[list[str], Field(min_length=1)] = [
        "danceability", "energy", "speechiness", "acousticness", "instrumentalness",
    ]  # fmt: skip

    @model_validator(mode="after")
    def _consistent(self):
        if self.transform and self.kind != "popularity":
            raise ValueError(f"transform belongs to kind popularity, not {self.kind}")
        if self.quantile is not None and self.threshold != "median":
            raise ValueError("give threshold or quantile, not both")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels must differ: {', '.join(self.labels)}")
        if self.edges is None:
            if len(self.shares) != len(self.labels) or abs(sum(self.shares) - 1) > 1e-6:
                raise ValueError(f"shares must be {len(self.labels)} numbers, one per label, that sum to 1")
        elif len(self.edges) != len(self.labels) - 1 or sorted(set(self.edges)) != self.edges:
            raise ValueError(f"edges must be {len(self.labels) - 1} rising numbers, one between labels")
        for name in self.features:
            if name not in AUDIO_FEATURES:
                raise ValueError(f"no audio feature is called {name!r}{nearest(name, AUDIO_FEATURES)}")
        if len(set(self.features)) < len(self.features):
            raise ValueError("features must differ")
        return self


class Baseline(Section):
    """What networks are compared with; `features` and `alphas` as study 1 had them.

    Each of `models` (ridge is logistic regression for classes; trees are gradient-boosted) on each of
    `inputs` (all that are there, if not given; `spotify` means `features`). `controls` show what release age
    and the artist's name alone would tell.
    """

    models: Annotated[list[Literal["ridge", "trees"]], Field(min_length=1)] = ["ridge", "trees"]
    inputs: Annotated[list[str], Field(min_length=1)] | None = None
    controls: list[Literal["age", "artist"]] = ["age", "artist"]

    features: Annotated[list[str], Field(min_length=1)] = [
        "danceability", "energy", "loudness", "speechiness", "acousticness",
        "instrumentalness", "liveness", "valence", "tempo", "duration_ms",
    ]  # fmt: skip
    alphas: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [
        0.1,
        1.0,
        10.0,
        100.0,
        1000.0,
    ]
    folds: Annotated[int, Field(ge=2)] = 5

    @model_validator(mode="after")
    def _known_features(self):
        known = [*AUDIO_FEATURES, "duration_ms"]
        for name in self.features:
            if name not in known:
                raise ValueError(f"no audio feature is called {name!r}{nearest(name, known)}")
        return self


class Train(Section):
    """Which models are fitted, and how; what is not given is as in each model's own recipe.

    `loss` replaces the target's own, `numeric` is the table that models of "numeric" inputs take. `balance`
    weighs tracks so that rare popularity counts as much as frequent. `parameters` maps a model's name to its
    hyper-parameters. `seeds` fits each model that often and averages its results.
    """

    models: list[str] = ["inception_cnn", "crnn"]
    epochs: Positive | None = None
    patience: Positive = 10
    batch_size: Positive | None = None
    seed: Seed = 1
    seeds: Positive = 1
    numeric: str = "spotify"

    loss: Literal["huber", "ranking", "ordinal"] | None = None
    schedule: Literal["constant", "shrinking", "cosine"] | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    spec_augment: bool = False
    mixup: Annotated[float, Field(ge=0)] = 0.0
    crop_seconds: Annotated[float, Field(gt=0)] | None = None
    balance: bool = False
    parameters: dict[str, dict[str, bool | int | float | str | None]] = {}

    mixed_precision: bool = False
    tensorboard: bool = False


class Evaluate(Section):
    """How results are measured."""

    draws: Annotated[int, Field(ge=100)] = 1000


class Compute(Section):
    """What does the work: processes on this machine (-1 is one per core), or a Dask scheduler's workers."""

    workers: Annotated[int, Field(ge=-1)] = -1
    scheduler: str | None = None


class Config(Section):
    """One run: the whole of `config.yaml`."""

    study: _matching("[A-Za-z0-9][A-Za-z0-9._-]*", "a folder's name of letters, digits, '.', '_' and '-'") = (
        "demo"
    )
    seed: Seed = 1
    data: str = "data"
    collect: Collect = Collect()
    standin: Standin = Standin()
    download: Download = Download()
    features: Features = Features()
    split: Split = Split()
    target: Target = Target()
    baseline: Baseline = Baseline()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    compute: Compute = Compute()

    @model_validator(mode="before")
    @classmethod
    def _rank_as_percentile(cls, content):
        """Deezer's rank (0 to a million, far from linear) is predicted as a percentile, unless the file says how."""
        match content:
            case {"collect": {"source": "deezer"}}:
                target = content.get("target", {})
                if isinstance(target, dict) and target.get("kind", "popularity") == "popularity":
                    return {**content, "target": {"transform": "percentile", **target}}
        return content


def load(path, overrides=()):
    """Read a config file and apply `key.path=value` overrides.

    Raises
    ------
    UserError
        If the file cannot be read, or a key or value is not one of ours: every fault on its own
        line, with the key's path and the nearest right name.
    """
    path = Path(path)
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such config file; the presets are in configs/") from None
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected `key: value` lines, found {type(content).__name__}")
    for override in overrides:
        _apply(content, override)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in _explain(error.errors()))) from None


def parse(text):
    """Parse YAML 1.2."""
    return YAML(typ="safe", pure=True).load(text)


def nearest(name, known):
    """Say which known name was probably meant: ` - did you mean ...?`, or nothing."""
    match = difflib.get_close_matches(str(name), known, n=1)
    return f" - did you mean {match[0]!r}?" if match else f"; known: {', '.join(known)}"


def _apply(content, override):
    """Set one `key.path=value` in a nested dictionary."""
    key, sign, value = override.partition("=")
    if not sign or not key:
        raise UserError(f"--set {override}: expected key.path=value, for example --set collect.genre=hip-hop")
    try:
        value = parse(value)
    except YAMLError:
        raise UserError(f"--set {override}: the value is not valid YAML") from None
    *parents, last = key.strip().split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise UserError(f"--set {override}: {parent} is a value, not a section")
    content[last] = value


def _explain(faults):
    """Pydantic's faults as lines: where, what, and what was probably meant."""
    lines = {}
    for fault in faults:
        # A setting of several types has a fault for each, under a name of pydantic's own.
        location = [str(part) for part in fault["loc"] if not _TYPE_NAME.match(str(part))]
        where, given = ".".join(location) or "config", fault["input"]
        shown = "" if isinstance(given, dict | BaseModel) else f" (found {given!r})"
        lines.setdefault((where, shown), []).append(_message(fault, location))
    return [
        f"{where}: {' or '.join([first, *(m.removeprefix('must be ') for m in more)])}{shown}"
        for (where, shown), (first, *more) in lines.items()
    ]


def _message(fault, location):
    if fault["type"] == "extra_forbidden":
        return f"unknown key{nearest(location[-1], _keys(location[:-1]))}"
    if fault["type"] == "literal_error":
        allowed = fault["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        close = nearest(fault["input"], allowed)
        return f"must be one of {', '.join(allowed)}{close if close.endswith('?') else ''}"
    message = fault["msg"].removeprefix("Value error, ")
    for theirs, ours in _WORDS.items():
        message = re.sub(theirs, ours, message)
    return message[0].lower() + message[1:]


def _keys(parents):
    """The keys of the section at a path; list indices count as part of the path."""
    section = Config
    for parent in parents:
        if not parent.isdigit():
            section = _section(section.model_fields[parent].annotation)
    return list(section.model_fields)


def _section(annotation):
    """The section in an annotation such as `Table | None` or `list[Fault]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)
