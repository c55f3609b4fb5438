"""How a model takes the place of the one before it: never lost, never half, whenever the program is stopped."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from hitsong.files import write_json
from hitsong.training import workspace

A, B, C = ({"recipe": name} for name in "abc")


def fit(folder, fingerprint, again=False):
    """What `hitsong.training.fit.fit` does, for a model that is one file."""
    if again and workspace.is_complete(folder, fingerprint):
        workspace.publish(folder)
        return
    if not again and workspace.restore(folder, fingerprint):
        return
    work = workspace.begin(folder, fingerprint)
    (work / "epoch-0001.keras").touch()
    (work / "model").write_text(json.dumps(fingerprint))
    write_json(work / "bundle.json", {"fingerprint": fingerprint})
    workspace.publish(folder)


def complete_models(root):
    """The fingerprints of all models in a folder, after making sure that none is half a model."""
    models = []
    for path in root.rglob("bundle.json"):
        fingerprint = json.loads(path.read_text())["fingerprint"]
        assert json.loads((path.parent / "model").read_text()) == fingerprint, path
        models.append(fingerprint["recipe"])
    return sorted(models)


def in_use(folder):
    return json.loads((folder / "bundle.json").read_text())["fingerprint"]


class Stopped(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Steps:
    """Stops the program before its n-th change of the disk; what comes after, clean-up included, does nothing."""

    def __init__(self, monkeypatch, exchange):
        self.left = None
        for owner, name in (
            (os, "replace"), (os, "utime"), (Path, "rename"), (Path, "unlink"), (shutil, "rmtree"), (Path, "mkdir"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))
        library = workspace.ctypes.CDLL(None)
        functions = {"renameat2": self.counted(library.renameat2)} if exchange else {}
        monkeypatch.setattr(workspace.ctypes, "CDLL", lambda name: SimpleNamespace(**functions))

    def counted(self, function):
        def call(*arguments, **options):
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Stopped
            return function(*arguments, **options)

        return call

    def stop_after(self, steps, run):
        """Run until so many changes were made; whether the program came to its end."""
        self.left = steps
        try:
            run()
            return True
        except Stopped:
            return False
        finally:
            self.left = None


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def steps(request, monkeypatch):
    if request.param and not hasattr(workspace.ctypes.CDLL(None), "renameat2"):
        pytest.skip("this system cannot exchange two folders")
    return Steps(monkeypatch, request.param)


@pytest.mark.parametrize("again", [False, True])
def test_a_replacement_stopped_anywhere_loses_no_model_and_ends_the_same(steps, tmp_path, again):
    """The model in use is A; B is trained, or A once more."""
    new, expected = (A, ["a"]) if again else (B, ["a", "b"])
    for count in range(100):
        root = tmp_path / str(count)
        folder = root / "crnn"
        fit(folder, A)
        finished = steps.stop_after(count, lambda folder=folder: fit(folder, new, again))
        assert "a" in complete_models(root)
        fit(folder, new, again)
        assert in_use(folder) == new
        assert complete_models(root) == expected
        assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model"]
        assert not any((root / ".training").iterdir())
        if finished:
            break
    assert 5 < count < 99


def test_a_return_to_earlier_settings_stopped_anywhere_loses_no_model(steps, tmp_path):
    for count in range(100):
        root = tmp_path / str(count)
        folder = root / "crnn"
        for fingerprint in (A, B):
            fit(folder, fingerprint)
        finished = steps.stop_after(count, lambda folder=folder: workspace.restore(folder, A))
        assert complete_models(root) == ["a", "b"]
        assert workspace.restore(folder, A)
        assert in_use(folder) == A
        assert workspace.restore(folder, B)  # without training
        if finished:
            break
    assert 2 < count < 99


def test_another_fit_after_a_stop_keeps_what_was_complete(steps, tmp_path):
    """A is in use, B is stopped anywhere, and then C is wanted."""
    for count in range(100):
        root = tmp_path / str(count)
        folder = root / "crnn"
        fit(folder, A)
        finished = steps.stop_after(count, lambda folder=folder: fit(folder, B))
        fit(folder, C)
        assert in_use(folder) == C
        assert {"a", "c"} <= set(complete_models(root))
        if finished:
            break
    assert 5 < count < 99


def test_the_states_of_a_folder(tmp_path):
    folder = tmp_path / "crnn"
    assert workspace.status(folder, A) == "none"
    workspace.begin(folder, A)
    assert workspace.status(folder, A) == "interrupted"
    assert workspace.status(folder, B) == "stale"
    fit(folder, A)
    assert workspace.status(folder, A) == "finished"
    assert workspace.status(folder, B) == "stale"
    workspace.begin(folder, B)
    assert workspace.status(folder, A) == "finished"
    assert workspace.status(folder, B) == "interrupted"


def test_the_last_few_replaced_models_are_kept(tmp_path):
    folder = tmp_path / "crnn"
    for number in range(6):
        fit(folder, {"recipe": str(number)})
    assert complete_models(tmp_path) == ["2", "3", "4", "5"]


def test_a_removed_folder_loses_its_completion_markers_first(tmp_path, monkeypatch):
    fit(tmp_path / "crnn", A)
    monkeypatch.setattr(workspace.shutil, "rmtree", lambda *_, **__: None)  # killed here
    workspace.remove(tmp_path / "crnn")
    assert workspace.status(tmp_path / "crnn", A) == "none"
