"""What a teacher is to score: (query, passage) pairs in a fixed order, read by their position.

Three forms, none of which holds its texts in memory: the groups of a JSONL file, the candidates of a TREC run, and
plain pairs, JSONL (``query``, ``passage``, and ``query_id`` with ``doc_id`` or neither) or TSV of two columns (query,
passage) or four (query_id, doc_id, query, passage; MS MARCO's candidates).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from distilrank.data.files import file_hash
from distilrank.data.groups import GroupFile
from distilrank.data.line_file import LineFile
from distilrank.data.lines import (
    BadLine,
    BadLines,
    parse_identifier,
    parse_number,
    parse_object,
    parse_text,
    read_lines,
)
from distilrank.errors import InputError
from distilrank.records import Group, Passage, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Consecutive rows, three lists of one length.

    Attributes:
        query_ids: Of each row.
        doc_ids: Of each row.
        pairs: The texts of each row, query and passage.
    """

    query_ids: list[str]
    doc_ids: list[str]
    pairs: list[tuple[str, str]]


class Pairs(Protocol):
    """Pairs in a fixed order; may be read from several processes.

    Attributes:
        identity: What they are, as JSON values: hashes of files, what was left out, and under ``ids`` "given" or, for
            input without identifiers, "positions".
    """

    identity: dict[str, object]

    def __len__(self) -> int:
        """Return the number of pairs."""
        ...

    def part(self, start: int, stop: int) -> Part:
        """Return the rows from ``start`` to before ``stop``."""
        ...


def named_by_position(place: int, group: Group) -> tuple[list[str], list[str]]:
    """Return what stands for the ids of a group without any: its place in its file, and those of its passages."""
    return [str(place)] * len(group.passages), [str(i) for i in range(len(group.passages))]


class GroupPairs:
    """The pairs of groups, one group after the other; implements ``Pairs``.

    Args:
        groups: The file.
        limit: Take only the first so many groups; None: all.
    """

    def __init__(self, groups: GroupFile, *, limit: int | None = None) -> None:
        self._groups = groups
        self._ends = array("Q")
        total, named = 0, True
        for place in range(len(groups) if limit is None else min(limit, len(groups))):
            group = groups[place]
            total += len(group.passages)
            named = named and bool(group.query_id and group.doc_ids)
            self._ends.append(total)
        self._named = named
        self.identity: dict[str, object] = {
            "form": "groups",
            "sha256": file_hash(groups.path),
            "limit": limit,
            "ids": "given" if named else "positions",
        }

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self._ends[-1] if self._ends else 0

    def part(self, start: int, stop: int) -> Part:
        """Return the rows from ``start`` to before ``stop``."""
        part = Part(query_ids=[], doc_ids=[], pairs=[])
        place = bisect_right(self._ends, start)
        while place < len(self._ends) and len(part.pairs) < stop - start:
            group = self._groups[place]
            first = self._ends[place] - len(group.passages)
            query_ids, doc_ids = named_by_position(place, group)
            if self._named:
                query_ids, doc_ids = [group.query_id] * len(group.passages), list(group.doc_ids)
            chosen = slice(max(0, start - first), stop - first)
            part.query_ids.extend(query_ids[chosen])
            part.doc_ids.extend(doc_ids[chosen])
            part.pairs.extend((group.query, passage) for passage in group.passages[chosen])
            place += 1
        return part


class PassageTexts(Protocol):
    """A collection that finds many passages at once, such as a ``PassageStore``."""

    def __contains__(self, doc_id: object) -> bool:
        """Return whether there is such a passage."""
        ...

    def get_many(self, doc_ids: list[str]) -> Mapping[str, Passage]:
        """Return doc_id -> passage."""
        ...


