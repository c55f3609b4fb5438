"""What the sections of a config are made of: strict types, and messages for values that are not valid."""

import difflib
import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _as_text(value):
    """Numbers and dates as YAML reads them (`years: 2021`, `study: 2024`), as the text that stands in the file."""
    return str(value) if type(value) is int or isinstance(value, date) else value


def matching(pattern, description):
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


class Section(BaseModel):
    """A part of the config: immutable, strict about types, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def nearest(name, known):
    """Say which known name was probably meant: ` - did you mean ...?`, or nothing."""
    match = difflib.get_close_matches(str(name), known, n=1)
    return f" - did you mean {match[0]!r}?" if match else f"; known: {', '.join(known)}"
