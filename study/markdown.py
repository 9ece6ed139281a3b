"""A question's numbers as Markdown: one table for all test sets rather than one for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.over_seeds import SeedComparison
from study.cells import Question
from study.measured import Table
from study.verdicts import ALPHA


def question_tables(question: Question, tables: Sequence[Table]) -> list[str]:
    """Return means, shares kept of the teacher, and differences from each baseline."""
    lines = ["**Means, with 95% intervals over queries or, of several seeds, over these**", ""]
    lines += _table(tables, _rows(tables), _mean)
    if any(row.kept for table in tables for row in table.rows.values()):
        lines += ["", "**Kept of the teacher's**", ""]
        lines += _table(tables, [row for row in _rows(tables) if row != "teacher"], _kept)
    for baseline in question.against:
        compared = [system for system in question.systems if any(_found(each, system, baseline) for each in tables)]
        if compared:
            lines += ["", f"**Difference from {baseline}** (bold: p < {ALPHA} after Holm's correction)", ""]
            lines += _table(tables, compared, partial(_difference, baseline=baseline))
    return lines


def _rows(tables: Sequence[Table]) -> list[str]:
    """Return the systems of all tables, each once."""
    return list(dict.fromkeys(name for table in tables for name in table.rows))


def _table(tables: Sequence[Table], rows: Sequence[str], tell: Callable[[Table, str], str]) -> list[str]:
    heads = ["system", *(f"{table.test_set}, {table.measure}" for table in tables)]
    body = [[row, *(tell(table, row) for table in tables)] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *body)]


def _mean(table: Table, row: str) -> str:
    found = table.rows.get(row)
    return "" if found is None else f"{_interval(found.interval, '.3f')}{', ' + found.over if found.seeds else ''}"


def _kept(table: Table, row: str) -> str:
    found = table.rows.get(row)
    return "" if found is None or found.kept is None else _interval(found.kept, ".0%")


def _difference(table: Table, row: str, *, baseline: str) -> str:
    found = _found(table, row, baseline)
    if found is None:
        return ""
    told = f"{_interval(found.difference, '+.3f')}, p {found.p_holm:.4f}"
    return f"**{told}**" if found.p_holm < ALPHA else told


def _found(table: Table, system: str, baseline: str) -> SeedComparison | None:
    return next((each for each in table.comparisons if (each.system, each.baseline) == (system, baseline)), None)


def _interval(interval: Interval, form: str) -> str:
    return f"{interval.mean:{form}} ({interval.low:{form}} to {interval.high:{form}})"
