"""A server without its socket: models, queue, keys, log and numbers."""

from __future__ import annotations

from distilrank.serve.batching import Batcher
from distilrank.serve.keys import ApiKeys
from distilrank.serve.logs import JsonLog
from distilrank.serve.metrics import Metrics
from distilrank.serve.models import Models
from distilrank.serve.scoring import Scoring
from distilrank.serve.settings import ServeSettings


class Service:
    """What the routes share. Its workers start with it; ``close`` ends them.

    Args:
        models: What is served.
        settings: Batching, limits and patience; None takes the defaults.
        keys: API keys; None asks for none.
        log: Where events go; None is standard output.
        metrics: None makes new ones.

    Attributes:
        leaving: Set when the server is about to stop: ``/ready`` says no and connections are closed after their answer,
            while everything is still answered.
    """

    def __init__(
        self,
        models: Models,
        settings: ServeSettings | None = None,
        *,
        keys: ApiKeys | None = None,
        log: JsonLog | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.models = models
        self.settings = settings or ServeSettings()
        self.keys = keys or ApiKeys([])
        self.log = log or JsonLog(texts=self.settings.log_texts)
        self.metrics = metrics or Metrics()
        self.leaving = False
        self.batcher = Batcher(
            workers=self.settings.workers,
            batch_pairs=self.settings.batch_pairs,
            wait_seconds=self.settings.batch_wait_ms / 1000,
            queue_pairs=self.settings.queue_pairs,
            queue_seconds=self.settings.queue_seconds,
            observe=self.metrics.batch,
        )
        self.metrics.watch_queue(lambda: self.batcher.waiting)
        self.scoring = Scoring(models, self.batcher, self.settings, self.metrics, self.log)

    @property
    def is_healthy(self) -> bool:
        """Whether it can score at all."""
        return self.batcher.is_alive

    @property
    def is_ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.is_healthy and not self.leaving

    def close(self) -> None:
        """Score what is in the queue and end the workers."""
        self.leaving = True
        self.batcher.close()
