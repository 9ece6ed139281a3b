"""BEIR files: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distilrank.data.files import atomic_write
from distilrank.data.lines import (
    BadLine,
    BadLines,
    for_each_line,
    parse_identifier,
    parse_lines,
    parse_object,
    parse_text,
)
from distilrank.data.trec import add_judgement, parse_relevance
from distilrank.errors import InputError
from distilrank.records import Passage, Qrels, Query

_HEADER_NAMES = {"query-id", "query_id", "queryid", "qid"}


def read_corpus(path: str | Path, *, bad: BadLines | None = None) -> Iterator[Passage]:
    """Yield the passages of ``corpus.jsonl``: ``{"_id", "title"?, "text"}``; empty texts are kept.

    Ids are not checked for repetition here, because millions of them do not belong in memory;
    `PassageStore.build` does that.
    """
    return parse_lines(path, lambda line: passage_of(parse_object(line)), bad=bad)


def passage_of(record: dict[str, Any]) -> Passage:
    """Return the passage of ``{"_id", "title"?, "text"}``; ``id`` is taken for ``_id``.

    Raises:
        BadLine: A part is missing or of another type.
    """
    doc_id = parse_identifier(record.get("_id", record.get("id")), name="_id")
    return Passage(doc_id, parse_text(record, "text"), parse_text(record, "title", optional=True))


def query_of(record: dict[str, Any]) -> Query:
    """Return the query of ``{"_id", "text"}``; ``id`` is taken for ``_id``.

    Raises:
        BadLine: A part is missing or of another type.
    """
    return Query(parse_identifier(record.get("_id", record.get("id")), name="_id"), parse_text(record, "text"))


def add_query(queries: dict[str, Query], query: Query) -> None:
    """Add a query under its id.

    Raises:
        BadLine: The id is taken.
    """
    if query.query_id in queries:
        raise BadLine(f"query id {query.query_id!r} was used before; give every query an identifier of its own")
    queries[query.query_id] = query


def read_queries(path: str | Path, *, bad: BadLines | None = None) -> dict[str, Query]:
    """Read ``queries.jsonl``: ``{"_id", "text"}``, in the order of the file; further keys are ignored."""
    queries: dict[str, Query] = {}
    for_each_line(path, lambda line: add_query(queries, query_of(parse_object(line))), bad=bad)
    return queries


def read_qrels(path: str | Path, *, bad: BadLines | None = None) -> Qrels:
    """Read ``qrels/<split>.tsv``: query-id, corpus-id, score, parted by tabs, with or without a header.

    Lines in TREC form (``query_id 0 doc_id relevance``) are understood as well.
    """
    qrels: Qrels = {}

    def add(line: str) -> None:
        columns = line.split("\t")
        if len(columns) != 3:
            columns = line.split()
            if len(columns) == 4:
                del columns[1]
        if len(columns) != 3:
            problem = f"has {len(columns)} columns where 3 are expected"
            raise BadLine(f"{problem}; write it as query-id, corpus-id, score, parted by tabs")
        if columns[0].lower() in _HEADER_NAMES:
            return
        query_id = parse_identifier(columns[0], name="query-id")
        doc_id = parse_identifier(columns[1], name="corpus-id")
        add_judgement(qrels, query_id, doc_id, parse_relevance(columns[2]))

    for_each_line(path, add, bad=bad)
    return qrels


def write_corpus(passages: Iterable[Passage], path: str | Path) -> None:
    """Write ``corpus.jsonl``; ``.gz`` in the name packs it."""
    with atomic_write(path) as file:
        for passage in passages:
            record = {"_id": passage.doc_id, "title": passage.title, "text": passage.text}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def write_queries(queries: Iterable[Query], path: str | Path) -> None:
    """Write ``queries.jsonl``; ``.gz`` in the name packs it."""
    with atomic_write(path) as file:
        for query in queries:
            file.write(json.dumps({"_id": query.query_id, "text": query.text}, ensure_ascii=False) + "\n")


def write_qrels(qrels: Qrels, path: str | Path) -> None:
    """Write ``qrels/<split>.tsv`` with its header.

    Raises:
        InputError: An id is empty or holds a tab or a line end.
    """
    with atomic_write(path) as file:
        file.write("query-id\tcorpus-id\tscore\n")
        for query_id, judged in qrels.items():
            for doc_id, relevance in judged.items():
                for identifier in (query_id, doc_id):
                    if not identifier or any(mark in identifier for mark in "\t\r\n"):
                        problem = f"the id {identifier!r} is empty or holds a tab or line end; rename it"
                        raise InputError(problem, path=path)
                file.write(f"{query_id}\t{doc_id}\t{relevance}\n")
