"""The page, the documentation, the model, and the state of the service."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from hitsong.service import schemas
from hitsong.service.access import SECURITY_HEADERS
from hitsong.service.dependencies import Service
from hitsong.service.openapi import describe, problems

PAGE = Path(__file__).parents[1] / "page"
SWAGGER = Path(fastapi_offline.__file__).parent / "static"
POLICY = "Content-Security-Policy"
DRAWN = {POLICY: SECURITY_HEADERS[POLICY].replace("img-src", "img-src data:")}  # Swagger UI's arrows
UNCHANGED = {"Cache-Control": "no-cache"}  # asked for again, and sent only if it has changed

router = APIRouter(tags=["service"])


@router.get("/", summary="The page to try a song on", response_class=FileResponse, responses=problems())
def index():
    return FileResponse(PAGE / "index.html", headers=UNCHANGED)


@router.get("/docs", include_in_schema=False)
def documentation():
    return FileResponse(PAGE / "docs.html", headers=UNCHANGED | DRAWN)


@router.get("/openapi.json", include_in_schema=False)
def description(request: Request, service: Service):
    return describe(request.app, service.limits)


@router.get("/health/live", summary="Whether the process responds", responses=problems())
async def live() -> schemas.Live:
    return schemas.Live()


@router.get("/health/ready", summary="Whether songs can be scored", responses=problems())
async def ready(service: Service) -> schemas.Ready:
    return schemas.Ready(
        model=service.model["name"],
        in_flight=int(service.metrics.requests_in_flight()),
        workers=service.limits.workers,
    )


@router.get(
    "/metrics",
    summary="Measurements, for Prometheus",
    response_class=Response,
    responses={200: {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    | problems(401),
)
def metrics(service: Service):
    content, media_type = service.metrics.exposition()
    return Response(content, media_type=media_type)


@router.get("/model", summary="The model, its card, and the limits", responses=problems(401))
def model(service: Service) -> schemas.ModelCard:
    limits = service.limits
    card = service.bundle.folder / "card.md"
    validation = {
        name: value for name, value in service.info["validation"].items() if isinstance(value, int | float)
    }
    return schemas.ModelCard(
        **service.model,
        target=service.target,
        inputs={name: spec["shape"] for name, spec in service.info["inputs"].items()},
        validation=validation,
        card=card.read_text(encoding="utf-8") if card.exists() else None,
        largest_bytes=limits.file_bytes,
        longest_seconds=limits.seconds,
        most_files=limits.files,
    )


def mount_files(app):
    """Serve the parts of the page and of the documentation."""
    app.mount("/page", StaticFiles(directory=PAGE))
    app.mount("/docs/parts", StaticFiles(directory=SWAGGER))
