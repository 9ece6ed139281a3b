"""What a person sees while training: a bar on a terminal, a plain line every half minute elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

SECONDS_BETWEEN_LINES = 30.0


class TrainingProgress:
    """Shows step, loss, throughput and time left on standard error.

    Args:
        stage: The name of what is going on.
        steps: Steps of the whole run.
        first: Steps that were already done before this process began.
        shown: False for silence (all processes but the first).
        console: Where to write. None: standard error.
    """

    def __init__(self, stage: str, *, steps: int, first: int, shown: bool, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, quiet=not shown)
        self._stage, self._steps, self._first = stage, steps, first
        self._began = self._last_line = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
        )
        self._bar = Progress(*columns, console=self._console) if self._console.is_terminal and shown else None
        if self._bar is not None:
            self._task = self._bar.add_task(stage, total=steps, completed=first, facts="")

    def step(self, step: int, *, loss: float, pairs_per_second: float) -> None:
        """Show a finished step."""
        now = time.monotonic()
        left = (now - self._began) / (step - self._first) * (self._steps - step)
        facts = f"loss {loss:.4f}  {pairs_per_second:.1f} pairs/s  {duration(left)} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, facts=facts)
        elif now - self._last_line >= SECONDS_BETWEEN_LINES or step == self._steps:
            self.say(f"step {step}/{self._steps}  {facts}")
            self._last_line = now

    def say(self, sentence: str) -> None:
        """Print a line of its own."""
        self._console.print(f"{self._stage}: {sentence}", soft_wrap=True, markup=False, highlight=False)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the bar away while something else, such as an evaluation, shows its own."""
        if self._bar is not None:
            self._bar.stop()
        yield
        if self._bar is not None:
            self._bar.start()

    def __enter__(self) -> TrainingProgress:
        """Start the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar."""
        if self._bar is not None:
            self._bar.stop()


def duration(seconds: float) -> str:
    """Return a duration as a person reads it: ``42 s``, ``3:20 min`` or ``2:05 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
