"""Files in the containers that PyAV reads, for tests."""

import io

import av
import numpy as np

KINDS = {  # name: muxer, codec, sample rate
    "AAC in M4A": ("ipod", "aac", 44100),
    "ALAC in M4A": ("ipod", "alac", 44100),
    "AAC": ("adts", "aac", 44100),
    "Opus in WebM": ("webm", "libopus", 48000),
    "Opus in MP4": ("mp4", "libopus", 48000),
    "PCM in QuickTime": ("mov", "pcm_s16le", 44100),
}


def encode(samples, kind, rate=44100, picture=False):
    """A file of one of `KINDS`: bytes.

    Parameters
    ----------
    samples : np.ndarray [shape=(n, channels), float32]
    kind : str
    rate : int
        Of the samples, in Hz.
    picture : bool
        Add a moving picture: a video.
    """
    muxer, codec, new_rate = KINDS[kind]
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    file = io.BytesIO()
    with av.open(file, "w", format=muxer) as container:
        if picture:
            video = container.add_stream("mpeg4", rate=5, width=32, height=32, pix_fmt="yuv420p")
        sound = container.add_stream(codec, rate=new_rate, layout=layout)
        sound.bit_rate = 320_000  # at less, AAC takes over 0.1 dB off quiet bands
        if picture:
            image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
            container.mux(video.encode(image))
            container.mux(video.encode(None))
        size = sound.codec_context.frame_size or None
        resampler = av.AudioResampler(sound.codec_context.format, layout, new_rate, size)
        planes = np.ascontiguousarray(samples.T, np.float32)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        for part in resampler.resample(frame) + resampler.resample(None):
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return file.getvalue()
