"""Teachers that any process can open, and crews whose workers die when they are told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilrank.data.pairs import Part
from distilrank.errors import ModelError


class Lengths:
    """Scores a pair by what its texts hold, to the last bit in any order."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return np.array([len(query) + sum(map(ord, passage)) / 7 for query, passage in pairs], np.float32)


@dataclass(frozen=True, kw_only=True)
class StubTeacher:
    """A teacher without a network.

    Attributes:
        deadly: Folder; a worker that reads the word "die" leaves a file there and is killed, so many times.
        deaths: How many times.
    """

    deadly: Path | None = None
    deaths: int = 1
    name: str = "stub"
    meaning: str = "given"

    def describe(self) -> dict[str, object]:
        return {"kind": "stub"}

    def open(self, worker: int = 0) -> StubScorer:
        return StubScorer(self)


class StubScorer(Lengths):
    def __init__(self, teacher: StubTeacher) -> None:
        self._teacher = teacher

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        texts = [passage for _, passage in pairs]
        if "refuse" in texts:
            raise ModelError("the teacher refuses")
        if "break" in texts:
            raise ZeroDivisionError("broken")
        folder = self._teacher.deadly
        if folder is not None and "die" in texts and len(list(folder.iterdir())) < self._teacher.deaths:
            (folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(pairs)


@dataclass
class WordPairs:
    """Pairs made of their position; the passages of some are words."""

    count: int
    words: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    def part(self, start: int, stop: int) -> Part:
        places = range(start, min(stop, self.count))
        return Part(
            query_ids=[f"q{i // 4}" for i in places],
            doc_ids=[f"d{i}" for i in places],
            pairs=[(f"query {i // 4}", self.words.get(i, f"passage {i}")) for i in places],
        )
