"""From an uploaded file to its result: decoder processes, networks, and a memory of recent songs."""

import io
import secrets
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import soundfile

from hitsong.explain.what_if import variant_scores
from hitsong.features import descriptors, tags
from hitsong.files import digest
from hitsong.predict.song_features import shown_mel
from hitsong.service import images
from hitsong.service.decoders import ClientDisconnected
from hitsong.service.metrics import Metrics
from hitsong.service.problems import busy
from hitsong.service.upload import visible

WARM_UP_SECONDS = 10
SONGS_AT_ONCE = 3  # in one pass of the tagging network: 30 patches
VARIANTS_AT_ONCE = 9
LONGEST_TEXT = 200  # of a title in a file's tags
SHOWN = ("descriptors", "tags")  # made of every file, whatever the model's inputs

# By the last word of a descriptor's name.
UNITS = {"lufs": "LUFS", "lu": "LU", "dbfs": "dBFS", "db": "dB", "bpm": "BPM", "hz": "Hz"}


def shown_kinds():
    """Kinds of feature that are made to be shown: no tags where the auto-tagger is not installed."""
    return [kind for kind in SHOWN if kind != "tags" or tags.available()]


class ScoringService:
    """Scores uploaded files, and remembers recent songs so that they can be explained.

    Parameters
    ----------
    predictor : hitsong.predict.predictor.Predictor
        Made with `shown_kinds()`.
    decoders : hitsong.service.decoders.DecoderPool
    limits : hitsong.service.limits.Limits
    """

    def __init__(self, predictor, decoders, limits):
        self.predictor, self.decoders, self.limits = predictor, decoders, limits
        self.bundle, self.info = predictor.bundle, predictor.bundle.info
        self.recent = RecentSongs(limits.kept, limits.kept_seconds)
        self.metrics = Metrics(decoders)
        self.model = {
            "name": self.info["name"],
            "study": self.info["study"],
            "collected_from": self.info["collected_from"],
            "source": self.info["popularity_source"],
            "version": digest(self.info["fingerprint"]),
            "trained_on": self.info["trained_on"],
            "snapshot": self.info["fetched"],
            "synthetic": self.info["synthetic"],
        }
        self.target = {
            "kind": predictor.target.kind,
            "names": list(predictor.target.names),
            "unit": unit(predictor.target, self.info),
        }
        self._networks = _Networks(predictor)
        self._slots = threading.BoundedSemaphore(limits.in_flight)

    def warm_up(self):
        """Score noise once, so that the first song need not wait for tables and graphs."""
        noise = np.random.default_rng(0).normal(0, 0.1, (WARM_UP_SECONDS * 22050, 1)).astype(np.float32)
        file = io.BytesIO()
        soundfile.write(file, noise, 22050, format="WAV")
        self.score("", file.getvalue())

    @contextmanager
    def slot(self):
        """Count a request in flight; raises `Problem` 503 if there are too many."""
        if not self._slots.acquire(blocking=False):
            raise busy(f"{self.limits.in_flight} requests are in work already")
        self.metrics.in_flight.inc()
        try:
            yield
        finally:
            self.metrics.in_flight.dec()
            self._slots.release()

    def score(self, name, audio, disconnected=lambda: False, groups=()):
        """Score one file.

        Parameters
        ----------
        name : str
            Of the file, fit to be shown.
        audio : bytes
        disconnected : callable
            Whether the client has gone; asked before each step.
        groups : sequence of str
            Which variants to make as well, see `hitsong.predict.variants`.

        Returns
        -------
        song : dict
            In the form of `hitsong.service.schemas.Song`.
        scores : np.ndarray
            The prediction.
        features : hitsong.predict.song_features.SongFeatures
            With the variants.

        Raises
        ------
        hitsong.service.decoders.DecodeError
            If the file cannot be decoded.
        ClientDisconnected
            If the client has gone; the rest of the work is dropped.
        """
        started = time.perf_counter()
        try:
            song = self.decoders.decode(audio, disconnected, groups, self.predictor.kinds)
            decoded = time.perf_counter()
            prediction = self._networks.predict(song, disconnected)
        except ClientDisconnected:
            self.metrics.dropped.inc()
            raise
        codes, start, end = shown_mel(song, self.predictor.settings)
        song_id = self.recent.put(RecentSong(codes, prediction.features, start))
        finished = time.perf_counter()
        timings = {"decode": decoded - started, "predict": finished - decoded, "total": finished - started}
        for step in ("decode", "predict"):
            self.metrics.steps.labels(step).observe(timings[step])
        warnings = [{"code": code, "message": message} for code, message in prediction.warnings]
        if prediction.tags is None:
            message = "There are no music tags: the network that makes them is not installed here."
            warnings.append({"code": "no_tags", "message": message})
        described = zip(descriptors.COLUMNS, song.features["descriptors"], strict=True)
        result = {
            "id": song_id,
            "name": name,
            "title": visible(song.title, LONGEST_TEXT),
            "artist": visible(song.artist, LONGEST_TEXT),
            "seconds": song.seconds,
            "excerpt": {"start": start, "end": end},
            "target": self.target,
            "prediction": self.predictor.value(prediction.scores),
            "interval": self.predictor.interval(prediction.scores),
            "percentile": self.predictor.percentile(prediction.scores),
            "distribution": self.predictor.distribution(),
            "neighbours": prediction.neighbours,
            "tags": prediction.tags and [{"name": tag, "score": score} for tag, score in prediction.tags],
            "descriptors": {
                column: {"value": float(value), "unit": UNITS.get(column.rpartition("_")[2])}
                for column, value in described
            },
            "model": self.model,
            "warnings": warnings,
            "timings": timings,
        }
        return result, prediction.scores, song

    def score_variants(self, made, disconnected=lambda: False):
        """Score the variants of a song.

        Parameters
        ----------
        made : list of hitsong.predict.song_features.Variant
            The first is the unchanged song.
        disconnected : callable
            Whether the client has gone; asked before each part of the work.

        Returns
        -------
        hitsong.explain.what_if.VariantScores

        Raises
        ------
        ClientDisconnected
        """
        try:
            predictions = self._networks.predict_variants(made, disconnected)
        except ClientDisconnected:
            self.metrics.dropped.inc()
            raise
        return variant_scores(made, self.predictor.target.score(predictions))

    def explain(self, recent, output):
        """How the score of a recent song changes where a part of its spectrogram is hidden; computed once.

        Parameters
        ----------
        recent : RecentSong
        output : str or None
            Which of several audio features.

        Returns
        -------
        values : np.ndarray [shape=(n_mels, frames), float32]
            Without padding.
        score : float
            Of the whole excerpt.
        """
        with recent.lock:
            if output not in recent.occlusions:
                recent.occlusions[output] = images.occlusion_of(
                    self._networks.predict_features, recent.features, self.predictor.target,
                    self.predictor.settings.mel, output,
                )  # fmt: skip
        occlusion = recent.occlusions[output]
        return occlusion.values[:, : recent.codes.shape[1]], occlusion.score


