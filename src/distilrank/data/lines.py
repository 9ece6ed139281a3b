"""One line after another: decoding, counting, and what happens to a bad one."""

from __future__ import annotations

import json
import lzma
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from distilrank.data.files import open_bytes
from distilrank.errors import InputError

T = TypeVar("T")

UNPACKING_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a packed file that is cut off or damaged raises."""


class BadLine(ValueError):
    """What is wrong with a line and what to do; whoever knows the file and the line adds them."""


@dataclass
class BadLines:
    """How many bad lines may be skipped, and those that were.

    Args:
        allowed: The number given to ``--skip-bad``; 0 stops at the first.
        skipped: The errors of the lines skipped so far, in order.
    """

    allowed: int = 0
    skipped: list[InputError] = field(default_factory=list)

    def report(self, error: InputError) -> None:
        """Keep ``error`` for the listing.

        Raises:
            InputError: One bad line more than allowed; the text says what to do about it.
        """
        if len(self.skipped) < self.allowed:
            self.skipped.append(error)
        elif not self.allowed:
            raise error
        else:
            raise InputError(f"{error} (after {self.allowed} bad lines that were skipped)")

    def listing(self) -> str:
        """Return one line of text for each line that was skipped, or an empty string."""
        return "\n".join(f"skipped {error}" for error in self.skipped)


def damaged(error: Exception, *, path: str | Path, line: int | None = None) -> InputError:
    """Return what to tell the user when unpacking or reading a file fails on the way."""
    reason = str(error) or type(error).__name__
    return InputError(f"the file is cut off or damaged ({reason}); fetch or pack it again", path=path, line=line)


def decode_line(raw: bytes) -> str:
    """Return the text of a line.

    Raises:
        BadLine: It is not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadLine("is not UTF-8 text; convert the file to UTF-8") from None


def read_lines(path: str | Path, *, bad: BadLines | None = None) -> Iterator[tuple[int, str]]:
    r"""Yield (number from 1, text) of every line, blank ones too, without line end and byte order mark.

    Only ``\n`` and ``\r\n`` end a line: other characters that Unicode calls line ends occur inside texts.

    Raises:
        InputError: A line is not UTF-8 (a bad line that may be skipped), or the packed file is cut off or
            damaged (which may not).
    """
    bad = BadLines() if bad is None else bad
    number = 0
    with open_bytes(path) as file:
        lines = iter(file)
        while True:
            try:
                raw = next(lines)
            except StopIteration:
                return
            except UNPACKING_ERRORS as error:
                raise damaged(error, path=path, line=number + 1) from None
            number += 1
            try:
                text = decode_line(raw)
            except BadLine as problem:
                bad.report(InputError(str(problem), path=path, line=number))
                continue
            yield number, (text.removeprefix("\ufeff") if number == 1 else text).removesuffix("\n").removesuffix("\r")


def parse_lines(path: str | Path, parse: Callable[[str], T], *, bad: BadLines | None = None) -> Iterator[T]:
    """Yield ``parse(line)`` for every line that is not blank; a `BadLine` from ``parse`` goes to ``bad``."""
    bad = BadLines() if bad is None else bad
    for number, line in read_lines(path, bad=bad):
        if not line.strip(" "):
            continue
        try:
            record = parse(line)
        except BadLine as problem:
            bad.report(InputError(str(problem), path=path, line=number))
            continue
        yield record


def for_each_line(path: str | Path, act: Callable[[str], None], *, bad: BadLines | None = None) -> None:
    """Call ``act(line)`` for every line that is not blank; a `BadLine` from ``act`` goes to ``bad``."""
    for _ in parse_lines(path, act, bad=bad):
        pass


def split_tabs(line: str, columns: int, *, wanted: str) -> list[str]:
    """Return the tab-separated columns of ``line``.

    Args:
        line: The line.
        columns: How many there must be.
        wanted: The columns by name, for the message.

    Raises:
        BadLine: There are fewer or more columns.
    """
    found = line.split("\t")
    if len(found) != columns:
        raise BadLine(f"has {len(found)} tab-separated columns where {columns} are expected; write it as {wanted}")
    return found


def parse_number(text: str, *, name: str) -> float:
    """Return ``text`` as a finite number.

    Raises:
        BadLine: It is not a number, or it is NaN or infinite.
    """
    try:
        number = float(text)
    except ValueError:
        raise BadLine(f"{name} {text!r} is not a number; correct or remove the line") from None
    if not math.isfinite(number):
        raise BadLine(f"{name} {text!r} is not a finite number; correct or remove the line")
    return number


def parse_identifier(value: object, *, name: str) -> str:
    """Return an identifier as a string; JSON integers are accepted.

    Raises:
        BadLine: It is missing, empty, or neither a string nor an integer.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise BadLine(f"has no {name!r}; give every record an identifier of its own")
    return value


def _refuse_constant(name: str) -> float:
    raise BadLine(f"holds {name}, which is not a finite number; correct or remove the line")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def parse_object(line: str) -> dict[str, Any]:
    """Return the JSON object that ``line`` holds.

    Raises:
        BadLine: It is not a JSON object, or it holds NaN, an infinity, or half of a surrogate pair (which
            no UTF-8 file can hold).
    """
    try:
        found = _decode(line)
    except json.JSONDecodeError as error:
        raise BadLine(f"is not JSON ({error.msg} at column {error.colno}); write one JSON object per line") from None
    except RecursionError:
        raise BadLine("is nested too deeply; write one JSON object per line") from None
    if not isinstance(found, dict):
        raise BadLine(f"is JSON but not an object ({type(found).__name__}); write one JSON object per line")
    if "\\ud" in line or "\\uD" in line:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadLine("holds half of a surrogate pair (\\ud800 to \\udfff); correct the escape") from None
    return found


def parse_text(record: dict[str, Any], name: str, *, optional: bool = False) -> str:
    """Return the text under ``name``; when ``optional``, missing and null are an empty text.

    Raises:
        BadLine: It is missing or not a string.
    """
    value = record.get(name)
    if isinstance(value, str):
        return value
    if value is None and optional:
        return ""
    found = "is missing" if name not in record else f"is {type(value).__name__}, not a string"
    raise BadLine(f"{name!r} {found}; give it a text, which may be empty")
