"""The REST API as a Flask app: routes, and what they share."""

import logging
import re
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from flask import Flask, Response, current_app, g, request, send_from_directory
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import HTTPException

from hitsong.predict.predictor import Predictor
from hitsong.service import images, openapi, schemas, upload
from hitsong.service.access import SECURITY_HEADERS
from hitsong.service.decoders import ClientDisconnected, DecodeError, DecoderPool
from hitsong.service.problems import MEDIA_TYPE, Problem
from hitsong.service.scoring import ScoringService, shown_kinds
from hitsong.service.server import Server

PAGE = Path(__file__).parent / "page"
PUBLIC = ("index", "page", "health", "describe", None)  # endpoints without token; None: no such page
CLIENT_CLOSED_REQUEST = 499  # nobody reads this response; the metrics count it

RANKING_EXPLAINED = {
    "popularity": "Above the next: the probability that a song turns out more popular than the one below it. The "
    "errors of both predictions are drawn independently from the model's errors on its validation tracks. Similar "
    "songs have similar errors, so for them the order is more certain than this number.",
    "popular": "Songs in order of their probability of being popular. Above the next: the probability that a song "
    "turns out popular and the one below it not, ties counting half, as if the two were independent.",
    "buckets": "Songs in order of their expected class. Above the next: the probability that a song turns out in a "
    "higher class than the one below it, ties counting half, as if the two were independent.",
    "audio_features": "Songs as they were sent: audio features have no order.",
}

log = logging.getLogger(__name__)


def create_app(service, access):
    """The Flask app.

    Parameters
    ----------
    service : hitsong.service.scoring.ScoringService
    access : hitsong.service.access.AccessControl
    """
    app = Flask(__name__, static_folder=None)
    app.json.ensure_ascii = app.json.sort_keys = False
    app.extensions |= {"service": service, "access": access}
    for rule, view, methods in ROUTES:
        app.add_url_rule(rule, view.__name__, view, methods=methods, provide_automatic_options=False)
    app.before_request(_check_access)
    app.after_request(_add_headers)
    app.register_error_handler(Problem, _problem_response)
    app.register_error_handler(HTTPException, _http_error_response)
    app.register_error_handler(ClientDisconnected, lambda error: Response(status=CLIENT_CLOSED_REQUEST))
    app.register_error_handler(Exception, _internal_error_response)
    return app


def header_check(app):
    """The app's access control for a server that has only read a request's headers.

    Returns
    -------
    callable
        Of the method, the path, and the headers by names like `CONTENT_TYPE`; raises `Problem`.
    """
    urls = app.url_map.bind("")

    def check(method, path, headers):
        try:
            endpoint, _ = urls.match(path, method)
        except HTTPException:  # no such page, or not with this method: the app's answer
            endpoint = None
        headers = EnvironHeaders({f"HTTP_{name}": value for name, value in headers.items()})
        app.extensions["access"].check(method, headers, endpoint in PUBLIC)

    return check


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
        app = create_app(service, access)
        yield Server(app, host, port, limits, header_check(app))
    finally:
        decoders.close()


def _service():
    return current_app.extensions["service"]


# --- Before and after -------------------------------------------------------------------------------


def _check_access():
    g.started = time.perf_counter()
    current_app.extensions["access"].check(request.method, request.headers, request.endpoint in PUBLIC)


def _add_headers(response):
    response.headers.extend(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    _service().metrics.count(request.endpoint, response.status_code, time.perf_counter() - g.started)
    return response


def _problem_response(problem):
    return Response(problem.body(), problem.status, problem.headers, content_type=MEDIA_TYPE)


def _http_error_response(error):
    """Errors of Flask itself: no such page, no such method."""
    code = re.sub(r"\W+", "_", error.name.lower())
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return _problem_response(Problem(error.code, code, error.description or error.name, headers))


def _internal_error_response(error):
    log.error("%s %s failed", request.method, request.url_rule, exc_info=error)
    return _problem_response(Problem(500, "internal", "an internal error; the service's log has the details"))


# --- Routes -----------------------------------------------------------------------------------------


def index():
    return send_from_directory(PAGE, "index.html")


def page(name):
    return send_from_directory(PAGE, name)


def health():
    service = _service()
    return schemas.Health(
        status="ok",
        model=service.model["name"],
        in_flight=int(service.metrics.requests_in_flight()),
        workers=service.limits.workers,
    ).model_dump()


def metrics():
    return Response(*_service().metrics.exposition())


def describe():
    return openapi.description(_service().limits)


def model():
    service, limits = _service(), _service().limits
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
    ).model_dump()


