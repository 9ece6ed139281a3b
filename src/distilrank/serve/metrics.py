"""What Prometheus is told; each server has its own numbers."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters and histograms of one server.

    Attributes:
        content_type: Of ``text()``.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        self.requests = Counter("distilrank_requests", "Requests answered.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "distilrank_request_seconds", "From a request to its answer.", ["path"], buckets=SECONDS, registry=registry
        )
        self.queue_seconds = Histogram(
            "distilrank_queue_seconds", "In the queue, per request.", buckets=SECONDS, registry=registry
        )
        self.score_seconds = Histogram(
            "distilrank_score_seconds",
            "From the queue to the last score, per request.",
            buckets=SECONDS,
            registry=registry,
        )
        self.pairs = Counter("distilrank_pairs", "Pairs scored, by the model's name.", ["model"], registry=registry)
        self.batch_pairs = Histogram(
            "distilrank_batch_pairs", "Pairs scored together.", buckets=PAIRS, registry=registry
        )
        self.batch_seconds = Histogram(
            "distilrank_batch_seconds", "Seconds per batch.", buckets=SECONDS, registry=registry
        )
        self.in_flight = Gauge("distilrank_requests_in_flight", "Requests under way.", registry=registry)
        self.queue_pairs = Gauge("distilrank_queue_pairs", "Pairs that wait.", registry=registry)
        self.reloads = Counter(
            "distilrank_reloads", "Folders loaded anew, by what came of it.", ["result"], registry=registry
        )

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Ask for the length of the queue whenever it is wanted."""
        self.queue_pairs.set_function(waiting)

    def batch(self, pairs: int, seconds: float) -> None:
        """Note one batch."""
        self.batch_pairs.observe(pairs)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return all of them in Prometheus's text format."""
        return generate_latest(self._registry)
