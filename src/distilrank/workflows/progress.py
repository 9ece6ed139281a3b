"""Progress of the stages of a workflow, on standard error and only where somebody looks at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def tracked(items: Iterable[T], what: str, *, total: int, shown: bool = True) -> Iterator[T]:
    """Yield the items while a bar shows how many of ``total`` are done and the time left.

    A line stays on the screen when it ends; where standard error is no terminal, that line is all there is.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True, quiet=not shown)) as bar:
        yield from bar.track(items, total=total, description=what)


@contextmanager
def counted(what: str, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many there are so far, where the end is not known; nothing before the first."""
    columns = (TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, quiet=not shown)) as bar:
        task = bar.add_task(what, total=None, visible=False)
        yield lambda count: bar.update(task, completed=count, visible=True)


SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def paced(what: str, *, total: int, done: int = 0, unit: str = "pairs") -> Iterator[Callable[[int], None]]:
    """Yield a function that is told of more units done, while their number per second and the time left are shown.

    On a terminal that is a bar; elsewhere it is a plain line every half minute, so that a log of hours stays short.

    Args:
        what: Is going on.
        total: Units in all.
        done: Units that were done before this began, which say nothing of the pace.
        unit: What is counted.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"))
    began = last_line = time.monotonic()
    now_done = done
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total, completed=done, facts=f"{done:,}/{total:,} {unit}")

        def advance(count: int) -> None:
            nonlocal now_done, last_line
            now_done += count
            now = time.monotonic()
            pace = (now_done - done) / max(now - began, 1e-9)
            facts = f"{now_done:,}/{total:,} {unit}  {pace:,.1f} {unit}/s  {_duration((total - now_done) / pace)} left"
            bar.update(task, completed=now_done, facts=facts)
            if not console.is_terminal and (now - last_line >= SECONDS_BETWEEN_LINES or now_done == total):
                console.print(f"{what}: {facts}", soft_wrap=True, markup=False, highlight=False)
                last_line = now

        yield advance


def _duration(seconds: float) -> str:
    """Return a duration as a person reads it: ``42 s``, ``3:20 min`` or ``2:05 h``."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
