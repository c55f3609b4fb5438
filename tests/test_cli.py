"""The arguments that all scripts share."""

import pytest

from hitsong import cli
from hitsong.errors import UserError
from hitsong.study import Stage, Study
from tests.conftest import ROOT


def settings(*arguments):
    return cli.settings(cli.parser("").parse_args(["--config", str(ROOT / "config.yaml"), *arguments]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.models=[crnnn]", "train.models: there is no model 'crnnn' - did you mean 'crnn'"),
        (
            "train.parameters={crnnn: {dropout: 0.1}}",
            "train.parameters: there is no model 'crnnn' - did you mean 'crnn'",
        ),
    ],
)
def test_models_that_do_not_exist_are_refused_by_every_script(override, message):
    with pytest.raises(UserError, match=message):
        settings("--set", override)


def test_data_at_a_path_that_cannot_be_made_is_refused_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    config = settings("--set", f"data={tmp_path / 'file'}")
    with pytest.raises(UserError, match="data: .* cannot be made or written to"):
        Stage(Study.of(config), "collect", config)


def test_a_misspelt_study_is_not_begun_with_the_settings_of_another(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"--study hiphp: there is no such study .*--set study=hiphp"):
        cli.settings(cli.parser("").parse_args(["--study", "hiphp", "--set", f"data={tmp_path}"]))
    assert settings("--study", "new", "--set", f"data={tmp_path}").study == "new"  # with --config
