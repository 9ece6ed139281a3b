"""Judged queries for ``distilrank bench``, and BM25 alone, which searches the collection for them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from distilrank.benchmark.process import Answer
from distilrank.benchmark.results import Benchmark
from distilrank.benchmark.texts import Workload
from distilrank.data.files import atomic_write_bytes
from distilrank.errors import InputError
from distilrank.evaluation.intervals import Interval
from distilrank.records import Run
from distilrank.workflows.candidates import Bm25, bm25_tag
from distilrank.workflows.evaluate import EvaluateSettings, JudgedQueries

MEASURE = "nDCG@10"


class BenchData:
    """Judged queries with their candidates.

    Args:
        data: A folder of ranking data, or a public collection by its name.
        split: Whose queries and judgements.
        passages: Most candidates of a query.
        max_queries: Most queries, the first ones; None takes all.
        run: Candidates, as for ``evaluate_ranking``.
        collection: The file of passages where it is not in the folder.
        offline: Never use the network.

    Attributes:
        workload: Every query with the texts of its candidates.

    Raises:
        InputError: The data does not belong together.
    """

    def __init__(
        self,
        data: str,
        *,
        split: str = "test",
        passages: int = 100,
        max_queries: int | None = None,
        run: str | None = None,
        collection: Path | None = None,
        offline: bool = False,
    ) -> None:
        settings = EvaluateSettings(split=split, measures=(MEASURE,), depth=passages, max_queries=max_queries)
        self._judged = JudgedQueries(data, settings=settings, run=run, collection=collection, offline=offline)
        self._texts = self._judged.texts()
        self._passages = passages
        name = f"{Path(data).resolve().name}, {split}"
        queries = {query_id: list(pairs.values()) for query_id, pairs in self._texts.items()}
        self.workload = Workload(name=name, queries=queries)

    def quality(self, answers: Mapping[str, Answer]) -> Interval:
        """Return nDCG@10 of a system that scored the pairs of every query."""
        run = {
            query_id: dict(zip(pairs, map(float, answers[query_id].scores), strict=True))
            for query_id, pairs in self._texts.items()
        }
        return self._measured(run)

    def search(self, say: Callable[[str], None]) -> Bm25Search | None:
        """Index the collection for BM25; None, and a word about it, where it does not fit into memory."""
        try:
            index = Bm25(self._judged.passages, progress=sys.stderr.isatty())
        except InputError as error:
            say(f"BM25 is left out: {error}")
            return None
        texts = {query_id: pairs[0][0] for query_id, pairs in self.workload.queries.items()}
        return Bm25Search(index, texts, depth=self._passages, measured=self._measured)

    def draw(self, path: Path, found: Benchmark) -> None:
        """Draw quality, latency and size of all systems into an SVG file."""
        from distilrank.evaluation.report.pareto_plot import Placed, quality_latency_size
        from distilrank.evaluation.report.svg import standalone

        placed = [
            Placed(
                name=name, ms=speed.percentile(50), quality=speed.quality, megabytes=found.systems[name].disk_megabytes
            )
            for name, speed in found.workloads[self.workload.name].items()
            if speed.quality is not None
        ]
        svg = quality_latency_size(placed, measure=MEASURE, passages=self._passages)
        atomic_write_bytes(path, standalone(svg).encode())

    def _measured(self, run: Run) -> Interval:
        return self._judged.measure_run(run).interval(MEASURE)


class Bm25Search:
    """BM25 as one of the systems: it searches, and what it finds is its answer.

    Args:
        index: Of the collection.
        queries: query_id -> text.
        depth: How many passages it finds for each.
        measured: Run -> what it is worth.
    """

    name = "BM25"
    tag = bm25_tag()

    def __init__(
        self, index: Bm25, queries: Mapping[str, str], *, depth: int, measured: Callable[[Run], Interval]
    ) -> None:
        self._index, self._queries, self._depth, self._measured = index, queries, depth, measured
        self._run: Run = {}

    def __call__(self, query_id: str) -> Answer:
        """Search for a query."""
        began, worked = time.perf_counter(), time.process_time()
        found = self._index.search(self._queries[query_id], depth=self._depth)
        ms, cpu_ms = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)
        self._run[query_id] = found
        return Answer(ms=ms, cpu_ms=cpu_ms, scores=np.array(list(found.values())), computed_tokens=0)

    def quality(self) -> Interval:
        """Return nDCG@10 of what it has found."""
        return self._measured(self._run)
