"""The sections of a config that say where tracks and their clips come from."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hitsong.config.base import AUDIO_FEATURES, Positive, Section, Seed, Share, Text, matching, nearest


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
        "truncated_audio", "html_audio", "expired_preview", "popularity_disabled", "popularity_null",
    ]  # fmt: skip
    at: Positive = 1
    times: Positive = 1
    path: str = ""


def _day(text):
    """Refuse what is no day, or lies before the releases of the stand-in's last songs."""
    try:
        if date.fromisoformat(text).year >= 2026 and len(text) == 10:
            return text
    except ValueError:
        pass
    raise ValueError("must be a day since 2026, such as 2027-05-01")


class Standin(Section):
    """The synthetic services on loopback: what kind of app they take us for, their catalogue, their faults.

    `shares` are those of popularity, `growth` those of its change over time. `clock` is the day of the services, on
    which popularity is read: moved on, it is what `01_collect.py --refresh` reads.
    """

    profile: Literal["extended", "dev_old", "dev_new", "no_premium"] = "extended"
    faults: list[Fault] = []
    artists: Annotated[int, Field(ge=4)] = 60
    recordings: Annotated[int, Field(ge=12)] = 450
    seconds: Annotated[float, Field(ge=1, le=60)] = 30.0
    seed: Seed = 1
    shares: Shares = Shares()
    growth: Shares = Shares(artist=0.20, audio=0.45, noise=0.35)
    clock: Annotated[str, BeforeValidator(str), AfterValidator(_day)] = "2026-11-01"


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
    date_format: matching(".*%[Yy].*", "a format as strptime has it, for example '%d/%m/%Y'") | None = None
    encoding: str | None = None
    audio_root: str | None = None
    popularity_source: Annotated[str, Field(min_length=1)] = "table"
    read_at: matching(r"\d{4}(-\d\d){0,2}", "a date as 2024-03-01, 2024-03 or 2024") | None = None

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


# What a source counts as popularity.
_COUNTS = {"fma": ("listens", "listens_per_month"), "listenbrainz": ("users", "listens")}


class Collect(Section):
    """Where tracks come from."""

    source: Literal["spotify", "deezer", "fma", "table", "listenbrainz"] = "spotify"
    api: Literal["standin", "live"] = "standin"

    # Services: what to look for
    strategy: Literal["artists", "search", "ids", "playlist", "listened"] = "artists"
    genre: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)] = "mandopop"
    per_genre: Positive | None = None
    years: matching(r"\d{4}(-\d{4})?", "a year or a range of years, such as 2019 or 2019-2021") | None = None
    album_types: Annotated[list[Literal["album", "single", "compilation"]], Field(min_length=1)] = [
        "album",
        "single",
    ]
    market: matching("[A-Z]{2}", "a country's two capital letters, such as TW") | None = None
    artists_file: str | None = None
    ids_file: str | None = None
    playlist: Text | None = None

    # Services: how to ask
    gap_s: Annotated[float, Field(ge=0)] = 0.1
    longest_wait_s: Annotated[float, Field(ge=0)] = 60.0
    request_budget: Positive = 20_000

    # FMA and tables: where they lie
    root: str | None = None
    subset: Literal["small", "medium", "large"] | None = None
    popularity: Literal["listens", "listens_per_month", "users"] = "listens"
    table: Table | None = None

    # ListenBrainz: the folder of a dump of listens (else its popularity route), and the fewest users of a track
    listens: Text | None = None
    min_users: Positive | None = None

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
        if self.popularity not in _COUNTS.get(self.source, (self.popularity,)):
            raise ValueError(f"popularity of {self.source} is one of {', '.join(_COUNTS[self.source])}")
        if self.source == "listenbrainz" and self.strategy not in ("artists", "listened"):
            raise ValueError("strategy of listenbrainz is artists or listened")
        if self.strategy == "listened" and (self.source != "listenbrainz" or self.listens is None):
            raise ValueError("strategy listened belongs to source listenbrainz with collect.listens, a dump")
        if self.per_genre and (self.source, self.strategy) != ("spotify", "search"):
            raise ValueError("per_genre belongs to source spotify with strategy search")
        if self.years and len(years := self.years.split("-")) == 2 and years[0] > years[1]:
            raise ValueError(f"years {self.years} run backwards")
        return self


class Download(Section):
    """Where previews come from, how they are fetched, and what counts as one.

    `previews`: the first of these that has a track's audio gives it; "deezer" finds the same recording there.
    """

    previews: Annotated[list[Literal["source", "deezer"]], Field(min_length=1)] = ["source", "deezer"]
    workers: Annotated[int, Field(gt=0, le=64)] = 8
    timeout_s: Annotated[float, Field(gt=0)] = 20.0
    attempts: Positive = 3
    gap_s: Annotated[float, Field(ge=0)] = 0.0
    longest_wait_s: Annotated[float, Field(ge=0)] = 60.0
    min_seconds: Annotated[float, Field(ge=0)] = 5.0
