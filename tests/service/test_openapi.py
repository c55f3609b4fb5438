"""The API and its description: valid, complete, and kept to."""

import re

import openapi_spec_validator
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounded
from jsonschema import Draft202012Validator
from schemathesis.config import SchemathesisConfig

from tests.serving import client_of, predict, rank
from tests.small_study import TARGETS

HOST = {"Host": "127.0.0.1:8787"}


@pytest.fixture(scope="module")
def description(client):
    return client.get("/openapi.json").json()


def test_the_description_is_valid_and_names_every_route(client, description):
    openapi_spec_validator.validate(description)
    described = {path for path, item in description["paths"].items()}
    assert described == {
        "/", "/predict", "/rank", "/what-if", "/versions",
            "/spectrogram/{song_id}.png", "/explain/{song_id}.png", "/explain/{song_id}.json",
        "/model", "/metrics", "/health/live", "/health/ready",
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("kind", TARGETS)
def test_answers_have_the_shape_that_is_described(service_of, description, audios, kind):
    client, audio = client_of(service_of(kind)), next(iter(audios.values()))
    for shape, answer in [
        ("Song", predict(client, audio)),
        ("Ranking", rank(client, {"a": audio, "b": audio, "c": b""})),
        ("ModelCard", client.get("/model")),
        ("Ready", client.get("/health/ready")),
        ("Live", client.get("/health/live")),
        ("Problem", client.get("/nowhere")),
    ]:
        schema = {"$ref": f"#/components/schemas/{shape}", "components": description["components"]}
        Draft202012Validator(schema).validate(answer.json())


@pytest.mark.long
def test_the_api_keeps_to_its_description(client):
    """What schemathesis makes up, good and bad, for every operation."""
    config = SchemathesisConfig.from_dict(
        {"checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "413", "422"]}}}
    )
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app, config=config, headers=HOST)

    for operation in schema.get_all_operations():

        @bounded(
            max_examples=15, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.ok().as_strategy())
        def keeps(case):
            case.call_and_validate(headers=HOST)

        keeps()


def test_measurements_count_what_was_answered(service_of, noise):
    client = client_of(service_of("popularity"))

    def counted():
        text = client.get("/metrics").text
        match = re.search(r'hitsong_requests_total\{route="/predict",status="200"\} ([\d.]+)', text)
        return float(match[1]) if match else 0

    before = counted()
    predict(client, noise)
    assert counted() == before + 1
    assert "hitsong_worker_restarts 0.0" in client.get("/metrics").text
