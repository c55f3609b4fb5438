"""Previews to disk: several at a time, rate-limited, atomic, and verified by decoding.

A preview is written under a temporary name, decoded, and only then renamed. The outcome of each track is kept in the
catalogue, together with the address or path that it is about and the file's size, time and hash, and is exported
to `downloads.parquet`:

- `ok`: present and verified;
- `duplicate`: present, but the same audio as a more popular track;
- `dead`: the address has nothing, or something that is no clip; not requested again without `--again`;
- `failed`: no response this time, or no file; tried again by the next run.

A file on disk that the catalogue does not know, or that has changed since, is not trusted: it is fetched again.
"""

import queue
import sys
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import requests

from hitsong.collect.matched_previews import MATCH_COLUMNS
from hitsong.collect.throttle import RetryableError, ServiceUnavailable, Stopped, Throttle, retry_after
from hitsong.errors import UserError
from hitsong.features import decode
from hitsong.files import remove_temporary, replacing, sha256
from hitsong.progress import bar

OUTCOME = ["track_id", "status", "path", "bytes", "sha256", "seconds", "error"]
COLUMNS = [*OUTCOME, *MATCH_COLUMNS]
MAX_BYTES = 50_000_000  # a preview has about 400 kB
SILENT = 1e-4  # largest sample, of 1
GONE = (400, 401, 404, 410)
GRACE_S = 2.0  # how long a stopped run waits for downloads under way
MAX_NOTES = 5  # files that are named


class DeadError(Exception):
    """There is no clip at this address, and there will be none."""


class FailedError(Exception):
    """No clip this time."""


class NoClipError(RetryableError):
    """The response is no clip; a second request may tell an accident from a dead address."""


