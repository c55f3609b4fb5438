"""From an audio file to mono samples: the only decoder of the project.

libsndfile decodes, or PyAV what libsndfile lacks; the channels are averaged, soxr resamples. Other decoders mix
channels differently (up to 3 dB), so training, serving and checks all use this one.
"""

import functools
import os
import sys
import tempfile
from importlib.metadata import version

import numpy as np
import soundfile
import soxr

from hitsong.features import containers

# A file that cannot be decoded is tried again by another version only.
VERSION = f"2, {soundfile.__libsndfile_version__}, PyAV {version('av')}"
LONGEST = 3600.0  # seconds of a file; a small one can hold days of silence


class AudioError(Exception):
    """A file that cannot be decoded; the message is the reason."""


class TooLongError(AudioError):
    """A file with more sound than may be decoded."""


def read(path, seconds=LONGEST):
    """Decode a file as it is.

    Parameters
    ----------
    path : path-like
    seconds : float
        The longest sound that is decoded.

    Returns
    -------
    samples : np.ndarray [shape=(n, channels), float32]
        Within -1 to 1.
    sample_rate : int
        In Hz.

    Raises
    ------
    AudioError
        If the file is not audio that libsndfile or PyAV knows, or holds no sample.
    TooLongError
        If it is longer than `seconds`.
    """
    with open(path, "rb") as file:
        demuxer = _demuxer(file)
        if demuxer is None:
            samples, sample_rate = _read_with_libsndfile(path, seconds)
        else:
            samples, sample_rate = _use_container(containers.read, file, demuxer, seconds)
    if len(samples) == 0:
        raise AudioError("holds no audio")
    return samples, sample_rate


def length(path):
    """The length of a file by its header, in seconds; None if it does not say. Raises AudioError."""
    with open(path, "rb") as file:
        demuxer = _demuxer(file)
        if demuxer is not None:
            return _use_container(containers.length, file, demuxer)
    try:
        return soundfile.info(path).duration
    except (soundfile.SoundFileError, OSError, ValueError):
        raise AudioError("not decodable as audio") from None


def title_and_artist(path):
    """The title and the artist that a file's own tags name; empty where it names none, or cannot be read."""
    try:
        with open(path, "rb") as file:
            demuxer = _demuxer(file)
            if demuxer is not None:
                return containers.title_and_artist(file, demuxer)
        with soundfile.SoundFile(path) as file:
            return file.title, file.artist
    except (AudioError, soundfile.SoundFileError, OSError, ValueError):
        return "", ""


def _demuxer(file):
    """PyAV's demuxer for an open file, None if it is libsndfile's; raises AudioError for what is no audio at all."""
    head = file.read(256)
    file.seek(0)
    if not head:
        raise AudioError("an empty file")
    if head.lstrip()[:1] == b"<" or head.decode("ascii", errors="replace").isprintable():
        raise AudioError("text, not audio")  # libsndfile would search it for frames, with warnings on stderr
    return containers.demuxer(head)


def _read_with_libsndfile(path, seconds):
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > seconds * file.samplerate:
                raise _too_long(seconds)
            return file.read(dtype="float32", always_2d=True), file.samplerate
    except (soundfile.SoundFileError, OSError):
        raise AudioError("not decodable as audio") from None
    except ValueError:  # as streams have it; libsndfile cannot read up to an end that it does not know
        raise AudioError("a header that does not say how long it is: encode it anew") from None
    except MemoryError:
        raise AudioError("needs more memory than there is, or lies about its length") from None


def _use_container(function, file, demuxer, *seconds):
    try:
        return function(file, demuxer, *seconds)
    except containers.LengthError:
        raise _too_long(*seconds) from None
    except containers.ContainerError as error:
        raise AudioError(str(error)) from None
    except MemoryError:
        raise AudioError("needs more memory than there is") from None


def _too_long(seconds):
    return TooLongError(f"longer than {seconds / 60:g} minutes, or its header does not say how long it is")


class NativeStderr:
    """Keeps what C libraries (libmpg123) write to standard error off the terminal, for the length of a `with` block.

    Their notes name no file; whoever decodes reads them with `size` and `text` and says which file they are about.
    Python's own sys.stderr still reaches the terminal.
    """

    def __enter__(self):
        sys.stderr.flush()
        self._python, self._terminal = sys.stderr, os.dup(2)
        self._file = tempfile.TemporaryFile("a+b")
        if _descriptor(sys.stderr) == 2:
            sys.stderr = open(os.dup(2), "w", encoding=sys.stderr.encoding, errors="replace", buffering=1)
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(self, *_):
        os.dup2(self._terminal, 2)
        os.close(self._terminal)
        self._file.close()
        if sys.stderr is not self._python:
            sys.stderr.close()
            sys.stderr = self._python

    def size(self):
        """How many bytes have been written so far."""
        return os.fstat(self._file.fileno()).st_size

    def text(self, start):
        """What has been written from a position on."""
        self._file.seek(start)
        return self._file.read().decode(errors="replace")


def _descriptor(stream):
    try:
        return stream.fileno()
    except (OSError, AttributeError, ValueError):  # replaced by something that is no file
        return None


def mono(samples):
    """Average the channels: (n, channels) -> (n,)."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    # As fast as a matrix product, for which NumPy sometimes warns of invalid values that are not there.
    total = functools.reduce(np.add, samples.T)
    total *= np.float32(1 / samples.shape[1])
    return total


def resample(samples, sample_rate, new_rate):
    """Bring mono samples to another rate with soxr's high quality."""
    return samples if sample_rate == new_rate else soxr.resample(samples, sample_rate, new_rate, quality="HQ")


class Clip:
    """A decoded file, mixed down and resampled at most once per rate.

    Attributes
    ----------
    channels : np.ndarray [shape=(n, channels), float32]
        As decoded.
    sample_rate : int
        In Hz.
    """

    def __init__(self, channels, sample_rate):
        self.channels, self.sample_rate = channels, sample_rate
        self._at = {}

    @classmethod
    def read(cls, path, seconds=LONGEST):
        """Decode a file of at most so many seconds. Raises AudioError."""
        return cls(*read(path, seconds))

    def at(self, sample_rate):
        """The mono samples at a rate: [shape=(n,), float32]."""
        if not self._at:
            self._at[self.sample_rate] = mono(self.channels)
        if sample_rate not in self._at:
            self._at[sample_rate] = resample(self._at[self.sample_rate], self.sample_rate, sample_rate)
        return self._at[sample_rate]

    def middle(self, seconds):
        """The middle of a longer clip, so that the work for a file is bounded; a shorter clip itself."""
        length = round(seconds * self.sample_rate)
        start = (len(self.channels) - length) // 2
        if start <= 0:
            return self
        return Clip(self.channels[start : start + length], self.sample_rate)


def load(path, sample_rate):
    """Decode a file to mono samples at a rate: [shape=(n,), float32]. Raises AudioError."""
    return Clip.read(path).at(sample_rate)


def crop(samples, length):
    """Take the middle `length` samples, or append zeros up to it.

    >>> crop(np.arange(5), 3)
    array([1, 2, 3])
    >>> crop(np.arange(2), 4)
    array([0, 1, 0, 0])
    """
    spare = len(samples) - length
    if spare >= 0:
        return samples[spare // 2 : spare // 2 + length]
    return np.pad(samples, (0, -spare))