def predict():
    service = _service()
    with service.slot():
        [(name, audio)] = _files("file", service.limits.predict_bytes, 1)
        try:
            song, _ = service.score(name, audio, _disconnected())
        except DecodeError as error:
            raise Problem(413 if error.code == "too_long" else 422, error.code, str(error)) from None
    return schemas.Song(**song).model_dump(exclude_unset=True)


def rank():
    service, limits = _service(), _service().limits
    songs, scores, failed = [], [], []
    with service.slot():
        files = _files("files", limits.rank_bytes, limits.files)
        for name, result in _score_ahead(service, files, _disconnected()):
            try:
                song, score = result()
            except DecodeError as error:
                failed.append({"name": name, "code": error.code, "detail": str(error)})
            else:
                songs.append(song)
                scores.append(score)
    rows = _ranked(service.predictor, songs, scores) if songs else []
    ranking = schemas.Ranking(rows=rows, failed=failed, explained=RANKING_EXPLAINED[service.target["kind"]])
    return ranking.model_dump(exclude_unset=True)


def _score_ahead(service, files, disconnected):
    """Score files in order, some at a time: their names, and functions that return or raise the result."""
    with ThreadPoolExecutor(service.limits.workers + 1) as executor:
        pending = deque()
        for name, audio in files:
            pending.append((name, executor.submit(service.score, name, audio, disconnected).result))
            if len(pending) > service.limits.workers:
                yield pending.popleft()
        yield from pending


def _ranked(predictor, songs, scores):
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


def _disconnected():
    """A function that is true once this request's client has closed the connection."""
    return request.environ.get("waitress.client_disconnected", lambda: False)


def _files(field, most_bytes, most):
    """The files of the request's form, one after the other."""
    if request.mimetype != "multipart/form-data":
        raise Problem(
            415, "no_form", f"send a form (multipart/form-data) with audio files in the field {field!r}"
        )
    boundary = request.mimetype_params.get("boundary", "")
    if not (boundary.isascii() and 1 <= len(boundary) <= 100):  # RFC 2046 allows 70; some clients send more
        raise Problem(400, "broken_form", "the Content-Type names no boundary")
    request.max_content_length = most_bytes
    return upload.read_files(request.stream, boundary, field, _service().limits.file_bytes, most)


def spectrogram(name):
    return _png_response(images.spectrogram_png(_recent(name).codes))


def explanation(name):
    service, target = _service(), _service().predictor.target
    recent = _recent(name)
    if "mel" not in recent.features:
        inputs = " and ".join(recent.features)
        raise Problem(404, "no_map", f"this model takes {inputs}, no spectrogram: there is no map of one")
    output = None
    if target.kind == "audio_features":
        output = request.args.get("output", target.names[0])
        if output not in target.names:
            raise Problem(
                404, "no_output", f"no output of that name; choose one of {', '.join(target.names)}"
            )
    with service.slot():
        return _png_response(service.explain(recent, output))


def _recent(name):
    song = _service().recent.get(name)
    if song is None:
        raise Problem(404, "expired", "no prediction has this id, or it has expired; send the file again")
    return song


def _png_response(png):
    return Response(png, content_type="image/png", headers={"Cache-Control": "private, max-age=600"})


ROUTES = [
    ("/", index, ["GET"]),
    ("/page/<name>", page, ["GET"]),
    ("/health", health, ["GET"]),
    ("/metrics", metrics, ["GET"]),
    ("/openapi.json", describe, ["GET"]),
    ("/model", model, ["GET"]),
    ("/predict", predict, ["POST"]),
    ("/rank", rank, ["POST"]),
    ("/spectrogram/<name>.png", spectrogram, ["GET"]),
    ("/explain/<name>.png", explanation, ["GET"]),
]
