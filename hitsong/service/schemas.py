"""The API's results as Pydantic models, from which OpenAPI schemas are made."""

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """A JSON object without other keys."""

    model_config = ConfigDict(extra="forbid")


Value = float | dict[str, float]


class Target(Schema):
    """What the model predicts."""

    kind: str = Field(description="popularity, popular, buckets or audio_features")
    names: list[str] = Field(
        description="Audio features, or classes from the lowest; otherwise the kind itself"
    )
    unit: str


class Interval(Schema):
    """Split-conformal interval: `low` and `high` for numbers, a `set` for classes."""

    level: float = Field(description="The share of tracks whose true value lies inside", ge=0, le=1)
    low: Value | None = None
    high: Value | None = None
    set: list[str] | None = None


class Percentile(Schema):
    """The percentile of the prediction, 0 to 100."""

    among_tracks: float | None = Field(description="Among the popularity of the study's tracks", ge=0, le=100)
    among_predictions: float | None = Field(
        description="Among predictions for tracks not used for fitting", ge=0, le=100
    )
    explained: str = Field(description="What the two are, and why they differ")


class Distribution(Schema):
    """A histogram to draw the prediction against."""

    edges: list[float]
    counts: list[int]


class Tag(Schema):
    """A score of the auto-tagger."""

    name: str
    score: float = Field(ge=0, le=1)


class Descriptor(Schema):
    """A number measured in the sound."""

    value: float
    unit: str | None


class Excerpt(Schema):
    """The part of the file that the spectrogram shows, in seconds."""

    start: float
    end: float


class Model(Schema):
    """The model, and the data that it was trained on."""

    name: str
    study: str
    collected_from: str = Field(description="What the training tracks are")
    source: str = Field(description="Where their popularity was read")
    version: str = Field(description="Changes with the model's data and settings")
    trained_on: dict[str, int] = Field(description="Number of tracks, by side of the split")
    snapshot: str = Field(description="The day on which popularity was read last")
    synthetic: bool = Field(description="Trained on songs composed by a program")


class SongWarning(Schema):
    """A reason to doubt the prediction."""

    code: str
    message: str


class Song(Schema):
    """The prediction for one file."""

    id: str = Field(description="For /spectrogram and /explain, for about half an hour")
    name: str = Field(description="The file's name, as sent")
    seconds: float
    excerpt: Excerpt
    target: Target
    prediction: Value
    interval: Interval
    percentile: Percentile | None
    distribution: Distribution | None
    tags: list[Tag] | None = Field(description="The highest; null without the auto-tagger")
    descriptors: dict[str, Descriptor]
    model: Model
    warnings: list[SongWarning]
    timings: dict[str, float] = Field(description="Seconds by step, waiting included")


class RankedSong(Song):
    """A song of a ranking."""

    rank: int | None = Field(description="From 1, the highest; null for audio features, which have no order")
    above_next: float | None = Field(
        description="The probability that its true value is above the next song's", ge=0, le=1
    )


class FailedFile(Schema):
    """A file without a prediction."""

    name: str
    code: str
    detail: str


class Ranking(Schema):
    """Songs, the highest prediction first."""

    rows: list[RankedSong]
    failed: list[FailedFile]
    explained: str = Field(description="How `above_next` is computed, and what it assumes")


class ModelCard(Model):
    """The model, its card and the service's limits."""

    target: Target
    inputs: dict[str, list[int]] = Field(description="The model's inputs and their shapes")
    validation: dict[str, float] = Field(description="Metrics on the validation tracks")
    card: str | None = Field(description="The model card, as Markdown")
    largest_bytes: int = Field(description="Of one file")
    longest_seconds: float = Field(description="Of one file, decoded")
    most_files: int = Field(description="Of one ranking")


class Health(Schema):
    """Whether the service works."""

    status: str
    model: str
    in_flight: int
    workers: int


class Problem(Schema):
    """An error: RFC 9457."""

    type: str
    title: str
    status: int
    code: str = Field(description="The error, for programs")
    detail: str = Field(description="The error and what to do, for people")
