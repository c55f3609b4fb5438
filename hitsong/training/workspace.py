"""Where a model is trained, and how it takes the place of the model before it.

``models/<name>/``
    The model in use. Nothing in it changes while another one is trained.
``models/.training/<name>/``
    The fit that runs, or that was interrupted: `state.json` from its first moment on, `bundle.json` once it
    is complete. Without `state.json` it is a model that has just been replaced.
``models/.earlier/<name>/<digest>/``
    The last models that were replaced because the settings changed. When their settings return, they are used
    again without training. This folder may be deleted at any time.

A finished model replaces the earlier one in one step where the system can exchange two folders (Linux); elsewhere
in two renames. After an interruption at any point the same command finds in these folders what is left to do.
"""

import ctypes
import os
import shutil
from pathlib import Path

from hitsong.files import digest, read_json, write_json

COMPLETE, STATE = "bundle.json", "state.json"  # what marks a complete bundle, and an unfinished fit
WORK_FILES = (STATE, "epoch-*.keras", ".tmp-*")  # what only an unfinished fit needs
EARLIER = 3  # replaced models that are kept for each name

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def status(folder, fingerprint):
    """Compare the models in and around a folder with the fit that `fingerprint` identifies.

    Parameters
    ----------
    folder : path-like
        Of the model in use.
    fingerprint : dict

    Returns
    -------
    str
        "finished" (the model in use is this fit), "interrupted" (the fit was begun and can go on), "stale"
        (there is only a model of another fit) or "none".
    """
    folder = Path(folder)
    if _matches(folder / COMPLETE, fingerprint):
        return "finished"
    if _matches(work_folder(folder) / STATE, fingerprint):
        return "interrupted"
    return "stale" if (folder / COMPLETE).exists() or (work_folder(folder) / STATE).exists() else "none"


def work_folder(folder):
    """The folder in which the next model of `folder` is trained."""
    return Path(folder).parent / ".training" / Path(folder).name


def restore(folder, fingerprint):
    """Put a complete model of this fingerprint into use, if one lies beside the folder.

    Returns
    -------
    bool
        Whether the model in use is now that of the fingerprint.
    """
    folder = Path(folder)
    _keep_replaced(folder)
    if _matches(folder / COMPLETE, fingerprint):
        clear(folder, *WORK_FILES)
        return True
    if is_complete(folder, fingerprint):
        publish(folder)
        return True
    for marker in _earlier_folder(folder).glob(f"*/{COMPLETE}"):
        if _matches(marker, fingerprint):
            _exchange(marker.parent, folder)
            _keep_earlier(folder, marker.parent)
            return True
    return False


def is_complete(folder, fingerprint):
    """Whether a fit of this fingerprint is complete but not yet in use."""
    work = work_folder(folder)
    return (work / STATE).exists() and _matches(work / COMPLETE, fingerprint)


def begin(folder, fingerprint):
    """Prepare the work folder of a model; returns its path.

    An interrupted fit of the same fingerprint stays, one of another fingerprint is removed.
    """
    work = work_folder(folder)
    _keep_replaced(Path(folder))
    start(work, fingerprint)
    return work


def start(work, fingerprint):
    """Make a folder ready for a fit, unless it holds an interrupted fit of the same fingerprint."""
    if not _matches(work / STATE, fingerprint):
        remove(work)
        write_json(work / STATE, {"fingerprint": fingerprint, "history": [], "notes": []})


def publish(folder):
    """Put the complete fit in the work folder into use, and keep the model that it replaces."""
    folder, work = Path(folder), work_folder(folder)
    clear(folder, *WORK_FILES)  # else the replaced model would look like a fit that is not in use yet
    _exchange(work, folder)
    clear(folder, *WORK_FILES)
    _keep_replaced(folder)


def remove(folder):
    """Remove a folder: completion markers first, so that an interrupted delete never looks finished."""
    for marker in (COMPLETE, STATE):
        (folder / marker).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def clear(folder, *patterns):
    """Remove the files of a folder that fit one of the patterns."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


def _matches(path, fingerprint):
    """Whether a file that carries a fingerprint carries this one."""
    return path.exists() and digest(read_json(path)["fingerprint"]) == digest(fingerprint)


def _earlier_folder(folder):
    return folder.parent / ".earlier" / folder.name


def _aside(work):
    return work.with_name(f"{work.name}.replaced")


def _keep_replaced(folder):
    """Keep the models that a program had replaced when it was stopped."""
    work = work_folder(folder)
    for replaced in (work, _aside(work)):
        if not (replaced / STATE).exists():
            _keep_earlier(folder, replaced)


def _keep_earlier(folder, replaced):
    """Move a replaced model to the earlier ones, unless its fit is the one in use; remove those too many."""
    if not (replaced / COMPLETE).exists():
        remove(replaced)
        return
    fingerprint = read_json(replaced / COMPLETE)["fingerprint"]
    if _matches(folder / COMPLETE, fingerprint):
        remove(replaced)
        return
    destination = _earlier_folder(folder) / digest(fingerprint)
    if replaced != destination:
        remove(destination)
        destination.parent.mkdir(parents=True, exist_ok=True)
        replaced.rename(destination)
    os.utime(destination)
    for path in sorted(destination.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-EARLIER]:
        remove(path)


def _exchange(new, old):
    """Exchange two folders, or move `new` where there is no `old`."""
    if not old.exists():
        old.parent.mkdir(parents=True, exist_ok=True)
        new.rename(old)
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "renameat2") and not libc.renameat2(
        _HERE, os.fsencode(new), _HERE, os.fsencode(old), _EXCHANGE
    ):
        return
    # The system, or this file system, cannot exchange folders.
    aside = _aside(new)
    remove(aside)
    old.rename(aside)
    new.rename(old)
    aside.rename(new)