class Downloader:
    """Fetches the clips of tracks, and checks local audio files where tracks name them.

    Parameters
    ----------
    catalog : hitsong.collect.catalog.Catalog
        Keeps the outcome of each track.
    folder : pathlib.Path
        The study's folder; previews go to `previews/` in it, and paths are relative to it.
    client : hitsong.collect.deezer.Client, optional
        Gives the present addresses of Deezer's previews, which expire.
    """

    def __init__(self, catalog, folder, session, settings, client=None):
        self.catalog, self.folder, self.session = catalog, folder, session
        self.settings, self.client = settings, client
        self._throttles = {"client": client.throttle} if client else {}
        self._lock, self._stopped = threading.Lock(), threading.Event()
        for each in {session, client.session} if client else {session}:
            for scheme in ("http://", "https://"):
                each.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=settings.workers))
        (folder / "previews").mkdir(exist_ok=True)

    def run(self, tracks, again=False):
        """Bring the clips up to date with the tracks.

        Parameters
        ----------
        tracks : pandas.DataFrame
            With `track_id`, `preview_url`, `audio_path` and `deezer_id`; tracks without audio are left out.
        again : bool
            Request dead addresses once more, and compare the content of every file with its hash.

        Returns
        -------
        dict of str to int
            `done`, `skipped` (kept), `failed` (now), `without` (tracks that name no audio).
        """
        named = _with_audio(tracks)
        outcomes = {row["track_id"]: row for row in self.catalog.downloads()}
        todo = [
            track
            for track in named.itertuples()
            if not self._is_current(outcomes.get(track.track_id), track, again)
        ]
        failed, with_notes = 0, []
        with (
            decode.NativeStderr() as notes,
            bar(desc="previews", unit="clip", total=len(todo)) as progress,
            closing(self._in_threads(lambda track: self._process(track, notes), todo)) as results,
        ):
            for row, noted in results:
                self.catalog.store_download(row)
                failed += row["status"] != "ok"
                if noted and row["status"] == "ok":
                    with_notes.append(row["path"])
                progress.set_postfix(failed=failed, refresh=False)
                progress.update()
            lines = [self._note(path, notes) for path in sorted(with_notes)]
        _print_notes(list(filter(None, lines)))
        return {
            "done": len(todo) - failed,
            "skipped": len(named) - len(todo),
            "failed": failed,
            "without": len(tracks) - len(named),
        }

    def outcomes(self, tracks):
        """The outcome of each track that names audio, for `downloads.parquet`.

        Tracks that hold the same audio are one recording: all but the most popular become `duplicate`.

        Parameters
        ----------
        tracks : pandas.DataFrame
            With `popularity` and the columns that `run` takes; from `matched_previews.choose_sources`.

        Returns
        -------
        pandas.DataFrame
            Sorted by `track_id`; columns `COLUMNS`.

        Raises
        ------
        UserError
            If no track has a clip.
        """
        named = _with_audio(tracks)
        rows = pd.DataFrame(map(dict, self.catalog.downloads()), columns=[*OUTCOME, "source"])
        present = pd.DataFrame(
            {
                "track_id": named["track_id"],
                "source": [self._source(track)[0] for track in named.itertuples()],
            }
        )
        rows = rows.merge(present, on=["track_id", "source"])  # not what an earlier match or address led to
        rows = rows.merge(named[["track_id", "popularity", *MATCH_COLUMNS]], on="track_id")
        clips = rows[rows["status"] == "ok"].sort_values(["popularity", "track_id"], ascending=[False, True])
        survivor = clips.groupby("sha256")["track_id"].transform("first")
        copies = clips.index[clips["track_id"] != survivor]
        rows.loc[copies, "status"] = "duplicate"
        rows.loc[copies, "error"] = "same audio as " + survivor[copies]
        return rows[COLUMNS]

    # ------------------------------------------------------------------ what is on disk

    def _source(self, track):
        """Where a track's audio comes from, and the path of the file: relative to the study for previews."""
        if pd.notna(track.audio_path):
            return track.audio_path, track.audio_path
        address = urlsplit(track.preview_url)._replace(query="").geturl()
        return address, f"previews/{track.track_id.replace(':', '-')}.mp3"

    def _is_current(self, row, track, again):
        """Whether the recorded outcome is about this audio and still holds."""
        source, path = self._source(track)
        if row is None or (row["source"], row["path"]) != (source, path) or row["status"] == "failed":
            return False
        long_enough = row["seconds"] is None or row["seconds"] >= self.settings.min_seconds
        if row["status"] == "dead" and (again or (row["seconds"] is not None and long_enough)):
            return False
        if (
            row["status"] == "dead" and source != path
        ):  # of an address; that of a local file is about its content
            return True
        try:
            status = (self.folder / path).stat()
        except OSError:
            return False
        unchanged = (status.st_size, status.st_mtime_ns) == (row["bytes"], row["mtime_ns"])
        if row["status"] == "dead" or (unchanged and not again):
            return unchanged and (row["status"] == "dead" or long_enough)
        return long_enough and status.st_size == row["bytes"] and sha256(self.folder / path) == row["sha256"]

    # ------------------------------------------------------------------ one track

    def _process(self, track, notes):
        """Fetch or check one track's clip: its row, and whether the decoder wrote notes meanwhile."""
        source, name = self._source(track)
        row = dict.fromkeys(OUTCOME) | {
            "track_id": track.track_id,
            "source": source,
            "path": name,
            "mtime_ns": None,
        }
        path, before = self.folder / name, notes.size()
        try:
            if source == name and not path.is_file():
                raise FailedError(f"audio file not found: {path}")
            if source != name:
                path.unlink(missing_ok=True)  # damaged, of another address, or of a killed run
                row["seconds"] = self._fetch(track, path)
            status = path.stat()
            row |= {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
            row["seconds"] = row["seconds"] or _duration(path)
            self._require_length(row["seconds"])
            row |= {"status": "ok", "sha256": sha256(path)}
        except (DeadError, NoClipError) as error:
            row |= {"status": "dead", "error": str(error)}
            if source != name:
                path.unlink(missing_ok=True)
        except FailedError as error:
            row |= {"status": "failed", "error": str(error)}
        return row, notes.size() > before

    def _fetch(self, track, path):
        """Write a track's preview to `path`, if it is a clip; return its length [s]."""

        def attempt():
            expires = pd.notna(track.deezer_id)
            url = self.client.preview(track.deezer_id) if expires else track.preview_url
            if url is None:
                raise DeadError("the source names no preview any more")
            with replacing(path) as temporary:
                self._get(url, temporary, expires)
                return _duration(temporary)

        try:
            return self._throttle(track.preview_url).send(attempt)
        except ServiceUnavailable as error:
            if isinstance(error.last, NoClipError):
                raise DeadError(str(error.last)) from None
            raise FailedError(str(error.last)) from None

    def _require_length(self, seconds):
        if seconds < self.settings.min_seconds:
            raise DeadError(f"shorter than download.min_seconds: {seconds:.1f} s")

    def _get(self, url, path, expires):
        """Send one request and write the body; `expires` says whether Deezer's addresses do."""
        session = self.client.session if expires else self.session
        try:
            with session.get(url, stream=True, timeout=self.settings.timeout_s) as response:
                if response.status_code == 429:
                    raise RetryableError("the service answers 429", retry_after(response.headers))
                if response.status_code in GONE or (response.status_code == 403 and not expires):
                    raise DeadError(f"the service answers {response.status_code}")
                if response.status_code != 200:  # 403 of a service whose addresses expire: it has expired
                    raise RetryableError(f"the service answers {response.status_code}")
                size = 0
                with open(path, "wb") as file:
                    for chunk in response.iter_content(1 << 16):
                        size += len(chunk)
                        if size > MAX_BYTES:
                            raise DeadError(f"larger than {MAX_BYTES:,} bytes")
                        file.write(chunk)
        except requests.RequestException as error:
            raise RetryableError(f"no response: {type(error).__name__}") from None

    def _throttle(self, url):
        """The throttle of an address's host, shared by all threads."""
        host = urlsplit(url).netloc
        with self._lock:
            if host not in self._throttles:
                s = self.settings
                self._throttles[host] = Throttle(host, s.gap_s, s.longest_wait_s, s.attempts)
            return self._throttles[host]

    def _note(self, path, notes):
        """What the decoder writes about one file: a line, or None."""
        start = notes.size()
        decode.read(self.folder / path)
        text = notes.text(start).strip()
        return f"{path}: damaged but decodable ({text.splitlines()[0].strip()})" if text else None

    # ------------------------------------------------------------------ threads

    def _in_threads(self, function, items):
        """Yield `function(item)` in the order of completion.

        The threads are daemons: if the caller stops, those that wait for a slow service are given up after
        `GRACE_S` instead of keeping the program alive. Results that are ready by then are still yielded.
        """
        items, results, lock = iter(items), queue.SimpleQueue(), threading.Lock()

        def work():
            while not self._stopped.is_set():
                with lock:
                    item = next(items, None)
                if item is None:
                    break
                try:
                    results.put((function(item), None))
                except Stopped:
                    break
                except BaseException as error:
                    results.put((None, error))
            results.put((None, None))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(self.settings.workers)]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                result, error = results.get()
                if error is not None:
                    raise error
                if result is None:
                    running -= 1
                else:
                    yield result
        except BaseException:
            self._stop(threads)
            while not results.empty():
                result, _ = results.get()
                if result is not None:
                    self.catalog.store_download(result[0])
            raise

    def _stop(self, threads):
        """Let the threads end, those that wait for a response only for so long."""
        self._stopped.set()
        for throttle in self._throttles.values():
            throttle.stop()
        waiting = sum(thread.is_alive() for thread in threads)
        if waiting:
            print(f"stopping: {waiting} downloads are under way", file=sys.stderr, flush=True)
        deadline = time.monotonic() + GRACE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        remove_temporary(self.folder / "previews")


