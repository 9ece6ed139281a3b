"""A system in a process of its own, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.benchmark.entry import Entry
from distilrank.benchmark.texts import Pairs
from distilrank.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of scoring the pairs of a query.

    Attributes:
        ms: Milliseconds that it took.
        cpu_ms: Milliseconds of processor time, of all threads together.
        scores: One for each pair, (pairs,).
        computed_tokens: Tokens that went through the network, padding included.
    """

    ms: float
    cpu_ms: float
    scores: NDArray[np.float64]
    computed_tokens: int


class SystemProcess:
    """A system that has scored its first pair.

    Args:
        entry: Which.

    Attributes:
        cold_start_seconds: From the start of the process to its first score.

    Raises:
        ModelError: It cannot be opened, or does not score.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        # Tokenisers and torch have pools of their own.
        limits = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), str(entry.threads))
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        command = [entry.python, "-m", "distilrank.benchmark.worker", entry.to_json()]
        began = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env={**os.environ, **limits},
                encoding="utf-8",
            )
        except OSError as error:
            self._complaints.close()
            raise ModelError(f"{entry.name}: {entry.python} cannot be run ({error.strerror})") from None
        try:
            self._hear()
        except BaseException:
            self.close()
            raise
        self.cold_start_seconds = time.perf_counter() - began

    def score(self, pairs: Pairs) -> Answer:
        """Score the pairs of a query.

        Raises:
            ModelError: The process has ended.
        """
        found = self._ask(list(pairs))
        scores = np.asarray(found.pop("scores"), np.float64)
        if scores.shape != (len(pairs),):
            raise ModelError(f"{self.entry.name} gave {len(scores)} scores for {len(pairs)} pairs")
        return Answer(scores=scores, **found)

    def facts(self) -> dict[str, Any]:
        """Return ``peak_megabytes``, the most memory it has had resident so far, and ``versions`` of its libraries."""
        return self._ask(None)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._complaints.close()

    def __enter__(self) -> SystemProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, content: object) -> dict[str, Any]:
        if self._process.stdin is None:
            raise ValueError("the process has no input")
        try:
            self._process.stdin.write(f"{json.dumps(content)}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ModelError(f"{self.entry.name}: {self._ended()}") from None
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        found: Mapping[str, Any] = json.loads(line) if line.endswith("\n") else {"error": self._ended()}
        if "error" in found:
            raise ModelError(f"{self.entry.name}: {found['error']}")
        return dict(found)

    def _ended(self) -> str:
        """Say how the process ended, with its last words."""
        code = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with exit code {code}" + (f" ({lines[-1].strip()})" if lines else "")


def cold_starts(entry: Entry, times: int) -> list[float]:
    """Start a system in a fresh process so many times; return the seconds to each first score."""
    seconds = []
    for _ in range(times):
        with SystemProcess(entry) as process:
            seconds.append(process.cold_start_seconds)
    return seconds
