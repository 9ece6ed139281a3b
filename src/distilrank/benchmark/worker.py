"""The process of one system: opens it, scores a pair, and then whatever comes in, a line of JSON each.

    python -m distilrank.benchmark.worker '{"name": ..., "folder": ..., "runner": ...}'

The first line that goes out says that a pair has been scored, or why none can be. Times are taken here, so that what
passes between the processes does not count.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from distilrank.benchmark.entry import PEERS, Entry
from distilrank.benchmark.running import Running, open_entry

FIRST_PAIR = ("why is the sky blue", "The sky is blue because air scatters short waves of light more than long ones.")


def main() -> int:
    """Serve standard input until it ends; return the exit code."""
    answers = _own_output()
    entry = Entry.from_json(sys.argv[1])
    try:
        running = open_entry(entry)
        running.score([FIRST_PAIR])
    except Exception as error:  # of many libraries; the other process says it
        _tell(answers, {"error": " ".join(f"{error}".split()) or type(error).__name__})
        return 1
    _tell(answers, {"ready": True})
    for line in sys.stdin:
        pairs = json.loads(line)
        _tell(answers, _facts(entry) if pairs is None else _timed(running, [(query, text) for query, text in pairs]))
    return 0


def _own_output() -> TextIO:
    """Return what standard output was; what libraries print there goes to standard error from now on."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def _tell(answers: TextIO, content: dict[str, Any]) -> None:
    answers.write(f"{json.dumps(content)}\n")
    answers.flush()


def _timed(running: Running, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Score pairs; milliseconds on the clock and of the processor."""
    tokens = running.computed_tokens()
    began, worked = time.perf_counter(), time.process_time()
    scores = running.score(pairs)
    ms, cpu_ms = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)
    return {
        "ms": ms,
        "cpu_ms": cpu_ms,
        "computed_tokens": running.computed_tokens() - tokens,
        "scores": [float(score) for score in scores],
    }


def _facts(entry: Entry) -> dict[str, Any]:
    """Return what the process has needed so far, and the versions of what ran in it."""
    from distilrank.data.files import library_versions

    versions = library_versions()
    if entry.runner in PEERS:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[entry.runner] = importlib.metadata.version(entry.runner)
    return {"peak_megabytes": peak_megabytes(), "versions": versions}


def peak_megabytes() -> float:
    """Return the most memory that this process has had resident, in units of 1,000,000 bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # the other number may be that of the process that started this one
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
