"""Everything distilrank raises on purpose.

::

    DistilrankError
    ├── InputError            a file, line or argument is wrong: says what, where and what to do
    │   └── SettingsError     a setting is unknown, of the wrong type or out of range
    ├── MissingExtraError     a library of an optional extra is not installed: names the extra
    ├── OfflineError          something would need the network and ``--offline`` forbids it, or it failed
    ├── ModelError            a model folder or checkpoint cannot do what is asked
    ├── ResumeError           a run folder belongs to another command than the one given
    └── TrainingError         training cannot go on: a loss or a gradient is no longer finite

The command line prints the message of any of these as one sentence and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class DistilrankError(Exception):
    """Base of every error that a user can act upon; its text is one clear sentence."""


class InputError(DistilrankError):
    """A file, a line of it or an argument is wrong.

    Args:
        problem: What is wrong and what to do, without a final full stop.
        path: The file, when there is one.
        line: The line in that file, from 1.
    """

    def __init__(self, problem: str, *, path: str | Path | None = None, line: int | None = None) -> None:
        where = "" if path is None else f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {problem}" if where else problem)
        self.path = None if path is None else Path(path)
        self.line = line


class SettingsError(InputError):
    """A setting is unknown, of the wrong type or out of range."""


class MissingExtraError(DistilrankError):
    """A library of an optional extra is not installed.

    Args:
        library: The import name that is missing.
        extra: The extra of distilrank that brings it.
        purpose: What it was wanted for, as in "to train".
    """

    def __init__(self, library: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{library} is needed {purpose}; install it with: pip install 'distilrank[{extra}]'")
        self.library = library
        self.extra = extra


class OfflineError(DistilrankError):
    """Something would need the network, and it may not or could not be used."""


class ModelError(DistilrankError):
    """A model folder or checkpoint cannot do what is asked of it."""


class ResumeError(DistilrankError):
    """A run folder holds the state of another command."""


class TrainingError(DistilrankError):
    """Training cannot go on: a loss term or the gradient is no longer finite."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name closest to ``name``, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
