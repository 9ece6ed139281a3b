"""Verdicts follow the reading that was written down: from intervals and corrected p values alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.over_seeds import SeedComparison, SystemMean
from study.cells import Question
from study.findings import FINDINGS
from study.measured import Table
from study.questions import QUESTIONS
from study.verdicts import verdicts

ASKED = Question(
    name="q", asks="", published="", systems=("teacher", "a", "b"), against=("b", "teacher"), sets=(), reading=""
)


def comparison(system: str, baseline: str, mean: float, p_holm: float, half: float = 0.02) -> SeedComparison:
    interval = Interval(mean, mean - half, mean + half)
    return SeedComparison(system=system, baseline=baseline, difference=interval, p_value=0.0, p_holm=p_holm)


def table(test_set: str, *found: SeedComparison, kept: Interval | None = None) -> Table:
    row = SystemMean(interval=Interval(0.5, 0.4, 0.6), over="queries", seeds={}, kept=kept)
    return Table(test_set=test_set, measure="nDCG@10", rows={"BM25": row, "a": row}, comparisons=list(found))


@pytest.mark.parametrize(
    ("dev", "dl19", "told"),
    [
        ((0.1, 0.01), (0.1, 0.2), "better"),
        ((-0.1, 0.2), (0.1, 0.049), "better"),
        ((0.1, 0.05), (0.1, 0.5), "not told apart"),
        ((-0.1, 0.001), (0.1, 0.9), "worse"),
        ((-0.1, 0.001), (0.1, 0.001), "contradictory"),
    ],
)
def test_better_on_one_set_and_not_contradicted_by_the_other(
    dev: tuple[float, float], dl19: tuple[float, float], told: str
) -> None:
    tables = [table("openqa_dev", comparison("a", "b", *dev)), table("trec_dl19", comparison("a", "b", *dl19))]
    # A set that does not decide, but against the teacher.
    tables.append(table("antique", comparison("a", "b", -0.1, 0.0), comparison("a", "teacher", 0.1, 0.0)))
    assert verdicts(ASKED, tables) == [f"Against b, {told}: a.", "Against teacher, better: a."]


def test_a_form_costs_nothing_where_its_interval_lies_within_the_margin() -> None:
    asked = replace(ASKED, margin=0.01)
    tables = [
        table("one", comparison("a", "b", 0.0, 1.0, half=0.01)),
        table("two", comparison("a", "b", 0.005, 1.0, half=0.006)),
        table("three", comparison("a", "b", -0.1, 1.0)),
        table("four", comparison("a", "b", -0.001, 1.0, half=0.002)),
        table("five", comparison("a", "b", 0.1, 1.0)),
    ]
    told = "What a costs: nothing on one, four; not told on two; more on three; less than nothing on five."
    assert verdicts(asked, tables) == [told]


def test_a_share_kept_is_held_against_that_on_another_set() -> None:
    asked = replace(ASKED, kept_as_on="whole")
    tables = [
        table("maxp", kept=Interval(0.9, 0.5, 1.0)),
        table("firstp", kept=Interval(0.7, 0.5, 1.0)),
        table("whole", kept=Interval(0.95, 0.9, 1.0)),
    ]
    assert verdicts(asked, tables) == [
        "The share that a keeps on maxp lies within the interval on whole.",
        "The share that a keeps on firstp lies outside of the interval on whole.",
    ]


def test_findings_belong_to_questions_and_name_no_number() -> None:
    assert FINDINGS.keys() <= {question.name for question in QUESTIONS}
    for text in FINDINGS.values():
        plain = text.replace("TREC DL 2019", "").replace("SST-2", "").replace("BM25", "")
        assert not any(character.isdigit() for character in plain), text
