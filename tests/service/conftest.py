"""A service for each kind of target, and files to send to it."""

import numpy as np
import pytest

from hitsong.predict.predictor import Predictor
from hitsong.service.decoders import DecoderPool
from hitsong.service.scoring import ScoringService, shown_kinds
from hitsong.study import Study
from tests.serving import LIMITS, client_of, wav
from tests.small_study import RATE, SECONDS, bundle_of, small_study


@pytest.fixture(scope="session")
def tracks():
    return small_study()[1]


@pytest.fixture(scope="session")
def study():
    return Study.of(small_study()[0])


@pytest.fixture(scope="session")
def service_of():
    """service_of(kind): the service of a model of that kind of target, started once."""
    services = {}

    def start(kind):
        if kind not in services:
            predictor = Predictor(bundle_of(kind), shown_kinds())
            services[kind] = ScoringService(predictor, DecoderPool(predictor.settings, LIMITS), LIMITS)
        return services[kind]

    yield start
    for service in services.values():
        service.decoders.close()


@pytest.fixture(scope="session")
def client(service_of):
    return client_of(service_of("popularity"))


@pytest.fixture(scope="session")
def audios(study, tracks):
    """The test tracks' files, by name."""
    paths = tracks.loc[tracks["side"] == "test", "path"]
    return {path: (study.folder / path).read_bytes() for path in paths}


@pytest.fixture
def noise(rng):
    return wav(0.1 * rng.normal(size=int(SECONDS * RATE)).astype(np.float32))
