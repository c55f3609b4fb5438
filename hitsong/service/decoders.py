"""Processes that decode files and make features, so that a hostile file can crash only one of them.

They are forked from a small server process that has the libraries loaded and never loads TensorFlow, so a new one
starts in milliseconds. Each has a memory limit; one that takes too long is killed. Audio is sent to it, and features
come back, as plain bytes, never as pickles.
"""

import contextlib
import ctypes
import json
import logging
import multiprocessing
import multiprocessing.forkserver
import os
import queue
import resource
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

from hitsong.features.decode import AudioError, TooLongError
from hitsong.features.parallel import ENVIRONMENT
from hitsong.predict.song_features import SongFeatures, read_features

LARGEST_RESULT = 1 << 28  # bytes of features
LONG_BYTES = 2 << 20  # of a file from which on shorter ones go first
NICENESS = 5  # of its decoding: a third of the time that others get

log = logging.getLogger(__name__)


class DecodeError(Exception):
    """A file without features.

    Parameters
    ----------
    code : str
        "unreadable", "too_long", "too_slow", or "crashed".
    reason : str
    """

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code


class ClientDisconnected(Exception):
    """The client closed its connection: nobody waits for the result."""


def start_fork_server():
    """Start the process that decoders are forked from; it loads its libraries in the background."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hitsong.service.decoder_preload", __name__])
    with _worker_environment():
        multiprocessing.forkserver.ensure_running()
    return context


class DecoderPool:
    """Decoder processes that wait for files.

    Parameters
    ----------
    settings : hitsong.config.Features
        Which features they make.
    limits : hitsong.service.limits.Limits

    Attributes
    ----------
    restarts : int
        Processes replaced so far.
    """

    def __init__(self, settings, limits):
        self._arguments, self._limits = (settings, limits), limits
        self._context = start_fork_server()
        self.restarts = 0
        self._decoders = [_Decoder(self._context, self._arguments) for _ in range(limits.workers)]
        self._idle = queue.LifoQueue()
        for decoder in self._decoders:
            self._idle.put(decoder)

    def wait(self):
        """Wait until all processes are ready."""
        for decoder in self._decoders:
            decoder.wait()

    def decode(self, audio, disconnected=lambda: False, groups=(), kinds=()):
        """Make the features of a file, as soon as a process is idle.

        Parameters
        ----------
        audio : bytes
        disconnected : callable
            Whether the client has gone; asked before the work begins.
        groups, kinds : sequence of str
            Which variants to make as well, and their kinds of feature, see
            `hitsong.predict.song_features.read_features`.

        Returns
        -------
        hitsong.predict.song_features.SongFeatures

        Raises
        ------
        DecodeError
        ClientDisconnected
        """
        decoder = self._idle.get()
        try:
            if disconnected():
                raise ClientDisconnected()
            if not decoder.process.is_alive():  # killed while idle
                self._replace(decoder)
            job = json.dumps({"groups": groups, "kinds_of_variants": kinds}).encode()
            return decoder.decode(job, audio, self._limits.job_seconds)
        except DecodeError as error:
            if not decoder.process.is_alive():
                log.warning("a decoder process was lost: %s", error)
                self._replace(decoder)
            raise
        finally:
            self._idle.put(decoder)

    def _replace(self, decoder):
        decoder.start(self._context, self._arguments)
        self.restarts += 1

    def close(self):
        """End all processes."""
        for decoder in self._decoders:
            decoder.end()


class _Decoder:
    """One decoder process, and the pipe to it."""

    def __init__(self, context, arguments):
        self.start(context, arguments)

    def start(self, context, arguments):
        """Start a process, replacing one that has ended."""
        self.pipe, child_end = context.Pipe()
        self.process = context.Process(target=_work, args=(child_end, *arguments), daemon=True)
        self.process.start()
        child_end.close()
        self.ready = False

    def wait(self):
        """Wait until it is ready."""
        if not self.ready:
            self.pipe.recv_bytes()
            self.ready = True

    def decode(self, job, audio, seconds):
        """Send a file and wait for its features; kill the process after so many seconds."""
        timed_out = threading.Event()

        def kill():
            timed_out.set()
            self.process.kill()

        timer = threading.Timer(seconds, kill)
        timer.start()
        try:
            self.wait()
            self.pipe.send_bytes(job)
            self.pipe.send_bytes(audio)
            code, result = self.pipe.recv_bytes(32), self.pipe.recv_bytes(LARGEST_RESULT)
        except (OSError, EOFError):
            self.end()
            if timed_out.is_set():
                raise DecodeError("too_slow", f"decoding takes longer than {seconds:g} s") from None
            raise DecodeError("crashed", "the decoder process crashed while decoding this file") from None
        finally:
            timer.cancel()
        if code != b"features":
            raise DecodeError(code.decode(), result.decode())
        return SongFeatures.from_bytes(result)

    def end(self):
        """Kill the process and wait for its end."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextlib.contextmanager
def _worker_environment():
    """Set the processes' environment while their server starts."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --- In the decoder process -------------------------------------------------------------------------


def _work(pipe, settings, limits):
    """Make the features of one file after the other, until the service has ended."""
    _confine(limits.memory_bytes)
    pipe.send_bytes(b"ready")
    while True:
        try:
            job, audio = json.loads(pipe.recv_bytes()), pipe.recv_bytes()
        except EOFError:
            return
        initializer = _let_others_first if len(audio) > LONG_BYTES else None
        with ThreadPoolExecutor(1, initializer=initializer) as executor:  # its priority ends with it
            code, result = executor.submit(_result, audio, job, settings, limits).result()
        if code != b"features":  # perhaps after minutes of sound were decoded
            _return_memory()
        pipe.send_bytes(code)
        pipe.send_bytes(result)


def _let_others_first():
    """Lower the priority of this thread, where the system has one for each: short songs wait less for long ones."""
    if sys.platform == "linux":
        os.nice(NICENESS)


def _return_memory():
    """Give memory that is free back to the system, where the C library is glibc; it keeps it otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _confine(memory_bytes):
    """Limit the memory, leave Ctrl-C to the service, and write nothing to its terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # decoding libraries write about broken files there
        os.dup2(null, descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # other systems do not enforce it
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _result(audio, job, settings, limits):
    """A code, and the features or the reason why there are none: two byte strings."""
    try:
        with _as_path(audio) as path:
            features = read_features(path, settings, whole_mel=True, seconds=limits.seconds, **job)
            return b"features", features.to_bytes()
    except TooLongError as error:
        return b"too_long", str(error).encode()
    except AudioError as error:
        return b"unreadable", str(error).encode()
    except MemoryError:
        return b"unreadable", b"decoding it takes more memory than one file may use"
    except Exception:  # a library failed on this file
        return b"unreadable", b"not decodable as audio"


@contextlib.contextmanager
def _as_path(audio):
    """Bytes as a path for libraries that open files; in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("audio"), "wb", buffering=0) as file:
            file.write(audio)
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(buffering=0) as file:
            file.write(audio)
            yield file.name
