"""From previews to the store, in parallel, row after row."""

from joblib import Parallel, delayed

from hitsong.audio import AudioError
from hitsong.cli import bar
from hitsong.features import mel
from hitsong.files import digest

KINDS = {"mel": mel}


def extract(store, settings, folder, workers):
    """Bring every kind of feature up to the store's index.

    Parameters
    ----------
    store : hitsong.features.store.Store
    settings : hitsong.config.Features
    folder : pathlib.Path
        What the index's paths are relative to.
    workers : int
        Processes; -1 is one per core. joblib's loky keeps each of them to one thread.

    Returns
    -------
    dict of str to (int, int, int)
        Per kind: clips done now, clips that were there already, clips that failed now.
    """
    counts = {}
    for kind, module in KINDS.items():
        parameters = getattr(settings, kind)
        with store.writer(
            kind, parameters.model_dump(), module.shape(parameters), *module.quantisation(parameters)
        ) as writer:
            there, failed = writer.done, 0
            paths = [folder / path for path in store.index["path"].iloc[there:]]
            results = Parallel(n_jobs=workers, return_as="generator")(
                delayed(_one)(module, path, parameters) for path in paths
            )
            for result in bar(results, desc=kind, unit="clip", total=len(paths)):
                failed += isinstance(result, str)
                writer.append(result)
            counts[kind] = (len(paths) - failed, there, failed)
    return counts


def _one(module, path, parameters):
    """One clip's feature, or the reason why there is none."""
    try:
        return module.extract(path, parameters)
    except AudioError as error:
        return str(error)


def fingerprint(feature):
    """A short hash of how a feature was made."""
    return digest(feature.specification)
