"""The sections of a config about features, target, models and results, and the whole of a run."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hitsong.config.base import AUDIO_FEATURES, Positive, Section, Seed, Share, matching, nearest
from hitsong.config.collecting import Collect, Download, Standin


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
    """Shares of the tracks, and the scheme behind the headline results.

    With `origins` (a rolling origin; for growth under the scheme "time") every model is fitted so many times, each
    time on what could be read by a date, and predicts the tracks whose outcome came after it.
    """

    scheme: Literal["artist", "random", "time", "own"] = "artist"
    origins: Annotated[int, Field(ge=0, le=20)] = 0
    train: Share = 0.65
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    test: Annotated[float, Field(gt=0, lt=1)] = 0.20

    @model_validator(mode="after")
    def _sum_to_one(self):
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


# YAML reads a day without quotes as a date.
Day = Annotated[matching(r"\d{4}-[01]\d-[0-3]\d", "a day as 2027-05-01"), BeforeValidator(str)]
# The transform of ranks and numbers of users, where a file names none.
COUNTS_AS = {"popularity": "percentile", "growth": "log_ratio"}
# Of numbers made from popularity; none leaves them as they are.
TRANSFORMS = {"popularity": (None, "log1p", "percentile"), "growth": (None, "log_ratio", "percentile")}


class Target(Section):
    """What is predicted: popularity, its growth, whether a track is popular, its bucket, or its audio features.

    `transform` is, of popularity, "log1p" or "percentile"; of growth, "log_ratio" or "percentile" (none: the
    difference). `relative_to: age` compares popularity among tracks released at about the same time. Growth is the
    change from the first `observe_months` after release to those from the first to the last of `predict_months`, or
    that `between` the last readings up to two days.
    `threshold` and `quantile` (of the training tracks, instead of a threshold) belong to "popular"; `labels`,
    lowest first, with `shares` (of the training tracks) or `edges` to "buckets"; `features` to "audio_features".
    """

    kind: Literal["popularity", "growth", "popular", "buckets", "audio_features"] = "popularity"
    transform: Literal["log1p", "percentile", "log_ratio"] | None = None
    relative_to: Literal["age"] | None = None
    observe_months: Annotated[float, Field(gt=0, le=120)] = 3
    predict_months: Annotated[
        list[Annotated[float, Field(gt=0, le=240)]], Field(min_length=2, max_length=2)
    ] = [
        9,
        12,
    ]
    between: Annotated[list[Day], Field(min_length=2, max_length=2)] | None = None
    threshold: float | Literal["median"] = "median"
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    labels: Annotated[list[str], Field(min_length=2)] = ["low", "medium", "high"]
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = [0.168, 0.467, 0.365]
    edges: list[float] | None = None
    features: Annotated[list[str], Field(min_length=1)] = [
        "danceability", "energy", "speechiness", "acousticness", "instrumentalness",
    ]  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _relative_as_percentile(cls, content):
        if isinstance(content, dict) and content.get("relative_to") and content.get("transform") is None:
            return {**content, "transform": "percentile"}
        return content

    @model_validator(mode="after")
    def _consistent(self):
        if self.relative_to and (self.kind != "popularity" or self.transform != "percentile"):
            raise ValueError(
                "relative_to age is a percentile of popularity: it needs kind popularity and no other transform"
            )
        if self.transform not in TRANSFORMS.get(self.kind, (None,)):
            owners = [kind for kind, transforms in TRANSFORMS.items() if self.transform in transforms]
            raise ValueError(
                f"transform {self.transform} belongs to kind {' or '.join(owners)}, not {self.kind}"
            )
        if self.between and (self.kind != "growth" or self.between[0] >= self.between[1]):
            raise ValueError("between needs kind growth, and two days, the earlier one first")
        begin, end = self.predict_months
        if not self.observe_months <= begin < end:
            raise ValueError(
                f"predict_months [{begin:g}, {end:g}] must rise, and begin after the {self.observe_months:g} "
                "observe_months"
            )
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
    `inputs` (all of `features.kinds`, if not given; `spotify` means `features`). `controls` show what release age
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
        features = [*AUDIO_FEATURES, "duration_ms"]
        for name in self.features:
            if name not in features:
                raise ValueError(f"no audio feature is called {name!r}{nearest(name, features)}")
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
    """How results are measured.

    With `folds` every model is fitted so many times, each time without another part of the artists, and measured on
    all tracks. 0 is a single split.
    """

    draws: Annotated[int, Field(ge=100)] = 1000
    folds: Annotated[int, Field(ge=0, le=20)] = 0

    @model_validator(mode="after")
    def _enough_folds(self):
        if self.folds in (1, 2):
            raise ValueError(f"folds must be 0 or at least 3 (one tests, one validates), not {self.folds}")
        return self


class Compute(Section):
    """What does the work: processes on this machine (-1 is one per core), or a Dask scheduler's workers."""

    workers: Annotated[int, Field(ge=-1)] = -1
    scheduler: str | None = None


class Config(Section):
    """One run: the whole of `config.yaml`."""

    study: matching("[A-Za-z0-9][A-Za-z0-9._-]*", "a folder's name of letters, digits, '.', '_' and '-'") = (
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

    @model_validator(mode="after")
    def _folds_by_artist(self):
        if self.evaluate.folds and self.split.scheme != "artist":
            raise ValueError(
                f"evaluate.folds keeps artists apart: it needs split.scheme artist, not {self.split.scheme}"
            )
        if self.split.origins and (self.split.scheme, self.target.kind) != ("time", "growth"):
            raise ValueError(
                "split.origins predicts from several dates what was read later: it needs split.scheme time and "
                "target.kind growth"
            )
        return self

    @model_validator(mode="after")
    def _time_by_months(self):
        if self.target.between and self.split.scheme == "time":
            raise ValueError(
                "target.between: all outcomes are read on the second day, so nothing is known before it; for "
                "split.scheme time use target.observe_months and target.predict_months"
            )
        return self

    @property
    def rounds(self):
        """How often each model is fitted and measured: once for each fold or origin; 0 for a single split."""
        return self.evaluate.folds or self.split.origins

    @property
    def rounds_setting(self):
        """The setting that `rounds` comes from."""
        return "split.origins" if self.split.origins else "evaluate.folds"

    @property
    def round_name(self):
        """What one of the `rounds` is called."""
        return "origin" if self.split.origins else "fold"

    @model_validator(mode="before")
    @classmethod
    def _transform_of_counts(cls, content):
        """Ranks and numbers of users are far from linear: `COUNTS_AS`, unless the file says how."""
        match content:
            case {"collect": {"source": "listenbrainz"} as collect} if "popularity" not in collect:
                content = {**content, "collect": {**collect, "popularity": "users"}}
        match content:
            case {"collect": {"source": "deezer" | "listenbrainz"}}:
                target = content.get("target", {})
                if isinstance(target, dict) and (kind := target.get("kind", "popularity")) in COUNTS_AS:
                    return {**content, "target": {"transform": COUNTS_AS[kind], **target}}
        return content
