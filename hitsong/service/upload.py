"""The files of a request: of a multipart form, or the body itself; received within limits on sizes and numbers."""

import logging
import re
import tempfile
import unicodedata
from dataclasses import dataclass
from typing import BinaryIO

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from hitsong.service.problems import Problem

SPOOL_BYTES = 1 << 20  # a larger body waits in an unnamed file
LONGEST_NAME = 120
LONGEST_BOUNDARY = 100  # RFC 2046 allows 70; some clients send more
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # no line for each broken form
RAW_TYPES = ("audio/", "video/", "application/octet-stream")


@dataclass
class Upload:
    """A file that was received.

    Attributes
    ----------
    name : str
        Fit to be shown.
    file : file-like
    """

    name: str
    file: BinaryIO

    def read(self):
        """The content: bytes."""
        self.file.seek(0)
        return self.file.read()


class _FormParser(MultiPartParser):
    """Starlette's parser of forms, which knows whether the form was complete."""

    complete = False

    def on_end(self):
        self.complete = True


async def receive_files(request, field, limits, most):
    """Receive the files of a form; the caller closes them.

    Parameters
    ----------
    request : starlette.requests.Request
    field : str
        The only field that the form may have.
    limits : hitsong.service.limits.Limits
    most : int
        Largest number of files.

    Returns
    -------
    list of Upload

    Raises
    ------
    Problem
        If the form is broken, has another field, no file at all, or too many or too large ones.
    """
    kind, parameters = content_type(request)
    if kind != "multipart/form-data":
        raise Problem(
            415, "no_form", f"send a form (multipart/form-data) with audio files in the field {field!r}"
        )
    boundary = parameters.get("boundary", "")
    if not (boundary.isascii() and 1 <= len(boundary) <= LONGEST_BOUNDARY):
        raise Problem(400, "broken_form", "the Content-Type names no boundary")
    parser = _FormParser(request.headers, request.stream(), max_files=most, max_fields=1)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            detail = f"more than {most} file{'s' * (most > 1)} in one request"
            raise Problem(413, "too_many_files", detail) from None
        raise Problem(400, "broken_form", "the body is no complete multipart form") from None
    try:
        if not parser.complete:
            raise Problem(400, "broken_form", "the body is no complete multipart form")
        return _checked(form.multi_items(), field, limits)
    except Problem:
        await form.close()
        raise


def _checked(items, field, limits):
    """A form's items as uploads."""
    for name, item in items:
        if name != field or not isinstance(item, UploadFile):
            raise Problem(400, "wrong_field", f"send audio files in the field {field!r}, and nothing else")
        if item.size > limits.file_bytes:
            raise too_large(limits)
    if not items:
        raise Problem(400, "no_file", f"the form has no file in the field {field!r}")
    return [Upload(clean_name(item.filename), item.file) for _, item in items]


async def receive_body(request, limits):
    """Receive a body that is itself an audio file: an `Upload`, which the caller closes."""
    size, file = 0, tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limits.file_bytes:
                raise too_large(limits)
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    return Upload(clean_name(""), file)


def is_raw(request):
    """Whether the body is itself an audio file."""
    return content_type(request)[0].startswith(RAW_TYPES)


def content_type(request):
    """The media type of a request, in lower case, and its parameters."""
    kind, *parameters = request.headers.get("Content-Type", "").split(";")
    pairs = (parameter.strip().partition("=") for parameter in parameters)
    return kind.strip().lower(), {name.lower(): value.strip('"') for name, _, value in pairs}


def too_large(limits):
    """The problem of a file that is too large."""
    return Problem(413, "too_large", f"a file has more than {limits.file_bytes / 1e6:g} MB")


def clean_name(name):
    """A client's name of a file, fit to be shown: no folders, no invisible characters, not too long.

    >>> clean_name("C:\\\\Music\\\\my song.mp3"), clean_name("../../etc/passwd"), clean_name("\\u202egnp.exe\\x00")
    ('my song.mp3', 'passwd', 'gnp.exe')
    >>> clean_name("")
    'unnamed'
    """
    return visible(re.split(r"[/\\]", name)[-1], LONGEST_NAME) or "unnamed"


def visible(text, longest):
    """A client's text without invisible characters, at most so long."""
    return "".join(letter for letter in text if unicodedata.category(letter)[0] != "C").strip()[:longest]
