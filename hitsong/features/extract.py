"""From clips to the store: every clip is decoded once for all kinds of feature that it still needs."""

from dataclasses import dataclass

from hitsong.features import descriptors, mel, mfcc, tags
from hitsong.features.decode import AudioError, Clip
from hitsong.features.parallel import over
from hitsong.features.store import Specification
from hitsong.progress import bar

NETWORK = ("tags", "embedding")  # what the auto-tagger says of a clip: one pass of its network gives both
NETWORK_CLIPS = 16  # clips that it hears at a time


def specification(kind, settings):
    """How a kind of feature is made and stored.

    Parameters
    ----------
    kind : str
    settings : hitsong.config.Features

    Returns
    -------
    hitsong.features.store.Specification
    """
    if kind == "mel":
        scale, offset = mel.quantisation(settings.mel)
        parameters, shape = settings.mel.model_dump(), mel.shape(settings.mel)
        return Specification("mel", parameters, shape, "uint8", scale, offset)
    if kind == "mfcc":
        return Specification("mfcc", settings.mfcc.model_dump(), mfcc.shape(settings.mfcc))
    if kind == "descriptors":
        columns = tuple(descriptors.COLUMNS)
        return Specification(
            "descriptors", {"version": descriptors.VERSION}, (len(columns),), columns=columns
        )
    if kind == "tags":
        columns = tuple(tags.names(settings.tags.model))
        return Specification("tags", settings.tags.model_dump(), (len(columns),), columns=columns)
    tags.names(settings.tags.model)  # refuses what the network's package is needed for and not there
    columns = tuple(f"embedding_{number:03}" for number in range(tags.EMBEDDING))
    return Specification("embedding", settings.tags.model_dump(), (len(columns),), columns=columns)


@dataclass
class Counts:
    """Clips of one kind: made now, there already, failed now."""

    done: int = 0
    skipped: int = 0
    failed: int = 0


def extract(store, settings, folder, compute):
    """Bring every kind of feature up to the store's index.

    Parameters
    ----------
    store : hitsong.features.store.Store
    settings : hitsong.config.Features
    folder : pathlib.Path
        What the index's paths are relative to.
    compute : hitsong.config.Compute

    Returns
    -------
    dict of str to Counts
        By kind.
    """
    specifications = {kind: specification(kind, settings) for kind in settings.kinds}
    writers = {kind: store.writer(specifications[kind]) for kind in settings.kinds}
    there = {kind: writer.done for kind, writer in writers.items()}
    tagging = _Tagging(writers, settings.tags.model)
    try:
        first, last = min(there.values()), len(store.index)
        todo = [
            _Job(folder / path, settings, tuple(kind for kind in settings.kinds if there[kind] <= row))
            for row, path in enumerate(store.index["path"].iloc[first:], start=first)
        ]
        results = over(_features, todo, compute.workers, compute.scheduler)
        with bar(desc="features", unit="clip", total=last - first) as progress:
            for job, result in zip(todo, results, strict=True):
                by_kind = (
                    dict.fromkeys((*job.kinds, "patches"), result) if isinstance(result, str) else result
                )
                for kind in set(job.kinds) - set(NETWORK):
                    writers[kind].append(by_kind[kind])
                if heard := tuple(kind for kind in job.kinds if kind in NETWORK):
                    tagging.add(heard, by_kind["patches"])
                progress.set_postfix(failed=sum(w.failed for w in writers.values()), refresh=False)
                progress.update()
        tagging.flush()
    finally:
        for writer in writers.values():
            writer.close()
    return {
        kind: Counts(writer.done - there[kind] - writer.failed, there[kind], writer.failed)
        for kind, writer in writers.items()
    }


@dataclass(frozen=True)
class _Job:
    """A clip and the kinds that it still needs."""

    path: object
    settings: object
    kinds: tuple


def _features(job):
    """A clip's features by kind, each an array or the reason why there is none; or one reason for all."""
    try:
        clip = Clip.read(job.path)
    except (AudioError, OSError) as error:
        return str(error)
    made = makers(clip, job.settings)
    return {kind: _attempt(made[kind]) for kind in before_network(job.kinds)}


def makers(clip, settings):
    """What makes each kind of feature of a clip without TensorFlow: "patches" are what the auto-tagger hears."""
    return {
        "mel": lambda: mel.compute(clip, settings.mel),
        "mfcc": lambda: mfcc.compute(clip, settings.mfcc),
        "descriptors": lambda: descriptors.describe(clip.channels, clip.sample_rate),
        "patches": lambda: tags.patches(clip.at(tags.SAMPLE_RATE)),
    }


def before_network(kinds):
    """The kinds to be made of a clip, "patches" in place of what the network makes of them."""
    return list(dict.fromkeys("patches" if kind in NETWORK else kind for kind in kinds))


def _attempt(make):
    """A feature, or the reason why there is none: one clip must not stop the others, whatever it does."""
    try:
        return make()
    except Exception as error:  # named in failures.csv
        return f"{type(error).__name__}: {error}"


class _Tagging:
    """Collects clips for the auto-tagger's network, which is quickest on many at a time."""

    def __init__(self, writers, model):
        self.writers, self.model = writers, model
        self._tagger = None
        self._waiting = []  # (kinds that need it, patches or the reason why there are none)

    def add(self, kinds, patches):
        self._waiting.append((kinds, patches))
        if len(self._waiting) == NETWORK_CLIPS:
            self.flush()

    def flush(self):
        """Hear what is waiting, and write it."""
        clips = [patches for _, patches in self._waiting if not isinstance(patches, str)]
        if clips and self._tagger is None:
            self._tagger = tags.Tagger(self.model)
        heard = zip(*self._tagger.tag(clips), strict=True) if clips else iter(())
        for kinds, patches in self._waiting:
            failed = isinstance(patches, str)
            values = (
                dict.fromkeys(NETWORK, patches) if failed else dict(zip(NETWORK, next(heard), strict=True))
            )
            for kind in kinds:
                self.writers[kind].append(values[kind])
        self._waiting.clear()
