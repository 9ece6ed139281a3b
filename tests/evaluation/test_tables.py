from __future__ import annotations

import io

import numpy as np
from rich.console import Console
from rich.table import Table

from distilrank.evaluation.classification import evaluate_classifiers
from distilrank.evaluation.evaluate import evaluate_runs
from distilrank.evaluation.tables import classification_tables, ranking_tables, remarks
from distilrank.records import Qrels, Run

QRELS: Qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}}
FIRST: Run = {"q1": {"a": 1.0, "b": 2.0}, "q2": {"a": 1.0, "b": 2.0}, "q3": {"a": 2.0, "b": 1.0}}
STUDENT: Run = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 2.0, "b": 1.0}, "q9": {"a": 1.0}}
TEACHER: Run = {query_id: {"a": 2.0, "b": 1.0} for query_id in QRELS}


def printed(tables: list[Table]) -> str:
    console = Console(file=io.StringIO(), width=200)
    for table in tables:
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def row(text: str, start: str) -> list[str]:
    """Return the cells of the line whose first cell begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"│ {start}")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_ranking_tables() -> None:
    evaluation = evaluate_runs(
        qrels=QRELS,
        runs={"bm25": FIRST, "student": STUDENT, "teacher": TEACHER},
        system="student",
        first_stage="bm25",
        teacher="teacher",
        measures=["RR@10"],
    )

    text = printed(ranking_tables(evaluation))

    assert "3 judged queries" in text
    assert row(text, "bm25 (first stage)")[1].startswith("0.6667 (0.500 to 1.000")
    assert row(text, "teacher (teacher)")[1] == "1.0000 (1.000 to 1.000)"
    assert row(text, "student")[1].startswith("0.6667 (0.000 to 1.000")
    comparisons = [line for line in text.splitlines() if line.startswith("│ RR@10")]
    assert [line.split("│")[2].strip() for line in comparisons] == ["bm25", "teacher"]
    assert "+0.0000" in comparisons[0]
    assert comparisons[0].split("│")[-2].strip() == "2/0/1"
    assert "-0.3333" in comparisons[1]
    assert row(text, "share of RR@10 kept")[1].startswith("66.7% (")
    assert row(text, "Kendall")[1] == "1.0000 (1.000 to 1.000)"
    assert row(text, "rank-biased overlap")[1] == "1.0000 (1.000 to 1.000)"


def test_a_run_alone_has_one_table() -> None:
    evaluation = evaluate_runs(qrels=QRELS, runs={"bm25": FIRST}, system="bm25", first_stage="bm25", measures=["AP"])
    assert len(ranking_tables(evaluation)) == 1


def test_small_p_values_are_not_shown_as_zero() -> None:
    rng = np.random.default_rng(1)
    qrels: Qrels = {f"q{number}": {"a": 1} for number in range(60)}
    good: Run = {query_id: {"a": 2.0, "b": float(rng.random())} for query_id in qrels}
    bad: Run = {query_id: {"a": -1.0, "b": 1.0, "c": float(rng.normal())} for query_id in qrels}
    evaluation = evaluate_runs(
        qrels=qrels, runs={"good": good, "bad": bad}, system="good", first_stage="bad", measures=["RR@10"]
    )
    (line,) = [line for line in printed(ranking_tables(evaluation)).splitlines() if line.startswith("│ RR@10")]
    assert line.count("< 0.001") == 2


def test_remarks_tell_what_was_left_out() -> None:
    evaluation = evaluate_runs(
        qrels=QRELS, runs={"bm25": FIRST, "student": STUDENT}, system="student", first_stage="bm25", measures=["AP"]
    )
    assert remarks(evaluation) == [
        "student: 1 judged queries without results count as 0 (the first is 'q3')",
        "student: 1 queries without judgements were left out (the first is 'q9')",
    ]


def test_teacher_that_finds_nothing() -> None:
    nothing: Run = {query_id: {"b": 2.0, "c": 1.0} for query_id in QRELS}
    evaluation = evaluate_runs(
        qrels=QRELS,
        runs={"bm25": {**FIRST, "q1": {"b": 1.0, "c": 0.0}}, "teacher": nothing},
        system="bm25",
        first_stage="bm25",
        teacher="teacher",
        measures=["AP"],
    )
    assert row(printed(ranking_tables(evaluation)), "share of AP kept")[1] == "the teacher has 0"


def test_classification_tables() -> None:
    right = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)
    evaluation = evaluate_classifiers(
        labels=[0, 1, 0, 0],
        logits={"student": right[::-1].copy(), "teacher": right},
        kind="classes",
        system="student",
        teacher="teacher",
        resamples=100,
    )

    text = printed(classification_tables(evaluation))

    assert "4 examples" in text
    assert row(text, "teacher")[1].startswith("0.7500 (")
    assert row(text, "student")[1].startswith("0.2500 (")
    assert row(text, "accuracy")[1].startswith("33.3% (")


def test_names_in_brackets_are_no_markup() -> None:
    runs = {"[bold]bm25": FIRST, "[red]student": STUDENT}
    found = evaluate_runs(qrels=QRELS, runs=runs, system="[red]student", first_stage="[bold]bm25", measures=["AP"])
    text = printed(ranking_tables(found))
    assert row(text, "[bold]bm25")[0] == "[bold]bm25 (first stage)"
    assert row(text, "[red]student")[0] == "[red]student"
    assert row(text, "AP")[1] == "[bold]bm25"
    assert "[red]student against the others" in text


def test_a_run_alone_is_nobodys_first_stage() -> None:
    found = evaluate_runs(qrels=QRELS, runs={"bm25": FIRST}, system="bm25", first_stage="bm25", measures=["AP"])
    assert row(printed(ranking_tables(found)), "bm25")[0] == "bm25"


def test_p_values_are_shown_after_the_correction() -> None:
    rng = np.random.default_rng(2)
    qrels: Qrels = {f"q{number}": {"a": 1} for number in range(20)}

    def noisy(quality: float) -> Run:
        return {query_id: {"a": quality + float(rng.normal()), "b": 0.0, "c": 0.5} for query_id in qrels}

    runs = {"first": noisy(0.0), "other": noisy(0.5), "system": noisy(1.0)}
    evaluation = evaluate_runs(qrels=qrels, runs=runs, system="system", first_stage="first", measures=["RR@10"])
    lines = [line.split("│") for line in printed(ranking_tables(evaluation)).splitlines() if line.startswith("│ RR@10")]
    for line, comparison in zip(lines, evaluation.comparisons, strict=True):
        assert [cell.strip() for cell in line[4:6]] == [
            f"{comparison.t_test_holm:.3f}",
            f"{comparison.randomisation_holm:.3f}",
        ]
    assert any(f"{each.t_test:.3f}" != f"{each.t_test_holm:.3f}" for each in evaluation.comparisons)
