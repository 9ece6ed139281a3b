"""Queries worth reading: where the student loses most against its teacher, and where it gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distilrank.data.trec import ranking
from distilrank.records import Passage, Qrels, Query, Run

SAME = 1e-9
"""Differences below this are rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPassage:
    """A passage and where each system ranked it.

    Attributes:
        relevance: As judged; None when it was not judged.
        ranks: System -> rank from 1, or None when the system does not list it, in the order of the columns.
    """

    doc_id: str
    title: str
    text: str
    relevance: int | None
    ranks: Mapping[str, int | None]

    @property
    def relevant(self) -> bool:
        """Whether it was judged better than 0."""
        return self.relevance is not None and self.relevance > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One query with what both systems put on top and what they should have put there.

    Attributes:
        student: The student's value on the report's measure.
        teacher: The teacher's value.
        student_top: The student's first passages, best first.
        teacher_top: The teacher's.
        relevant: The passages judged relevant, most relevant first, at most a handful.
        more_relevant: How many further relevant passages are not listed.
    """

    query: Query
    student: float
    teacher: float
    student_top: Sequence[ShownPassage]
    teacher_top: Sequence[ShownPassage]
    relevant: Sequence[ShownPassage]
    more_relevant: int = 0

    @property
    def difference(self) -> float:
        """The student's value minus the teacher's: below zero is a loss."""
        return self.student - self.teacher


def query_differences(student: Mapping[str, float], teacher: Mapping[str, float]) -> dict[str, float]:
    """Return student minus teacher for every query that has both values."""
    return {query_id: student[query_id] - teacher[query_id] for query_id in student if query_id in teacher}


def worst_and_best(
    *,
    student_values: Mapping[str, float],
    teacher_values: Mapping[str, float],
    queries: Mapping[str, Query],
    passages: Mapping[str, Passage],
    qrels: Qrels,
    runs: Mapping[str, Run],
    worst: int = 6,
    best: int = 3,
    top: int = 3,
) -> list[Case]:
    """Pick the queries with the largest losses and gains of the student; ties go by query id.

    Args:
        student_values: query_id -> value on the measure.
        teacher_values: The same for the teacher.
        queries: The texts.
        passages: The texts of everything ranked or judged; a judged passage that is missing is left out.
        qrels: The judgements.
        runs: The student's run first, the teacher's second, then any other, such as the first stage; all are named in
            the table of ranks.
        worst: How many losses at most, largest first. Queries on which nothing is lost are not taken.
        best: How many gains at most, largest first.
        top: How many passages of each ranking are shown.
    """
    if len(runs) < 2:
        raise ValueError(f"the student's and the teacher's run are needed, not {len(runs)} of them")
    differences = query_differences(student_values, teacher_values)
    losses = sorted((value, query_id) for query_id, value in differences.items() if value < -SAME)
    gains = sorted((-value, query_id) for query_id, value in differences.items() if value > SAME)
    cases = []
    for _, query_id in losses[:worst] + gains[:best]:
        order = {name: ranking(run.get(query_id, {})) for name, run in runs.items()}
        texts = _Texts(passages=passages, judged=qrels.get(query_id, {}), order=order)
        student_order, teacher_order = list(order.values())[:2]
        relevant = texts.relevant()
        cases.append(
            Case(
                query=queries[query_id],
                student=student_values[query_id],
                teacher=teacher_values[query_id],
                student_top=[texts.passage(doc_id) for doc_id in student_order[:top]],
                teacher_top=[texts.passage(doc_id) for doc_id in teacher_order[:top]],
                relevant=[texts.passage(doc_id) for doc_id in relevant[:top]],
                more_relevant=len(relevant[top:]),
            )
        )
    return cases


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    """Looks up what is shown of one query's passages."""

    passages: Mapping[str, Passage]
    judged: Mapping[str, int]
    order: Mapping[str, Sequence[str]]

    def passage(self, doc_id: str) -> ShownPassage:
        passage = self.passages[doc_id]
        return ShownPassage(
            doc_id=doc_id,
            title=passage.title,
            text=passage.text,
            relevance=self.judged.get(doc_id),
            ranks={name: order.index(doc_id) + 1 if doc_id in order else None for name, order in self.order.items()},
        )

    def relevant(self) -> list[str]:
        """The passages judged relevant, most relevant first, then as the teacher (the second run) ranks them."""
        teacher = list(self.order.values())[1]
        place = {doc_id: rank for rank, doc_id in enumerate(teacher)}
        found = [doc_id for doc_id, relevance in self.judged.items() if relevance > 0 and doc_id in self.passages]
        return sorted(found, key=lambda doc_id: (-self.judged[doc_id], place.get(doc_id, len(place)), doc_id))
