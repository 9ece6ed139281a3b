"""Which ranker to take: what each keeps and what it takes, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from study.cells import Question
from study.costs import Cost, told_number
from study.measured import FIRST_STAGE, RANKING_MEASURE, measured
from study.plan import RANKING_SETS
from study.systems import RANKERS

_ALL = Question(
    name="", asks="", published="", systems=tuple(RANKERS), against=(), sets=RANKING_SETS, reading=""
)  # asks nothing: every ranker beside every other


def at_a_glance(results: Path, found: Mapping[str, Cost]) -> list[str]:
    """Return all rankers that were judged on both test sets, best first by the dev set; nothing before there are any.

    Args:
        results: Folder of what was measured.
        found: System -> its cost.
    """
    tables = measured(_ALL, results)
    if len(tables) < len(RANKING_SETS):
        return []
    lines = [
        f"Mean {RANKING_MEASURE} and, in brackets, the share kept of the teacher's; ms are for 100 passages of 128 "
        "tokens, and the teacher's MB are of half precision. The intervals are with the questions below: rows that lie "
        "close are not told apart.",
        "",
        "| system | what it is | openqa dev | TREC DL 2019 | MB | ms |",
        "| --- | --- | --- | --- | ---: | ---: |",
    ]
    rows = set.intersection(*(set(table.rows) for table in tables))
    for name in sorted(rows, key=lambda name: -tables[0].rows[name].interval.mean):
        means = []
        for row in (table.rows[name] for table in tables):
            means.append(f"{row.interval.mean:.3f}" + (f" ({row.kept.mean:.0%})" if row.kept else ""))
        cost = found.get(name)
        sizes = [told_number(cost.megabytes, "1f"), told_number(cost.ms_per_100, "0f")] if cost else ["", ""]
        what = "the candidates as they come" if name == FIRST_STAGE else RANKERS[name]
        lines.append(f"| {' | '.join([name, what, *means, *sizes])} |")
    return lines
