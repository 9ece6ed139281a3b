"""What a benchmark found, for tables, JSON and the drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from distilrank.benchmark.turns import Timed

if TYPE_CHECKING:
    from distilrank.evaluation.intervals import Interval

Clock = Literal["wall", "processor"]
"""``processor`` counts what the threads worked, all together: of use on a machine that is busy with other things."""


@dataclass(frozen=True, kw_only=True)
class System:
    """What a system is and needs, whatever it scores; None: not measured, or not a network.

    Attributes:
        runs: What is run by what, in a few words.
        cold_starts: Seconds from the start of a process to its first score, of several processes.
        peak_megabytes: Most memory that was resident in its process.
        files: Name -> SHA-256 of the files that hold the weights.
        disk_megabytes: Size of these files and the tokeniser's.
        parameters: Number of weights.
        embeddings: Those of them that are embeddings.
        max_tokens: Of a pair; what is longer is cut off.
        versions: Of the libraries that ran.
    """

    runs: str
    cold_starts: Sequence[float] = ()
    peak_megabytes: float | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    disk_megabytes: float | None = None
    parameters: int | None = None
    embeddings: int | None = None
    max_tokens: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def cold_start_seconds(self) -> float | None:
        """Their median."""
        return float(np.median(self.cold_starts)) if self.cold_starts else None

    def as_dict(self) -> dict[str, object]:
        """Return everything for JSON."""
        return {
            "runs": self.runs,
            "cold_start_seconds": self.cold_start_seconds,
            "cold_starts": list(self.cold_starts),
            "peak_megabytes": self.peak_megabytes,
            "files": dict(self.files),
            "disk_megabytes": self.disk_megabytes,
            "parameters": self.parameters,
            "embeddings": self.embeddings,
            "max_tokens": self.max_tokens,
            "versions": dict(self.versions),
        }


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How one system did on one workload.

    Attributes:
        timed: What was measured.
        clock: By which clock.
        pairs: Of all queries once; None where none are scored, but the collection is searched.
        tokens: Of all queries once, as the system reads them, without padding; None where nothing is tokenised.
        multiply_adds: Of a pair on average, every token of it in every layer; None where no formula fits.
        quality: nDCG@10 with its interval; None where nothing is judged.
    """

    timed: Timed
    clock: Clock = "wall"
    pairs: int | None = None
    tokens: int | None = None
    multiply_adds: float | None = None
    quality: Interval | None = None

    @property
    def times(self) -> Sequence[float]:
        """Milliseconds of every query of every round."""
        return self.timed.ms if self.clock == "wall" else self.timed.cpu_ms

    def percentile(self, percent: float) -> float:
        """Return the milliseconds that so many percent of the queries take at most, by linear interpolation."""
        return float(np.percentile(self.times, percent))

    @property
    def rounds(self) -> float:
        """How many times every query was asked."""
        return len(self.times) / len(self.timed.last)

    @property
    def pairs_per_second(self) -> float | None:
        """Over all queries and rounds."""
        return None if self.pairs is None else 1000 * self.pairs * self.rounds / sum(self.times)

    @property
    def tokens_per_second(self) -> float | None:
        """Likewise, padding not counted."""
        return None if self.tokens is None else 1000 * self.tokens * self.rounds / sum(self.times)

    def as_dict(self) -> dict[str, object]:
        """Return everything for JSON."""
        return {
            "p50_ms": self.percentile(50),
            "p95_ms": self.percentile(95),
            "p99_ms": self.percentile(99),
            "pairs_per_second": self.pairs_per_second,
            "tokens_per_second": self.tokens_per_second,
            "tokens": self.tokens,
            "computed_tokens": self.timed.computed_tokens or None,
            "multiply_adds_per_pair": self.multiply_adds,
            "quality": None if self.quality is None else self.quality.as_dict(),
            "ms": [round(ms, 3) for ms in self.timed.ms],
            "cpu_ms": [round(ms, 3) for ms in self.timed.cpu_ms],
        }


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Everything that was found.

    Attributes:
        systems: By name, the one that all are compared with first.
        workloads: Name -> name of a system -> how it did.
    """

    systems: Mapping[str, System]
    workloads: Mapping[str, Mapping[str, Speed]]

    @property
    def baseline(self) -> str:
        """The system that all are compared with."""
        return next(iter(self.systems))

    def times_as_fast(self, workload: str, name: str) -> float:
        """Return how many times as fast as the baseline a system is, by medians."""
        found = self.workloads[workload]
        return found[self.baseline].percentile(50) / found[name].percentile(50)

    def as_dict(self) -> dict[str, object]:
        """Return everything for JSON."""
        return {
            "compared_with": self.baseline,
            "systems": {name: system.as_dict() for name, system in self.systems.items()},
            "workloads": {
                workload: {
                    name: {**speed.as_dict(), "times_as_fast": self.times_as_fast(workload, name)}
                    for name, speed in found.items()
                }
                for workload, found in self.workloads.items()
            },
        }
