"""Lines of a file by their number, read when they are asked for: memory holds 8 bytes a line."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from distilrank.data.files import is_packed, open_bytes
from distilrank.data.lines import UNPACKING_ERRORS, BadLine, BadLines, damaged, decode_line
from distilrank.errors import InputError

_MARK = "\ufeff".encode()


class LineFile:
    """The lines of a file that are not blank, without line end and byte order mark.

    Every line is checked once when the file is opened, so that a bad one is found before hours of work. A packed file
    is unpacked into a nameless temporary file. The object may be pickled and forked, and read from several threads or
    processes at once.

    Args:
        path: The file.
        check: Called with the text of every line, in order; raises a `BadLine` for one that cannot be used, and returns
            False for one that is to be left out.
        bad: How many bad lines may be skipped; None: none.

    Raises:
        InputError: A line is bad and not allowed.
    """

    def __init__(self, path: str | Path, check: Callable[[str], object], *, bad: BadLines | None = None) -> None:
        self.path = Path(path)
        self._open()
        self._starts = array("Q")
        bad = BadLines() if bad is None else bad
        start = 0
        for number, raw in enumerate(self._file, start=1):
            if raw.strip(b" \r\n"):
                try:
                    if check(_text(raw)) is not False:
                        self._starts.append(start)
                except BadLine as problem:
                    bad.report(InputError(str(problem), path=self.path, line=number))
            start += len(raw)

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._starts)

    def __getitem__(self, index: int) -> str:
        """Return a line, read from the file now."""
        return _text(line_at(self._file.fileno(), self._starts[index]))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file out of a pickle."""
        return {"path": self.path, "starts": self._starts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again."""
        self.path, self._starts = state["path"], state["starts"]
        self._open()

    def _open(self) -> None:
        self._file = unpacked(self.path)
        weakref.finalize(self, self._file.close)


def unpacked(path: Path) -> BinaryIO:
    """Open a file whose descriptor gives plain bytes: a packed one is unpacked into a nameless temporary file.

    Raises:
        InputError: The file is missing, cut off or damaged.
    """
    if not is_packed(path):
        return open_bytes(path)
    plain = tempfile.TemporaryFile()  # noqa: SIM115 (whoever asked closes it)
    try:
        with open_bytes(path) as packed:
            shutil.copyfileobj(packed, plain, 1 << 20)
    except UNPACKING_ERRORS as error:
        raise damaged(error, path=path) from None
    plain.seek(0)
    return cast(BinaryIO, plain)


def line_at(descriptor: int, start: int) -> bytes:
    """Return the line that begins at a byte, without its line end."""
    # pread has no position of its own, so threads and forked processes do not disturb one another.
    parts: list[bytes] = []
    while True:
        part = os.pread(descriptor, 1 << 16, start)
        end = part.find(b"\n")
        parts.append(part if end < 0 else part[:end])
        if end >= 0 or not part:
            return b"".join(parts)
        start += len(part)


def _text(raw: bytes) -> str:
    return decode_line(raw.removeprefix(_MARK)).removesuffix("\n").removesuffix("\r")
