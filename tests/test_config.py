import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitsong import config
from hitsong.errors import UserError
from hitsong.models import registry
from tests.conftest import ROOT


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


def fault(path, *overrides):
    with pytest.raises(UserError) as error:
        config.load(path, overrides)
    return str(error.value)


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "configs").glob("*.yaml"))], ids=lambda p: p.name
)
def test_shipped_configs_are_valid(path):
    result = config.load(path)
    assert result.study
    registry.require(result.train.models)
    registry.require(result.train.parameters)


def test_an_empty_file_gives_the_defaults(written):
    assert config.load(written("")) == config.Config()


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ("featurs: {}", "featurs", "'features'"),
        ("features: {mel: {n_mel: 64}}", "features.mel.n_mel", "'n_mels'"),
        ("train: {epochs: many}", "train.epochs", "whole number"),
        ("train: {epochs: 0}", "train.epochs", "greater than 0"),
        ("train: {epochs: 2.5}", "train.epochs", "whole number"),
        ("split: {scheme: artis}", "split.scheme", "'artist'"),
        ("split: {train: 0.9}", "split", "must be 1"),
        ("features: {mel: {fmax: 20000}}", "features.mel", "half the sample rate"),
        ("features: {mel: {hop_length: 9000}}", "features.mel", "hop_length"),
        ("baseline: {features: [dancability]}", "baseline", "'danceability'"),
        ("standin: {shares: {artist: 0.9}}", "standin.shares", "must be 1"),
        ("collect: {source: fma}", "collect", "collect.root"),
        ("collect: {market: Taiwan}", "collect.market", "such as TW"),
        ("study: ../elsewhere", "study", "letters, digits"),
        ("collect: {genre: 7}", "collect.genre", "must be text or a list"),
        ("collect: {years: twenty}", "collect.years", "such as 2019 or 2019-2021"),
        ("collect: {years: 2021-2019}", "collect", "run backwards"),
        ("collect: {per_genre: 5}", "collect", "per_genre belongs to"),
        ("collect: {source: table, table: {path: t.csv, colums: {}}}", "collect.table.colums", "'columns'"),
        ("collect: {source: table, table: {path: t.csv, date_format: dmy}}", "date_format", "'%d/%m/%Y'"),
        ("standin: {faults: [{kind: quota}, {knd: quota}]}", "standin.faults.1.knd", "'kind'"),
        ("standin: {faults: [{kind: quotta}]}", "standin.faults.0.kind", "'quota'"),
        ("standin: {faults: [3]}", "standin.faults.0", "section"),
        ("target: {threshold: mean}", "target.threshold", "must be a number or one of median"),
        ("- a list", "config.yaml", "expected"),
        ("seed: 1\nseed: 2", "config.yaml", "duplicate"),
        ("seed: [", "config.yaml", "YAML"),
    ],
)
def test_a_fault_is_named_with_its_place_and_what_was_meant(written, text, where, hint):
    message = fault(written(text))
    assert where in message
    assert hint in message


def test_every_fault_has_a_line(written):
    assert len(fault(written("seed: x\nfeaturs: {}")).splitlines()) == 2


def test_a_missing_file_is_an_error_of_the_user(tmp_path):
    assert "no such config file" in fault(tmp_path / "none.yaml")


def test_overrides(written):
    loaded = config.load(
        written("train: {epochs: 3}"),
        ["train.batch_size=8", "collect.genre=hip-hop", "baseline.alphas=[5e-3]"],
    )
    assert (loaded.train.epochs, loaded.train.batch_size) == (3, 8)
    assert loaded.collect.genre == "hip-hop"
    assert loaded.baseline.alphas == [0.005]


def test_numbers_and_dates_of_yaml_are_taken_as_text_where_text_is_meant(written):
    loaded = config.load(
        written(
            "study: 2024\ncollect: {source: table, years: 2021, table: {path: t.csv, read_at: 2024-03-01}}"
        )
    )
    assert (loaded.study, loaded.collect.years) == ("2024", "2021")
    assert loaded.collect.table.read_at == "2024-03-01"
    assert config.load(written(""), ["study=2024"]).study == "2024"


def test_no_models_may_be_asked_for(written):
    assert config.load(written("train: {models: []}")).train.models == []


@pytest.mark.parametrize(
    ("text", "transform"),
    [
        ("collect: {source: deezer}", "percentile"),
        ("{collect: {source: deezer}, target: {transform: null}}", None),
        ("{collect: {source: deezer}, target: {transform: log1p}}", "log1p"),
        ("{collect: {source: deezer}, target: {kind: popular}}", None),
        ("collect: {source: spotify}", None),
    ],
)
def test_the_rank_of_deezer_is_predicted_as_a_percentile(written, text, transform):
    loaded = config.load(written(text))
    assert loaded.target.transform == transform
    assert config.Config.model_validate(loaded.model_dump(mode="json")) == loaded


def test_a_genre_called_no_stays_a_word(written):
    assert config.load(written("collect: {genre: no}")).collect.genre == "no"


@pytest.mark.parametrize("override", ["seed", "=3", "seed.x=1", "seed=[", "trian.epochs=3"])
def test_bad_overrides(written, override):
    assert fault(written("seed: 1"), override)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=8),
        st.integers() | st.text(max_size=8) | st.none(),
        max_size=4,
    )
)
def test_any_mapping_is_either_a_config_or_a_fault(tmp_path_factory, content):
    import json

    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    if not set(content) <= set(config.Config.model_fields):
        assert str(path) in fault(path)


@pytest.mark.parametrize("day", ["2027-02-30", "2025-12-31", "20270501", "soon"])
def test_the_clock_of_the_standin_is_a_day_since_its_last_release(written, day):
    with pytest.raises(UserError, match="standin.clock"):
        config.load(written(""), [f"standin.clock={day}"])
    assert config.load(written("standin: {clock: 2027-05-01}")).standin.clock == "2027-05-01"
