"""Scores of songs: one, or several in order."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BeforeValidator

from hitsong.service import schemas
from hitsong.service.decoders import DecodeError
from hitsong.service.dependencies import Disconnected, OneSong, Service, SeveralSongs
from hitsong.service.openapi import problems, song_body, songs_body
from hitsong.service.problems import Problem

RANKING_EXPLAINED = {
    "popularity": "Above the next: the probability that a song turns out more popular than the one below it. The "
    "errors of both predictions are drawn independently from the model's errors on its validation tracks. Similar "
    "songs have similar errors, so for them the order is more certain than this number.",
    "growth": "Above the next: the probability that the popularity of a song grows more than that of the one below it. "
    "The errors of both predictions are drawn independently from the model's errors on its validation tracks.",
    "popular": "Songs in order of their probability of being popular. Above the next: the probability that a song "
    "turns out popular and the one below it not, ties counting half, as if the two were independent.",
    "buckets": "Songs in order of their expected class. Above the next: the probability that a song turns out in a "
    "higher class than the one below it, ties counting half, as if the two were independent.",
    "audio_features": "Songs as they were sent: audio features have no order.",
}

router = APIRouter(tags=["songs"])


def _split(values):
    return [name for value in values for name in value.split(",")]


Fields = Annotated[
    list[Literal["descriptors", "distribution"]],
    BeforeValidator(_split),
    Query(description="Larger parts of the result that are left out otherwise; separated by commas"),
]


_PROBLEMS = problems(400, 401, 403, 413, 415, 422, 503)


@router.post(
    "/predict",
    summary="Score one song",
    response_model=schemas.Song,
    response_model_exclude_unset=True,
    responses=_PROBLEMS,
    openapi_extra=song_body(),
)
def predict(service: Service, song: OneSong, disconnected: Disconnected, fields: Fields = ()):
    """The body is a form with the file in the field `file`, or the file itself with its type, as `audio/mpeg`."""
    with service.slot():
        try:
            result, _, _ = service.score(song.name, song.read(), disconnected)
        except DecodeError as error:
            raise Problem(413 if error.code == "too_long" else 422, error.code, str(error)) from None
    return selected(result, fields)


@router.post(
    "/rank",
    summary="Rank several songs",
    response_model=schemas.Ranking,
    response_model_exclude_unset=True,
    responses=_PROBLEMS,
    openapi_extra=songs_body(),
)
def rank(service: Service, songs: SeveralSongs, disconnected: Disconnected, fields: Fields = ()):
    """Files that cannot be decoded are listed under `failed`."""
    results, scores, failed = [], [], []
    with service.slot():
        for name, score in _score_ahead(service, songs, disconnected):
            try:
                result, prediction, _ = score()
            except DecodeError as error:
                failed.append({"name": name, "code": error.code, "detail": str(error)})
            else:
                results.append(selected(result, fields))
                scores.append(prediction)
    rows = ranked(service.predictor, results, scores) if results else []
    return {"rows": rows, "failed": failed, "explained": RANKING_EXPLAINED[service.target["kind"]]}


def selected(song, fields):
    """A song without the larger parts that were not asked for."""
    return {
        key: value
        for key, value in song.items()
        if key not in ("descriptors", "distribution") or key in fields
    }


def _score_ahead(service, songs, disconnected):
    """Score files in order, some at a time: their names, and functions that return or raise the result."""

    def score(song):
        return service.score(song.name, song.read(), disconnected)

    with ThreadPoolExecutor(service.limits.workers + 1) as executor:
        pending = deque()
        for song in songs:
            pending.append((song.name, executor.submit(score, song).result))
            if len(pending) > service.limits.workers:
                yield pending.popleft()
        yield from pending


def ranked(predictor, songs, scores):
    """Songs in order, each with the probability that it is above the next."""
    order = predictor.rank(scores)
    if order is None:
        return [{**song, "rank": None, "above_next": None} for song in songs]
    above = [
        predictor.probability_above(scores[a], scores[b]) for a, b in zip(order[:-1], order[1:], strict=True)
    ]
    return [
        {**songs[place], "rank": number, "above_next": probability}
        for number, (place, probability) in enumerate(zip(order, [*above, None], strict=True), start=1)
    ]
