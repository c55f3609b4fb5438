"""A recent song's spectrogram, and what raises and lowers its score, as pictures and as numbers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from hitsong.service import images, schemas
from hitsong.service.dependencies import Recent, Service
from hitsong.service.openapi import png, problems
from hitsong.service.problems import Problem

router = APIRouter(tags=["explanations"])


def _chosen_output(
    service: Service,
    output: Annotated[
        str | None,
        Query(description="Which audio feature, for models of several; the first if not given"),
    ] = None,
):
    """The name of an output of several, None for models of one."""
    target = service.predictor.target
    if target.kind != "audio_features":
        return None
    if output is not None and output not in target.names:
        names = ", ".join(target.names)
        raise Problem(404, "no_output", f"no output of that name; choose one of {names}")
    return output or target.names[0]


Output = Annotated[str | None, Depends(_chosen_output)]


@router.get(
    "/spectrogram/{song_id}.png",
    summary="The spectrogram of the excerpt that the model uses",
    response_class=Response,
    responses=png("Time to the right, pitch upwards; a pixel for each bin, the brighter the louder")
    | problems(401, 404, 422),
)
def spectrogram(song: Recent):
    return _picture(images.spectrogram_png(song.codes))


@router.get(
    "/explain/{song_id}.png",
    summary="What raises and lowers the score, as a picture",
    response_class=Response,
    responses=png("Transparent, of the spectrogram's size") | problems(401, 404, 422, 503),
)
def explanation_picture(service: Service, song: Recent, output: Output):
    """An overlay of the spectrogram: how the score changes when a part is hidden (occlusion, arXiv:1311.2901).

    Orange parts raise it, blue parts lower it. Only for models of the mel-spectrogram.
    """
    values, _ = _occlusion(service, song, output)
    return _picture(images.overlay(values))


@router.get(
    "/explain/{song_id}.json",
    summary="What raises and lowers the score, as numbers",
    response_model=schemas.Occlusion,
    responses=problems(401, 404, 422, 503),
)
def explanation(service: Service, song: Recent, output: Output):
    """How much the score falls when a part of the spectrogram is hidden (occlusion, arXiv:1311.2901)."""
    values, score = _occlusion(service, song, output)
    return images.occlusion_table(values, score, service.predictor.settings.mel, song.start)


def _occlusion(service, song, output):
    if "mel" not in song.features:
        inputs = " and ".join(song.features)
        raise Problem(404, "no_map", f"this model takes {inputs}, no spectrogram: there is no map of one")
    with service.slot():
        return service.explain(song, output)


def _picture(content):
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=600"})
