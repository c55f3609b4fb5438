"""The service in tests: behind its real server on loopback, or in this process."""

import io
import threading
from contextlib import contextmanager

import soundfile
from starlette.testclient import TestClient

from hitsong.report import model_card
from hitsong.service.access import AccessControl
from hitsong.service.app import create_app, start
from hitsong.service.limits import Limits
from tests.small_study import RATE, bundle_of

LIMITS = Limits(workers=1, seconds=60.0, file_bytes=2_000_000, files=4)


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


def client_of(service, token=None, origins=()):
    app = create_app(service, AccessControl("127.0.0.1", token, origins))
    return TestClient(app, base_url="http://127.0.0.1:8787", raise_server_exceptions=False)


def wav(samples, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


def predict(client, audio, name="song.wav", fields="", **headers):
    return client.post(f"/predict?{fields}", files={"file": (name, audio)}, headers=headers)


def rank(client, audios):
    return client.post("/rank", files=[("files", (name, audio)) for name, audio in audios.items()])
