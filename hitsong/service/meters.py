"""What the service counts and measures, for Prometheus."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)


class Meters:
    """Counters in a registry of their own.

    Parameters
    ----------
    pool : hitsong.service.worker.Pool
        Counts its restarts itself.
    """

    def __init__(self, pool):
        self._registry = CollectorRegistry()
        shared = {"namespace": "hitsong", "registry": self._registry}
        ProcessCollector(namespace="hitsong", registry=self._registry)
        self.requests = Counter("requests", "Requests answered.", ["endpoint", "status"], **shared)
        self.seconds = Histogram(
            "request_seconds", "Time to answer.", ["endpoint"], buckets=SECONDS, **shared
        )
        self.stages = Histogram(
            "stage_seconds", "Time for a file, by stage.", ["stage"], buckets=SECONDS, **shared
        )
        self.in_flight = Gauge("in_flight", "Requests at work or waiting for it.", **shared)
        restarts = Gauge("worker_restarts", "Decoders replaced, dead or too slow.", **shared)
        restarts.set_function(lambda: pool.restarts)

    def count(self, endpoint, status, seconds):
        """Count an answer."""
        endpoint = endpoint or "none"
        self.requests.labels(endpoint, status).inc()
        self.seconds.labels(endpoint).observe(seconds)

    def flying(self):
        """Requests in flight now."""
        return self._registry.get_sample_value("hitsong_in_flight")

    def exposition(self):
        """The measurements as text, with status and headers."""
        return generate_latest(self._registry), 200, {"Content-Type": CONTENT_TYPE_LATEST}
