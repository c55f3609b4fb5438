"""Measurements for Prometheus."""

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


class Metrics:
    """Counters and histograms in a registry of their own.

    Parameters
    ----------
    decoders : hitsong.service.decoders.DecoderPool
        Counts its restarts itself.
    """

    def __init__(self, decoders):
        self._registry = CollectorRegistry()
        shared = {"namespace": "hitsong", "registry": self._registry}
        ProcessCollector(namespace="hitsong", registry=self._registry)
        self._requests = Counter("requests", "Requests, by response.", ["route", "status"], **shared)
        self._seconds = Histogram("request_seconds", "Time to respond.", ["route"], buckets=SECONDS, **shared)
        self.steps = Histogram(
            "step_seconds", "Time for a file, by step.", ["step"], buckets=SECONDS, **shared
        )
        self.in_flight = Gauge("in_flight", "Requests in work or waiting.", **shared)
        self.dropped = Counter(
            "dropped", "Songs not predicted since their client had disconnected.", **shared
        )
        restarts = Gauge("worker_restarts", "Decoder processes replaced, crashed or too slow.", **shared)
        restarts.set_function(lambda: decoders.restarts)

    def count(self, route, status, seconds):
        """Count a response."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def requests_in_flight(self):
        return self._registry.get_sample_value("hitsong_in_flight")

    def exposition(self):
        """The measurements as text (bytes), and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
