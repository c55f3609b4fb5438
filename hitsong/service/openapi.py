"""The API's description, OpenAPI 3.1: paths by hand, shapes from `answers`."""

from pydantic.json_schema import models_json_schema

from hitsong import __version__
from hitsong.service import answers
from hitsong.service.problems import MEDIA_TYPE

SHAPES = (answers.Song, answers.Ranking, answers.Card, answers.Health, answers.Problem)

PROBLEMS = {
    400: "The form is broken, or holds something else than the files asked for",
    401: "The access token is missing or wrong",
    403: "The request comes from another site",
    404: "There is nothing of that name, or not any more",
    413: "Too many bytes, too many files, or too many minutes of sound",
    415: "The body is no form (multipart/form-data)",
    421: "The service answers to localhost only",
    422: "The file cannot be heard",
    503: "Too many requests are at work; `Retry-After` says when to come back",
}

OWN = {400, 413, 415, 503}  # of what takes a form


def description(limits):
    """Describe the API.

    Parameters
    ----------
    limits : hitsong.service.limits.Limits

    Returns
    -------
    dict
        As JSON can hold it.
    """
    _, shapes = models_json_schema(
        [(shape, "serialization") for shape in SHAPES], ref_template="#/components/schemas/{model}"
    )
    megabytes, minutes = limits.file_bytes / 1e6, limits.seconds / 60
    bounds = f"MP3, FLAC, OGG or WAV; up to {megabytes:g} MB and {minutes:g} minutes each."
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Hitsong",
            "version": __version__,
            "summary": "How popular may a song become, from its sound alone?",
            "description": "A score sorts many songs; it is a sieve, not a verdict on one. It knows nothing of who "
            "made a song. Nothing of an upload is kept but what its pictures are made from, in memory and for a while.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "tags": [
            {"name": "songs", "description": "Judging songs"},
            {"name": "pictures", "description": "What was heard, and what mattered in it"},
            {"name": "service", "description": "The model and the service itself"},
        ],
        "paths": {
            "/predict": {
                "post": _operation(
                    "predict", "songs", "Judge one song", bounds, _json("Song"), OWN | {401, 403, 422},
                    requestBody=_form("file", {"type": "string", "contentMediaType": "application/octet-stream"}),
                )
            },
            "/rank": {
                "post": _operation(
                    "rank", "songs", "Put several songs in order",
                    f"{bounds} At most {limits.files} files and {limits.rank_bytes / 1e6:.0f} MB together. Files that "
                    "cannot be heard are listed under `failed`.",
                    _json("Ranking"), OWN | {401, 403},
                    requestBody=_form(
                        "files",
                        {
                            "type": "array", "minItems": 1, "maxItems": limits.files,
                            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                        },
                    ),
                )
            },
            "/spectrogram/{id}.png": _picture(
                "spectrogram", "The spectrogram of what was heard",
                "Time runs to the right, pitch upwards; a pixel for each bin, the brighter the louder.", {401, 404},
            ),
            "/explain/{id}.png": _picture(
                "explain", "What mattered in it",
                "An overlay of the spectrogram's size: how the answer changes where a part is hidden (occlusion, "
                "arXiv:1311.2901); orange raises it, blue lowers it, transparent does nothing. Not for models that do "
                "not hear the spectrogram.",
                {401, 404, 503},
                {
                    "name": "output", "in": "query", "required": False, "schema": {"type": "string"},
                    "description": "Which audio feature, for models of several; the first if not given",
                },
            ),
            "/model": {
                "get": _operation(
                    "model", "service", "The model, its card, and the limits", "", _json("Card"), {401}
                )
            },
            "/health": {
                "get": _operation("health", "service", "Whether the service works", "", _json("Health"), set(), [])
            },
            "/metrics": {
                "get": _operation(
                    "metrics", "service", "Measurements, for Prometheus", "",
                    {"text/plain": {"schema": {"type": "string"}}}, {401},
                )
            },
            "/openapi.json": {
                "get": _operation(
                    "describe", "service", "This description", "",
                    {"application/json": {"schema": {"type": "object"}}}, set(), [],
                )
            },
            "/": {
                "get": _operation(
                    "index", "service", "The page to try a song on", "", {"text/html": {"schema": {"type": "string"}}},
                    set(), [],
                )
            },
        },
        "components": {
            "schemas": shapes["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Where the service was given one"}
            },
            "responses": {
                str(status): {
                    "description": what,
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    **({"headers": {"Retry-After": RETRY}} if status == 503 else {}),
                }
                for status, what in PROBLEMS.items()
            },
        },
    }  # fmt: skip


RETRY = {"description": "In so many seconds", "schema": {"type": "integer"}}


def _operation(name, tag, summary, text, content, problems, security=None, **more):
    operation = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        **({"description": text} if text else {}),
        "responses": {
            "200": {"description": summary, "content": content},
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in sorted(problems | {421})
            },
        },
        **more,
    }
    return operation if security is None else {**operation, "security": security}


def _json(shape):
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}}


def _form(field, shape):
    schema = {
        "type": "object",
        "required": [field],
        "properties": {field: shape},
        "additionalProperties": False,
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _picture(name, summary, text, problems, *parameters):
    identifier = {
        "name": "id", "in": "path", "required": True, "description": "Of a prediction",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"},
    }  # fmt: skip
    content = {"image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}}}
    operation = _operation(name, "pictures", summary, text, content, problems)
    return {"parameters": [identifier, *parameters], "get": operation}