class RunPairs:
    """The candidates of a TREC run, in the order of its lines; implements ``Pairs``.

    Args:
        path: The run; the lines of a query stand together.
        queries: Texts of the queries.
        passages: The collection.
        texts: What tells these queries and passages from others, as JSON values.
        depth: Take only the best so many of each query, for which a query's lines must be sorted by score; None: all.
        limit: Take only the first so many queries; None: all.
        bad: How many bad lines may be skipped; None: none.

    Raises:
        InputError: A line is bad, or names a query or a passage that is not there.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        queries: Mapping[str, Query],
        passages: PassageTexts,
        texts: Mapping[str, object],
        depth: int | None = None,
        limit: int | None = None,
        bad: BadLines | None = None,
    ) -> None:
        self._queries, self._passages = queries, passages
        self._lines = LineFile(path, _RunCheck(queries, passages, depth, limit), bad=bad)
        self.identity: dict[str, object] = {
            "form": "run",
            "sha256": file_hash(path),
            "depth": depth,
            "limit": limit,
            "ids": "given",
            **texts,
        }

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._lines)

    def part(self, start: int, stop: int) -> Part:
        """Return the rows from ``start`` to before ``stop``."""
        columns = [self._lines[i].split() for i in range(start, min(stop, len(self)))]
        query_ids, doc_ids = [row[0] for row in columns], [row[2] for row in columns]
        texts = self._passages.get_many(doc_ids)
        pairs = [
            (self._queries[query_id].text, texts[doc_id].content)
            for query_id, doc_id in zip(query_ids, doc_ids, strict=True)
        ]
        return Part(query_ids=query_ids, doc_ids=doc_ids, pairs=pairs)


class _RunCheck:
    """Looks at the lines of a run one after the other, and says which to take."""

    def __init__(
        self, queries: Mapping[str, Query], passages: PassageTexts, depth: int | None, limit: int | None
    ) -> None:
        self._queries, self._passages, self._depth, self._limit = queries, passages, depth, limit
        self._done: set[str] = set()
        self._query = ""
        self._docs: set[str] = set()
        self._last = float("inf")

    def __call__(self, line: str) -> bool:
        columns = line.split()
        if len(columns) < 5:
            raise BadLine(
                f"has {len(columns)} columns where 6 are expected; write it as query_id Q0 doc_id rank score tag"
            )
        query_id, doc_id, score = columns[0], columns[2], parse_number(columns[4], name="score")
        if query_id != self._query:
            if query_id in self._done:
                raise BadLine(f"the lines of query {query_id!r} do not stand together; sort the run by query")
            self._done.add(query_id)
            self._query, self._docs, self._last = query_id, set(), float("inf")
        if doc_id in self._docs:
            raise BadLine(f"document {doc_id!r} is ranked twice for query {query_id!r}; keep one of the two")
        if self._depth is not None and score > self._last:
            raise BadLine(f"the score rises within query {query_id!r}; sort the run by score to take the best of it")
        self._docs.add(doc_id)
        self._last = score
        if self._limit is not None and len(self._done) > self._limit:
            return False
        if self._depth is not None and len(self._docs) > self._depth:
            return False
        if query_id not in self._queries:
            raise BadLine(f"query {query_id!r} is not among the queries; add it, or remove its lines")
        if doc_id not in self._passages:
            raise BadLine(f"document {doc_id!r} is not in the collection; add it, or remove the line")
        return True


class PairFile:
    """Plain pairs of a JSONL or TSV file; implements ``Pairs``. The first line says whether there are ids.

    Args:
        path: The file.
        limit: Take only the first so many; None: all.
        bad: How many bad lines may be skipped; None: none.

    Raises:
        InputError: A line is bad.
    """

    def __init__(self, path: str | Path, *, limit: int | None = None, bad: BadLines | None = None) -> None:
        self._is_json = ".jsonl" in Path(path).suffixes
        first = next((line for _, line in read_lines(path) if line.strip(" ")), None)
        if first is None:
            raise InputError("holds no pairs", path=path)
        self._named = '"query_id"' in first if self._is_json else first.count("\t") == 3
        self._limit = limit
        self._lines = LineFile(path, self._parse, bad=bad)
        self.identity: dict[str, object] = {
            "form": "pairs",
            "sha256": file_hash(path),
            "limit": limit,
            "ids": "given" if self._named else "positions",
        }

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._lines) if self._limit is None else min(self._limit, len(self._lines))

    def part(self, start: int, stop: int) -> Part:
        """Return the rows from ``start`` to before ``stop``."""
        part = Part(query_ids=[], doc_ids=[], pairs=[])
        for place in range(start, min(stop, len(self))):
            query_id, doc_id, query, passage = self._parse(self._lines[place])
            part.query_ids.append(query_id if self._named else str(place))
            part.doc_ids.append(doc_id if self._named else "0")
            part.pairs.append((query, passage))
        return part

    def _parse(self, line: str) -> tuple[str, str, str, str]:
        """Return query_id, doc_id (empty where there are none), query and passage."""
        if self._is_json:
            record = parse_object(line)
            named = "query_id" in record or "doc_id" in record
            ids = [parse_identifier(record.get(name), name=name) for name in ("query_id", "doc_id")] if named else None
            texts = [parse_text(record, "query"), parse_text(record, "passage")]
        else:
            columns = line.split("\t")
            if len(columns) not in (2, 4):
                raise BadLine(
                    f"has {len(columns)} tab-separated columns; write it as query, passage or as query_id, doc_id, "
                    "query, passage"
                )
            ids, texts = (columns[:2] if len(columns) == 4 else None), columns[-2:]
        if (ids is not None) != self._named:
            raise BadLine(
                "has no ids, but the first line has" if self._named else "has ids, but the first line has none"
            )
        return (*(ids or ("", "")), *texts)
