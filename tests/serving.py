"""A running service for tests: a small trained model behind the real server, on loopback."""

import threading
from contextlib import contextmanager

from hitsong.report import card
from hitsong.service.app import start
from hitsong.service.guard import Guard
from hitsong.service.limits import Limits
from hitsong.study import Study
from hitsong.training import bundle
from tests.service.test_service import planted


@contextmanager
def serving():
    """Serve the study's model of popularity; `url` of what is yielded is where."""
    config, _ = planted()
    model = bundle.load(Study.of(config).models / "inception")
    card.write(model)
    with start(model, Guard("127.0.0.1"), Limits(workers=1)) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()
