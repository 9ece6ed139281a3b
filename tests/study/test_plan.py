"""The plan of the study: cells that can be run, questions that can be answered, and costs that were agreed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from distilrank.cli.app import build_app
from distilrank.cli.verbs import VERBS
from study.cells import Cell, by_name, keys, system_and_seed
from study.plan import SCALES, TASKS, Plan
from study.plan_page import LONGEST_MINUTES, plan_page
from study.questions import QUESTIONS


@pytest.fixture(params=sorted(SCALES))
def plan(request: pytest.FixtureRequest) -> Plan:
    return Plan(scale=SCALES[request.param], data=Path("data"), runs=Path("runs"), teacher=Path("teacher"))


def commands(plan: Plan) -> Iterator[list[str]]:
    for cell in plan.cells():
        yield from (shlex.split(command) for command in cell.commands)
    for arguments in plan.test_sets().values():
        yield ["evaluate", "model", *shlex.split(arguments), "--precision", "int8"]


def test_every_command_is_understood_by_its_verb(plan: Plan) -> None:
    verbs = typer.main.get_command(build_app(VERBS)).commands  # type: ignore[attr-defined]
    for name, *arguments in commands(plan):
        verbs[name].make_context(name, arguments)  # raises where an option or a value is unknown


def test_cells_come_after_what_they_need(plan: Plan) -> None:
    cells = list(by_name(list(plan.cells())))
    assert {"teacher", "data", "simplified-1", "sst2_tinybert-1", "trimmed_int8"} <= set(cells)
    for name, cell in by_name(list(plan.cells())).items():
        assert all(cells.index(need) < cells.index(name) for need in cell.needs)
        folders = {name, *cell.needs, "chunks", "mlm", "data", *([cell.model] if cell.model else [])}
        read = {
            Path(word).parts[1] for command in cell.commands for word in command.split() if word.startswith("runs/")
        }
        assert read <= folders, f"{name} reads {sorted(read - folders)}, which it does not say that it needs"


def test_every_row_of_a_question_is_measured_on_its_sets(plan: Plan) -> None:
    judged: dict[str, set[str]] = {}
    for cell in plan.cells():
        judged.setdefault(system_and_seed(cell.name)[0], set()).update(cell.judged_on)
    for question in QUESTIONS:
        assert set(question.against) <= set(question.systems)
        for test_set in question.sets:
            rows = [f"{test_set}_{system}" if test_set in TASKS else system for system in question.systems]
            assert sum(test_set in judged.get(row, ()) for row in rows) >= 2, (question.name, test_set)
        rows = [row for test_set in question.sets for row in question.systems]
        assert all(row in judged or f"{question.sets[0]}_{row}" in judged for row in rows)


def test_the_costs_are_those_agreed() -> None:
    plan = Plan(scale=SCALES["cpu"], data=Path("data"), runs=Path("runs"), teacher=Path("teacher"))
    cells = list(plan.cells())
    assert max(cell.minutes for cell in cells) <= LONGEST_MINUTES
    assert 11 <= sum(cell.minutes for cell in cells) / 60 <= 13.5
    page = plan_page(plan)
    assert all(question.reading in page for question in QUESTIONS)
    assert f"{len(cells)} cells" in page


def test_a_key_changes_with_all_that_decides_a_number() -> None:
    first, second = Cell(name="a", commands=("x",), minutes=1), Cell(name="b", commands=("y",), needs=("a",), minutes=1)
    second = Cell(name="b", commands=("y",), needs=("a",), judged_on=("t",), minutes=1)
    before = keys({"a": first, "b": second}, {"t": "--data t"}, start="s")
    other = Cell(name="a", commands=("z",), minutes=1)
    assert keys({"a": other, "b": second}, {"t": "--data t"}, start="s")["b"] != before["b"]
    assert keys({"a": first, "b": second}, {"t": "--data u"}, start="s")["b"] != before["b"]
    assert keys({"a": first, "b": second}, {"t": "--data t"}, start="r")["a"] != before["a"]
    cheaper = Cell(name="b", commands=("y",), needs=("a",), judged_on=("t",), minutes=9)
    assert keys({"a": first, "b": cheaper}, {"t": "--data t"}, start="s") == before


def test_plans_that_cannot_be_run_are_refused() -> None:
    def cell(name: str, *needs: str) -> Cell:
        return Cell(name=name, commands=(), needs=needs, minutes=1)

    with pytest.raises(ValueError, match="cells of one name: a"):
        by_name([cell("a"), cell("a")])
    with pytest.raises(ValueError, match="b needs a, which is not in the plan"):
        by_name([cell("b", "a")])
    with pytest.raises(ValueError, match="a -> b -> a"):
        by_name([cell("a", "b"), cell("b", "a")])


def test_a_name_ends_in_its_seed() -> None:
    assert system_and_seed("sst2_labels-12") == ("sst2_labels", "12")
    assert system_and_seed("int8") == ("int8", "")
    assert system_and_seed("a-b") == ("a-b", "")
