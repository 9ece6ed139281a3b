"""``distilrank bench``: how fast and how large rankers are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from distilrank.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from distilrank.benchmark.results import Benchmark, Speed
    from distilrank.workflows.bench_entries import BenchSettings


def bench(
    folders: Annotated[list[Path], typer.Argument(help="Model folders, the one of interest first.")],
    teacher: Annotated[
        Path | None, typer.Option(help="Folder of the teacher, which all are compared with; else the first folder.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="sentence-transformers, fastembed or flashrank with the first folder; repeatable. "
            "NAME=PYTHON where it is installed with distilrank in another environment."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder with judged queries, or a public collection: real lengths, nDCG@10.")
    ] = None,
    split: Annotated[str, typer.Option(help="Whose queries and judgements.")] = "test",
    run: Annotated[str | None, typer.Option(help="Candidates, as for evaluate.")] = None,
    collection: Annotated[Path | None, typer.Option(help="The passages, when they lie outside --data.")] = None,
    max_queries: Annotated[int | None, typer.Option(help="Most queries of --data, the first ones.")] = None,
    passages: Annotated[int, typer.Option(help="Passages of a query.")] = 100,
    tokens: Annotated[
        str | None, typer.Option(help="Lengths of made pairs; 32,128,256 where there is no --data.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="How many times every query is asked.")] = 3,
    starts: Annotated[int, typer.Option(help="Fresh processes for the cold start.")] = 3,
    threads: Annotated[int | None, typer.Option(help="Of every system; all cores by default.")] = None,
    batch_tokens: Annotated[
        int | None, typer.Option(help="Limit on the padded tokens of distilrank's batches.")
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "int8", "both"],
        typer.Option(help="auto: what rank would run; both: the float file and the 8-bit one."),
    ] = "auto",
    processor_time: Annotated[
        bool, typer.Option("--processor-time", help="Show processor time of all threads, on a busy machine.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything found.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw quality, latency and size as SVG; with --data.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Measure how fast rankers are, how much they need, and with --data how well they rank.

    Every system runs in a process of its own and all are asked in turns, so that a busy machine hits all alike. Prints
    milliseconds per query (median, 95th and 99th percentile), pairs and tokens per second, multiply-adds; seconds from
    the start of a process to the first score, memory, disk and parameters. With --data BM25 alone is measured too.

    \b
    Examples:
      distilrank bench runs/student --tokens 64,128
      distilrank bench runs/student --teacher runs/teacher --data runs/data --json bench.json --plot bench.svg
      distilrank bench runs/student --precision both --peer fastembed --peer sentence-transformers --data runs/data
    """
    from distilrank.workflows.bench import bench as work
    from distilrank.workflows.bench_entries import BenchSettings, find_entries

    given = {"--run": run, "--collection": collection, "--max-queries": max_queries, "--plot": plot}
    foreign = [name for name, value in given.items() if value is not None]
    if data is None and foreign:
        raise InputError(f"{' and '.join(foreign)}: give --data too")
    settings = BenchSettings(
        passages=passages,
        tokens=None if tokens is None else _lengths(tokens),
        rounds=rounds,
        starts=starts,
        threads=threads,
        batch_tokens=batch_tokens,
        precision=precision,
        clock="processor" if processor_time else "wall",
    )
    entries = find_entries(folders, teacher=teacher, peers=peer or (), settings=settings)
    judged = None
    if data is not None:
        from distilrank.workflows.bench_data import BenchData

        judged = BenchData(
            data,
            split=split,
            passages=passages,
            max_queries=max_queries,
            run=run,
            collection=collection,
            offline=offline,
        )
    found = work(entries, settings=settings, data=judged)
    show(found, settings)
    if json_file is not None:
        _write(json_file, found, settings, data)
    if plot is not None and judged is not None:
        judged.draw(plot, found)


def _lengths(text: str) -> tuple[int, ...]:
    """Read ``"64,128"``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--tokens is {text!r}; give whole numbers such as 64,128") from None


def show(found: Benchmark, settings: BenchSettings) -> None:
    """Print a table for each workload, and one of what the systems are."""
    from rich.console import Console

    # A file or a pipe has no width to keep to.
    console = Console() if sys.stdout.isatty() else Console(width=240)
    for workload in found.workloads:
        console.print(_speeds(found, workload, settings), highlight=False)
    console.print(_systems(found), highlight=False)


def _table(title: str, *columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def _speeds(found: Benchmark, workload: str, settings: BenchSettings) -> Table:
    from rich.markup import escape

    from distilrank.runtime.folder import usable_cores

    speeds = found.workloads[workload]
    count = len(next(iter(speeds.values())).timed.last)
    judged = any(speed.quality is not None for speed in speeds.values())
    table = _table(
        f"{workload}: {count} queries of up to {settings.passages} passages, asked {settings.rounds} times; "
        f"{settings.threads or usable_cores()} threads; {settings.clock} time",
        *(
            "system",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            f"times {found.baseline}",
            "pairs/s",
            "tokens/s",
            "tokens a pair (with padding)",
        ),
        *("million multiply-adds a pair", *(["nDCG@10"] if judged else [])),
    )
    for name, speed in speeds.items():
        table.add_row(escape(name), *_row(speed, found.times_as_fast(workload, name), judged=judged))
    return table


def _row(speed: Speed, times: float, *, judged: bool) -> list[str]:
    mean = ""
    if speed.tokens is not None and speed.pairs is not None:
        mean = f"{speed.tokens / speed.pairs:.0f} ({speed.timed.computed_tokens / speed.pairs:.0f})"
    work = None if speed.multiply_adds is None else speed.multiply_adds / 1e6
    cells = [f"{speed.percentile(percent):,.1f}" for percent in (50, 95, 99)]
    cells += [f"{times:.2f}", _number(speed.pairs_per_second), _number(speed.tokens_per_second)]
    cells += [mean, _number(work)]
    if judged:
        quality = speed.quality
        cells.append("" if quality is None else f"{quality.mean:.4f} ({quality.low:.3f} to {quality.high:.3f})")
    return cells


def _systems(found: Benchmark) -> Table:
    from rich.markup import escape

    table = _table(
        "systems",
        *("system", "runs", "cold start s", "memory MB", "disk MB", "parameters", "of them embeddings", "max tokens"),
    )
    for name, system in found.systems.items():
        numbers = [_number(system.cold_start_seconds, 2), _number(system.peak_megabytes)]
        numbers += [_number(system.disk_megabytes, 1), _number(system.parameters), _number(system.embeddings)]
        table.add_row(escape(name), escape(system.runs), *numbers, _number(system.max_tokens))
    return table


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _write(path: Path, found: Benchmark, settings: BenchSettings, data: str | None) -> None:
    """Write what was run, where, with which versions, and what was found."""
    from dataclasses import asdict

    from distilrank.cli.command_line import command_line
    from distilrank.data.files import library_versions, write_json
    from distilrank.runtime.folder import machine

    record = {
        "command": command_line(),
        "data": data,
        "settings": asdict(settings),
        "machine": machine(),
        "versions": library_versions(),
    }
    write_json(path, {**record, **found.as_dict()})