def print_outcomes(downloads, counts, copies):
    """Print how many tracks have no clip and why, and refuse to go on if none has one.

    Parameters
    ----------
    downloads : pandas.DataFrame
        From `Downloader.outcomes`.
    counts : dict
        From `Downloader.run`.
    copies : path-like
        Where duplicates are listed.

    Raises
    ------
    UserError
        If no track has a clip.
    """
    bad = downloads[downloads["status"].isin(["dead", "failed"])]
    reasons = bad["error"].str.split(": ", n=1).str
    for reason, details in reasons.get(1).groupby(reasons.get(0)):
        example = f", for example {details.iat[0]}" if isinstance(details.iat[0], str) else ""
        print(f"{len(details):,} without a clip: {reason}{example}")
    if counts["without"]:
        print(f"{counts['without']:,} without a clip: no preview is known")
    if duplicates := int((downloads["status"] == "duplicate").sum()):
        print(f"{duplicates:,} left out: the same audio as a more popular track ({copies})")
    if len(bad) == len(downloads):
        raise UserError("no track has a clip; 04_baseline.py needs none, 03 and 05 cannot go on")


def _with_audio(tracks):
    """The tracks that name audio, sorted by id."""
    return tracks[tracks["preview_url"].notna() | tracks["audio_path"].notna()].sort_values("track_id")


def _print_notes(lines):
    for line in lines[:MAX_NOTES]:
        print(line)
    if len(lines) > MAX_NOTES:
        print(f"and {len(lines) - MAX_NOTES:,} more files damaged but decodable")


def _duration(path):
    """The length of a clip [s], after decoding all of it; raises NoClipError or DeadError."""
    try:
        samples, sample_rate = decode.read(path)
    except decode.AudioError as error:
        raise NoClipError(str(error)) from None
    if np.abs(samples).max() < SILENT:
        raise DeadError("silence")
    return round(len(samples) / sample_rate, 3)
