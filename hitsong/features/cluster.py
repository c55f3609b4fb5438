"""A Dask cluster whose workers compute features with this code, the same library versions and the same files.

The package is uploaded to the scheduler and to every worker, also to workers that join later. Each call checks the
worker's libraries, since other versions give other numbers.
"""

import hashlib
import importlib.metadata
import socket
import tempfile
import time
import zipfile
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import hitsong
from hitsong.errors import UserError
from hitsong.features.parallel import CRASHED

CONNECT_S, JOIN_S, STALL_S = 10, 60, 300  # seconds to wait for the scheduler, the first worker, one clip
POLL_S = 5
LIBRARIES = ("numpy", "scipy", "librosa", "numba", "soundfile", "soxr", "av", "pyloudnorm")
# A worker may still have the package of an earlier run in memory.
UNLOAD = """
import sys
sys.path[:] = [path for path in sys.path if "hitsong-" not in path or not path.endswith(".zip")]
for name in [name for name in sys.modules if name.partition(".")[0] == "hitsong"]:
    del sys.modules[name]
"""


@contextmanager
def connect(function, address):
    """Connect to a scheduler (``tcp://192.168.1.5:8786``), upload this package, and yield calls of the function.

    Raises
    ------
    UserError
        If Dask is not installed, the scheduler cannot be reached, or no worker joins it.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "compute.scheduler needs Dask: pip install distributed (the version that the scheduler runs)"
        ) from None
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except OSError:
        raise UserError(f"compute.scheduler: there is no Dask scheduler at {address}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=JOIN_S)
        except TimeoutError:
            raise UserError(
                f"compute.scheduler: no worker has joined {address} within {JOIN_S} s; start one: "
                f"dask worker {address} --nthreads 1"
            ) from None
        client.run(exec, UNLOAD)
        client.run_on_scheduler(exec, UNLOAD)
        with tempfile.TemporaryDirectory() as folder:
            client.upload_file(_pack(Path(folder)))
        yield _Calls(client, function, address)


def _pack(folder):
    """The package's code as a ZIP file named after the hash of its content."""
    package = Path(hitsong.__file__).parent
    sources = {path.relative_to(package.parent): path.read_bytes() for path in sorted(package.rglob("*.py"))}
    digest = hashlib.sha256(repr(sources).encode()).hexdigest()[:12]
    with zipfile.ZipFile(folder / f"hitsong-{digest}.zip", "w") as archive:
        for path, source in sources.items():
            archive.writestr(path.as_posix(), source)
    return archive.filename


class _Calls:
    """Calls of one function on the cluster's workers."""

    def __init__(self, client, function, address):
        self.client, self.function, self.address = client, function, address
        self.versions = _versions()

    def workers(self):
        return max(1, sum(self.client.nthreads().values()))

    def submit(self, argument):
        return self.client.submit(_call, self.function, argument, self.versions, pure=False)

    def result(self, future):
        from distributed import KilledWorker

        started = time.monotonic()
        while True:
            try:
                return future.result(timeout=POLL_S)
            except TimeoutError:
                self._check(time.monotonic() - started)
            except KilledWorker:
                return CRASHED
            except CancelledError:
                raise UserError(f"compute.scheduler: the scheduler at {self.address} was lost") from None
            except ImportError as error:
                raise UserError(f"compute.scheduler: a worker lacks a package: {error}") from None

    def _check(self, waited):
        """Raise UserError after too long a wait."""
        if waited < min(JOIN_S, STALL_S):
            return
        if self.client.status != "running" or not self.client.nthreads():
            raise UserError(f"compute.scheduler: {self.address} has had no worker for {waited:.0f} s")
        if waited >= STALL_S:
            raise UserError(
                f"compute.scheduler: {self.address} has not finished one clip within {waited:.0f} s; "
                "see the log of its workers"
            )


def _call(function, argument, versions):
    """On a worker: call the function if the libraries have the versions of the calling machine."""
    for library, version in versions.items():
        if _versions()[library] != version:
            raise UserError(
                f"the Dask worker on {socket.gethostname()} has {library} {_versions()[library]}, and this machine has "
                f"{version}: install the same requirements on both"
            )
    return function(argument)


@lru_cache
def _versions():
    """Installed versions of the libraries that decide the numbers."""
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            versions[library] = None
    return versions
