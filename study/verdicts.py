"""What the tables say by the reading that was written down before: computed, so that nobody reads into them."""

from __future__ import annotations

from collections.abc import Sequence

from distilrank.evaluation.over_seeds import SeedComparison
from study.cells import Question
from study.measured import FIRST_STAGE, Table
from study.plan import RANKING_SETS

DECISIVE = (*RANKING_SETS, "sst2")
"""Test sets that decide who is better, as the readings say."""

ALPHA = 0.05
VERDICTS = {1: "better", -1: "worse", 0: "not told apart"}


def verdicts(question: Question, tables: Sequence[Table]) -> list[str]:
    """Return a sentence for each baseline, or for each system where something else is asked than who is better."""
    if question.margin is not None:
        return _within(question.margin, tables)
    if question.kept_as_on is not None:
        return _kept(question.kept_as_on, tables)
    lines = []
    for baseline in question.against:
        # A student is better than its teacher if it is so on one set and worse on none.
        told = [table for table in tables if baseline == "teacher" or table.test_set in DECISIVE]
        signs: dict[str, set[int]] = {}
        for each in (each for table in told for each in table.comparisons if each.baseline == baseline):
            signs.setdefault(each.system, set()).add(_sign(each))
        by_verdict: dict[str, list[str]] = {}
        for system, found in signs.items():
            by_verdict.setdefault(_verdict(found), []).append(system)
        if by_verdict:
            lines.append(
                f"Against {baseline}, {'; '.join(f'{each}: {_joined(names)}' for each, names in by_verdict.items())}."
            )
    return lines


def _sign(found: SeedComparison) -> int:
    """Return 1 where the system is significantly better, -1 where it is worse, else 0."""
    return 0 if found.p_holm >= ALPHA else (1 if found.difference.mean > 0 else -1)


def _verdict(signs: set[int]) -> str:
    return "contradictory" if {1, -1} <= signs else VERDICTS[sum(signs)]


def _within(margin: float, tables: Sequence[Table]) -> list[str]:
    """Tell of each system on which test sets the interval of its difference lies within the margin."""
    found: dict[str, dict[str, list[str]]] = {}
    for table in tables:
        for each in table.comparisons:
            low, high = each.difference.low, each.difference.high
            outside = "more" if high < -margin else "less than nothing" if low > margin else "not told"
            verdict = "nothing" if -margin <= low and high <= margin else outside
            found.setdefault(each.system, {}).setdefault(verdict, []).append(table.test_set)
    return [
        f"What {system} costs: {'; '.join(f'{each} on {_joined(sets)}' for each, sets in by_verdict.items())}."
        for system, by_verdict in found.items()
    ]


def _kept(other: str, tables: Sequence[Table]) -> list[str]:
    """Tell of each system whether the share that it keeps lies within the interval of that on another test set."""
    shares = {table.test_set: {name: row.kept for name, row in table.rows.items() if row.kept} for table in tables}
    lines = []
    for test_set in shares:
        for name, kept in shares[test_set].items():
            beside = shares.get(other, {}).get(name)
            if test_set != other and name != FIRST_STAGE and beside is not None:
                where = "within" if beside.low <= kept.mean <= beside.high else "outside of"
                lines.append(f"The share that {name} keeps on {test_set} lies {where} the interval on {other}.")
    return lines


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names)
