"""How much the service does for one request, and for all of them together."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """Bounds of the service.

    Attributes
    ----------
    file_bytes : int
        Of one audio file.
    seconds : float
        Of sound in one file, once decoded.
    files : int
        Songs of one ranking; together they may have as many bytes as four files.
    in_flight : int
        Requests at work or waiting for it; whoever comes on top of that is told to come back.
    workers : int
        Processes that decode; one per core.
    job_seconds : float
        After which a decoder that has not finished is killed.
    memory_bytes : int
        Of a decoder's address space.
    receive_seconds : float
        In which a whole request must have arrived.
    kept, kept_seconds : int, float
        Recent predictions that can still be explained, and for how long.
    """

    file_bytes: int = 30_000_000
    seconds: float = 600.0
    files: int = 50
    in_flight: int = 16
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    job_seconds: float = 30.0
    memory_bytes: int = 3 << 30
    receive_seconds: float = 300.0
    kept: int = 64
    kept_seconds: float = 1800.0

    @property
    def predict_bytes(self):
        """Of the body of a prediction: the file, and the form around it."""
        return self.file_bytes + FORM_BYTES

    @property
    def rank_bytes(self):
        """Of the body of a ranking."""
        return 4 * self.file_bytes + self.files * FORM_BYTES


FORM_BYTES = 4096  # what a form adds to a file: boundaries and a part's headers
