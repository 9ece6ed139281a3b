"""One bounded queue for all requests, from which workers take batches.

A batch holds pairs of one model from as many requests as fit; a request with more pairs than a batch is spread over
several. Every pair keeps its request and its place there, so answers cannot be mixed up. Requests are taken in the
order they came.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from distilrank.serve.refusals import Refusal

RETRY_AT_MOST = 60
"""Seconds; a client that was told more would rather give up."""

MEMORY = 0.8
"""What a batch leaves of the weight that earlier batches have in the measured speed: texts and load change."""

Pair = tuple[str, str | None]
"""Query and passage, or a text and perhaps a second one."""


class Scores(Protocol):
    """Whatever answers pairs; ``Ranker`` and ``Classifier`` do."""

    def score(self, pairs: Sequence[Any]) -> NDArray[np.float32]:
        """Return one row per pair, in order."""
        ...


@dataclass(eq=False, kw_only=True)
class Job:
    """The pairs of one request on their way through the queue.

    Attributes:
        model: Scores them, even when another model has taken its name since.
        pairs: At least one.
        answers: Comes to hold one row per pair, in order; or what went wrong.
        submitted, started, finished: ``time.perf_counter()`` on entering the queue, on leaving it, and at the end.
        taken: Pairs that workers have taken so far.
    """

    model: Scores
    pairs: Sequence[Pair]
    answers: Future[NDArray[np.float32]] = field(default_factory=Future)
    submitted: float = field(default_factory=time.perf_counter)
    started: float = math.nan
    finished: float = math.nan
    taken: int = 0
    _rows: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def fill(self, start: int, rows: NDArray[np.float32]) -> None:
        """Put the rows of the pairs from ``start`` on into their place; the last ones complete the job."""
        self._rows[start] = rows
        if sum(map(len, list(self._rows.values()))) == len(self.pairs):
            self.finished = time.perf_counter()
            with suppress(InvalidStateError):  # whoever asked has left
                self.answers.set_result(np.concatenate([self._rows[place] for place in sorted(self._rows)]))

    def fail(self, error: Exception) -> None:
        """End with an error, unless it has ended before."""
        self.finished = time.perf_counter()
        with suppress(InvalidStateError):
            self.answers.set_exception(error)


@dataclass(frozen=True, slots=True)
class Part:
    """Pairs of one job in a batch: those from ``start`` up to ``end``."""

    job: Job
    start: int
    end: int

    @property
    def pairs(self) -> Sequence[Pair]:
        """The pairs themselves."""
        return self.job.pairs[self.start : self.end]


class Batcher:
    """The queue and its workers, which start with it.

    Args:
        workers: Threads that score.
        batch_pairs: Most pairs of a batch.
        wait_seconds: How long the oldest pairs wait for a batch to fill.
        queue_pairs: Most pairs that wait.
        queue_seconds: Longest wait that a new request may expect.
        observe: Told the pairs and the seconds of every batch.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        batch_pairs: int = 128,
        wait_seconds: float = 0.002,
        queue_pairs: int = 4096,
        queue_seconds: float = 10.0,
        observe: Callable[[int, float], None] = lambda pairs, seconds: None,
    ) -> None:
        self._batch_pairs = batch_pairs
        self._wait = wait_seconds
        self._queue_pairs = queue_pairs
        self._queue_seconds = queue_seconds
        self._observe = observe
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._scored_pairs = self._scored_seconds = 0.0
        self._closing = False
        self._changed = threading.Condition()
        self._workers = [
            threading.Thread(target=self._work, name=f"scoring-{number}", daemon=True) for number in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """Pairs in the queue."""
        return self._waiting

    @property
    def is_alive(self) -> bool:
        """Whether every worker is still there."""
        return all(worker.is_alive() for worker in self._workers)

    def submit(self, model: Scores, pairs: Sequence[Pair]) -> Job:
        """Put the pairs of a request into the queue.

        An empty queue takes any request that it can hold.

        Raises:
            Refusal: 429, the queue is full or would take too long; 503, the server is stopping.
        """
        job = Job(model=model, pairs=pairs)
        if not pairs:
            raise ValueError("a job needs at least one pair")
        with self._changed:
            if self._closing:
                raise Refusal(503, "the server is stopping", retry_after=1)
            expected = self._waiting * self._scored_seconds / max(1.0, self._scored_pairs) / len(self._workers)
            if self._waiting + len(pairs) > self._queue_pairs or expected > self._queue_seconds:
                seconds = min(max(1, math.ceil(expected)), RETRY_AT_MOST)
                raise Refusal(429, f"too many requests are waiting; try again in {seconds} s", retry_after=seconds)
            self._jobs.append(job)
            self._waiting += len(pairs)
            self._changed.notify()
        return job

    def withdraw(self, job: Job) -> None:
        """Take back what is left of a job that nobody waits for any more."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._waiting -= len(job.pairs) - job.taken
        job.answers.cancel()

    def close(self) -> None:
        """Take no more jobs, finish those in the queue and end the workers."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            begun = time.perf_counter()
            self._score(batch)
            seconds = time.perf_counter() - begun
            pairs = sum(part.end - part.start for part in batch)
            with self._changed:
                self._scored_pairs = MEMORY * self._scored_pairs + pairs
                self._scored_seconds = MEMORY * self._scored_seconds + seconds
            self._observe(pairs, seconds)

    def _next_batch(self) -> list[Part]:
        """Wait for a batch that is full or has waited long enough; none when the queue has closed and is empty."""
        with self._changed:
            while True:
                if not self._jobs:
                    if self._closing:
                        return []
                    self._changed.wait()
                    continue
                left = self._jobs[0].submitted + self._wait - time.perf_counter()
                if left <= 0 or self._closing or self._waiting >= self._batch_pairs:
                    return self._take()
                self._changed.wait(left)

    def _take(self) -> list[Part]:
        """Take pairs of the first job and of others for the same model, as many as a batch holds."""
        model, room, parts = self._jobs[0].model, self._batch_pairs, []
        for job in [job for job in self._jobs if job.model is model]:
            part = Part(job, job.taken, min(job.taken + room, len(job.pairs)))
            parts.append(part)
            if job.taken == 0:
                job.started = time.perf_counter()
            job.taken = part.end
            if job.taken == len(job.pairs):
                self._jobs.remove(job)
            room -= part.end - part.start
            if room == 0:
                break
        self._waiting -= self._batch_pairs - room
        if self._jobs:
            self._changed.notify()  # another worker may have slept through their coming
        return parts

    def _score(self, batch: list[Part]) -> None:
        """Score a batch and hand every request its rows.

        When it fails, each request is tried by itself, so that what one of them holds is the others' trouble no more.
        """
        pairs = [pair for part in batch for pair in part.pairs]
        try:
            rows = batch[0].job.model.score(pairs)
            if len(rows) != len(pairs):
                raise ValueError(f"{len(rows)} answers to {len(pairs)} pairs")
            if not np.isfinite(rows).all():
                raise ValueError("an answer is not a number")
        except Exception as error:
            if len(batch) == 1:
                batch[0].job.fail(error)
                self.withdraw(batch[0].job)
                return
            for part in batch:
                self._score([part])
            return
        for part in batch:
            count = part.end - part.start
            part.job.fill(part.start, rows[:count])
            rows = rows[count:]
