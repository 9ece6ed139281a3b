"""JSONL groups: a query with positives and negatives per line, and a teacher's scores when there are any.

The keys are those of FlagEmbedding, ``{"query", "pos": [], "neg": [], "pos_scores"?, "neg_scores"?}``, and
our additions ``query_id``, ``pos_ids``, ``neg_ids`` and ``pos_relevance`` (1 for every positive when absent). Where
nobody judged the passages, ``pos`` is empty and all of them are under ``neg``.
"""

from __future__ import annotations

import json
import weakref
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast, overload

from distilrank.data.files import atomic_write
from distilrank.data.line_file import line_at, unpacked
from distilrank.data.lines import (
    BadLine,
    BadLines,
    decode_line,
    parse_identifier,
    parse_object,
    parse_text,
)
from distilrank.errors import InputError
from distilrank.records import Group

_MARK = "\ufeff".encode()


class GroupFile(Sequence[Group]):
    """The groups of a JSONL file, parsed one at a time as they are asked for.

    Every line is parsed once when the file is opened, so that a bad one is found before hours of training;
    memory then holds 8 bytes a group. A packed file is unpacked into a nameless temporary file. The object
    may be pickled and forked, and read from several threads or processes at once.

    Args:
        path: The file.
        bad: How many bad lines may be skipped; None: none.

    Raises:
        InputError: A line is bad and not allowed.
    """

    def __init__(self, path: str | Path, *, bad: BadLines | None = None) -> None:
        self.path = Path(path)
        self._open()
        self._starts = array("Q")
        bad = BadLines() if bad is None else bad
        start = 0
        for number, raw in enumerate(self._file, start=1):
            if raw.strip():
                try:
                    parse_group(raw)
                    self._starts.append(start)
                except BadLine as problem:
                    bad.report(InputError(str(problem), path=self.path, line=number))
            start += len(raw)

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Group: ...
    @overload
    def __getitem__(self, index: slice) -> list[Group]: ...
    def __getitem__(self, index: int | slice) -> Group | list[Group]:
        """Return a group, or the groups of a slice, read from the file now."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        try:
            return parse_group(line_at(self._file.fileno(), self._starts[index]))
        except BadLine:
            raise InputError("was changed while it was being read; start again", path=self.path) from None

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


def parse_group(raw: bytes) -> Group:
    """Return the group of one line.

    Raises:
        BadLine: The line is not such a group.
    """
    record = parse_object(decode_line(raw.removeprefix(_MARK)))
    positives, negatives = _texts(record, "pos"), _texts(record, "neg")
    if not positives and not negatives:
        raise BadLine("has neither 'pos' nor 'neg' passages; give it at least one")
    count_pos, count_neg = len(positives), len(negatives)
    relevance = _numbers(record, "pos_relevance", count_pos)
    if relevance is not None and not all(grade > 0 for grade in relevance):
        raise BadLine(f"'pos_relevance' holds {min(relevance)}; a positive has more than 0, so move it to 'neg'")
    return Group(
        query=parse_text(record, "query"),
        passages=(*positives, *negatives),
        relevance=((1.0,) * count_pos if relevance is None else relevance) + (0.0,) * count_neg,
        scores=_both(record, "pos_scores", "neg_scores", count_pos, count_neg),
        query_id="" if record.get("query_id") is None else parse_identifier(record["query_id"], name="query_id"),
        doc_ids=_identifiers(record, count_pos, count_neg),
    )


def _list(record: dict[str, Any], name: str) -> list[Any] | None:
    found = record.get(name)
    if found is not None and not isinstance(found, list):
        raise BadLine(f"{name!r} is {type(found).__name__}, not a list; write a list, which may be empty")
    return found


def _texts(record: dict[str, Any], name: str) -> list[str]:
    found = _list(record, name)
    if found is None:
        raise BadLine(f"{name!r} is missing; give it a list of texts, which may be empty")
    for text in found:
        if not isinstance(text, str):
            raise BadLine(f"{name!r} holds {type(text).__name__}, not a string; write a list of texts")
    return cast(list[str], found)


def _numbers(record: dict[str, Any], name: str, count: int) -> tuple[float, ...] | None:
    found = _list(record, name)
    if found is None:
        return None
    if len(found) != count:
        raise BadLine(f"{name!r} has {len(found)} numbers for {count} passages; give one for each")
    for number in found:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise BadLine(f"{name!r} holds {number!r}, which is not a number; correct or remove the line")
    return tuple(float(number) for number in found)


def _both(
    record: dict[str, Any], first: str, second: str, count_first: int, count_second: int
) -> tuple[float, ...] | None:
    ahead, behind = _numbers(record, first, count_first), _numbers(record, second, count_second)
    if ahead is None and behind is None:
        return None
    if (ahead is None and count_first) or (behind is None and count_second):
        raise BadLine(f"has only one of {first!r} and {second!r}; give both or neither")
    return (ahead or ()) + (behind or ())


def _identifiers(record: dict[str, Any], count_pos: int, count_neg: int) -> tuple[str, ...]:
    positives, negatives = _list(record, "pos_ids"), _list(record, "neg_ids")
    if positives is None and negatives is None:
        return ()
    for name, found, count in (("pos_ids", positives or [], count_pos), ("neg_ids", negatives or [], count_neg)):
        if len(found) != count:
            raise BadLine(f"{name!r} has {len(found)} ids for {count} passages; give one for each")
    return tuple(parse_identifier(value, name="pos_ids, neg_ids") for value in (*(positives or ()), *(negatives or ())))


def require_relevant(groups: Sequence[Group], what: str) -> None:
    """Refuse groups of which none has a passage that is known to be relevant, as without judgements.

    Args:
        groups: Read up to the first that has one; no groups at all pass.
        what: Who learns from labels.

    Raises:
        InputError: None has.
    """
    if groups and not any(relevance > 0 for group in groups for relevance in group.relevance):
        raise InputError(
            f"no group has a relevant passage, and {what} learns from labels; to learn from a teacher's scores alone, "
            "give distil --procedure scores --objective kl"
        )


def write_groups(groups: Iterable[Group], path: str | Path) -> int:
    """Write groups as JSONL and return how many there were.

    A passage with a relevance above 0 goes under ``pos``, any other under ``neg`` (which reads back as
    relevance 0); each keeps the order it had among its kind. ``.gz`` in the name packs the file.
    """
    count = 0
    with atomic_write(path) as file:
        for group in groups:
            file.write(json.dumps(_as_object(group), ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def _as_object(group: Group) -> dict[str, Any]:
    places = range(len(group.passages))
    pos = [place for place in places if group.relevance[place] > 0]
    neg = [place for place in places if group.relevance[place] <= 0]
    record: dict[str, Any] = {"query_id": group.query_id} if group.query_id else {}
    record["query"] = group.query
    for name, chosen in (("pos", pos), ("neg", neg)):
        record[name] = [group.passages[place] for place in chosen]
        if group.doc_ids:
            record[f"{name}_ids"] = [group.doc_ids[place] for place in chosen]
        if group.scores is not None:
            record[f"{name}_scores"] = [group.scores[place] for place in chosen]
    if any(group.relevance[place] != 1 for place in pos):
        record["pos_relevance"] = [group.relevance[place] for place in pos]
    return record
