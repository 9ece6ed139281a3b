"""``distilrank bench``: how fast and how large rankers are, beside their teacher, BM25 and other packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distilrank.benchmark.entry import Entry
from distilrank.benchmark.operations import multiply_adds
from distilrank.benchmark.process import Answer, SystemProcess, cold_starts
from distilrank.benchmark.results import Benchmark, Clock, Speed, System
from distilrank.benchmark.size import count_weights, megabytes
from distilrank.benchmark.texts import Workload, count_tokens, pairs_of_length
from distilrank.benchmark.turns import Timed, take_turns
from distilrank.data.files import file_hash, read_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError
from distilrank.workflows.bench_entries import BenchSettings
from distilrank.workflows.progress import paced

if TYPE_CHECKING:
    from distilrank.workflows.bench_data import BenchData, Bm25Search

USUAL_TOKENS = (32, 128, 256)
"""Lengths of pairs where neither lengths nor data are given, as far as the models read so many."""

Processes = Mapping[str, SystemProcess]


def bench(
    entries: Sequence[Entry],
    *,
    settings: BenchSettings,
    data: BenchData | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Benchmark:
    """Measure systems in turns, each in a process of its own.

    Args:
        entries: Who takes part; the first is what the others are compared with.
        settings: What is measured.
        data: Judged queries, to be measured on too, together with BM25 alone.
        say: Told what begins.

    Raises:
        ModelError: A model cannot be opened or does not score.
        InputError: Pairs of a length cannot be made.
    """
    made = made_workloads(entries, settings, with_data=data is not None)
    search = None if data is None else data.search(say)
    with ExitStack() as stack:
        processes = {}
        for entry in entries:
            say(f"starting {entry.name}")
            processes[entry.name] = stack.enter_context(SystemProcess(entry))
        measured = {workload.name: _measure(workload, processes, settings) for workload in made}
        if data is not None:
            measured[data.workload.name] = _measure_on(data, search, processes, settings)
        systems = {name: _system(process) for name, process in processes.items()}
    if settings.starts > 1:
        say("starting each in fresh processes")
    for entry in entries:
        starts = [*systems[entry.name].cold_starts, *cold_starts(entry, settings.starts - 1)]
        systems[entry.name] = replace(systems[entry.name], cold_starts=starts)
    if search is not None:
        systems[search.name] = System(runs=search.tag)
    return Benchmark(systems=systems, workloads=measured)


def made_workloads(entries: Sequence[Entry], settings: BenchSettings, *, with_data: bool) -> list[Workload]:
    """Return pairs of the lengths asked for, made by the tokeniser of the first system.

    Raises:
        InputError: A model does not read so many tokens.
    """
    tokenizers = [PairTokenizer.from_folder(entry.folder) for entry in entries]
    most = min(tokenizer.max_tokens for tokenizer in tokenizers)
    usual = () if with_data else tuple(tokens for tokens in USUAL_TOKENS if tokens <= most)
    lengths = usual if settings.tokens is None else settings.tokens
    if lengths and max(lengths) > most:
        raise InputError(f"pairs of {max(lengths)} tokens are longer than the {most} that all models read; give fewer")
    return [pairs_of_length(tokenizers[0], tokens, passages=settings.passages) for tokens in lengths]


def _measure(
    workload: Workload, processes: Processes, settings: BenchSettings, *, search: Bm25Search | None = None
) -> dict[str, Speed]:
    """Have all systems take turns; return name -> what was measured."""
    asks = {name: _asking(process, workload) for name, process in processes.items()}
    if search is not None:
        asks[search.name] = search
    total = settings.rounds * len(workload.queries) * len(asks)
    with paced(workload.name, total=total, unit="queries") as advance:
        timed = take_turns(asks, list(workload.queries), rounds=settings.rounds, advance=advance)
    found = {name: _speed(process.entry, timed[name], workload, settings.clock) for name, process in processes.items()}
    return found if search is None else {**found, search.name: Speed(timed=timed[search.name], clock=settings.clock)}


def _measure_on(
    data: BenchData, search: Bm25Search | None, processes: Processes, settings: BenchSettings
) -> dict[str, Speed]:
    """Measure on judged queries; what the systems answered tells what their ranking is worth."""
    found = _measure(data.workload, processes, settings, search=search)
    qualities = {name: data.quality(found[name].timed.last) for name in processes}
    if search is not None:
        qualities[search.name] = search.quality()
    return {name: replace(speed, quality=qualities[name]) for name, speed in found.items()}


def _asking(process: SystemProcess, workload: Workload) -> Callable[[str], Answer]:
    return lambda query_id: process.score(workload.queries[query_id])


def _speed(entry: Entry, timed: Timed, workload: Workload, clock: Clock) -> Speed:
    tokens = count_tokens(PairTokenizer.from_folder(entry.folder), workload.pairs)
    operations = multiply_adds(read_json(entry.folder / "config.json"), tokens)
    return Speed(
        timed=timed,
        clock=clock,
        pairs=len(tokens),
        tokens=sum(tokens),
        multiply_adds=None if operations is None else float(operations.mean()),
    )


def _system(process: SystemProcess) -> System:
    """Return what a system is and has needed so far."""
    entry, facts = process.entry, process.facts()
    files, weights = entry.network_files, count_weights(entry.folder)
    how: dict[str, Any] = {"distilrank": "onnxruntime"}
    return System(
        runs=f"{how.get(entry.runner, entry.runner)}, {' and '.join(file.name for file in files)}",
        cold_starts=[process.cold_start_seconds],
        files={file.name: file_hash(file) for file in files},
        disk_megabytes=megabytes([*files, entry.folder / "tokenizer.json"]),
        parameters=None if weights is None else weights.total,
        embeddings=None if weights is None else weights.embeddings,
        max_tokens=PairTokenizer.from_folder(entry.folder).max_tokens,
        **facts,
    )
