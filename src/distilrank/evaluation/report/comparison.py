"""Several systems over several seeds: what was found, and how it is put into tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from distilrank.evaluation.over_seeds import SeedComparison, SystemMean
from distilrank.evaluation.report.content import Row
from distilrank.evaluation.report.markdown import cell, comparison_line


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureTable:
    """One measure on one test set.

    Attributes:
        systems: Name -> mean; what was not trained here (first stage, teacher) comes first.
        comparisons: Each other system against the baseline, corrected together.
    """

    systems: Mapping[str, SystemMean]
    comparisons: Sequence[SeedComparison]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a system costs to make and to run; None: not known.

    Attributes:
        training_seconds: Mean over its seeds, as the journals have it.
        ms_per_100: Milliseconds to score 100 passages of one query, or 100 texts, on this machine.
        megabytes: Size of the weights, in units of 1,000,000 bytes.
        parameters: Number of weights.
    """

    training_seconds: float | None = None
    ms_per_100: float | None = None
    megabytes: float | None = None
    parameters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that was found.

    Attributes:
        baseline: The system that the others are compared with.
        trained: The systems that were trained here, of which at least one seed is done.
        tests: Test set -> measure -> table.
        costs: System -> cost; the teacher's too.
        alarms: What was suspicious, a sentence each.
        failures: Cell -> what went wrong.
    """

    baseline: str
    trained: Sequence[str]
    tests: Mapping[str, Mapping[str, MeasureTable]]
    costs: Mapping[str, Cost]
    alarms: Sequence[str] = ()
    failures: Mapping[str, str]

    def as_dict(self) -> dict[str, object]:
        """Return everything for JSON."""
        return {
            "baseline": self.baseline,
            "tests": {
                test: {
                    measure: {
                        "systems": {name: mean.as_dict() for name, mean in table.systems.items()},
                        "comparisons": [each.as_dict() for each in table.comparisons],
                    }
                    for measure, table in tables.items()
                }
                for test, tables in self.tests.items()
            },
            "costs": {name: asdict(cost) for name, cost in self.costs.items()},
            "alarms": list(self.alarms),
            "failures": dict(self.failures),
        }

    def rows(self, test: str) -> list[Row]:
        """Return the systems as the plots of a report want them."""
        tables = self.tests[test]
        names = next(iter(tables.values())).systems
        costs = {name: self.costs.get(name, Cost()) for name in names}
        return [
            Row(
                name=name,
                measures={measure: table.systems[name].interval for measure, table in tables.items()},
                parameters=costs[name].parameters,
                megabytes=costs[name].megabytes,
                ms_per_100_passages=costs[name].ms_per_100,
            )
            for name in names
        ]


def header(comparison: Comparison, test: str) -> list[str]:
    """Return the names of the table's columns."""
    return ["system", "over", *comparison.tests[test], "training s", "ms per 100", "MB", "parameters"]


def cells(comparison: Comparison, test: str) -> list[list[list[str]]]:
    """Return the table's rows; a cell is one or more short texts: mean, interval, share kept, p value."""
    rows = []
    tables = comparison.tests[test]
    for name in next(iter(tables.values())).systems:
        first = next(iter(tables.values())).systems[name]
        row = [[name, "(baseline)"] if name == comparison.baseline else [name], [first.over]]
        for table in tables.values():
            found = table.systems[name]
            row.append([f"{found.interval.mean:.4f}", f"({found.interval.low:.3f} to {found.interval.high:.3f})"])
            if found.kept is not None:
                row[-1].append(f"{found.kept.mean:.1%} kept")
            row[-1] += [f"p {each.p_holm:.4f}" for each in table.comparisons if each.system == name]
        cost = comparison.costs.get(name, Cost())
        shown = (_number(cost.training_seconds), _number(cost.ms_per_100, 1), _number(cost.megabytes, 1))
        rows.append([*row, *([each] for each in (*shown, _number(cost.parameters)))])
    return rows


def comparison_markdown(comparison: Comparison, *, heading: Sequence[str] = (), figures: Mapping[str, str]) -> str:
    """Return everything as a page of Markdown.

    Args:
        comparison: What was found.
        heading: Paragraphs below the title.
        figures: Test set -> file of its drawing, beside the page.
    """
    parts = ["# Comparison", *heading]
    for test, tables in comparison.tests.items():
        columns = header(comparison, test)
        lines = [f"| {' | '.join(map(cell, columns))} |", "| --- | --- |" + " ---: |" * (len(columns) - 2)]
        for row in cells(comparison, test):
            together = (", ".join(map(cell, texts)).replace(", (", " (") for texts in row)
            lines.append(f"| {' | '.join(together)} |")
        parts += [f"## {test}", "\n".join(lines)]
        told = [f"- {measure}: {comparison_line(each)}" for measure, of in tables.items() for each in of.comparisons]
        parts += ["\n".join(told)] if told else []
        parts.append(f"![Means and intervals on {test}]({figures[test]})")
    parts += [_NOTE, *_listed("Alarms", comparison.alarms)]
    parts += _listed("Failed", [f"{name}: {problem}" for name, problem in comparison.failures.items()])
    return "\n\n".join(parts) + "\n"


_NOTE = (
    "Intervals hold 95%: over seeds Student's, over queries or examples the bootstrap's. Rankers are compared with the "
    "baseline query by query after averaging over seeds (randomisation test), classifiers seed by seed (t-test); p "
    "values have Holm's correction over the systems of a measure."
)


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "\n".join(f"- {line}" for line in lines)] if lines else []


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
