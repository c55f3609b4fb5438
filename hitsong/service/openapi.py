"""Parts of the API's description that FastAPI cannot derive: problems, bodies, the token."""

from fastapi.openapi.utils import get_openapi

from hitsong import __version__
from hitsong.service import schemas
from hitsong.service.problems import MEDIA_TYPE

PROBLEMS = {
    400: "The form is broken, or has other fields than audio files",
    401: "The access token is missing or wrong",
    403: "The request comes from another site",
    404: "Nothing has this name or id, or it has expired",
    413: "Too many bytes, too many files, or too many minutes of sound",
    415: "The body is neither a form (multipart/form-data) nor audio",
    421: "The service can be used as localhost only",
    422: "The file cannot be decoded as audio, or a parameter is invalid",
    503: "Too many requests are in work; `Retry-After` says when to try again",
}

DESCRIPTION = """\
A score helps to sort many songs; about a single song it is often wrong. It does not depend on who made a song.
Uploads are not stored; what the images need stays in memory for a while."""

TAGS = [
    {"name": "songs", "description": "Scores of songs"},
    {"name": "explanations", "description": "A song's spectrogram, and what raises and lowers its score"},
    {"name": "service", "description": "The model and the service itself"},
]

RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
AUDIO = {"type": "string", "contentMediaType": "application/octet-stream"}


def problems(*statuses):
    """The error responses of a route, for its parameter `responses`."""
    return {
        status: {
            "description": PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": RETRY_AFTER} if status == 503 else {}),
        }
        for status in (*statuses, 421)
    }


def song_body():
    """The body of a request with one song, for a route's `openapi_extra`."""
    return _body({"file": AUDIO}, {"audio/*": {"schema": AUDIO}})


def songs_body():
    """The body of a request with several songs, for a route's `openapi_extra`."""
    return _body({"files": {"type": "array", "minItems": 1, "items": AUDIO}}, {})


def _body(fields, others):
    form = {"type": "object", "required": list(fields), "properties": fields, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}, **others}}}


def png(description):
    """The response of a route that sends a picture, for its parameter `responses`."""
    schema = {"type": "string", "contentMediaType": "image/png"}
    return {200: {"description": description, "content": {"image/png": {"schema": schema}}}}


def describe(app, limits):
    """Describe the API: OpenAPI 3.1, as a dict in JSON's types.

    Parameters
    ----------
    app : fastapi.FastAPI
    limits : hitsong.service.limits.Limits
    """
    description = get_openapi(
        title="Hitsong",
        version=__version__,
        summary="How popular may a song become, from its sound alone?",
        description=f"{DESCRIPTION}\n\n{_bounds(limits)}",
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[{"url": "/"}],
    )
    components = description.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = schemas.Problem.model_json_schema()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "If the service was started with one"}
    }
    description["security"] = [{}, {"token": []}]
    return description


def _bounds(limits):
    return (
        f"Songs: MP3, M4A, FLAC, OGG, WAV or a video, each up to {limits.file_bytes / 1e6:g} MB and "
        f"{limits.seconds / 60:g} minutes; a ranking has at most {limits.files} files and "
        f"{limits.rank_bytes / 1e6:.0f} MB together."
    )
