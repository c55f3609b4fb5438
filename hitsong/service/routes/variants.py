"""What a song's score becomes with another sound or excerpt, and versions of a song side by side."""

from fastapi import APIRouter

from hitsong.service import schemas, variants
from hitsong.service.decoders import DecodeError
from hitsong.service.dependencies import Disconnected, OneSong, Service, Versions
from hitsong.service.openapi import problems, song_body, songs_body
from hitsong.service.problems import Problem
from hitsong.service.routes.songs import RANKING_EXPLAINED, Fields, ranked, selected

router = APIRouter(tags=["songs"])


_PROBLEMS = problems(400, 401, 403, 404, 413, 415, 422, 503)


@router.post(
    "/what-if",
    summary="Score a song with another level, another sound colour, and along its whole length",
    responses=_PROBLEMS,
    openapi_extra=song_body(),
)
def what_if(service: Service, song: OneSong, disconnected: Disconnected) -> schemas.Variants:
    """All variants are made from one decoding, and scored in one batch. Not for models of several audio features."""
    with service.slot():
        try:
            return variants.what_if(service, song.name, song.read(), disconnected)
        except DecodeError as error:
            raise Problem(413 if error.code == "too_long" else 422, error.code, str(error)) from None


@router.post(
    "/versions",
    summary="Compare versions of a song",
    response_model=schemas.Versions,
    response_model_exclude_unset=True,
    responses=_PROBLEMS,
    openapi_extra=songs_body(),
)
def versions(service: Service, songs: Versions, disconnected: Disconnected, fields: Fields = ()):
    """As a ranking, with each version's noise, its score along the song, and its spectrum."""
    variants.require_one_score(service)
    results, predictions, scores, failed = [], [], {}, []
    with service.slot():
        for song in songs:
            try:
                result, prediction, scored = variants.version(service, song.name, song.read(), disconnected)
            except DecodeError as error:
                failed.append({"name": song.name, "code": error.code, "detail": str(error)})
            else:
                results.append(selected(result, fields))
                predictions.append(prediction)
                scores[result["id"]] = scored
    rows = variants.with_noise(ranked(service.predictor, results, predictions), scores) if results else []
    return {"rows": rows, "failed": failed, "explained": RANKING_EXPLAINED[service.target["kind"]]}
