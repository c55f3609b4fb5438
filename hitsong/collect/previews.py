"""Previews to disk: concurrent, polite, atomic, verified, and never twice.

A preview is first written under a temporary name, decoded, and only then given its own: a file that is
there is whole and can be heard. What became of each track is kept in the catalogue as it happens, and
exported to `downloads.parquet`:

- `ok`: there and verified;
- `duplicate`: there, but the very audio of a more popular track;
- `dead`: the address has nothing, or something else than a clip; not asked again unless told;
- `failed`: no answer this time; tried again by the next run.
"""

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import requests

from hitsong.collect.throttle import Manners, OutOfOrder, Trouble, retry_after
from hitsong.features import decode
from hitsong.files import replacing, sha256
from hitsong.progress import bar

COLUMNS = ["track_id", "status", "path", "bytes", "sha256", "seconds", "error"]
LARGEST_BYTES = 50_000_000  # a preview has about 400 kB
SILENT = 1e-4  # largest sample, of 1
GONE = (400, 401, 404, 410)


class Dead(Exception):
    """There is no clip at this address, and asking again will not change that."""


class Failed(Exception):
    """No clip this time."""


class Unfit(Trouble):
    """What came is no clip; a second look may tell an accident from the truth."""


class Downloader:
    """Fetches the clips of tracks, and checks local audio files where tracks name them.

    Parameters
    ----------
    catalog : hitsong.collect.catalog.Catalog
        Keeps what became of each track.
    folder : pathlib.Path
        The study's folder; previews go to `previews/` in it, and paths are relative to it.
    session : requests.Session
    settings : hitsong.config.Download
    resolve : callable, optional
        From a track id to an address that is good now (or None), for services whose addresses expire.
    """

    def __init__(self, catalog, folder, session, settings, resolve=None):
        self.catalog, self.folder, self.session = catalog, folder, session
        self.settings, self.resolve = settings, resolve
        self._hosts, self._lock = {}, threading.Lock()
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=settings.workers))
        (folder / "previews").mkdir(exist_ok=True)

    def run(self, tracks, again=False):
        """Bring the clips up to date with the tracks.

        Parameters
        ----------
        tracks : pandas.DataFrame
            With `track_id`, `preview_url` and `audio_path`; tracks with neither are left out.
        again : bool
            Ask dead addresses once more.

        Returns
        -------
        dict of str to int
            `done`, `skipped` (kept), `failed` (now), `without` (tracks that name no audio).
        """
        named = tracks[tracks["preview_url"].notna() | tracks["audio_path"].notna()].sort_values("track_id")
        todo = named[[not self._holds(track_id, again) for track_id in named["track_id"]]]
        failed = 0
        stopped = threading.Event()

        def one(track):
            return None if stopped.is_set() else self._row(track)

        with (
            ThreadPoolExecutor(self.settings.workers) as pool,
            bar(desc="previews", unit="clip", total=len(todo)) as progress,
        ):
            try:
                # A few in the air at a time: memory does not grow with the number of tracks.
                for row in _as_completed(pool, one, todo.itertuples(), ahead=4 * self.settings.workers):
                    self.catalog.put("downloads", [row])
                    failed += row["status"] != "ok"
                    progress.set_postfix(failed=failed, refresh=False)
                    progress.update()
            except BaseException:
                stopped.set()
                raise
        return {
            "done": len(todo) - failed,
            "skipped": len(named) - len(todo),
            "failed": failed,
            "without": len(tracks) - len(named),
        }

    def _holds(self, track_id, again):
        """Whether what is known of a track still holds."""
        for row in self.catalog.query(
            "SELECT status, path, bytes FROM downloads WHERE track_id = ?", track_id
        ):
            if row["status"] == "dead":
                return not again
            path = self.folder / row["path"]
            return row["status"] == "ok" and path.exists() and path.stat().st_size == row["bytes"]
        return False

    def _row(self, track):
        """Fetch or find one track's clip; what became of it."""
        row = dict.fromkeys(COLUMNS) | {"track_id": track.track_id}
        local = pd.notna(track.audio_path)
        row["path"] = track.audio_path if local else f"previews/{track.track_id.replace(':', '-')}.mp3"
        path = self.folder / row["path"]
        try:
            if local and not path.is_file():
                raise Failed("file not found")
            if not local and not path.exists():  # there but not in the catalogue: the last run was killed
                self._fetch(track, path)
            row["seconds"] = _seconds(path, self.settings)
            row["bytes"] = path.stat().st_size
            row["sha256"] = sha256(path)
            return row | {"status": "ok"}
        except (Dead, Unfit) as error:
            return row | {"status": "dead", "error": str(error)}
        except Failed as error:
            return row | {"status": "failed", "error": str(error)}

    def _fetch(self, track, path):
        """Write a track's preview to `path`, if it is a clip."""

        def attempt():
            url = self.resolve(track.track_id) if self.resolve else track.preview_url
            if url is None:
                raise Dead("the source names no preview any more")
            with replacing(path) as temporary:
                self._get(url, temporary)
                _seconds(temporary, self.settings)

        try:
            self._manners(track.preview_url).ask(attempt)
        except OutOfOrder as error:
            if isinstance(error.trouble, Unfit):
                raise Dead(str(error.trouble)) from None
            raise Failed(str(error.trouble)) from None

    def _get(self, url, path):
        """One request."""
        try:
            with self.session.get(url, stream=True, timeout=self.settings.timeout_s) as answer:
                if answer.status_code == 429:
                    raise Trouble("the service answers 429", retry_after(answer.headers))
                if answer.status_code in GONE or (answer.status_code == 403 and not self.resolve):
                    raise Dead(f"the service answers {answer.status_code}")
                if answer.status_code != 200:  # 403 with a resolver: the address has expired
                    raise Trouble(f"the service answers {answer.status_code}")
                size = 0
                with open(path, "wb") as file:
                    for chunk in answer.iter_content(1 << 16):
                        size += len(chunk)
                        if size > LARGEST_BYTES:
                            raise Dead(f"larger than {LARGEST_BYTES:,} bytes")
                        file.write(chunk)
        except requests.RequestException as error:
            raise Trouble(f"no answer: {type(error).__name__}") from None

    def _manners(self, url):
        """The manners towards an address's host, shared by all threads."""
        host = urlsplit(url).netloc
        with self._lock:
            if host not in self._hosts:
                s = self.settings
                self._hosts[host] = Manners(host, s.gap_s, s.longest_wait_s, s.attempts)
            return self._hosts[host]


