"""The journal of a run: one JSON object per line, only ever appended to.

Events: start, resume, step, evaluate, alarm, best, checkpoint, stop, done. Every line has ``event``, ``stage``,
``step`` and ``time`` (seconds since 1970). A resumed run appends ``resume`` with the step of its checkpoint and repeats
the steps after it; ``read_events`` drops the lines that were so overtaken, the file keeps them as evidence.
"""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

Event = dict[str, Any]


class Journal:
    """Appends events to a journal.

    Args:
        path: The file, made when absent; its folder must exist. None: nothing is written.
        stage: Written into every line.
    """

    def __init__(self, path: Path | None, *, stage: str) -> None:
        self._stage = stage
        self._file = None if path is None else path.open("a+b")
        if self._file is not None:
            _end_torn_line(self._file)

    def write(self, event: str, *, step: int, **fields: object) -> None:
        """Append one event and flush it; what is not a finite number is refused."""
        if self._file is None:
            return
        line = {"event": event, "stage": self._stage, "step": step, **fields, "time": round(time.time(), 3)}
        self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def sync(self) -> None:
        """Have the lines so far on disk, lest a power cut leave a checkpoint whose steps are not in the journal."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def __enter__(self) -> Journal:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _end_torn_line(file: Any) -> None:
    """End the last line when a killed process left it half-written, so that the next one stands alone."""
    if file.seek(0, 2) > 0:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.write(b"\n")


def read_lines(path: Path) -> list[Event]:
    """Return every whole line of a journal in the order written, overtaken ones included."""
    events = []
    for line in path.read_bytes().split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # empty, or torn by a kill
        if isinstance(event, dict):
            events.append(event)
    return events


def read_events(path: Path, event: str, *, stage: str | None = None) -> list[Event]:
    """Return the events of one kind as an uninterrupted run would have written them.

    Args:
        path: The journal.
        event: The kind of event, such as "step" or "evaluate".
        stage: Only this stage. None: all.
    """
    kept: list[Event] = []
    for line in read_lines(path):
        if line["event"] in ("start", "resume"):
            kept = [old for old in kept if old["stage"] != line["stage"] or _survives(old, line)]
        if stage is None or line["stage"] == stage:
            kept.append(line)
    return [line for line in kept if line["event"] == event]


def _survives(event: Event, again: Event) -> bool:
    """Say whether an event is part of the history that a later start or resume goes on with."""
    return again["event"] == "resume" and event["step"] <= again["step"] and event["event"] not in ("stop", "done")


def seconds_spent(path: Path) -> float:
    """Return the seconds that a run's processes worked on it, without the time between a kill and the next start."""
    lines = read_lines(path)
    at_work = (pair for pair in pairwise(lines) if pair[1]["event"] not in ("start", "resume"))
    return float(sum(after["time"] - before["time"] for before, after in at_work))


def read_steps(path: Path, *, stage: str | None = None) -> list[Event]:
    """Return each optimiser step once, in order: ``read_events`` of "step"."""
    return read_events(path, "step", stage=stage)
