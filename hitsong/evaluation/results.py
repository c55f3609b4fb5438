"""The results file `report/metrics.json`: its schema, and the sheet that says what the numbers rest on.

The schema has a version, which rises whenever a reader of the earlier one would misread the later. What
does not fit is refused when it is written, not when someone needs it.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from hitsong.errors import UserError
from hitsong.evaluation.kinds import KINDS
from hitsong.files import digest, read_json, write_json

VERSION = 2

Interval = tuple[float, float]


class Part(BaseModel):
    """A part of the file, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid")


class Row(Part):
    """One model, or one reference row, on the test tracks.

    `metrics` by name, among them `confusion` (rows are the truth) for classes and `features` (the same metrics
    for each by its name) for audio features; `intervals` of 95 % for most. `reference` says what a row is
    that is no model. `repetitions` (seeds, permutations) and `standard_error` belong to averaged rows. `coverage`
    says, by nominal level, how often a model's conformal intervals (or sets) held the truth, and their mean width.
    """

    metrics: dict[str, float | list[list[int]] | dict[str, dict[str, float]]]
    intervals: dict[str, Interval | dict[str, dict[str, Interval]]]
    collapsed: bool
    reference: str | None
    validation: dict[str, float] | None = None
    repetitions: int | None = None
    standard_error: float | None = None
    coverage: dict[str, dict[str, float | None | dict]] | None = None


class Difference(Part):
    """A paired difference, the best model minus another, with its 95 % interval."""

    difference: float
    low: float
    high: float


class Choice(Part):
    """How validation chose: the highest score, its standard error, and the models within it, the simplest first."""

    highest: str
    standard_error: float
    within: list[str]


class Measured(Part):
    """All rows on the test tracks of one split scheme."""

    kind: Literal[*KINDS]
    main: str
    rows: dict[str, Row]
    best: str | None
    choice: Choice | None = None
    paired: dict[str, dict[str, Difference]]
    flags: list[str]

    @model_validator(mode="after")
    def _named(self):
        for name in [*self.paired, *([self.best] if self.best else [])]:
            if name not in self.rows:
                raise ValueError(f"{name} is compared, but has no row")
        return self


class Popularity(Part):
    """Where popularity comes from, and when it was read."""

    source: str
    first_fetched: str | None
    last_fetched: str | None


class Step(Part):
    """How many tracks are left after a filter."""

    step: str
    tracks: int


class Split(Part):
    """How the tracks were divided, and what stands on two sides nevertheless.

    With cross-fitting (`folds` of them, else 0) `sides` and `leakage` also have an entry "folds"; a rolling origin has,
    too, and its dates are `origins`.
    """

    scheme: str
    folds: int = 0
    origins: list[str] | None = None
    made_with: dict[str, float]
    differs: str | None
    sides: dict[str, dict[str, int]]
    leakage: dict[str, dict[str, int | None]]


class Sheet(Part):
    """What the numbers rest on."""

    study: str
    collected_from: str
    synthetic: bool
    popularity: Popularity
    audio: str | None = None
    target: dict
    funnel: list[Step]
    split: Split
    test_groups: int
    seeds: dict[str, int]
    draws: int
    test_looks: int
    commit: str | None
    python: str
    versions: dict[str, str]
    inputs: dict[str, str]


class Results(Measured):
    """The file: the headline, the same for other split schemes (baselines only), and the sheet."""

    version: Literal[2] = VERSION
    schemes: dict[str, Measured]
    sheet: Sheet


def write(path, results):
    """Write results, after making sure that they fit the schema; returns them as plain JSON types.

    Parameters
    ----------
    path : pathlib.Path
    results : dict
    """
    content = Results.model_validate(results).model_dump(mode="json", exclude_unset=True)
    content = {"version": VERSION, **content}
    write_json(path, content)
    return content


def read(path):
    """Read a results file.

    Returns
    -------
    Results

    Raises
    ------
    UserError
        If it is of another version.
    """
    content = read_json(path)
    if content.get("version") != VERSION:
        raise UserError(
            f"{path} has version {content.get('version')}, not {VERSION}; run: python 06_evaluate.py"
        )
    return Results.model_validate(content)


def read_plain(path):
    """Read a results file as plain JSON types, in the form that `write` returns."""
    return read(path).model_dump(mode="json", exclude_unset=True)


def count_looks(path, measured):
    """Count the different results that the test tracks have given.

    Running the same evaluation once more gives the same result and does not count. Each further look that leads to
    another choice makes the test tracks a little less independent of the models.

    Parameters
    ----------
    path : pathlib.Path
        The study's list of results; this one is added.
    measured : dict
        The result, as JSON can hold it.

    Returns
    -------
    int
    """
    looks = read_json(path) if path.exists() else []
    result = digest(measured)
    if all(earlier["result"] != result for earlier in looks):
        looks.append({"at": datetime.now(UTC).isoformat(timespec="seconds"), "result": result})
        write_json(path, looks)
    return len(looks)