def table(catalog, tracks):
    """What became of each track that names audio, for `downloads.parquet`.

    Tracks that hold the very same audio are one recording: all but the most popular become
    `duplicate`.

    Parameters
    ----------
    catalog : hitsong.collect.catalog.Catalog
    tracks : pandas.DataFrame
        With `track_id` and `popularity`.

    Returns
    -------
    pandas.DataFrame
        Sorted by `track_id`; columns `COLUMNS`.
    """
    rows = pd.DataFrame(
        map(dict, catalog.query("SELECT * FROM downloads ORDER BY track_id")), columns=COLUMNS
    )
    rows = rows.merge(tracks[["track_id", "popularity"]], on="track_id")
    audible = rows[rows["status"] == "ok"].sort_values(["popularity", "track_id"], ascending=[False, True])
    survivor = audible.groupby("sha256")["track_id"].transform("first")
    copies = audible.index[audible["track_id"] != survivor]
    rows.loc[copies, "status"] = "duplicate"
    rows.loc[copies, "error"] = "same audio as " + survivor[copies]
    return rows[COLUMNS]


def _as_completed(pool, function, items, ahead):
    """Results in the order they come, with only `ahead` items in the air."""
    waiting = set()
    for item in items:
        waiting.add(pool.submit(function, item))
        if len(waiting) >= ahead:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _seconds(path, settings):
    """The length of a clip, after decoding all of it; raises Unfit or Dead."""
    try:
        samples, sample_rate = decode.read(path)
    except decode.AudioError as error:
        raise Unfit(str(error)) from None
    seconds = len(samples) / sample_rate
    if seconds < settings.min_seconds:
        raise Dead(f"only {seconds:.1f} s long")
    if np.abs(samples).max() < SILENT:
        raise Dead("silence")
    return round(seconds, 3)
