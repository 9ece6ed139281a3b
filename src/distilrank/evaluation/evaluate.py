"""One system seen against its first stage, its baselines and its teacher: everything ``distilrank evaluate`` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distilrank.errors import InputError, SettingsError
from distilrank.evaluation.fidelity import Fidelity, fidelity
from distilrank.evaluation.intervals import Interval, ratio_interval
from distilrank.evaluation.measures import DEFAULT_MEASURES, Measures, measure
from distilrank.evaluation.rerank import shorten
from distilrank.evaluation.significance import Comparison, compare
from distilrank.records import Qrels, Run


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was found; ``tables`` shows it and ``as_dict`` gives it as JSON.

    Attributes:
        system: The system under test, a key of ``measured``.
        first_stage: The system whose candidates were re-ranked.
        teacher: The system that ``system`` was distilled from; None when none was named.
        measured: System -> its measures, the first stage first; all over the same judged queries.
        intervals: System -> measure -> mean with its 95% bootstrap interval.
        comparisons: ``system`` against each of the others, measure by measure.
        share_kept: Measure -> mean of ``system`` as a share of the teacher's; None where the teacher has zero. Empty
            without a teacher.
        fidelity: Agreement of ``system`` with the teacher's order; None without a teacher.
    """

    system: str
    first_stage: str
    teacher: str | None
    measured: Mapping[str, Measures]
    intervals: Mapping[str, Mapping[str, Interval]]
    comparisons: Sequence[Comparison]
    share_kept: Mapping[str, Interval | None]
    fidelity: Fidelity | None

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures, in the order asked for."""
        return self.measured[self.system].names

    def as_dict(self) -> dict[str, object]:
        """Return everything, the values of every query included, for JSON."""
        shares = {name: None if share is None else share.as_dict() for name, share in self.share_kept.items()}
        return {
            "system": self.system,
            "first_stage": self.first_stage,
            "teacher": self.teacher,
            "queries": len(self.measured[self.system].query_ids),
            "systems": [
                {
                    "name": name,
                    "measures": {each: interval.as_dict() for each, interval in self.intervals[name].items()},
                    "judged_queries_without_results": list(measures.without_results),
                    "queries_without_judgements": len(measures.without_judgements),
                }
                for name, measures in self.measured.items()
            ],
            "comparisons": [comparison.as_dict() for comparison in self.comparisons],
            "share_of_teacher_kept": shares,
            "fidelity_to_teacher": None if self.fidelity is None else self.fidelity.as_dict(),
            "per_query": {
                name: {system: dict(measures.per_query[name]) for system, measures in self.measured.items()}
                for name in self.measures
            },
        }


def evaluate_runs(
    *,
    qrels: Qrels,
    runs: Mapping[str, Run],
    system: str,
    first_stage: str,
    teacher: str | None = None,
    measures: Sequence[str] = DEFAULT_MEASURES,
    seed: int = 0,
) -> Evaluation:
    """Measure runs and compare one of them with all the others.

    Args:
        qrels: Judgements.
        runs: Name -> run, of all systems.
        system: The one under test.
        first_stage: The one whose candidates were re-ranked; it may be ``system`` itself.
        teacher: The one that ``system`` was distilled from, when there is one.
        measures: Names as ir_measures writes them.
        seed: Of the bootstrap and the randomisation tests; the same runs and seed give the same numbers.

    Raises:
        InputError: A measure is not known, or not one query of a run is judged.
        SettingsError: A system is its own teacher.
    """
    if teacher == system:
        raise SettingsError(f"{system} is given as its own teacher; name another system")
    order = [first_stage, *(name for name in runs if name not in (first_stage, system)), system]
    measured = {name: measure(qrels, runs[name], measures) for name in dict.fromkeys(order)}
    for name, found in measured.items():
        if len(found.without_results) == len(found.query_ids):
            raise InputError(
                f"none of the {len(runs[name])} queries of {name} is among the {len(found.query_ids)} judged ones; "
                "check that run, data and split belong together"
            )
    others = [name for name in measured if name != system]
    names = measured[system].names
    shares: dict[str, Interval | None] = {}
    if teacher is not None:
        ours, theirs = measured[system], measured[teacher]
        shares = {name: ratio_interval(ours.values(name), theirs.values(name), seed=seed) for name in names}
    return Evaluation(
        system=system,
        first_stage=first_stage,
        teacher=teacher,
        measured=measured,
        intervals={name: {each: found.interval(each, seed=seed) for each in names} for name, found in measured.items()},
        comparisons=[comparison for name in names for comparison in compare(system, others, measured, name, seed=seed)],
        share_kept=shares,
        fidelity=None if teacher is None else _judged_fidelity(runs[system], runs[teacher], measured[system]),
    )


def _judged_fidelity(student: Run, teacher: Run, measures: Measures) -> Fidelity:
    """Return the agreement on the queries that the measures are taken over."""
    judged = measures.query_ids
    return fidelity(shorten(student, query_ids=judged), shorten(teacher, query_ids=judged))
