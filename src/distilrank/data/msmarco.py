"""MS MARCO's tab-separated files: collection, queries, triples, candidates, teacher triples.

Its qrels and runs are TREC files; `trec` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from distilrank.data.files import atomic_write
from distilrank.data.lines import (
    BadLine,
    BadLines,
    for_each_line,
    parse_identifier,
    parse_lines,
    parse_number,
    split_tabs,
)
from distilrank.errors import InputError
from distilrank.records import Group, Passage, Query, Run

_COLLECTION_FORMS = {
    2: "doc_id, text",
    3: "doc_id, title, text",
    4: "doc_id, address or article id, title, text",
}


class Candidates(NamedTuple):
    """What a ``qid pid query passage`` file holds; scores are minus the place in the query's list."""

    run: Run
    queries: dict[str, Query]
    passages: dict[str, Passage]


class TeacherTriple(NamedTuple):
    """A teacher's scores of a positive and a negative passage of one query, as in ``train_scores.tsv``."""

    pos_score: float
    neg_score: float
    query_id: str
    pos_id: str
    neg_id: str


def read_collection(path: str | Path, *, bad: BadLines | None = None) -> Iterator[Passage]:
    """Yield passages of a collection of 2 (id, text), 3 (id, title, text) or 4 columns.

    Four columns are MS MARCO's document form: id, address, title, text; the second is not kept. The first
    line decides; a line with another number of columns is bad, because a tab inside a text shifts them.
    """
    form: list[int] = []

    def parse(line: str) -> Passage:
        columns = line.split("\t")
        wanted = form[0] if form else len(columns)
        if wanted not in _COLLECTION_FORMS:
            forms = " or ".join(f"{count} ({names})" for count, names in _COLLECTION_FORMS.items())
            raise BadLine(f"has {len(columns)} tab-separated columns where a collection has {forms}")
        if len(columns) != wanted:
            problem = f"has {len(columns)} tab-separated columns where the lines before have {wanted}"
            raise BadLine(f"{problem} ({_COLLECTION_FORMS[wanted]}); replace tabs inside texts by spaces")
        if not form:
            form.append(wanted)
        title = columns[-2] if wanted > 2 else ""
        return Passage(parse_identifier(columns[0], name="doc_id"), columns[-1], title)

    return parse_lines(path, parse, bad=bad)


def read_queries(path: str | Path, *, bad: BadLines | None = None) -> dict[str, Query]:
    """Read queries of two columns: query_id, text."""
    queries: dict[str, Query] = {}

    def add(line: str) -> None:
        query_id, text = split_tabs(line, 2, wanted="query_id, text")
        if parse_identifier(query_id, name="query_id") in queries:
            raise BadLine(f"query id {query_id!r} was used before; give every query an identifier of its own")
        queries[query_id] = Query(query_id, text)

    for_each_line(path, add, bad=bad)
    return queries


def read_triples(path: str | Path, *, bad: BadLines | None = None) -> Iterator[Group]:
    """Yield text triples (query, positive passage, negative passage) as groups of two."""

    def parse(line: str) -> Group:
        query, positive, negative = split_tabs(line, 3, wanted="query, positive passage, negative passage")
        return Group(query=query, passages=(positive, negative), relevance=(1.0, 0.0))

    return parse_lines(path, parse, bad=bad)


def read_id_triples(
    path: str | Path,
    *,
    queries: Mapping[str, Query],
    passages: Mapping[str, Passage],
    bad: BadLines | None = None,
) -> Iterator[Group]:
    """Yield triples of ids (query_id, positive doc_id, negative doc_id, any white space) as groups of two."""

    def parse(line: str) -> Group:
        columns = line.split()
        if len(columns) != 3:
            problem = f"has {len(columns)} columns where 3 are expected"
            raise BadLine(f"{problem}; write it as query_id, positive doc_id, negative doc_id")
        query_id, pos_id, neg_id = columns
        if query_id not in queries:
            raise BadLine(f"query id {query_id!r} is not among the queries; remove the line or add the query")
        for doc_id in (pos_id, neg_id):
            if doc_id not in passages:
                raise BadLine(f"passage id {doc_id!r} is not in the collection; remove the line or add the passage")
        return Group(
            query=queries[query_id].text,
            passages=(passages[pos_id].content, passages[neg_id].content),
            relevance=(1.0, 0.0),
            query_id=query_id,
            doc_ids=(pos_id, neg_id),
        )

    return parse_lines(path, parse, bad=bad)


