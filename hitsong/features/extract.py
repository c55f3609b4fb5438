"""From clips to the store: each clip is decoded once for all kinds of feature that it needs."""

from dataclasses import dataclass

from hitsong.features import decode, kinds
from hitsong.features.parallel import map_ordered
from hitsong.features.store import Failure
from hitsong.files import sha256
from hitsong.progress import bar

NETWORK_CLIPS = 16  # clips per call of the auto-tagger
REPLACED = Failure("no longer the audio of the track", final=False)
CHANGED = Failure("changed since 02_download.py verified it: run 02_download.py again", final=False)


@dataclass
class Counts:
    """Clips of one kind: computed now, computed before, failed; and how many failures were tried again."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    retried: int = 0


def extract(store, settings, folder, compute, again=False):
    """Bring every kind of feature up to the store's index.

    Clips that failed are tried again with another version of the decoder, or if the file was not the reason.

    Parameters
    ----------
    folder : pathlib.Path
        What the index's paths are relative to.
    again : bool
        Try all failed clips again.

    Returns
    -------
    counts : dict of str to Counts
        By kind.
    notes : dict of str to list of str
        Warnings of the decoder, by path.
    """
    writers = {
        kind: store.writer(kinds.specification(kind, settings), decode.VERSION) for kind in settings.kinds
    }
    todo, counts, notes = {}, {}, {}
    current = store.index["current"].to_numpy(bool)
    for kind, writer in writers.items():
        retried = _to_retry(store, kind, writer, current, again)
        existing = current[: writer.done].sum() - sum(current[row] for row in writer.failed)
        counts[kind] = Counts(skipped=int(existing), retried=len(retried))
        for row in [*retried, *range(writer.done, len(current))]:
            todo.setdefault(row, []).append(kind)
    rows = sorted(todo)
    paths, hashes = store.index["path"], store.index["sha256"]
    jobs = (
        _Job(str((folder / paths.iat[row]).resolve()), hashes.iat[row], settings, kinds.products(todo[row]))
        for row in rows
        if current[row]
    )
    tagging = _Tagging(writers, settings.tags.model)
    try:
        results = map_ordered(_make_features, jobs, compute.workers, compute.scheduler)
        with bar(desc="features", unit="clip", total=len(rows)) as progress:
            for row in rows:
                result = next(results) if current[row] else REPLACED
                if isinstance(result, str):  # CRASHED
                    result = Failure(result, final=False)
                elif isinstance(result, tuple):
                    result, notes[paths.iat[row]] = result
                _write(row, todo[row], result, writers, tagging)
                progress.set_postfix(failed=sum(len(w.failed) for w in writers.values()), refresh=False)
                progress.update()
        tagging.flush()
    finally:
        for writer in writers.values():
            writer.close()
    for kind, writer in writers.items():
        counts[kind].failed = int(sum(current[row] for row in writer.failed))
        counts[kind].done = int(current.sum()) - counts[kind].skipped - counts[kind].failed
    return counts, {path: lines for path, lines in notes.items() if lines}


def _to_retry(store, kind, writer, current, again):
    """The rows of failures that may succeed now."""
    failures = store.failures()
    failures = failures[(failures["kind"] == kind) & current[failures["row"].to_numpy(int)]]
    return sorted(failures.loc[again | (failures["decoder"] != decode.VERSION), "row"])


@dataclass(frozen=True)
class _Job:
    """A clip and the products that it still needs."""

    path: str
    sha256: str
    settings: object
    products: list


def _make_features(job):
    """A clip's products, each an array or a `Failure`, or one failure for all; and the decoder's notes."""
    with decode.NativeStderr() as stderr:
        result = _read_and_make(job)
        notes = [line for line in stderr.text(0).splitlines() if line.strip()]
    return result, notes


def _read_and_make(job):
    try:
        if sha256(job.path) != job.sha256:
            return CHANGED
        clip = decode.Clip.read(job.path)
    except decode.AudioError as error:
        return Failure(str(error))
    except OSError as error:
        return Failure(error.strerror, final=False)
    return {product: _attempt(product, clip, job.settings) for product in job.products}


def _attempt(product, clip, settings):
    """A product or a `Failure`: one clip must never stop the others."""
    try:
        return kinds.make(product, clip, settings)
    except Exception as error:  # listed in failures.csv
        return Failure(f"{type(error).__name__}: {error}", final=not isinstance(error, MemoryError))


def _write(row, names, result, writers, tagging):
    """Write the products of a clip; patches wait for the auto-tagger."""
    for product in kinds.products(names):
        value = result if isinstance(result, Failure) else result[product]
        if product == "patches":
            tagging.add(row, [name for name in names if kinds.KINDS[name].patches], value)
        else:
            writers[product].write(row, value)


class _Tagging:
    """Collects clips for the auto-tagger's network, which is faster on many clips at a time."""

    def __init__(self, writers, model):
        self.writers, self.model = writers, model
        self._tagger = None
        self._waiting = []  # (row, kinds that need it, patches or Failure)

    def add(self, row, names, patches):
        self._waiting.append((row, names, patches))
        if len(self._waiting) == NETWORK_CLIPS:
            self.flush()

    def flush(self):
        """Score the waiting clips, and write their kinds."""
        from hitsong.features import tags

        clips = [patches for _, _, patches in self._waiting if not isinstance(patches, Failure)]
        if clips and self._tagger is None:
            self._tagger = tags.Tagger(self.model)
        scores = self._tagger.tag(clips) if clips else {}
        place = 0
        for row, names, patches in self._waiting:
            failed = isinstance(patches, Failure)
            for name in names:
                self.writers[name].write(row, patches if failed else scores[name][place])
            place += not failed
        self._waiting.clear()
