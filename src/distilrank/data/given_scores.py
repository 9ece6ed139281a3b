"""Scores that somebody else made: MS MARCO teacher triples, TREC runs, JSONL; rows by their position.

Triples are lines of ``pos_score neg_score qid pos_pid neg_pid`` and become two rows each, the positive first. JSONL is
an object of ``query_id``, ``doc_id`` and ``score`` per line. Scores are kept as they stand, in float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import file_hash
from distilrank.data.line_file import LineFile
from distilrank.data.lines import (
    BadLine,
    BadLines,
    parse_identifier,
    parse_number,
    parse_object,
    read_lines,
    split_tabs,
)
from distilrank.errors import InputError

Form = Literal["triples", "run", "jsonl"]
Row = tuple[str, str, float]
"""query_id, doc_id, score."""


class GivenScores:
    """The rows of a file of scores.

    Args:
        path: The file; which of the three it is shows in its first line.
        limit: Take only the first so many lines; None: all.
        bad: How many bad lines may be skipped; None: none.

    Raises:
        InputError: A line is bad, or the file is none of the three.
    """

    def __init__(self, path: str | Path, *, limit: int | None = None, bad: BadLines | None = None) -> None:
        self.form = form_of(path)
        self._limit = limit
        self._per_line = 2 if self.form == "triples" else 1
        self._lines = LineFile(path, self._parse, bad=bad)
        self.identity: dict[str, object] = {
            "form": f"scores of {self.form}",
            "sha256": file_hash(path),
            "limit": limit,
            "ids": "given",
        }

    def __len__(self) -> int:
        """Return the number of rows."""
        lines = len(self._lines) if self._limit is None else min(self._limit, len(self._lines))
        return lines * self._per_line

    def rows(self, start: int, stop: int) -> tuple[list[str], list[str], NDArray[np.float32]]:
        """Return query_ids, doc_ids and scores of the rows from ``start`` to before ``stop``."""
        stop = min(stop, len(self))
        found = [self._parse(self._lines[line]) for line in range(start // self._per_line, -(-stop // self._per_line))]
        rows = [row for line in found for row in line][start % self._per_line :][: stop - start]
        scores = np.array([score for _, _, score in rows], np.float32)
        return [query_id for query_id, _, _ in rows], [doc_id for _, doc_id, _ in rows], scores

    def _parse(self, line: str) -> list[Row]:
        if self.form == "jsonl":
            record = parse_object(line)
            score = record.get("score")
            if isinstance(score, bool) or not isinstance(score, int | float):
                raise BadLine(f"'score' is {score!r}, which is not a number; correct or remove the line")
            ids = [parse_identifier(record.get(name), name=name) for name in ("query_id", "doc_id")]
            return [(ids[0], ids[1], float(score))]
        if self.form == "triples":
            columns = split_tabs(line, 5, wanted="pos_score, neg_score, query_id, positive doc_id, negative doc_id")
            query_id, *docs = (parse_identifier(identifier, name="id") for identifier in columns[2:])
            numbers = [parse_number(text, name="score") for text in columns[:2]]
            return [(query_id, doc_id, number) for doc_id, number in zip(docs, numbers, strict=True)]
        columns = line.split()
        if len(columns) < 5:
            raise BadLine(
                f"has {len(columns)} columns where 6 are expected; write it as query_id Q0 doc_id rank score tag"
            )
        return [(columns[0], columns[2], parse_number(columns[4], name="score"))]


def form_of(path: str | Path) -> Form:
    """Tell the three forms apart by the first line.

    Raises:
        InputError: It is none of them.
    """
    first = next((line for _, line in read_lines(path) if line.strip(" ")), "")
    if first.lstrip().startswith("{"):
        return "jsonl"
    if first.count("\t") == 4 and _are_numbers(first.split("\t")[:2]):
        return "triples"
    columns = first.split()
    if len(columns) >= 5 and _are_numbers(columns[3:5]):
        return "run"
    problem = (
        "holds no scores: expected MS MARCO teacher triples (pos_score, neg_score, qid, pos_pid, neg_pid), a TREC run"
    )
    raise InputError(f"{problem}, or JSON objects of query_id, doc_id and score", path=path)


def _are_numbers(texts: list[str]) -> bool:
    try:
        return all(float(text) is not None for text in texts)
    except ValueError:
        return False
