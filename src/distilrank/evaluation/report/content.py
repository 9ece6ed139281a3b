"""What a report holds: plain data, put together by whoever ran the commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.report.cases import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One system in the table.

    Attributes:
        name: As shown, such as "BM25", "teacher" or "student".
        measures: Measure name -> mean over the queries with its 95% interval.
        parameters: Number of weights. None: not a network.
        megabytes: Size of the weights as they are run, in units of 1,000,000 bytes. None: not a network.
        ms_per_100_passages: Milliseconds to score 100 passages of one query. None: not measured.
        kept: Share of the teacher's quality on the report's measure, 1 is all of it. None: not compared.
        note: A few words below the name, such as the shape of the network.
    """

    name: str
    measures: Mapping[str, Interval]
    parameters: int | None = None
    megabytes: float | None = None
    ms_per_100_passages: float | None = None
    kept: Interval | None = None
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the row as it stands in ``results.json``."""
        return {
            "name": self.name,
            "measures": {name: interval.as_dict() for name, interval in self.measures.items()},
            "parameters": self.parameters,
            "megabytes": self.megabytes,
            "ms_per_100_passages": self.ms_per_100_passages,
            **({} if self.kept is None else {"kept": self.kept.as_dict()}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """The loss of one training run or stage.

    Attributes:
        title: What was trained, such as "Student, distilled".
        steps: Optimiser steps, rising, from 1.
        terms: Name of a term of the loss -> its value at each of ``steps``; NaN where a step has no such term.
    """

    title: str
    steps: Sequence[int]
    terms: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is shown; a part that is empty is left out.

    Attributes:
        title: The heading.
        findings: What came of it, a sentence each, most important first.
        alarms: What is suspicious about it, a sentence each.
        facts: What was run: data, command, seeds, versions, ... in this order.
        measure: The measure of the plots and of the comparison by query, one of those of the rows.
        rows: The first stage first, then teacher, then students.
        curves: Loss terms by step.
        differences: query_id -> the student's value minus the teacher's on ``measure``.
        cases: Queries to be read in full.
    """

    title: str
    measure: str
    rows: Sequence[Row]
    findings: Sequence[str] = ()
    alarms: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    curves: Sequence[LossCurve] = ()
    differences: Mapping[str, float] = field(default_factory=dict)
    cases: Sequence[Case] = ()


def loss_curves(title: str, steps: Iterable[Mapping[str, object]]) -> list[LossCurve]:
    """Turn the steps of a journal into one curve per stage.

    Args:
        title: What was trained.
        steps: Step events with ``stage``, ``step`` and ``terms``, each step once and in order, as
            ``training.journal.read_steps`` returns them.
    """
    stages: dict[str, list[tuple[int, Mapping[str, float]]]] = {}
    for event in steps:
        step, terms = event["step"], event["terms"]
        if not isinstance(step, int) or not isinstance(terms, Mapping):
            raise TypeError(f"not a step of a journal: {event!r}")
        stages.setdefault(str(event["stage"]), []).append((step, terms))
    curves = []
    for stage, values in stages.items():
        names = dict.fromkeys(name for _, terms in values for name in terms)
        curves.append(
            LossCurve(
                title=title if len(stages) == 1 else f"{title}: {stage}",
                steps=[step for step, _ in values],
                terms={name: [float(terms.get(name, "nan")) for _, terms in values] for name in names},
            )
        )
    return curves
