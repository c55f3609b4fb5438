"""The files of a multipart form, read one at a time, with limits on sizes and numbers."""

import re
import unicodedata

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from hitsong.service.problems import Problem

CHUNK = 1 << 16  # bytes read at a time
BUFFER = 1 << 20  # bytes of anything but a file's content
LONGEST_NAME = 120


def read_files(stream, boundary, field, file_bytes, most):
    """Read the files of a form.

    Parameters
    ----------
    stream : file-like
        The request's body.
    boundary : str
        Between the parts, as the request's Content-Type names it.
    field : str
        The only field that the form may have.
    file_bytes : int
        Largest size of a file.
    most : int
        Largest number of files.

    Yields
    ------
    (str, bytes)
        A name that is fit to be shown, and the content.

    Raises
    ------
    Problem
        If the form is broken, has another field, no file at all, or too many or too large ones.
    """
    count = 0
    for part, data in _parts(stream, boundary, file_bytes):
        if not isinstance(part, File) or part.name != field:
            raise Problem(400, "wrong_field", f"send audio files in the field {field!r}, and nothing else")
        count += 1
        if count > most:
            raise Problem(413, "too_many_files", f"more than {most} file{'s' * (most > 1)} in one request")
        yield clean_name(part.filename), data
    if not count:
        raise Problem(400, "no_file", f"the form has no file in the field {field!r}")


def _parts(stream, boundary, file_bytes):
    """Each part of a form with its content."""
    decoder = MultipartDecoder(boundary.encode(), BUFFER)
    part, content = None, bytearray()
    try:
        while True:
            event = decoder.next_event()
            if isinstance(event, NeedData):
                decoder.receive_data(stream.read(CHUNK) or None)
            elif isinstance(event, Field | File):
                part, content = event, bytearray()
            elif isinstance(event, Data):
                content += event.data
                if len(content) > file_bytes:
                    raise Problem(413, "too_large", f"a file has more than {file_bytes / 1e6:g} MB")
                if not event.more_data:
                    yield part, bytes(content)
            elif isinstance(event, Epilogue):
                return
    except RequestEntityTooLarge:
        raise Problem(413, "too_large", "the form's own headers are too large") from None
    except ValueError:
        raise Problem(400, "broken_form", "the body is no complete multipart form") from None


def clean_name(name):
    """A client's name of a file, fit to be shown: no folders, no invisible characters, not too long.

    >>> clean_name("C:\\\\Music\\\\my song.mp3"), clean_name("../../etc/passwd"), clean_name("\\u202egnp.exe\\x00")
    ('my song.mp3', 'passwd', 'gnp.exe')
    >>> clean_name("")
    'unnamed'
    """
    name = re.split(r"[/\\]", name)[-1]
    visible = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")
    return visible.strip()[:LONGEST_NAME] or "unnamed"
