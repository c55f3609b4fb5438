"""Processes that decode and make features, so that a hostile file can only ever take one of them down.

They are forked from a small server process that has the libraries loaded and has never run TensorFlow, so a new
one is there in a moment. A worker may use so much memory; one that takes too long is killed. Audio goes to it
and features come back as plain bytes, never as pickles.
"""

import contextlib
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

import soundfile

from hitsong.features.decode import AudioError
from hitsong.features.parallel import TOP_PAD
from hitsong.predict.clip import Heard, hear

# One thread each, before NumPy loads: with more, two workers are slower than one.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_TOP_PAD_": str(TOP_PAD),
}  # fmt: skip
LARGEST_ANSWER = 1 << 28  # bytes of features


log = logging.getLogger(__name__)


class Unheard(Exception):
    """A file that cannot be heard.

    Parameters
    ----------
    code : str
        "unreadable", "too_long", "too_slow", or "died".
    reason : str
    """

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code


def prepare():
    """Start the process that workers are forked from; it loads its libraries while others do something else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hitsong.service.warm", __name__])
    with _environment():
        multiprocessing.forkserver.ensure_running()
    return context


class Pool:
    """Workers that wait for files.

    Parameters
    ----------
    settings : hitsong.config.Features
        Which features they make.
    limits : hitsong.service.limits.Limits

    Attributes
    ----------
    restarts : int
        Workers replaced so far.
    """

    def __init__(self, settings, limits):
        self._arguments, self._limits = (settings, limits), limits
        self._context = prepare()
        self.restarts = 0
        self._workers = [_Worker(self._context, self._arguments) for _ in range(limits.workers)]
        self._idle = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def wait(self):
        """Wait until all workers are ready."""
        for worker in self._workers:
            worker.wait()

    def hear(self, audio):
        """Let a worker hear a file, as soon as one is free.

        Parameters
        ----------
        audio : bytes

        Returns
        -------
        hitsong.predict.clip.Heard

        Raises
        ------
        Unheard
        """
        worker = self._idle.get()
        try:
            if not worker.process.is_alive():  # of something that was none of a file's doing
                self._replace(worker)
            return worker.hear(audio, self._limits.job_seconds)
        except Unheard as error:
            if not worker.process.is_alive():
                log.warning("a decoder was lost: %s", error)
                self._replace(worker)
            raise
        finally:
            self._idle.put(worker)

    def _replace(self, worker):
        worker.start(self._context, self._arguments)
        self.restarts += 1

    def close(self):
        """End all workers."""
        for worker in self._workers:
            worker.end()


class _Worker:
    """One worker process, and the wire to it."""

    def __init__(self, context, arguments):
        self.start(context, arguments)

    def start(self, context, arguments):
        """Start a process, in place of one that has ended."""
        self.wire, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = False

    def wait(self):
        """Wait for the sign that it is ready."""
        if not self.ready:
            self.wire.recv_bytes()
            self.ready = True

    def hear(self, audio, seconds):
        """Hand over a file and wait for the answer, so many seconds at most."""
        overdue = threading.Event()

        def kill():
            overdue.set()
            self.process.kill()

        timer = threading.Timer(seconds, kill)
        timer.start()
        try:
            self.wait()
            self.wire.send_bytes(audio)
            code, answer = self.wire.recv_bytes(32), self.wire.recv_bytes(LARGEST_ANSWER)
        except (OSError, EOFError):
            self.end()
            if overdue.is_set():
                raise Unheard("too_slow", f"decoding it takes longer than {seconds:g} s") from None
            raise Unheard("died", "the decoder died of it") from None
        finally:
            timer.cancel()
        if code != b"heard":
            raise Unheard(code.decode(), answer.decode())
        return Heard.unpack(answer)

    def end(self):
        """Kill the process, and see that it is gone."""
        self.process.kill()
        self.process.join()
        self.wire.close()


@contextlib.contextmanager
def _environment():
    """The workers' environment, for as long as their server starts."""
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


# --- In the worker ----------------------------------------------------------------------------------


def _work(wire, settings, limits):
    """Hear one file after the other, until the service is gone."""
    _confine(limits.memory_bytes)
    wire.send_bytes(b"ready")
    while True:
        try:
            audio = wire.recv_bytes()
        except EOFError:
            return
        for part in _answer(audio, settings, limits):
            wire.send_bytes(part)


def _confine(memory_bytes):
    """Bound the memory, leave Ctrl-C to the service, and say nothing on its terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # decoders complain of broken files there
        os.dup2(nowhere, descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # others do not keep it
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _answer(audio, settings, limits):
    """What becomes of a file: a code, and the features or the reason why there are none."""
    try:
        with _as_path(audio) as path:
            _check_length(path, limits.seconds)
            return b"heard", hear(path, settings, picture=True).pack()
    except Unheard as error:
        return error.code.encode(), str(error).encode()
    except AudioError as error:
        return b"unreadable", str(error).encode()
    except MemoryError:
        return b"unreadable", b"decoding it takes more memory than there is for one file"
    except Exception as error:  # whatever the file has brought a library to
        return b"unreadable", f"not decodable as audio ({type(error).__name__})".encode()


@contextlib.contextmanager
def _as_path(audio):
    """Bytes as a file for libraries that open paths; in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("audio"), "wb", buffering=0) as file:
            file.write(audio)
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(buffering=0) as file:
            file.write(audio)
            yield file.name


def _check_length(path, seconds):
    """Refuse what would decode to more than so many seconds: a small file can hold hours of silence."""
    try:
        info = soundfile.info(path)
    except soundfile.SoundFileError:
        return  # the decoder will say what it is
    if info.frames > seconds * info.samplerate:
        raise Unheard(
            "too_long", f"longer than {seconds / 60:g} minutes, or its header does not say how long it is"
        )
