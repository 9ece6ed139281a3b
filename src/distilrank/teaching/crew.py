"""Those who score: in this process, or in processes of this machine. ``ray_crew`` has them on a cluster.

A crew is given texts and hands back scores; it reads no data and writes no files, so that a worker's death costs what
it had in hand and nothing else. Which worker scores which shard changes no score.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from distilrank.errors import DistilrankError, ModelError
from distilrank.scorer import Scorer
from distilrank.teaching.teachers import Teacher

TextPairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker is: a machine, and a process on it."""

    host: str
    pid: int

    @classmethod
    def here(cls) -> Place:
        """Return that of this process."""
        return cls(socket.gethostname(), os.getpid())


@dataclass(frozen=True, slots=True)
class Died:
    """What comes of a worker that is no longer there.

    Attributes:
        reason: Why, as far as it is known.
    """

    reason: str


class Crew(Protocol):
    """Workers by their number, from 0; each has at most one list of pairs at a time."""

    @property
    def size(self) -> int:
        """How many workers there are."""
        ...

    def give(self, worker: int, pairs: TextPairs) -> Place:
        """Have a worker score pairs, and say where it is. One that has died is replaced first."""
        ...

    def next(self) -> tuple[int, NDArray[np.float32] | Died]:
        """Wait for the next worker to be done or dead, and return its number and its scores.

        Raises:
            DistilrankError: A worker met an error that would come again.
        """
        ...

    def __enter__(self) -> Self:
        """Start the workers."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send them home."""
        ...


class Alone:
    """One worker, this process; implements ``Crew``.

    Args:
        teacher: Opened when it is first needed.
    """

    size = 1

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._scorer: Scorer | None = None
        self._pairs: TextPairs = ()

    def give(self, worker: int, pairs: TextPairs) -> Place:
        """Take the pairs in hand."""
        self._pairs = pairs
        return Place.here()

    def next(self) -> tuple[int, NDArray[np.float32] | Died]:
        """Score them."""
        if self._scorer is None:
            self._scorer = self._teacher.open()
        return 0, self._scorer.score(self._pairs)

    def __enter__(self) -> Alone:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""


class Processes:
    """Workers in processes of their own on this machine; implements ``Crew``.

    They are spawned, not forked: torch's threads do not survive a fork. A worker ends when this process does, because
    its pipe ends then.

    Args:
        teacher: Each opens it for itself.
        count: How many.
        description: What ``teacher.describe()`` gives here; a worker that finds another teacher is refused.
    """

    def __init__(self, teacher: Teacher, count: int, *, description: dict[str, object]) -> None:
        self.size = count
        self._teacher = teacher
        self._description = description
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, Any] = {}
        self._pipes: dict[int, Connection[Any, Any]] = {}
        self._busy: set[int] = set()

    def give(self, worker: int, pairs: TextPairs) -> Place:
        """Send pairs to a worker, started anew if it has died."""
        if worker not in self._pipes:
            self._start(worker)
        self._busy.add(worker)
        with suppress(OSError):  # it is dead, which ``next`` will find
            self._pipes[worker].send(list(pairs))
        return Place(socket.gethostname(), int(self._processes[worker].pid))

    def next(self) -> tuple[int, NDArray[np.float32] | Died]:
        """Return what the first of the busy workers to be ready has to say."""
        ready = wait([self._pipes[worker] for worker in self._busy])
        worker = next(worker for worker in sorted(self._busy) if self._pipes[worker] in ready)
        self._busy.remove(worker)
        try:
            answer = self._pipes[worker].recv()
        except (EOFError, OSError):
            return worker, Died(self._bury(worker))
        return worker, read_answer(answer)

    def _start(self, worker: int) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._teacher, worker, self._description), daemon=True
        )
        process.start()
        theirs.close()  # or its end would not be seen
        self._processes[worker], self._pipes[worker] = process, ours

    def _bury(self, worker: int) -> str:
        self._pipes.pop(worker).close()
        process = self._processes.pop(worker)
        process.join(10)
        code = process.exitcode
        return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def __enter__(self) -> Processes:
        """Start all workers, so that they load the teacher side by side."""
        for worker in range(self.size):
            self._start(worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers."""
        for pipe in self._pipes.values():
            pipe.close()
        for process in self._processes.values():
            if error is not None:
                process.terminate()
            process.join(10)


def _work(pipe: Connection[Any, Any], teacher: Teacher, worker: int, description: dict[str, object]) -> None:
    """Score what comes through the pipe until it ends."""
    desk = Desk(teacher, worker, description)
    try:
        while True:
            pipe.send(desk.answer(pipe.recv()))
    except (EOFError, OSError, KeyboardInterrupt):
        return  # nobody is there any more


class Desk:
    """A worker's place of work, in whatever process: opens the teacher with the first pairs and answers always.

    Args:
        teacher: To be opened.
        worker: Its number.
        description: What the teacher must be.
    """

    def __init__(self, teacher: Teacher, worker: int, description: dict[str, object]) -> None:
        self._teacher, self._worker, self._description = teacher, worker, description
        self._scorer: Scorer | None = None

    def answer(self, pairs: TextPairs) -> tuple[str, Any]:
        """Return ("scores", float32 scores), ("refused", sentence) or ("broken", traceback)."""
        try:
            if self._scorer is None:
                found = self._teacher.describe()
                if found != self._description:
                    raise ModelError(
                        f"on {socket.gethostname()} the teacher {self._teacher.name} is another one than here"
                    )
                self._scorer = self._teacher.open(self._worker)
            return "scores", self._scorer.score(pairs)
        except DistilrankError as error:
            return "refused", str(error)
        except Exception:
            return "broken", traceback.format_exc()


def read_answer(answer: tuple[str, Any]) -> NDArray[np.float32]:
    """Return the scores of a worker's answer.

    Raises:
        ModelError: The worker refused, by an error that a user can act upon.
        RuntimeError: The worker broke down, with its traceback.
    """
    kind, content = answer
    if kind == "refused":
        raise ModelError(content)
    if kind == "broken":
        raise RuntimeError(f"a worker broke down:\n{content}")
    scores: NDArray[np.float32] = content
    return scores
