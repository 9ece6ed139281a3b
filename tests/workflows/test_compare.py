"""The order of cells, what fails, and who is compared with whom, without any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.files import write_json
from distilrank.errors import InputError, SettingsError
from distilrank.evaluation.report.comparison import Cost
from distilrank.workflows import compare as module
from distilrank.workflows import compare_results
from distilrank.workflows.compare import Cell, CompareSettings, cells_of, compare
from distilrank.workflows.compare_measuring import MeasuredOn

SETTINGS = CompareSettings(teacher="t", data="d", seeds=(5, 7), systems={"a": {}, "b": {}, "c": {}})
OPTIONS = {"a": ["--layers", "2"], "b": ["--layers", "3"], "c": []}
VALUES = {"a": 0.2, "b": 0.5, "c": 0.3, "teacher": 0.9, "BM25": 0.4}


def test_cells_go_by_seed_first(tmp_path: Path) -> None:
    cells = cells_of(SETTINGS, OPTIONS, tmp_path)
    assert [cell.name for cell in cells] == ["a-5", "b-5", "c-5", "a-7", "b-7", "c-7"]
    folder = str(tmp_path / "cells" / "b-7")
    options = ["--teacher", "t", "--data", "d", "--layers", "3", "--seed", "7", "--out", folder]
    assert list(cells[4].arguments) == ["distil", *options]
    own = cells_of(SETTINGS, {"a": ["--teacher", "other"]}, tmp_path)[0].arguments
    assert own[:5] == ("distil", "--data", "d", "--teacher", "other")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were measured, by a stand-in whose values are known."""
    found: list[str] = []

    def measure(model: str, test: MeasuredOn, name: Path, **options: Any) -> str:
        own = Path(model).name
        found.append(own)
        value = VALUES["teacher" if model == "t" else own.split("-")[0]]
        queries = [f"q{i}" for i in range(25)]
        per_query = {
            own: {q: value + 0.01 * (i % 3) for i, q in enumerate(queries)},
            "BM25": dict.fromkeys(queries, 0.4),
        }
        record = {"system": own, "first_stage": "BM25", "per_query": {"AP": per_query}, "alarms": [{"message": "odd"}]}
        write_json(name.with_name(f"{name.name}.json"), record)
        return f"distilrank evaluate {model}"

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(
        compare_results, "_costs", lambda teacher, cells, *more, **options: dict.fromkeys(cells, Cost())
    )
    return found


def run(out: Path, *, fail: str = "", settings: CompareSettings = SETTINGS) -> Any:
    def train(cell: Cell) -> None:
        if cell.name == fail:
            raise InputError("it\nbroke")

    return compare(settings, OPTIONS, out=out, train=train, say=lambda text: None)


def test_everyone_is_compared_with_the_baseline_and_nobody_else(tmp_path: Path, made: list[str]) -> None:
    table = run(tmp_path).tests["test"]["AP"]
    assert made == ["t", "a-5", "b-5", "c-5", "a-7", "b-7", "c-7"]
    assert list(table.systems) == ["BM25", "teacher", "a", "b", "c"]
    assert [(each.system, each.baseline) for each in table.comparisons] == [("b", "a"), ("c", "a")]
    assert [each.difference.mean for each in table.comparisons] == pytest.approx([0.3, 0.1])
    assert table.systems["b"].kept is not None
    assert table.systems["b"].kept.mean == pytest.approx(0.5096 / 0.9096, abs=1e-3)
    assert table.systems["teacher"].kept is None
    against = CompareSettings(teacher="t", data="d", seeds=(5,), systems=SETTINGS.systems, against="c")
    table = run(tmp_path / "other", settings=against).tests["test"]["AP"]
    assert [(each.system, each.baseline) for each in table.comparisons] == [("a", "c"), ("b", "c")]
    assert table.systems["a"].over == "queries"


def test_what_fails_is_left_out(tmp_path: Path, made: list[str]) -> None:
    found = run(tmp_path, fail="b-7")
    assert found.failures == {"b-7": "it broke"}
    assert "b-7" not in made
    assert set(found.tests["test"]["AP"].systems["b"].seeds) == set()
    assert set(found.tests["test"]["AP"].systems["c"].seeds) == {"5", "7"}
    assert (tmp_path / "failures" / "b-7.txt").is_file()
    alone = CompareSettings(teacher="t", data="d", seeds=(5,), systems=SETTINGS.systems)
    found = run(tmp_path / "other", fail="a-5", settings=alone)
    assert list(found.tests["test"]["AP"].systems) == ["BM25", "teacher", "b", "c"]
    assert found.tests["test"]["AP"].comparisons == []  # the baseline is what failed


def test_alarms_are_said_once(tmp_path: Path, made: list[str]) -> None:
    assert run(tmp_path).alarms == ["test: odd"]


def test_what_is_not_complete_is_refused(tmp_path: Path, made: list[str]) -> None:
    for wrong in ({"teacher": ""}, {"data": ""}, {"systems": {"a": {}}}, {"against": "z"}):
        settings = replace(SETTINGS, **wrong)
        with pytest.raises(SettingsError):
            run(tmp_path, settings=settings)
    assert made == []


def test_options_of_evaluate_are_those_that_were_given() -> None:
    assert MeasuredOn().on("d").arguments == ["--data", "d", "--split", "test"]
    test = MeasuredOn(data="x", split="dev", run="BM25", measures=("RR@10", "AP"), depth=5, max_queries=9, k=4).on("d")
    assert test.arguments == [
        *("--data", "x", "--split", "dev", "--run", "BM25", "--measures", "RR@10 AP", "--depth", "5"),
        *("--max-queries", "9", "--k", "4"),
    ]
    assert (test.settings.depth, test.settings.measures, test.settings.k) == (5, ("RR@10", "AP"), 4)
    with pytest.raises(SettingsError, match="depth is 0"):
        MeasuredOn(depth=0)
