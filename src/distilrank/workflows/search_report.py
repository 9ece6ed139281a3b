"""What came of a search: the front, why the winner won, and the files that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import library_versions, read_json, write_json
from distilrank.evaluation.intervals import mean_interval, ratio_interval
from distilrank.evaluation.over_seeds import compare_by_query
from distilrank.evaluation.report import Report, Row, write_report
from distilrank.runtime.cpu import this_cpu
from distilrank.runtime.folder import machine, usable_cores
from distilrank.workflows.compare_measuring import MeasuredOn
from distilrank.workflows.compare_results import TEACHER
from distilrank.workflows.search_budget import Budget, Form, best_form, pareto_front

SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found.

    Attributes:
        budget: Most that the winner might take.
        test: What decided.
        winner: The best form that fits and was measured as deployed.
        run: Folder of its training.
        forms: All forms of what was trained whose quality is known.
        dropped: Of each shape that was not trained the form nearest to fitting.
        teacher: What it takes, and its quality.
        first_stage: Values of the run that was re-ranked, by query.
        failures: Cell -> what went wrong.
    """

    budget: Budget
    test: MeasuredOn
    winner: Form
    run: Path
    forms: Sequence[Form]
    dropped: Sequence[Form]
    teacher: Form
    first_stage: Mapping[str, float]
    failures: Mapping[str, str]

    @property
    def measure(self) -> str:
        """What decided."""
        return self.test.measures[0]

    @cached_property
    def shown(self) -> list[Form]:
        """The Pareto front, and the winner wherever it lies, the fastest first."""
        front = {form.name: form for form in (*pareto_front(self.forms), self.winner)}
        return sorted(front.values(), key=lambda form: (form.ms_per_100, form.name))

    @cached_property
    def alarms(self) -> list[str]:
        """What was suspicious about the winner's scores after its training."""
        record = read_json(self.run / "measured" / f"{self.test.split}.json")
        return [alarm["message"] for alarm in record["alarms"]]

    @cached_property
    def why(self) -> list[str]:
        """Why the winner won, a sentence each."""
        winner, interval = self.winner, self.winner.interval
        sentences = [
            f"{winner.name} takes {winner.cost()} and has the best {self.measure} of what fits {self.budget}: "
            f"{interval.mean:.4f} ({interval.low:.3f} to {interval.high:.3f}) on {len(winner.per_query):,} queries of "
            f"{self.test.split}."
        ]
        within = [form for form in self.forms if form.fits(self.budget) and form.shape != winner.shape]
        if within:
            following = best_form(within)
            trained = "" if following.steps == winner.steps else f" after {following.steps:,} steps"
            sentences.append(f"The next shape that fits is {following.name}{trained}: {self._difference(following)}.")
        beyond = [form for form in self.forms if not form.fits(self.budget)]
        if beyond and (larger := best_form(beyond)).mean > winner.mean:
            sentences.append(f"With {larger.cost()} it could be {larger.name}: {self._difference(larger)}.")
        elif beyond:
            sentences.append("Nothing that was trained and takes more is better.")
        if self.dropped:
            nearest = min(self.dropped, key=lambda form: self.budget.share(form.ms_per_100, form.megabytes))
            sentences.append(
                f"{len(self.dropped)} shape(s) do not fit and were not trained; what the nearest, {nearest.name} with "
                f"{nearest.cost()}, would reach is not known."
            )
        return sentences

    def _difference(self, form: Form) -> str:
        """Compare a form with the winner, query by query."""
        values = {each.name: {"": _in_order(each.per_query)} for each in (form, self.winner)}
        (found,) = compare_by_query(values, [(form.name, self.winner.name)])
        d, sure = found.difference, "significant" if found.p_value < SIGNIFICANT else "not significant"
        change = f"{d.mean:+.4f} {self.measure} ({d.low:+.3f} to {d.high:+.3f})"
        return f"{change}, p {found.p_value:.4f} by a paired randomisation test, {sure}"


def write_search(found: Found, out: Path, *, command: str) -> None:
    """Write ``search.json`` and ``report.html``."""

    def described(form: Form) -> dict[str, object]:
        quality = form.interval.as_dict() if form.per_query else None
        return {**asdict(form), "per_query": None, "fits": form.fits(found.budget), "quality": quality}

    trained_in = found.run.relative_to(out).as_posix()
    record = {
        "command": command,
        "versions": library_versions(),
        "machine": machine(),
        "budget": asdict(found.budget),
        "measure": found.measure,
        "test": found.test.arguments,
        "winner": found.winner.name,
        "trained_in": trained_in,
        "why": found.why,
        "front": [form.name for form in found.shown],
        "forms": {form.name: described(form) for form in found.forms},
        "dropped": {form.name: described(form) for form in found.dropped},
        "teacher": described(found.teacher),
        "alarms": found.alarms,
        "failures": dict(found.failures),
    }
    write_json(out / "search.json", record)
    report = Report(
        title=f"The best student within {found.budget}",
        measure=found.measure,
        rows=_rows(found),
        findings=found.why,
        alarms=[*found.alarms, *(f"{cell} failed: {problem}" for cell, problem in found.failures.items())],
        facts={
            "command": command,
            "queries": f"{len(found.winner.per_query):,} of {found.test.split}, the ones that chose the winner",
            "winner's training": trained_in,
            "not trained": "; ".join(f"{form.name}, {form.cost()}" for form in found.dropped) or "none",
            "machine": f"{this_cpu().name}, {usable_cores()} cores for this process",
        },
    )
    write_report(out / "report.html", report)


def _rows(found: Found) -> list[Row]:
    """Return the first stage, the teacher and the forms that are shown."""
    teacher = _in_order(found.teacher.per_query)
    rows = [Row(name="first stage", measures={found.measure: mean_interval(_in_order(found.first_stage))})]
    for form in (found.teacher, *found.shown):
        is_teacher = form is found.teacher
        place = "the winner" if form is found.winner else "fits" if form.fits(found.budget) else "too large"
        rows.append(
            Row(
                name=TEACHER if is_teacher else form.name,
                measures={found.measure: form.interval},
                megabytes=form.megabytes,
                ms_per_100_passages=form.ms_per_100,
                kept=None if is_teacher else ratio_interval(_in_order(form.per_query), teacher),
                note="" if is_teacher else f"{place}; {form.steps:,} steps",
            )
        )
    return rows


def _in_order(per_query: Mapping[str, float]) -> NDArray[np.float64]:
    return np.array([per_query[query_id] for query_id in sorted(per_query)])
