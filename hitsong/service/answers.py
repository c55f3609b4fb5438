"""The shapes of the service's answers: what they hold, and their schema for the API's description."""

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A part of an answer, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid")


Value = float | dict[str, float]


class Target(Part):
    """What the model predicts."""

    kind: str = Field(description="popularity, popular, buckets or audio_features")
    names: list[str] = Field(
        description="What it answers: audio features, classes from the lowest, or the kind"
    )
    unit: str


class Interval(Part):
    """How sure the prediction is, by split-conformal calibration: `low` and `high` for numbers, a `set` for classes."""

    level: float = Field(description="The share of tracks whose truth lies inside", ge=0, le=1)
    low: Value | None = None
    high: Value | None = None
    set: list[str] | None = None


class Percentile(Part):
    """Where the prediction stands."""

    among_tracks: float | None = Field(description="Among the popularity of the study's tracks", ge=0, le=100)
    among_predictions: float | None = Field(
        description="Among predictions for tracks not fitted on", ge=0, le=100
    )
    explained: str = Field(description="What the two are, and why they differ")


class Distribution(Part):
    """What the prediction can be drawn against."""

    edges: list[float]
    counts: list[int]


class Tag(Part):
    """What an auto-tagger hears."""

    name: str
    score: float = Field(ge=0, le=1)


class Descriptor(Part):
    """A number measured in the sound."""

    value: float
    unit: str | None


class Heard(Part):
    """Which part of the file the spectrogram shows, in seconds."""

    start: float
    end: float


class Made(Part):
    """The model behind an answer."""

    name: str
    study: str
    version: str = Field(description="Of the model: changes with its data and settings")
    trained_on: dict[str, int] = Field(description="Number of tracks, by side of the split")
    snapshot: str = Field(description="The date to which popularity was read")
    synthetic: bool = Field(description="Trained on songs that a program made up")


class Warned(Part):
    """What makes the answer doubtful."""

    code: str
    message: str


class Song(Part):
    """What the model says of one file."""

    id: str = Field(description="For the pictures, as long as they are kept")
    name: str = Field(description="The file's name, as sent")
    seconds: float
    heard: Heard
    target: Target
    prediction: Value
    interval: Interval
    percentile: Percentile | None
    distribution: Distribution | None
    tags: list[Tag] | None = Field(description="The highest; null without the auto-tagger")
    descriptors: dict[str, Descriptor]
    model: Made
    warnings: list[Warned]
    timings: dict[str, float] = Field(description="Seconds, by what they went into")


class Row(Song):
    """A song of a ranking."""

    rank: int | None = Field(description="From 1, the highest; null for audio features, which have no order")
    above_next: float | None = Field(
        description="The probability that it turns out above the next", ge=0, le=1
    )


class Failed(Part):
    """A file that could not be judged."""

    name: str
    code: str
    detail: str


class Ranking(Part):
    """Songs, the highest prediction first."""

    rows: list[Row]
    failed: list[Failed]
    explained: str = Field(description="How `above_next` is worked out, and what it takes for granted")


class Card(Made):
    """The model, its card and the service's limits."""

    target: Target
    inputs: dict[str, list[int]] = Field(description="What it hears, with its shape")
    validation: dict[str, float] = Field(description="Metrics on the validation tracks")
    card: str | None = Field(description="The model card, as Markdown")
    largest_bytes: int = Field(description="Of one file")
    longest_seconds: float = Field(description="Of one file, decoded")
    most_files: int = Field(description="Of one ranking")


class Health(Part):
    """Whether the service works."""

    status: str
    model: str
    in_flight: int
    workers: int


class Problem(Part):
    """What went wrong: RFC 9457."""

    type: str
    title: str
    status: int
    code: str = Field(description="What is wrong, for programs")
    detail: str = Field(description="What is wrong and what to do, for people")
