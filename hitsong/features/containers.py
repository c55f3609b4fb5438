"""MP4, M4A, QuickTime, Matroska, WebM and AAC files, decoded by ffmpeg's libraries (PyAV); of videos, their sound.

Channels come back as they are: averaging and resampling stay in `hitsong.features.decode`, since ffmpeg's own downmix
differs by 3 dB. Only the demuxers and codecs named here run, and only on an open file: no network, no other files.
"""

import numpy as np

MOST_BROKEN = 0.01  # share of packets; a cut file has one
BOX_TYPES = (
    b"ftyp",
    b"moov",
    b"mdat",
    b"wide",
    b"free",
    b"skip",
    b"pnot",
)  # the first of an MP4 or QuickTime file
CODECS = {
    "aac", "aac_latm", "alac", "opus", "vorbis", "mp3", "mp2", "flac", "ac3", "eac3", "amr_nb", "amr_wb",
    "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be",
    "pcm_u8", "pcm_s8", "pcm_mulaw", "pcm_alaw",
}  # fmt: skip
FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31}  # of ffmpeg's whole-number sample formats


class ContainerError(Exception):
    """A file without decodable sound; the message is the reason."""


class LengthError(ContainerError):
    """A file with more sound than may be decoded."""


def demuxer(head):
    """The demuxer of a file by its first 16 bytes: "mp4", "matroska", "aac", or None for all other files."""
    if head[4:8] in BOX_TYPES:
        return "mp4"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if head[:1] == b"\xff" and head[1] & 0xF6 == 0xF0:  # MP3 has other bits for its layer
        return "aac"
    return None


def label(file, demuxer):
    """What an open file of a demuxer is called, with its article."""
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if demuxer == "matroska":
        return "a WebM file" if b"webm" in head else "a Matroska file"
    if demuxer == "aac":
        return "an AAC file"
    if head[4:8] != b"ftyp" or head[8:12] == b"qt  ":
        return "a QuickTime file"
    return "an M4A file" if head[8:11] == b"M4A" else "an MP4 file"


def read(file, demuxer, seconds):
    """Decode the best sound of an open file.

    Parameters
    ----------
    file : binary file
    demuxer : str
        From the function of that name.
    seconds : float
        The longest sound that is decoded.

    Returns
    -------
    samples : np.ndarray [shape=(n, channels), float32]
        Within -1 to 1, without the encoder's delay where the file says how long it is.
    sample_rate : int
        In Hz.

    Raises
    ------
    ContainerError, LengthError
    """
    import av  # a second and 100 MB of libraries, which most runs do without

    kind = label(file, demuxer)
    try:
        with av.open(file, format=demuxer, metadata_errors="ignore") as container:
            stream = _sound(container, kind)
            frames = list(_frames(container, stream, seconds, av.FFmpegError))
    except av.FFmpegError:
        raise _damaged(kind) from None
    if not frames:
        raise ContainerError(f"{kind} that holds no sound")
    forms = {(frame.sample_rate, frame.layout.nb_channels) for frame in frames}
    if len(forms) > 1:
        raise ContainerError("its sample rate or number of channels changes in between")
    return np.concatenate([_samples(frame) for frame in frames]), frames[0].sample_rate


def length(file, demuxer):
    """The length of an open file's sound by its header, in seconds; None if it does not say. Raises ContainerError."""
    import av

    kind = label(file, demuxer)
    try:
        with av.open(file, format=demuxer, metadata_errors="ignore") as container:
            stream = _sound(container, kind)
            if stream.duration is not None:
                return float(stream.duration * stream.time_base)
            return None if container.duration is None else container.duration / av.time_base
    except av.FFmpegError:
        raise _damaged(kind) from None


def title_and_artist(file, demuxer):
    """The title and the artist in the tags of an open file; empty where there are none, or they cannot be read."""
    import av

    try:
        with av.open(file, format=demuxer, metadata_errors="ignore") as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
    except av.FFmpegError:
        return "", ""
    return tags.get("title", ""), tags.get("artist", "")


def _damaged(kind):
    return ContainerError(f"{kind} that is damaged, or without its end: it cannot be decoded")


def _sound(container, kind):
    """The best stream of sound, if it can be decoded."""
    stream = container.streams.best("audio")
    if stream is None:
        raise ContainerError(f"{kind} that holds no sound")
    if stream.codec_context is None:
        raise ContainerError(f"{kind} that is copy protected, or of an unknown codec")
    codec = stream.codec_context.codec.canonical_name
    if codec not in CODECS:
        raise ContainerError(f"{kind} with the codec {codec}, which is not supported: convert it to FLAC")
    stream.codec_context.thread_count = 1
    return stream


def _frames(container, stream, seconds, errors):
    """The decoded frames of a stream; a few broken packets are left out, as players do."""
    packets = broken = 0
    decoded = 0.0
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except errors:
            broken += 1
            continue
        for frame in frames:
            if not frame.sample_rate:
                raise ContainerError("has no sample rate")
            decoded += frame.samples / frame.sample_rate
            if decoded > seconds:
                raise LengthError()
            yield frame
    if broken > 1 + MOST_BROKEN * packets:
        raise ContainerError(f"damaged: {broken} of {packets} packets cannot be decoded")


def _samples(frame):
    """The samples of a frame: [shape=(n, channels), float32]."""
    values = frame.to_ndarray()
    channels = frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    name = frame.format.name.removesuffix("p")
    if name not in FULL_SCALE:
        return values.astype(np.float32)
    offset = 128 if name == "u8" else 0
    return (values.astype(np.float32) - np.float32(offset)) / np.float32(FULL_SCALE[name])