class _Networks:
    """Predicts for waiting songs in one thread: a pass of a network uses all cores, so two at once gain nothing."""

    def __init__(self, predictor):
        self._predictor = predictor
        self._executor = ThreadPoolExecutor(1, "networks")
        self._waiting = deque()

    def predict(self, song, disconnected):
        """Wait for the `Prediction` of a song."""
        future = Future()
        self._waiting.append((song, disconnected, future))
        self._executor.submit(self._predict_waiting)
        return future.result()

    def predict_features(self, features):
        """Predictions for ready features."""
        return self._executor.submit(self._predictor.bundle.predict_features, features).result()

    def predict_variants(self, made, disconnected):
        """Predictions for the variants of a song; others' songs come in between two parts of them."""
        predictions = []
        for start in range(0, len(made), VARIANTS_AT_ONCE):
            if disconnected():
                raise ClientDisconnected()
            part = made[start : start + VARIANTS_AT_ONCE]
            predictions.append(self._executor.submit(self._predictor.predict_variants, part).result())
        return np.concatenate(predictions)

    def _predict_waiting(self):
        """Predict for some of the waiting songs, their tags in one batch."""
        batch = []
        while self._waiting and len(batch) < SONGS_AT_ONCE:
            song, disconnected, future = self._waiting.popleft()
            if disconnected():
                future.set_exception(ClientDisconnected())
            else:
                batch.append((song, future))
        if not batch:
            return
        try:
            tagged = self._predictor.tag([song for song, _ in batch])
            for (song, future), (tag_scores, embedding) in zip(batch, tagged, strict=True):
                future.set_result(self._predictor.finish(song, tag_scores, embedding))
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)


class RecentSong:
    """What a song's images are made from.

    Parameters
    ----------
    codes : np.ndarray [shape=(n_mels, frames), uint8]
        The spectrogram of the excerpt.
    features : dict of str to np.ndarray
        The model's inputs.
    start : float
        Of the excerpt in the file, in seconds.
    """

    def __init__(self, codes, features, start):
        self.codes, self.features, self.start = codes, features, start
        self.occlusions, self.lock = {}, threading.Lock()


class RecentSongs:
    """A bounded store whose entries expire; ids cannot be guessed.

    Parameters
    ----------
    most : int
    seconds : float
        How long an entry is kept.
    """

    def __init__(self, most, seconds):
        self._most, self._seconds = most, seconds
        self._entries = OrderedDict()  # the oldest first
        self._lock = threading.Lock()

    def put(self, song):
        """Keep a song; returns its id of 128 random bits."""
        song_id = secrets.token_urlsafe(16)
        with self._lock:
            self._remove_expired()
            self._entries[song_id] = (time.monotonic() + self._seconds, song)
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)
        return song_id

    def get(self, song_id):
        """The song of that id, or None."""
        with self._lock:
            self._remove_expired()
            return self._entries.get(song_id, (None, None))[1]

    def _remove_expired(self):
        now = time.monotonic()
        while self._entries and next(iter(self._entries.values()))[0] < now:
            self._entries.popitem(last=False)


def unit(target, info):
    """What a prediction's numbers are, in words."""
    if target.kind == "audio_features":
        return "on Spotify's scales"
    if target.kind == "popular":
        return f"probability that it is {target}"
    if target.kind == "growth":
        return f"{target} ({info['popularity_source']})"
    popularity = f"{target.transform} of popularity" if target.transform else "popularity"
    return f"{popularity} ({info['popularity_source']})"
