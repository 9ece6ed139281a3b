"""Workers on a Ray cluster, local or remote; the only file that knows Ray.

A worker is an actor, and so a process, with as many processors as the teacher has threads (one graphics processor where
it runs on one). Nothing but texts and scores goes over the network: the data and the shards stay with whoever runs the
command, and a teacher that is a folder has to lie at the same path on every machine.

Retrying is ours, not Ray's (``max_restarts=0``): what happened to a shard is to be in the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.errors import MissingExtraError, OfflineError
from distilrank.teaching.crew import Desk, Died, Place, read_answer
from distilrank.teaching.teachers import Running, Teacher

try:
    import ray
except ImportError:
    raise MissingExtraError("ray", extra="ray", purpose="for --engine ray") from None


class RayCrew:
    """Workers on a Ray cluster; implements ``Crew``.

    Args:
        teacher: Each opens it for itself.
        count: How many.
        description: What ``teacher.describe()`` gives here; a worker that finds another teacher is refused.
        address: Of the cluster, as ``ray.init`` takes it. None: a cluster is started on this machine, for this crew.
    """

    def __init__(
        self, teacher: Teacher, count: int, *, description: dict[str, object], address: str | None = None
    ) -> None:
        self.size = count
        self._teacher = teacher
        self._description = description
        self._address = address
        self._actors: dict[int, Any] = {}
        self._places: dict[int, Place] = {}
        self._answers: dict[Any, int] = {}

    def give(self, worker: int, pairs: Sequence[tuple[str, str]]) -> Place:
        """Send pairs to a worker, started anew if it has died."""
        if worker not in self._actors:
            self._start(worker)
        if worker not in self._places:
            try:
                self._places[worker] = Place(*ray.get(self._actors[worker].place.remote()))
            except ray.exceptions.RayActorError:
                self._places[worker] = Place("", 0)  # it died at once, which ``next`` will find
        self._answers[self._actors[worker].answer.remote(list(pairs))] = worker
        return self._places[worker]

    def next(self) -> tuple[int, NDArray[np.float32] | Died]:
        """Return what the first of the busy workers to be ready has to say."""
        (ready, *_), _ = ray.wait(list(self._answers), num_returns=1)
        worker = self._answers.pop(ready)
        try:
            return worker, read_answer(ray.get(ready))
        except ray.exceptions.RayActorError as error:
            del self._actors[worker]
            self._places.pop(worker, None)
            return worker, Died(str(error).strip().splitlines()[0])

    def _start(self, worker: int) -> None:
        running = self._description.get("running")
        actor = ray.remote(
            num_cpus=_threads(self._teacher),
            num_gpus=1 if isinstance(running, dict) and running["device"] == "cuda" else 0,
            max_restarts=0,
            max_task_retries=0,
        )(_Worker)
        self._actors[worker] = actor.remote(self._teacher, worker, self._description)

    def __enter__(self) -> RayCrew:
        """Join the cluster, or start one, and all workers."""
        threads = _threads(self._teacher)
        # A cluster of our own has room for the workers asked for, whatever it thinks of this machine.
        own: dict[str, Any] = {} if self._address else {"num_cpus": self.size * threads, "include_dashboard": False}
        try:
            ray.init(address=self._address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise OfflineError(f"there is no Ray cluster at {self._address or 'this machine'}: {reason}") from None
        for worker in range(self.size):
            self._start(worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster; the workers end, and so does a cluster that was started here."""
        ray.shutdown()


def _threads(teacher: Teacher) -> int:
    """Return how many processors a worker needs; one that only asks a server needs one."""
    running = getattr(teacher, "running", None)
    return running.threads if isinstance(running, Running) else 1


class _Worker:
    """What runs in a worker's process."""

    def __init__(self, teacher: Teacher, worker: int, description: dict[str, object]) -> None:
        self._desk = Desk(teacher, worker, description)

    def place(self) -> tuple[str, int]:
        """Say where this is."""
        here = Place.here()
        return here.host, here.pid

    def answer(self, pairs: Sequence[tuple[str, str]]) -> tuple[str, Any]:
        """Answer as ``Desk`` does."""
        return self._desk.answer(pairs)
