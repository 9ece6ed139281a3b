"""Groups joined with a teacher's scores, one group at a time, and groups made of scores alone."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np

from distilrank.data.files import file_hash
from distilrank.data.groups import GroupFile
from distilrank.data.pairs import PassageTexts, named_by_position
from distilrank.data.teacher_scores import ScoreTable, TeacherScores
from distilrank.errors import InputError
from distilrank.records import Group, Qrels, Query


class ScoredGroups(Sequence[Group]):
    """The groups of a file with a teacher's scores in the place of their own; groups without any score are left out.

    Every group is looked up once when this is made, so that a missing score is found before hours of training.

    Args:
        groups: The groups.
        scores: Found by query_id and doc_id; where the scored input had none, by position in the very same file.

    Raises:
        InputError: A group has scores for some of its passages only, no group has any, or the scores are those of
            positions in another file.
    """

    def __init__(self, groups: GroupFile, scores: TeacherScores) -> None:
        self.scores = scores
        self._groups = groups
        self._table = ScoreTable(scores)
        self._by_position = scores.input.get("ids") == "positions"
        if self._by_position and scores.input.get("sha256") != file_hash(groups.path):
            problem = f"the scores in {scores.folder} are of other groups, which have no ids to find them by"
            raise InputError(f"{problem}; score these groups", path=groups.path)
        self._kept = array("Q")
        for place in range(len(groups)):
            found = self._find(place, groups[place])
            missing = np.flatnonzero(np.isnan(found))
            if not len(missing):
                self._kept.append(place)
            elif len(missing) < len(found):
                group = groups[place]
                name = f"passage {group.doc_ids[missing[0]] if group.doc_ids else int(missing[0])!r}"
                problem = f"{name} of query {group.query_id or place!r} has no score in {scores.folder}"
                raise InputError(f"{problem}, but other passages of its group have; score all", path=groups.path)
        if not self._kept:
            raise InputError(f"no group has a score in {scores.folder}; score these groups", path=groups.path)

    @property
    def left_out(self) -> int:
        """How many groups have no scores."""
        return len(self._groups) - len(self._kept)

    def __len__(self) -> int:
        """Return the number of groups that have scores."""
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Group: ...
    @overload
    def __getitem__(self, index: slice) -> list[Group]: ...
    def __getitem__(self, index: int | slice) -> Group | list[Group]:
        """Return a group, or the groups of a slice, read and joined now."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        place = self._kept[index]
        group = self._groups[place]
        return replace(group, scores=tuple(self._find(place, group).tolist()))

    def _find(self, place: int, group: Group) -> np.ndarray:
        if self._by_position:
            query_ids, doc_ids = named_by_position(place, group)
            return self._table.find(query_ids[0], doc_ids)
        if not group.query_id or not group.doc_ids:
            return np.full(len(group.passages), np.nan, np.float32)
        return self._table.find(group.query_id, group.doc_ids)


def groups_of_scores(
    scores: TeacherScores, *, queries: Mapping[str, Query], passages: PassageTexts, qrels: Qrels
) -> Iterator[Group]:
    """Yield groups made of scores: rows of one query that follow one another, or the two rows of a teacher triple.

    Args:
        scores: With given ids.
        queries: Texts of the queries.
        passages: The collection.
        qrels: Judgements, where there are some; the first row of a triple is relevant whether judged or not.

    Raises:
        InputError: A query or a passage is not there.
    """
    triples = scores.input["form"] == "scores of triples"
    rows: list[tuple[str, str, float]] = []
    for row in scores.rows():
        if rows and (len(rows) == 2 if triples else row[0] != rows[0][0]):
            yield _group(rows, queries, passages, qrels, triples=triples, path=scores.folder)
            rows = []
        rows.append(row)
    yield _group(rows, queries, passages, qrels, triples=triples, path=scores.folder)


def _group(
    rows: Sequence[tuple[str, str, float]],
    queries: Mapping[str, Query],
    passages: PassageTexts,
    qrels: Qrels,
    *,
    triples: bool,
    path: Path,
) -> Group:
    query_id, doc_ids = rows[0][0], [doc_id for _, doc_id, _ in rows]
    if query_id not in queries:
        raise InputError(f"query {query_id!r} of the scores is not among the queries; name their folder", path=path)
    found = passages.get_many(doc_ids)
    for doc_id in doc_ids:
        if doc_id not in found:
            raise InputError(f"passage {doc_id!r} of the scores is not in the collection; name it", path=path)
    judged = qrels.get(query_id, {})
    relevance = [float(max(0, judged.get(doc_id, 0))) for doc_id in doc_ids]
    if triples:
        relevance = [max(1.0, relevance[0]), 0.0]
    return Group(
        query=queries[query_id].text,
        passages=tuple(found[doc_id].content for doc_id in doc_ids),
        relevance=tuple(relevance),
        scores=tuple(score for _, _, score in rows),
        query_id=query_id,
        doc_ids=tuple(doc_ids),
    )
