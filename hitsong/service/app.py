"""The REST API as a Flask app: routes, and what they have in common."""

import logging
import re
import time
from contextlib import contextmanager
from pathlib import Path

from flask import Flask, Response, current_app, g, request, send_from_directory
from werkzeug.exceptions import HTTPException

from hitsong.predict.predictor import Listener
from hitsong.service import answers, guard, openapi, pictures, upload
from hitsong.service.problems import MEDIA_TYPE, Problem
from hitsong.service.server import Server
from hitsong.service.service import Service, show
from hitsong.service.worker import Pool, Unheard

PAGE = Path(__file__).parent / "page"
PUBLIC = ("index", "page", "health", "describe", None)  # endpoints that need no token; None: there is nothing

EXPLAINED = {
    "popularity": "Above the next: the probability that a song turns out more popular than the one below it. What both "
    "predictions are off by is drawn from the model's errors on its validation tracks, independently of each other. "
    "Songs that resemble each other are misjudged in the same way, so for these the order is surer than it says.",
    "popular": "Songs in order of their probability of being popular. Above the next: the probability that a song "
    "turns out popular and the one below it not, ties counting half, as if the two were independent.",
    "buckets": "Songs in order of their expected class. Above the next: the probability that a song turns out in a "
    "higher class than the one below it, ties counting half, as if the two were independent.",
    "audio_features": "Songs as they were sent: audio features have no order.",
}

log = logging.getLogger(__name__)


def create_app(service, guard):
    """The Flask app.

    Parameters
    ----------
    service : Service
    guard : hitsong.service.guard.Guard
    """
    app = Flask(__name__, static_folder=None)
    app.json.ensure_ascii = app.json.sort_keys = False
    app.extensions |= {"service": service, "guard": guard}
    for rule, view, methods in ROUTES:
        app.add_url_rule(rule, view.__name__, view, methods=methods, provide_automatic_options=False)
    app.before_request(_begin)
    app.after_request(_end)
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(HTTPException, _refusal)
    app.register_error_handler(Exception, _bug)
    return app


@contextmanager
def start(bundle, guard, limits, host="127.0.0.1", port=0):
    """Make everything ready to serve a model: load, fork, warm up, listen.

    Parameters
    ----------
    bundle : hitsong.training.bundle.Bundle
    guard : hitsong.service.guard.Guard
    limits : hitsong.service.limits.Limits
    host : str
    port : int
        0 takes any free port.

    Yields
    ------
    hitsong.service.server.Server
        To be run; the workers end with the block.
    """
    listener = Listener(bundle, show())
    pool = Pool(listener.settings, limits)
    try:
        service = Service(listener, pool, limits)
        pool.wait()
        service.warm()
        yield Server(create_app(service, guard), host, port, limits)
    finally:
        pool.close()


def _service():
    return current_app.extensions["service"]


# --- Before and after -------------------------------------------------------------------------------


def _begin():
    g.started = time.perf_counter()
    current_app.extensions["guard"].check(request.method, request.headers, request.endpoint in PUBLIC)


def _end(response):
    response.headers.extend(guard.HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    _service().meters.count(request.endpoint, response.status_code, time.perf_counter() - g.started)
    return response


def _problem(problem):
    return Response(problem.body(), problem.status, problem.headers, content_type=MEDIA_TYPE)


def _refusal(error):
    """What Flask itself refuses: no such page, no such method."""
    code = re.sub(r"\W+", "_", error.name.lower())
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return _problem(Problem(error.code, code, error.description or error.name, headers))


def _bug(error):
    log.error("%s %s failed", request.method, request.url_rule, exc_info=error)
    return _problem(Problem(500, "internal", "something went wrong here; it has been logged"))


# --- Routes -----------------------------------------------------------------------------------------


def index():
    return send_from_directory(PAGE, "index.html")


def page(name):
    return send_from_directory(PAGE, name)


def health():
    service = _service()
    return answers.Health(
        status="ok",
        model=service.made["name"],
        in_flight=int(service.meters.flying()),
        workers=service.limits.workers,
    ).model_dump()


def metrics():
    return Response(*_service().meters.exposition())


def describe():
    return openapi.description(_service().limits)


def model():
    service, limits = _service(), _service().limits
    card = service.bundle.folder / "card.md"
    validation = {
        name: value for name, value in service.info["validation"].items() if isinstance(value, int | float)
    }
    return answers.Card(
        **service.made,
        target=service.target,
        inputs={name: made["shape"] for name, made in service.info["inputs"].items()},
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
            song, _ = service.judge(name, audio)
        except Unheard as error:
            raise Problem(413 if error.code == "too_long" else 422, error.code, str(error)) from None
    return answers.Song(**song).model_dump(exclude_unset=True)


def rank():
    service, limits = _service(), _service().limits
    songs, scores, failed = [], [], []
    with service.slot():
        for name, audio in _files("files", limits.rank_bytes, limits.files):
            try:
                song, score = service.judge(name, audio)
            except Unheard as error:
                failed.append({"name": name, "code": error.code, "detail": str(error)})
            else:
                songs.append(song)
                scores.append(score)
    rows = _rows(service.listener, songs, scores) if songs else []
    ranking = answers.Ranking(rows=rows, failed=failed, explained=EXPLAINED[service.target["kind"]])
    return ranking.model_dump(exclude_unset=True)


def _rows(listener, songs, scores):
    """Songs in order, each with the probability that it is above the next."""
    order = listener.order(scores)
    if order is None:
        return [{**song, "rank": None, "above_next": None} for song in songs]
    above = [listener.above(scores[a], scores[b]) for a, b in zip(order[:-1], order[1:], strict=True)]
    return [
        {**songs[place], "rank": number, "above_next": probability}
        for number, (place, probability) in enumerate(zip(order, [*above, None], strict=True), start=1)
    ]


def _files(field, most_bytes, most):
    """The files of the request's form, one after the other."""
    if request.mimetype != "multipart/form-data":
        raise Problem(
            415, "no_form", f"send a form (multipart/form-data) with audio files in the field {field!r}"
        )
    boundary = request.mimetype_params.get("boundary", "")
    if not (
        boundary.isascii() and 1 <= len(boundary) <= 100
    ):  # RFC 2046 has 70; some clients send a few more
        raise Problem(400, "broken_form", "the Content-Type names no boundary")
    request.max_content_length = most_bytes
    return upload.files(request.stream, boundary, field, _service().limits.file_bytes, most)


def spectrogram(name):
    return _picture(pictures.spectrogram(_remembered(name).codes))


def explanation(name):
    service, target = _service(), _service().listener.target
    remembered = _remembered(name)
    if "mel" not in remembered.features:
        heard = " and ".join(remembered.features)
        raise Problem(
            404, "no_map", f"this model hears {heard}, not the spectrogram: nothing in it can be pointed at"
        )
    output = None
    if target.kind == "audio_features":
        output = request.args.get("output", target.names[0])
        if output not in target.names:
            raise Problem(
                404, "no_output", f"there is no output of that name; there are {', '.join(target.names)}"
            )
    with service.slot():
        return _picture(service.mattered(remembered, output))


def _remembered(name):
    found = _service().recent.get(name)
    if found is None:
        raise Problem(
            404, "forgotten", "there is no prediction of that name, or not any more; send the file again"
        )
    return found


def _picture(png):
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
