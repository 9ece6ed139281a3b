"""The command line that cards and records show: this process's, or that of the verb which another verb runs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_INSTEAD: ContextVar[str | None] = ContextVar("command_line", default=None)


def command_line() -> str:
    """Return the command as it would be typed."""
    return _INSTEAD.get() or "distilrank " + " ".join(sys.argv[1:])


@contextmanager
def command_line_is(arguments: Sequence[str]) -> Iterator[None]:
    """Have ``command_line`` return these arguments of ``distilrank``, quoted for a shell."""
    before = _INSTEAD.set(shlex.join(["distilrank", *arguments]))
    try:
        yield
    finally:
        _INSTEAD.reset(before)
