"""The API's results as Pydantic models, from which FastAPI makes the OpenAPI schemas."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

DIGITS = 5  # significant ones


def _rounded(number):
    return float(f"{number:.{DIGITS}g}")


Number = Annotated[float, PlainSerializer(_rounded, return_type=float)]
Seconds = Annotated[float, PlainSerializer(lambda number: round(number, 3), return_type=float)]


class Schema(BaseModel):
    """A JSON object without other keys."""

    model_config = ConfigDict(extra="forbid")


Value = Number | dict[str, Number]


class Target(Schema):
    """What the model predicts."""

    kind: str = Field(description="popularity, growth, popular, buckets or audio_features")
    names: list[str] = Field(
        description="Audio features, or classes from the lowest; otherwise the kind itself"
    )
    unit: str


class Interval(Schema):
    """Split-conformal interval: `low` and `high` for numbers, a `set` for classes."""

    level: Number = Field(description="The share of tracks whose true value lies inside", ge=0, le=1)
    low: Value | None = None
    high: Value | None = None
    set: list[str] | None = None


class Percentile(Schema):
    """The percentile of the prediction, 0 to 100."""

    among_tracks: Number | None = Field(
        description="Among the popularity of the study's tracks", ge=0, le=100
    )
    among_predictions: Number | None = Field(
        description="Among predictions for tracks not used for fitting", ge=0, le=100
    )
    explained: str = Field(description="What the two are, and why they differ")


class Distribution(Schema):
    """A histogram to draw the prediction against."""

    edges: list[Number]
    counts: list[int]


class Tag(Schema):
    """A score of the auto-tagger."""

    name: str
    score: Number = Field(ge=0, le=1)


class Descriptor(Schema):
    """A number measured in the sound."""

    value: Number
    unit: str | None


class Excerpt(Schema):
    """The part of the file that the spectrogram shows, in seconds."""

    start: Seconds
    end: Seconds


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


class Neighbour(Schema):
    """A track of the study whose sound is near."""

    name: str
    artist: str
    popularity: Number = Field(description="As its source gave it")


class Song(Schema):
    """The prediction for one file."""

    id: str = Field(description="For /spectrogram and /explain, for about half an hour")
    name: str = Field(description="The file's name, as sent")
    title: str = Field(description="From the file's own tags; empty where it has none")
    artist: str = Field(description="From the file's own tags; empty where it has none")
    seconds: Seconds
    excerpt: Excerpt
    target: Target
    prediction: Value
    interval: Interval
    percentile: Percentile | None
    distribution: Distribution | None = Field(None, description="With `fields=distribution` only")
    tags: list[Tag] | None = Field(description="The highest; null without the auto-tagger")
    neighbours: list[Neighbour] | None = Field(
        description="The study's tracks that sound most alike; null where they may not be shown"
    )
    descriptors: dict[str, Descriptor] | None = Field(None, description="With `fields=descriptors` only")
    model: Model
    warnings: list[SongWarning]
    timings: dict[str, Seconds] = Field(description="Seconds by step, waiting included")


class RankedSong(Song):
    """A song of a ranking."""

    rank: int | None = Field(description="From 1, the highest; null for audio features, which have no order")
    above_next: Number | None = Field(
        description="The probability that its true value is above the next song's", ge=0, le=1
    )


class ChangedSound(Schema):
    """The song with another level or sound colour."""

    name: str = Field(description="louder, softer, brighter, darker, more bass, less bass: 3 dB each")
    score: Number
    change: Number = Field(description="Against the song as it is")
    beyond_noise: bool = Field(description="Whether the change is more than twice the noise")


class ScoredExcerpt(Schema):
    """A part of the song, of the length that scores are made from."""

    start: Seconds = Field(description="In seconds")
    end: Seconds
    score: Number


class Variants(Schema):
    """Scores of variants of a song, in the unit of its prediction; the expected class for classes."""

    name: str
    score: Number
    noise: Number = Field(
        description="How far the score moves when the part begins up to a second earlier or later"
    )
    error: Number | None = Field(
        description="Half of the songs that the model was not trained on are further off; null for classes"
    )
    sound: list[ChangedSound]
    curve: list[ScoredExcerpt] = Field(description="Along the song; empty for a song without other excerpts")


class Spectrum(Schema):
    """The mean level by frequency."""

    hertz: list[Number]
    decibels: list[Number]


class Version(RankedSong):
    """One of several versions of a song."""

    score: Number
    noise: Number
    within_noise: bool | None = Field(
        description="Whether the score differs from the next version's by no more than the noise of both"
    )
    curve: list[ScoredExcerpt]
    spectrum: Spectrum


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


class Versions(Schema):
    """Versions of a song, the highest score first."""

    rows: list[Version]
    failed: list[FailedFile]
    explained: str = Field(description="How `above_next` is computed, and what it assumes")


class ModelCard(Model):
    """The model, its card and the service's limits."""

    target: Target
    inputs: dict[str, list[int]] = Field(description="The model's inputs and their shapes")
    validation: dict[str, Number] = Field(description="Metrics on the validation tracks")
    card: str | None = Field(description="The model card, as Markdown")
    largest_bytes: int = Field(description="Of one file")
    longest_seconds: Number = Field(description="Of one file, decoded")
    most_files: int = Field(description="Of one ranking")


class Occlusion(Schema):
    """How much the score falls when a part of the spectrogram is hidden; negative where it rises."""

    score: Number = Field(description="Of the whole excerpt, in the prediction's unit")
    hertz: list[Number] = Field(description="Edges of the rows, from the lowest")
    seconds: list[Seconds] = Field(description="Edges of the columns, in the file's time")
    values: list[list[Number]] = Field(description="Rows of values, the lowest frequencies first")


class Live(Schema):
    """The process responds."""

    status: Literal["live"] = "live"


class Ready(Schema):
    """Whether songs can be scored."""

    status: Literal["ready"] = "ready"
    model: str
    in_flight: int = Field(description="Requests in work or waiting")
    workers: int = Field(description="Decoder processes")


class Problem(Schema):
    """An error: RFC 9457."""

    type: str
    title: str
    status: int
    code: str = Field(description="The error, for programs")
    detail: str = Field(description="The error and what to do, for people")
