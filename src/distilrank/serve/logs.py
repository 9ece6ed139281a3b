"""One JSON object a line on standard output; texts of requests never, unless the operator asked for them."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from typing import Any, TextIO


class JsonLog:
    """Writes events.

    Args:
        stream: Where to; None is standard output.
        texts: Whether texts, and messages of errors that may hold some, are written.
    """

    def __init__(self, stream: TextIO | None = None, *, texts: bool = False) -> None:
        self._stream = stream
        self._writing = threading.Lock()
        self.texts = texts

    def __call__(self, event: str, *, level: str = "info", **facts: Any) -> None:
        """Write an event with its facts, those that are None left out."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        record = {"time": stamp, "level": level, "event": event}
        record |= {name: value for name, value in facts.items() if value is not None}
        line = json.dumps(record, ensure_ascii=True, default=str)
        with self._writing:
            print(line, file=self._stream or sys.stdout, flush=True)

    def error(self, event: str, error: BaseException, **facts: Any) -> None:
        """Write an error and where it came from; its message, which may quote a text, only where texts are written."""
        places = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        message = str(error) if self.texts else None
        self(event, level="error", error=type(error).__name__, message=message, at=places, **facts)

    def take_over(self, *loggers: str) -> None:
        """Write what libraries log as events, too: of level warning and above, without tracebacks."""
        for name in loggers:
            logger = logging.getLogger(name)
            logger.handlers = [_Handler(self)]
            logger.propagate = False
            logger.setLevel(logging.WARNING)


class _Handler(logging.Handler):
    """Hands a library's records on."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self._log("library", level=record.levelname.lower(), logger=record.name, message=record.getMessage())
