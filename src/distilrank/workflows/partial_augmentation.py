"""What an augmentation has done so far, on disk, so that a killed command goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distilrank.data.differences import first_difference
from distilrank.errors import ResumeError
from distilrank.records import Example


class PartialAugmentation:
    """A line that says whose it is, then one line per example with its variants.

    Args:
        path: The file; made by ``extend``.
        command: What the run is, as JSON values.
    """

    def __init__(self, path: Path, command: dict[str, Any]) -> None:
        self.path = path
        self.command = command

    def done(self) -> int:
        """Return how many examples are done, after cutting off a line that was not finished.

        Raises:
            ResumeError: The file is another command's.
        """
        if not self.path.exists():
            return 0
        whole, lines = 0, 0
        with open(self.path, "rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if not lines:
                    self._claim(line)
                whole += len(line)
                lines += 1
            file.truncate(whole)
        return max(lines - 1, 0)

    def _claim(self, line: bytes) -> None:
        difference = first_difference(json.loads(line), self.command)
        if difference:
            problem = f"{self.path} holds the beginning of another command: {difference}"
            raise ResumeError(f"{problem}; remove it, or give --out another name")

    def extend(self, augmented: Iterator[list[Example]]) -> None:
        """Append examples, each with its variants, as they come."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8", newline="\n") as file:
            if not file.tell():
                file.write(json.dumps(self.command) + "\n")
            for _, *variants in augmented:
                made = [[variant.text, variant.text_pair, variant.example_id] for variant in variants]
                file.write(json.dumps(made, ensure_ascii=False) + "\n")
                file.flush()

    def examples(self, originals: Sequence[Example]) -> Iterator[Example]:
        """Yield each original and its variants, which have its label."""
        with open(self.path, encoding="utf-8", newline="\n") as file:
            next(file)
            for original, line in zip(originals, file, strict=True):
                yield original
                for text, text_pair, name in json.loads(line):
                    yield replace(original, text=text, text_pair=text_pair, example_id=name)

    def remove(self) -> None:
        """Remove the file, if there is one: what it held is in its place."""
        self.path.unlink(missing_ok=True)
