"""Previews to disk: concurrent, atomic, verified, and never twice.

A preview is first written under a temporary name, decoded, and only then given its own: a file that is
there is whole and can be heard. What became of each track stands in `downloads.parquet`:

- `ok`: there and verified;
- `dead`: the address answers that there is nothing, or holds something else than a clip; not asked again;
- `failed`: no answer this time; tried again by the next run.
"""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pandas as pd
import requests

from hitsong import audio
from hitsong.cli import bar
from hitsong.files import replacing, sha256

COLUMNS = ["track_id", "status", "path", "bytes", "sha256", "seconds", "error"]
LARGEST_BYTES = 50_000_000  # a preview has about 400 kB
GONE = (400, 401, 403, 404, 410)


class Dead(Exception):
    """There is no clip at this address, and asking again will not change that."""


class Failed(Exception):
    """No clip this time."""


def download(tracks, earlier, folder, session, settings):
    """Fetch the previews of tracks, and check local audio files where tracks name them.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With `track_id`, `preview_url` and `audio_path`; tracks with neither are left out.
    earlier : pandas.DataFrame or None
        What the last run left: tracks that are `ok` (and whose file is still there) or `dead` are kept.
    folder : pathlib.Path
        The study's folder; previews go to `previews/` in it, and paths are relative to it.
    session : requests.Session
    settings : hitsong.config.Download

    Returns
    -------
    downloads : pandas.DataFrame
        One row per track with audio, sorted by `track_id`; columns `COLUMNS`.
    counts : dict of str to int
        `done`, `skipped` (kept), `failed` (now), `without` (tracks that have no audio).
    """
    with_audio = tracks[tracks["preview_url"].notna() | tracks["audio_path"].notna()].sort_values("track_id")
    kept = _kept(with_audio, earlier, folder)
    todo = with_audio[~with_audio["track_id"].isin(kept)]
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=settings.workers)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    (folder / "previews").mkdir(exist_ok=True)

    results, failed = [], 0
    stopped = threading.Event()

    def one(track):
        return None if stopped.is_set() else _one(track, folder, session, settings)

    with (
        ThreadPoolExecutor(settings.workers) as pool,
        bar(desc="previews", unit="clip", total=len(todo)) as progress,
    ):
        try:
            for result in _as_completed(pool, one, todo.itertuples(), ahead=4 * settings.workers):
                results.append(result)
                failed += result["status"] != "ok"
                progress.set_postfix(failed=failed, refresh=False)
                progress.update()
        except BaseException:
            stopped.set()
            raise
    rows = pd.DataFrame([*kept.values(), *results], columns=COLUMNS).sort_values(
        "track_id", ignore_index=True
    )
    counts = {
        "done": len(results) - failed,
        "skipped": len(kept),
        "failed": failed,
        "without": len(tracks) - len(with_audio),
    }
    return rows, counts


def _kept(tracks, earlier, folder):
    """The rows of an earlier run that still hold, by track_id."""
    if earlier is None:
        return {}
    rows = earlier[earlier["track_id"].isin(tracks["track_id"])]
    return {
        row["track_id"]: row
        for row in rows.to_dict("records")
        if row["status"] == "dead" or (row["status"] == "ok" and _size(folder / row["path"]) == row["bytes"])
    }


def _size(path):
    return path.stat().st_size if path.exists() else None


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


def _one(track, folder, session, settings):
    """Fetch or find one track's clip; its row."""
    row = dict.fromkeys(COLUMNS) | {"track_id": track.track_id}
    try:
        if pd.notna(track.audio_path):
            row["path"] = track.audio_path
            if not (folder / row["path"]).is_file():
                raise Failed("file not found")
        else:
            row["path"] = f"previews/{track.track_id}.mp3"
            if not (folder / row["path"]).exists():  # there, but not in the table: the last run was killed
                _fetch(track.preview_url, folder / row["path"], session, settings)
        row["seconds"] = _verified(folder / row["path"], settings)
        row["bytes"] = (folder / row["path"]).stat().st_size
        row["sha256"] = sha256(folder / row["path"])
        return row | {"status": "ok"}
    except Dead as error:
        return row | {"status": "dead", "error": str(error)}
    except Failed as error:
        return row | {"status": "failed", "error": str(error)}


def _fetch(url, path, session, settings):
    """Write what an address holds to `path`, if it is a clip."""
    for attempt in range(1, settings.attempts + 1):
        try:
            with replacing(path) as temporary:
                _get(url, temporary, session, settings)
                _verified(temporary, settings)
            return
        except Failed:
            if attempt == settings.attempts:
                raise
            time.sleep(2.0**attempt / 4)


def _get(url, path, session, settings):
    """One request; raises Dead or Failed with the reason."""
    try:
        with session.get(url, stream=True, timeout=settings.timeout_s) as answer:
            if answer.status_code in GONE:
                raise Dead(f"the service answers {answer.status_code}")
            if answer.status_code != 200:
                raise Failed(f"the service answers {answer.status_code}")
            size = 0
            with open(path, "wb") as file:
                for chunk in answer.iter_content(1 << 16):
                    size += len(chunk)
                    if size > LARGEST_BYTES:
                        raise Dead(f"larger than {LARGEST_BYTES:,} bytes")
                    file.write(chunk)
    except requests.RequestException as error:
        raise Failed(f"no answer: {type(error).__name__}") from None


def _verified(path, settings):
    """The length of a clip in seconds, after decoding all of it."""
    try:
        samples, sample_rate = audio.read(path)
    except audio.AudioError as error:
        raise Dead(str(error)) from None
    seconds = len(samples) / sample_rate
    if seconds < settings.min_seconds:
        raise Dead(f"only {seconds:.1f} s long")
    return round(seconds, 3)
