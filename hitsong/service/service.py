"""What answers: a model that listens, workers that decode, and what is remembered of recent songs."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import soundfile

from hitsong.features import descriptors, tags
from hitsong.files import digest
from hitsong.predict.clip import pictured
from hitsong.service import pictures
from hitsong.service.meters import Meters
from hitsong.service.problems import Problem
from hitsong.service.recent import Recent

RETRY_AFTER = 2  # seconds
WARM_SECONDS = 10
SHOWN = ("descriptors", "tags")  # made of every file, whatever the model hears

# By a name's last word.
UNITS = {"lufs": "LUFS", "lu": "LU", "dbfs": "dBFS", "db": "dB", "bpm": "BPM", "hz": "Hz"}


def show():
    """Kinds of feature that are made for showing: no tags where the auto-tagger is not installed."""
    return [kind for kind in SHOWN if kind != "tags" or tags.available()]


class Service:
    """What answers: a model that listens, workers that decode, and what is remembered for a while.

    Parameters
    ----------
    listener : hitsong.predict.predictor.Listener
        Made with `show()`.
    pool : hitsong.service.worker.Pool
    limits : hitsong.service.limits.Limits
    """

    def __init__(self, listener, pool, limits):
        self.listener, self.pool, self.limits = listener, pool, limits
        self.bundle, self.info = listener.bundle, listener.bundle.info
        self.recent = Recent(limits.kept, limits.kept_seconds)
        self.meters = Meters(pool)
        self.made = {
            "name": self.info["name"],
            "study": self.info["study"],
            "version": digest(self.info["fingerprint"]),
            "trained_on": self.info["trained_on"],
            "snapshot": self.info["fetched"],
            "synthetic": self.info["synthetic"],
        }
        self.target = {
            "kind": listener.target.kind,
            "names": list(listener.target.names),
            "unit": unit(listener.target, self.info),
        }
        # A forward pass takes all cores, so two at once gain nothing; in one thread, memory is used again.
        self._network = ThreadPoolExecutor(1, "network")
        self._slots = threading.BoundedSemaphore(limits.in_flight)

    def warm(self):
        """Judge a sound once, so that the first song need not wait for tables and graphs."""
        noise = np.random.default_rng(0).normal(0, 0.1, (WARM_SECONDS * 22050, 1)).astype(np.float32)
        file = io.BytesIO()
        soundfile.write(file, noise, 22050, format="WAV")
        self.judge("", file.getvalue())

    @contextmanager
    def slot(self):
        """A place among the requests in flight."""
        if not self._slots.acquire(blocking=False):
            raise Problem(
                503, "busy", f"{self.limits.in_flight} requests are at work already; come back in a moment",
                {"Retry-After": str(RETRY_AFTER)},
            )  # fmt: skip
        self.meters.in_flight.inc()
        try:
            yield
        finally:
            self.meters.in_flight.dec()
            self._slots.release()

    def judge(self, name, audio):
        """Judge one file.

        Returns
        -------
        song : dict
            As `hitsong.service.answers.Song` has it.
        scores : np.ndarray
            The prediction.

        Raises
        ------
        hitsong.service.worker.Unheard
        """
        started = time.perf_counter()
        heard = self.pool.hear(audio)
        decoded = time.perf_counter()
        judgement = self._network.submit(self.listener.judge, heard).result()
        codes, start, end = pictured(heard, self.listener.settings)
        name_of = self.recent.put(Remembered(codes, judgement.features))
        finished = time.perf_counter()
        timings = {"hear": decoded - started, "judge": finished - decoded, "total": finished - started}
        for stage in ("hear", "judge"):
            self.meters.stages.labels(stage).observe(timings[stage])
        measured = zip(descriptors.COLUMNS, heard.features["descriptors"], strict=True)
        song = {
            "id": name_of,
            "name": name,
            "seconds": heard.seconds,
            "heard": {"start": start, "end": end},
            "target": self.target,
            "prediction": self.listener.prediction(judgement.scores),
            "interval": self.listener.interval(judgement.scores),
            "percentile": self.listener.percentile(judgement.scores),
            "distribution": self.listener.distribution(),
            "tags": judgement.tags and [{"name": tag, "score": score} for tag, score in judgement.tags],
            "descriptors": {
                column: {"value": float(value), "unit": UNITS.get(column.rpartition("_")[2])}
                for column, value in measured
            },
            "model": self.made,
            "warnings": [{"code": code, "message": message} for code, message in judgement.warnings],
            "timings": timings,
        }
        if judgement.tags is None:
            message = "There are no tags: the package musicnn is not installed."
            song["warnings"].append({"code": "no_tags", "message": message})
        return song, judgement.scores

    def mattered(self, remembered, output):
        """The overlay of a prediction, worked out at most once at a time."""
        with remembered.lock:
            if output not in remembered.overlays:
                remembered.overlays[output] = pictures.mattered(
                    self._answer, remembered.features, self.listener.target, self.listener.settings.mel,
                    remembered.codes.shape[1], output,
                )  # fmt: skip
            return remembered.overlays[output]

    def _answer(self, features):
        return self._network.submit(self.listener.bundle.predict_features, features).result()


class Remembered:
    """What pictures of a prediction are made from."""

    def __init__(self, codes, features):
        self.codes, self.features = codes, features
        self.overlays, self.lock = {}, threading.Lock()


def unit(target, info):
    """What a prediction's numbers are, in words."""
    if target.kind == "audio_features":
        return "on Spotify's scales"
    if target.kind == "popular":
        return f"probability that it is {target}"
    popularity = f"{target.transform} of popularity" if target.transform else "popularity"
    return f"{popularity} ({info['popularity_source']})"
