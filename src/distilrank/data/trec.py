"""TREC qrels and runs, and the one tie rule of the project.

A qrels line is ``query_id 0 doc_id relevance``, a run line ``query_id Q0 doc_id rank score tag``, columns
parted by any white space. Like trec_eval, a run's rank column is never trusted: a ranking is the scores in
descending order, equal scores by descending doc_id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from distilrank.data.files import atomic_write
from distilrank.data.lines import BadLine, BadLines, for_each_line, parse_number
from distilrank.errors import InputError
from distilrank.records import Qrels, Run

_LARGEST = float(np.finfo(np.float32).max)


def ranking(scores: Mapping[str, float]) -> list[str]:
    """Return doc_ids from best to worst: score descending, then doc_id descending, as trec_eval sorts."""
    return sorted(scores, key=lambda doc_id: (scores[doc_id], doc_id), reverse=True)


def parse_relevance(text: str) -> int:
    """Return a graded judgement; ``1.0`` counts as 1.

    Raises:
        BadLine: It is not a whole number.
    """
    try:
        return int(text)
    except ValueError:
        number = parse_number(text, name="relevance")
    if not number.is_integer():
        raise BadLine(f"relevance {text!r} is not a whole number; use grades such as 0, 1, 2")
    return int(number)


def add_judgement(qrels: Qrels, query_id: str, doc_id: str, relevance: int) -> None:
    """Add one judgement; the same one twice is harmless.

    Raises:
        BadLine: The pair was judged otherwise before.
    """
    judged = qrels.setdefault(query_id, {})
    if judged.setdefault(doc_id, relevance) != relevance:
        raise BadLine(
            f"query {query_id!r} and document {doc_id!r} were judged {judged[doc_id]} before and {relevance} here; "
            "keep one of the two"
        )


def read_qrels(path: str | Path, *, bad: BadLines | None = None) -> Qrels:
    """Read TREC qrels: ``query_id 0 doc_id relevance``, any white space.

    Raises:
        InputError: A line is bad, and ``bad`` does not allow it.
    """
    qrels: Qrels = {}

    def add(line: str) -> None:
        columns = line.split()
        if len(columns) != 4:
            raise BadLine(f"has {len(columns)} columns where 4 are expected; write it as query_id 0 doc_id relevance")
        add_judgement(qrels, columns[0], columns[2], parse_relevance(columns[3]))

    for_each_line(path, add, bad=bad)
    return qrels


def read_run(path: str | Path, *, bad: BadLines | None = None) -> Run:
    """Read a TREC run: ``query_id Q0 doc_id rank score tag``, any white space; the rank is ignored.

    The tag may be missing or hold spaces.

    Raises:
        InputError: A line is bad (a document twice for one query, a score that is no finite number, too few
            columns), and ``bad`` does not allow it.
    """
    run: Run = {}

    def add(line: str) -> None:
        columns = line.split()
        if len(columns) < 5:
            raise BadLine(
                f"has {len(columns)} columns where 6 are expected; write it as query_id Q0 doc_id rank score tag"
            )
        score = parse_number(columns[4], name="score")
        scores = run.setdefault(columns[0], {})
        if columns[2] in scores:
            raise BadLine(f"document {columns[2]!r} is ranked twice for query {columns[0]!r}; keep one of the two")
        scores[columns[2]] = score

    for_each_line(path, add, bad=bad)
    return run


def write_run(run: Run, path: str | Path, *, tag: str) -> None:
    """Write a TREC run that every tool ranks alike: scores strictly decreasing, ranks from 1.

    Scores are written in float32, as trec_eval reads them; a score that would not lie below the one before
    it is lowered to the next float32, so the order of `ranking` survives any reader's way with ties.

    Args:
        run: Queries in the order of writing.
        path: The file; ``.gz`` packs it.
        tag: The name of the run, without white space.

    Raises:
        InputError: A score is not finite, or an id or the tag is empty or holds white space.
    """
    _refuse_spaces("tag", tag, path)
    with atomic_write(path) as file:
        for query_id, scores in run.items():
            _refuse_spaces("query_id", query_id, path)
            previous = np.float32(np.inf)
            for rank, doc_id in enumerate(ranking(scores), start=1):
                _refuse_spaces("doc_id", doc_id, path)
                score = scores[doc_id]
                if not math.isfinite(score) or abs(score) > _LARGEST:
                    problem = f"the score {score} of document {doc_id!r} for query {query_id!r} is not a finite float32"
                    raise InputError(f"{problem}; nothing was written", path=path)
                previous = min(np.float32(score), np.nextafter(previous, np.float32(-np.inf)))
                file.write(f"{query_id} Q0 {doc_id} {rank} {previous} {tag}\n")


def write_qrels(qrels: Qrels, path: str | Path) -> None:
    """Write TREC qrels: ``query_id 0 doc_id relevance``.

    Raises:
        InputError: An id is empty or holds white space.
    """
    with atomic_write(path) as file:
        for query_id, judged in qrels.items():
            _refuse_spaces("query_id", query_id, path)
            for doc_id, relevance in judged.items():
                _refuse_spaces("doc_id", doc_id, path)
                file.write(f"{query_id} 0 {doc_id} {relevance}\n")


def _refuse_spaces(name: str, value: str, path: str | Path) -> None:
    if len(value.split()) != 1 or value.strip() != value:
        problem = f"the {name} {value!r} is empty or holds white space, which TREC files cannot hold; rename it"
        raise InputError(problem, path=path)
