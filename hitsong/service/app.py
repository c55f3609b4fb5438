"""The REST API as a FastAPI app, and everything started that it needs."""

from contextlib import contextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from hitsong.predict.predictor import Predictor
from hitsong.service import problems
from hitsong.service.decoders import DecoderPool
from hitsong.service.middleware import RequestMiddleware
from hitsong.service.routes import explanations, information, songs, variants
from hitsong.service.scoring import ScoringService, shown_kinds
from hitsong.service.server import Server

PREFLIGHT_SECONDS = 600  # for which browsers remember what another site's page may do


def create_app(service, access):
    """The FastAPI app.

    Parameters
    ----------
    service : hitsong.service.scoring.ScoringService
    access : hitsong.service.access.AccessControl
    """
    app = FastAPI(
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
        exception_handlers={
            problems.Problem: problems.respond_with_problem,
            HTTPException: problems.respond_to_routing_error,
            RequestValidationError: problems.respond_to_invalid_parameter,
        },
    )  # fmt: skip
    app.state.service = service
    for module in (songs, variants, explanations, information):
        app.include_router(module.router)
    information.mount_files(app)
    if access.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=access.origins, allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"], max_age=PREFLIGHT_SECONDS,
        )  # fmt: skip
    app.add_middleware(RequestMiddleware, service=service, access=access)  # the outermost
    return app


@contextmanager
def start(bundle, access, limits, host="127.0.0.1", port=0):
    """Prepare everything to serve a model: load, fork, warm up, listen.

    Parameters
    ----------
    bundle : hitsong.training.bundle.Bundle
    access : hitsong.service.access.AccessControl
    limits : hitsong.service.limits.Limits
    host : str
    port : int
        0 takes any free port.

    Yields
    ------
    hitsong.service.server.Server
        Ready to run; the decoder processes end with the block.
    """
    predictor = Predictor(bundle, shown_kinds())
    decoders = DecoderPool(predictor.settings, limits)
    try:
        service = ScoringService(predictor, decoders, limits)
        decoders.wait()
        service.warm_up()
        yield Server(create_app(service, access), host, port, limits)
    finally:
        decoders.close()
