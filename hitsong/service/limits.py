"""Limits on one request, and on all requests together."""

import os
from dataclasses import dataclass, field

HEADER_BYTES = 16_384
FORM_BYTES = 4096  # of a multipart form around a file: boundaries and a part's headers


@dataclass(frozen=True)
class Limits:
    """Limits of the service.

    Attributes
    ----------
    file_bytes : int
        Of one audio file.
    seconds : float
        Decoded length of one file.
    files : int
        Songs of one ranking; together they may have as many bytes as four files.
    versions : int
        Versions of one song that are compared.
    held_bytes : int
        Of all bodies that are received or in work, together; beyond, requests get status 503.
    in_flight : int
        Requests in work or waiting; further ones get status 503.
    workers : int
        Decoder processes; one more than cores, so that a long song leaves a process per core to short ones.
    job_seconds : float
        After which a decoder that has not finished is killed.
    memory_bytes : int
        Of a decoder's address space.
    receive_seconds : float
        In which a whole request must arrive.
    kept, kept_seconds : int, float
        How many recent predictions can be explained, and for how long.
    """

    file_bytes: int = 30_000_000
    seconds: float = 600.0
    files: int = 50
    versions: int = 4
    held_bytes: int = 1_000_000_000
    in_flight: int = 16
    workers: int = field(default_factory=lambda: (os.cpu_count() or 1) + 1)
    job_seconds: float = 30.0
    memory_bytes: int = 3 << 30
    receive_seconds: float = 300.0
    kept: int = 64
    kept_seconds: float = 1800.0

    @property
    def rank_bytes(self):
        """Of the body of a ranking, or of versions."""
        return 4 * self.file_bytes + self.files * FORM_BYTES

    def body_bytes(self, path):
        """Of the body of a request to this path: one file and the form around it, but for several songs."""
        return self.rank_bytes if path in ("/rank", "/versions") else self.file_bytes + FORM_BYTES
