"""Which model of a study predicts for files."""

import shutil

import pytest

from hitsong.config import Config
from hitsong.errors import UserError
from hitsong.files import read_json, sha256, write_json
from hitsong.predict.choose import choose_bundle, load_bundle
from hitsong.study import Study
from tests.small_study import bundle_of, with_kind


class Models:
    """A study with copies of one trained model, whose bundle.json says what a test needs."""

    def __init__(self, folder):
        self.config = Config(study="models", data=str(folder))
        self.study = Study.of(self.config)

    def put(self, name, score=0.3, inputs="mel", target="popularity"):
        original = bundle_of("popularity").folder
        info = read_json(original / "bundle.json")
        info["validation"] = {"spearman": score, "quadratic_kappa": score}
        info["inputs"] = {"x": info["inputs"]["mel"] | {"kind": inputs}}
        info["target"]["kind"] = target
        write_json(self.study.models / name / "bundle.json", info)
        (self.study.models / name / "model.keras").write_bytes((original / "model.keras").read_bytes())

    def report(self, best):
        """As 06 leaves it."""
        write_json(self.study.report / "metrics.json", {"best": best})
        paths = self.study.models.glob("*/bundle.json")
        inputs = {path.relative_to(self.study.folder).as_posix(): sha256(path) for path in paths}
        write_json(self.study.record("evaluate"), {"inputs": inputs})


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path)


def test_a_study_without_usable_models_is_refused(models):
    with pytest.raises(UserError, match=r"no finished model; run: python 05_train\.py"):
        choose_bundle(models.config)
    models.put("numbers", inputs="spotify")
    with pytest.raises(UserError, match="numbers: needs Spotify's audio features"):
        choose_bundle(models.config)


def test_the_best_of_the_report_is_chosen_else_the_best_on_validation(models):
    models.put("numbers", 0.9, inputs="spotify")
    models.put("good", 0.4)
    models.put("fair", 0.3)
    on_validation = "good: the best on validation (spearman) of 2 that need only the file"
    assert choose_bundle(models.config)[1] == on_validation
    models.report("fair")
    assert choose_bundle(models.config)[1] == "fair: the best of the study by 06_evaluate.py"
    models.report("numbers")
    chosen, reason = choose_bundle(models.config)
    assert chosen.folder.name == "good"
    assert reason == f"{on_validation}; numbers, the best of the study, needs Spotify's audio features"
    models.report("ridge-tags")
    assert choose_bundle(models.config)[1].endswith("ridge-tags, the best of the study, is not among them")
    assert choose_bundle(models.config, "fair")[0].folder.name == "fair"
    with pytest.raises(UserError, match="did you mean 'fair'"):
        choose_bundle(models.config, "fare")


def test_a_report_older_than_its_best_model_is_not_used(models):
    models.put("good", 0.4)
    models.put("fair", 0.3)
    models.report("fair")
    models.put("fair", 0.1)  # fitted again
    chosen, reason = choose_bundle(models.config)
    assert chosen.folder.name == "good"
    assert "fair, the best of the last report, was fitted again since: run python 06_evaluate.py" in reason


def test_models_of_different_targets_are_not_compared(models):
    models.put("classes", 0.9, target="buckets")
    models.put("numbers", 0.3)
    assert choose_bundle(models.config)[0].folder.name == "numbers"
    config = with_kind(models.config, "popular")
    with pytest.raises(
        UserError, match=r"no model predicts popular; .*classes \(buckets\), numbers \(popularity\)"
    ):
        choose_bundle(config)
    assert choose_bundle(config, "numbers")[0].folder.name == "numbers"


def test_a_bundle_is_loaded_without_its_study(tmp_path):
    folder = tmp_path / "somewhere"
    shutil.copytree(bundle_of("popularity").folder, folder)
    loaded, reason = load_bundle(folder)
    assert loaded.folder == folder
    assert reason.startswith(f"inception: from {folder}; careful: its files can run code")


def test_what_is_no_usable_bundle_is_refused(models, tmp_path):
    with pytest.raises(UserError, match="no bundle.json in it; give a folder like"):
        load_bundle(tmp_path)
    models.put("numbers", inputs="spotify")
    with pytest.raises(UserError, match="needs Spotify's audio features"):
        load_bundle(models.study.models / "numbers")
