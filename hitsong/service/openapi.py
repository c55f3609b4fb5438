"""The API's description, OpenAPI 3.1: paths by hand, schemas from `schemas`."""

from pydantic.json_schema import models_json_schema

from hitsong import __version__
from hitsong.service import schemas
from hitsong.service.problems import MEDIA_TYPE

SCHEMAS = (schemas.Song, schemas.Ranking, schemas.ModelCard, schemas.Health, schemas.Problem)

PROBLEMS = {
    400: "The form is broken, or has other fields than audio files",
    401: "The access token is missing or wrong",
    403: "The request comes from another site",
    404: "Nothing has this name or id, or it has expired",
    413: "Too many bytes, too many files, or too many minutes of sound",
    415: "The body is no form (multipart/form-data)",
    421: "The service can be used as localhost only",
    422: "The file cannot be decoded as audio, or is silent",
    503: "Too many requests are in work; `Retry-After` says when to try again",
}

FORM_PROBLEMS = {400, 413, 415, 503}  # of operations that take a form


def description(limits):
    """Describe the API.

    Parameters
    ----------
    limits : hitsong.service.limits.Limits

    Returns
    -------
    dict
        In JSON's types.
    """
    _, definitions = models_json_schema(
        [(schema, "serialization") for schema in SCHEMAS], ref_template="#/components/schemas/{model}"
    )
    megabytes, minutes = limits.file_bytes / 1e6, limits.seconds / 60
    bounds = f"MP3, M4A, FLAC, OGG, WAV or a video; up to {megabytes:g} MB and {minutes:g} minutes each."
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Hitsong",
            "version": __version__,
            "summary": "How popular may a song become, from its sound alone?",
            "description": "A score helps to sort many songs; about a single song it is often wrong. It does not "
            "depend on who made a song. Uploads are not stored; what the images need stays in memory for a while.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "tags": [
            {"name": "songs", "description": "Scores of songs"},
            {"name": "images", "description": "A song's spectrogram, and what raises and lowers its score"},
            {"name": "service", "description": "The model and the service itself"},
        ],
        "paths": {
            "/predict": {
                "post": _operation(
                    "predict", "songs", "Score one song", bounds, _json("Song"), FORM_PROBLEMS | {401, 403, 422},
                    requestBody=_form("file", {"type": "string", "contentMediaType": "application/octet-stream"}),
                )
            },
            "/rank": {
                "post": _operation(
                    "rank", "songs", "Rank several songs",
                    f"{bounds} At most {limits.files} files and {limits.rank_bytes / 1e6:.0f} MB together. Files that "
                    "cannot be decoded are listed under `failed`.",
                    _json("Ranking"), FORM_PROBLEMS | {401, 403},
                    requestBody=_form(
                        "files",
                        {
                            "type": "array", "minItems": 1, "maxItems": limits.files,
                            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                        },
                    ),
                )
            },
            "/spectrogram/{id}.png": _image(
                "spectrogram", "The spectrogram of the excerpt that the model uses",
                "Time runs to the right, pitch upwards; a pixel for each bin, the brighter the louder.", {401, 404},
            ),
            "/explain/{id}.png": _image(
                "explain", "What raises and lowers the score",
                "An overlay of the spectrogram's size: how the score changes when a part is hidden (occlusion, "
                "arXiv:1311.2901). Orange parts raise it, blue parts lower it, transparent parts have no effect. Only "
                "for models of the mel-spectrogram.",
                {401, 404, 503},
                {
                    "name": "output", "in": "query", "required": False, "schema": {"type": "string"},
                    "description": "Which audio feature, for models of several; the first if not given",
                },
            ),
            "/model": {
                "get": _operation(
                    "model", "service", "The model, its card, and the limits", "", _json("ModelCard"), {401}
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
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "If the service was started with one"}
            },
            "responses": {
                str(status): {
                    "description": text,
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    **({"headers": {"Retry-After": RETRY}} if status == 503 else {}),
                }
                for status, text in PROBLEMS.items()
            },
        },
    }  # fmt: skip


RETRY = {"description": "Seconds to wait", "schema": {"type": "integer"}}


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


def _json(schema):
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _form(field, content):
    schema = {
        "type": "object",
        "required": [field],
        "properties": {field: content},
        "additionalProperties": False,
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _image(name, summary, text, problems, *parameters):
    identifier = {
        "name": "id", "in": "path", "required": True, "description": "The id of a prediction",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"},
    }  # fmt: skip
    content = {"image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}}}
    operation = _operation(name, "images", summary, text, content, problems)
    return {"parameters": [identifier, *parameters], "get": operation}
