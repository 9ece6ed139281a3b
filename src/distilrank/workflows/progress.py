"""Progress of the stages of a workflow, on standard error and only where somebody looks at it."""

from __future__ import annotations

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