def read_candidates(path: str | Path, *, bad: BadLines | None = None) -> Candidates:
    """Read candidates such as ``top1000.dev.tsv``: query_id, doc_id, query, passage.

    The file gives no scores, so a query's candidates get -1, -2, ... in the order of its lines. All distinct
    passages are held in memory; for a large file read the collection into a `PassageStore` instead.
    """
    candidates = Candidates({}, {}, {})

    def add(line: str) -> None:
        query_id, doc_id, query, passage = split_tabs(line, 4, wanted="query_id, doc_id, query, passage")
        parse_identifier(query_id, name="query_id")
        parse_identifier(doc_id, name="doc_id")
        scores = candidates.run.setdefault(query_id, {})
        if doc_id in scores:
            raise BadLine(f"passage {doc_id!r} is listed twice for query {query_id!r}; keep one of the two")
        scores[doc_id] = -1.0 - len(scores)
        candidates.queries.setdefault(query_id, Query(query_id, query))
        candidates.passages.setdefault(doc_id, Passage(doc_id, passage))

    for_each_line(path, add, bad=bad)
    return candidates


def read_teacher_triples(path: str | Path, *, bad: BadLines | None = None) -> Iterator[TeacherTriple]:
    """Yield teacher triples: ``pos_score neg_score qid pos_pid neg_pid``, parted by tabs."""

    def parse(line: str) -> TeacherTriple:
        columns = split_tabs(line, 5, wanted="pos_score, neg_score, query_id, positive doc_id, negative doc_id")
        for identifier in columns[2:]:
            parse_identifier(identifier, name="id")
        pos_score = parse_number(columns[0], name="positive score")
        neg_score = parse_number(columns[1], name="negative score")
        return TeacherTriple(pos_score, neg_score, *columns[2:])

    return parse_lines(path, parse, bad=bad)


def write_collection(passages: Iterable[Passage], path: str | Path, *, with_titles: bool = False) -> None:
    """Write a collection of 2 columns (id, text), or of 3 (id, title, text) when ``with_titles``.

    Raises:
        InputError: A column holds a tab or a line end, or a title would be lost.
    """

    def columns(passage: Passage) -> tuple[str, ...]:
        if with_titles:
            return passage.doc_id, passage.title, passage.text
        if passage.title:
            problem = f"passage {passage.doc_id!r} has a title, for which two columns have no place; write titles too"
            raise InputError(problem, path=path)
        return passage.doc_id, passage.text

    _write_rows((columns(passage) for passage in passages), path)


def write_queries(queries: Iterable[Query], path: str | Path) -> None:
    """Write queries of two columns: query_id, text.

    Raises:
        InputError: A column holds a tab or a line end.
    """
    _write_rows(((query.query_id, query.text) for query in queries), path)


def write_teacher_triples(triples: Iterable[TeacherTriple], path: str | Path) -> None:
    """Write teacher triples: ``pos_score neg_score qid pos_pid neg_pid``, parted by tabs.

    Raises:
        InputError: An id holds a tab or a line end.
    """
    _write_rows((tuple(str(value) for value in triple) for triple in triples), path)


def _write_rows(rows: Iterable[tuple[str, ...]], path: str | Path) -> None:
    with atomic_write(path) as file:
        for row in rows:
            for column in row:
                if "\t" in column or "\n" in column or "\r" in column:
                    problem = (
                        f"the text {column[:60]!r} holds a tab or a line end, which would shift columns; replace it"
                    )
                    raise InputError(problem, path=path)
            file.write("\t".join(row) + "\n")
