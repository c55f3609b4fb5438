"""The service in tests: behind its real server on loopback, or as Flask's test client."""

import io
import threading
from contextlib import contextmanager

import soundfile

from hitsong.report import model_card
from hitsong.service.access import AccessControl
from hitsong.service.app import create_app, start
from hitsong.service.limits import Limits
from tests.small_study import RATE, bundle_of

LIMITS = Limits(workers=1, seconds=60.0, file_bytes=2_000_000, files=4)
HOST = {"Host": "127.0.0.1:8787"}


@contextmanager
def serving():
    """Serve the small study's model of popularity; the server's `url` is its address."""
    model = bundle_of("popularity")
    model_card.write_card(model)
    with start(model, AccessControl("127.0.0.1"), Limits(workers=1)) as server, running(server):
        yield server


@contextmanager
def running(server):
    """Run a server in a thread."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


def client_of(service, token=None):
    return create_app(service, AccessControl("127.0.0.1", token)).test_client()


def wav(samples, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


def predict(client, audio, name="song.wav", **headers):
    form = {"file": (io.BytesIO(audio), name)}
    return client.post("/predict", data=form, headers=HOST | headers)


def rank(client, audios):
    form = {"files": [(io.BytesIO(audio), name) for name, audio in audios.items()]}
    return client.post("/rank", data=form, headers=HOST)
