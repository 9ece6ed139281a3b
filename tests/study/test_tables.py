"""The page's tables: a cell for each test set where there is a number, best rankers first, every row in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.over_seeds import SeedComparison, SystemMean
from study.cells import Question
from study.costs import Cost
from study.glance import at_a_glance
from study.markdown import question_tables
from study.measured import Table
from study.plan import RANKING_SETS, SCALES, Plan
from study.systems import RANKERS

COST = Cost(
    shape="1/4/8/2",
    million_weights=None,
    megabytes=2.04,
    million_multiply_adds=None,
    ms_per_100=None,
    core_minutes=None,
)


def test_every_ranker_of_the_plan_is_told_in_words() -> None:
    plan = Plan(scale=SCALES["cpu"], data=Path("d"), runs=Path("r"), teacher=Path("t"))
    rankers = {cell.name.split("-")[0] for cell in plan.cells() if set(RANKING_SETS) <= set(cell.judged_on)}
    assert rankers == RANKERS.keys()


def test_a_question_has_one_table_for_all_its_test_sets() -> None:
    def row(mean: float, kept: Interval | None = None, seeds: int = 0) -> SystemMean:
        interval = Interval(mean, mean - 0.1, mean + 0.1)
        values = {str(seed): mean for seed in range(seeds)}
        return SystemMean(interval=interval, over=f"{seeds} seeds" if seeds else "queries", seeds=values, kept=kept)

    def differs(p_holm: float) -> SeedComparison:
        difference = Interval(-0.1, -0.2, 0.05)
        return SeedComparison(system="a", baseline="teacher", difference=difference, p_value=0.0, p_holm=p_holm)

    tables = [
        Table(
            test_set="one",
            measure="nDCG@10",
            rows={"teacher": row(0.5), "a": row(0.4, Interval(0.8, 0.7, 0.9), seeds=3)},
            comparisons=[differs(0.049)],
        ),
        Table(
            test_set="two",
            measure="accuracy",
            rows={"teacher": row(0.5), "a": row(0.45), "b": row(0.2)},
            comparisons=[differs(0.05)],
        ),
    ]
    asked = Question(
        name="", asks="", published="", systems=("teacher", "a", "b"), against=("b", "teacher"), sets=(), reading=""
    )
    assert "\n".join(question_tables(asked, tables)).split("\n\n") == [
        "**Means, with 95% intervals over queries or, of several seeds, over these**",
        "| system | one, nDCG@10 | two, accuracy |\n"
        "| --- | --- | --- |\n"
        "| teacher | 0.500 (0.400 to 0.600) | 0.500 (0.400 to 0.600) |\n"
        "| a | 0.400 (0.300 to 0.500), 3 seeds | 0.450 (0.350 to 0.550) |\n"
        "| b |  | 0.200 (0.100 to 0.300) |",
        "**Kept of the teacher's**",
        "| system | one, nDCG@10 | two, accuracy |\n| --- | --- | --- |\n| a | 80% (70% to 90%) |  |\n| b |  |  |",
        "**Difference from teacher** (bold: p < 0.05 after Holm's correction)",
        "| system | one, nDCG@10 | two, accuracy |\n"
        "| --- | --- | --- |\n"
        "| a | **-0.100 (-0.200 to +0.050), p 0.0490** | -0.100 (-0.200 to +0.050), p 0.0500 |",
    ]


@pytest.mark.parametrize("missing", [None, *RANKING_SETS])
def test_rankers_at_a_glance_come_best_first(tmp_path: Path, missing: str | None) -> None:
    values = {"teacher": 0.5, "kl-1": 0.1, "kl-2": 0.3, "mse-1": 0.4}
    for name, value in values.items():
        for test_set in RANKING_SETS:
            per_query = {"nDCG@10": {name: {"q1": value, "q2": value}, "BM25": {"q1": 0.25, "q2": 0.25}}}
            content = {"system": name, "first_stage": "BM25", "per_query": per_query}
            if not (name.startswith("kl") and test_set == missing):
                (tmp_path / f"{name}.{test_set}.json").write_text(json.dumps(content))
    assert at_a_glance(tmp_path / "nothing", {}) == []
    rows = [line for line in at_a_glance(tmp_path, {"mse": COST}) if line.startswith("| ")][2:]
    expected = [
        f"| teacher | {RANKERS['teacher']} | 0.500 | 0.500 |  |  |",
        f"| mse | {RANKERS['mse']} | 0.400 (80%) | 0.400 (80%) | 2.0 |  |",
        "| BM25 | the candidates as they come | 0.250 (50%) | 0.250 (50%) |  |  |",
        f"| kl | {RANKERS['kl']} | 0.200 (40%) | 0.200 (40%) |  |  |",
    ]
    assert rows == (expected[:3] if missing else expected)
