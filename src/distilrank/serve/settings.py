"""What the operator of a server may set."""

from __future__ import annotations

from dataclasses import dataclass

from distilrank.errors import SettingsError
from distilrank.runtime.folder import Precision


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Batching, limits and patience of a server.

    Attributes:
        workers: Batches scored at the same time.
        threads: Processor threads of each. None: what ``export --tune`` found, or the cores shared out.
        precision: Which of a folder's files is run: ``auto`` takes the 8-bit one where it passed on such a processor.
        batch_pairs: Most pairs scored together, whichever requests they come from.
        batch_wait_ms: How long pairs wait for others to share a batch with.
        queue_pairs: Most pairs that wait; beyond that, requests are told to come back (429).
        queue_seconds: The same by time, at the speed measured so far.
        timeout_seconds: Longest time from a request's body to its answer (504).
        drain_seconds: After SIGTERM, how long requests are still taken while ``/ready`` says no, so that a load
            balancer and clients with open connections can go elsewhere.
        watch_seconds: How often folders are looked at for new models. 0: only on SIGHUP.
        max_requests: Most requests under way at once (429).
        max_body_bytes: Longest body (413).
        max_body_seconds: Longest time a body may take to arrive (408).
        max_json_depth: Most levels of arrays and objects in a body (400).
        max_documents: Most documents of a request (413).
        max_query_chars: Longest query (413).
        max_document_chars: Longest document (413).
        max_request_tokens: Most tokens that a request may cost, after truncation (413).
        log_texts: Write queries and documents into the log.
    """

    workers: int = 1
    threads: int | None = None
    precision: Precision = "auto"
    batch_pairs: int = 128
    batch_wait_ms: float = 2.0
    queue_pairs: int = 4096
    queue_seconds: float = 10.0
    timeout_seconds: float = 30.0
    drain_seconds: float = 1.0
    watch_seconds: float = 0.0
    max_requests: int = 512
    max_body_bytes: int = 4 << 20
    max_body_seconds: float = 10.0
    max_json_depth: int = 8
    max_documents: int = 1000
    max_query_chars: int = 10_000
    max_document_chars: int = 100_000
    max_request_tokens: int = 262_144
    log_texts: bool = False

    def __post_init__(self) -> None:
        """Refuse what could never serve."""
        at_least_one = (
            "workers batch_pairs queue_pairs max_requests max_body_bytes max_json_depth max_documents max_query_chars "
            "max_document_chars max_request_tokens"
        ).split()
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}, give at least 1")
        if self.threads is not None and self.threads < 1:
            raise SettingsError(f"threads is {self.threads}, give at least 1")
        for name in ("queue_seconds", "timeout_seconds", "max_body_seconds"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}, give more than 0")
        for name in ("batch_wait_ms", "drain_seconds", "watch_seconds"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}, give 0 or more")
        if self.max_documents > self.queue_pairs:
            raise SettingsError(
                f"max_documents is {self.max_documents} but only {self.queue_pairs} (queue_pairs) can wait; set both"
            )
