"""Running cells: nothing twice, nothing without its needs; and the tables that come of it."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from distilrank.models.save import save_model
from study.__main__ import run_cells, set_aside
from study.cells import Cell
from study.plan import SCALES, Plan
from study.run import FACTS, Study, model_facts
from study.speed import BERT_BASE, PUBLISHED, SPEED
from study.tables import results_page
from tests.bilstms import tiny_bilstm, tiny_word_tokenizer

WORKLOADS = {row.workload for row in PUBLISHED}
NETWORKS = {name for row in PUBLISHED for name in (row.student, row.teacher)}
QUERIES = [f"q{i}" for i in range(30)]


class TwoCells(Plan):
    """A teacher, what two students need, and the students."""

    def cells(self):  # type: ignore[no-untyped-def]
        yield Cell(name="data", commands=("prepare",), minutes=1)
        yield Cell(name="teacher", commands=(), needs=("data",), judged_on=("trec_dl19",), minutes=1)
        for name, command in (
            ("simplified-1", "good"),
            ("simplified-2", "good"),
            ("labels-1", "bad"),
            ("labels-2", "bad"),
        ):
            yield Cell(name=name, commands=(command,), needs=("data", "teacher"), judged_on=("trec_dl19",), minutes=1)


def write_model(folder: Path, weight: float = 0.0) -> None:
    """Write a network of one layer and its weights, which nothing loads."""
    folder.mkdir(exist_ok=True)
    sizes = {"num_hidden_layers": 1, "hidden_size": 4, "intermediate_size": 8, "num_attention_heads": 2}
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "id2label": {"0": "LABEL_0"}, **sizes}))
    weights = {"embeddings.word": np.full((10, 4), weight, np.float32), "dense": np.full((4, 8), weight, np.float32)}
    save_file(weights, folder / "model.safetensors")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    write_model(tmp_path / "teacher")
    plan = TwoCells(scale=SCALES["cpu"], data=tmp_path, runs=tmp_path / "runs", teacher=tmp_path / "teacher")
    study = Study(plan, tmp_path / "results")
    calls: list[str] = []

    def call(self: Study, command: str, cell: Cell) -> dict[str, float]:
        calls.append(f"{cell.name}: {command.split()[0]}")
        words = command.split()
        if words[0] == "evaluate":
            mean = {"teacher": 0.6, "simplified": 0.5}.get(cell.name.partition("-")[0], 0.2)
            drawn = np.random.default_rng(len(cell.name)).normal(mean, 0.05, len(QUERIES))
            values = dict(zip(QUERIES, drawn.tolist(), strict=True))
            per_query = {cell.name: values, "given": dict.fromkeys(QUERIES, 0.125)}
            content = {"system": cell.name, "first_stage": "given", "per_query": {"nDCG@10": per_query}}
            Path(words[words.index("--json") + 1]).write_text(json.dumps(content))
            Path(words[words.index("--out-run") + 1]).write_text("run")
        elif words[0] in ("good", "bad"):
            write_model(self.plan.folder(cell.name))
        return {"core_minutes": 3.0, "minutes": 2.0}

    monkeypatch.setattr(Study, "_call", call)
    study.calls = calls  # type: ignore[attr-defined]
    return study


def calls(study: Any) -> list[str]:
    told: list[str] = study.calls[:]
    study.calls.clear()
    return told


def test_needs_come_first_and_nothing_is_run_twice(study: Study) -> None:
    study.run(study.cells["simplified-1"])
    assert calls(study) == ["data: prepare", "teacher: evaluate", "simplified-1: good", "simplified-1: evaluate"]
    study.run(study.cells["simplified-1"])
    assert calls(study) == []
    study.run(study.cells["simplified-2"])
    assert calls(study) == ["simplified-2: good", "simplified-2: evaluate"]


def test_facts_say_what_was_run_and_what_it_cost(study: Study) -> None:
    study.run(study.cells["simplified-2"])
    facts = json.loads((study.results / f"simplified-2{FACTS}").read_text())
    assert (facts["system"], facts["seed"]) == ("simplified", 2)
    assert facts["commands"] == ["distilrank good"]
    assert facts["training"] == {"core_minutes": 3.0, "minutes": 2.0, "resumed": False}
    assert set(facts["runs_sha256"]) == {"trec_dl19"}
    model = facts["model"]
    assert (model["shape"], model["parameters"], model["embeddings"]) == ("1/4/8/2", 72, 40)
    assert model["multiply_adds"]["128"] == 4 * 128 * 16 + 2 * 128 * 4 * 8 + 2 * 128 * 128 * 4 + 16 + 4
    assert 72 * 4 / 1e6 < model["megabytes"] < 0.001


def test_a_bilstm_has_no_transformers_shape(tmp_path: Path) -> None:
    save_model(tiny_bilstm(), tiny_word_tokenizer(), tmp_path)
    facts = model_facts(tmp_path)
    assert facts["shape"] is None
    assert facts["multiply_adds"]["256"] > facts["multiply_adds"]["128"] > 0


def test_a_committed_result_needs_no_folder_but_what_builds_on_it_does(study: Study, tmp_path: Path) -> None:
    study.run(study.cells["simplified-1"])
    calls(study)
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    study.run(study.cells["simplified-1"])
    assert calls(study) == []
    study.run(study.cells["labels-1"])  # on another machine: data and the teacher's runs are made again
    assert calls(study) == ["data: prepare", "teacher: evaluate", "labels-1: bad", "labels-1: evaluate"]


def test_other_inputs_make_a_cell_run_again(study: Study) -> None:
    study.run(study.cells["simplified-1"])
    calls(study)
    write_model(study.plan.teacher, weight=1.0)
    again = Study(study.plan, study.results)
    again.run(again.cells["simplified-1"])
    assert calls(study) == ["data: prepare", "teacher: evaluate", "simplified-1: good", "simplified-1: evaluate"]


def test_weights_are_dropped_once_judged_but_for_what_others_read(study: Study) -> None:
    weights = {}
    for name in ("teacher", "simplified-1"):
        for within in ("model.safetensors", "onnx/model.onnx", "run/final/model.safetensors"):
            path = study.plan.folder(name) / within
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"weights")
            weights[name, within] = path
        study._drop_weights(study.cells[name])
    left = [key for key, path in weights.items() if path.exists()]
    assert left == [("teacher", "model.safetensors"), ("teacher", "onnx/model.onnx")]


def test_several_at_once_run_nothing_twice(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    study.jobs = 4
    assert run_cells(study, list(study.cells.values())) == 0
    made = calls(study)
    assert sorted(made) == sorted(set(made))
    assert len(made) == 2 + 4 * 2
    assert made.index("data: prepare") < made.index("teacher: evaluate")
    for name in ("simplified-1", "labels-2"):
        assert made.index("teacher: evaluate") < made.index(f"{name}: evaluate")
    said = capsys.readouterr().out
    assert said.count("\n") == 6
    assert "6/6" in said
    assert run_cells(study, list(study.cells.values())) == 0
    assert calls(study) == []
    # What is judged on nothing has no result, and is told to be done by its folder.
    assert capsys.readouterr().out.count("done before") >= 5


def test_each_command_has_a_processor_of_its_own(study: Study) -> None:
    machine = os.sched_getaffinity(0)
    several = Study(study.plan, study.results, jobs=len(machine))
    with ExitStack() as stack:
        held = [stack.enter_context(several._processor()) for _ in machine]
        assert all(len(each) == 1 for each in held)
        assert set.union(*held) == machine
    whole = Study(replace(study.plan, scale=SCALES["gpu"]), study.results)
    with whole._processor() as held_alone:
        assert held_alone == machine


def test_a_folder_set_aside_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    folder.mkdir()
    (folder / "kept").write_text("")
    with suppress(RuntimeError), set_aside(folder):
        folder.mkdir()
        (folder / "new").write_text("")
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_tables_hold_means_over_seeds_and_who_is_better(study: Study) -> None:
    assert "Not measured yet." in results_page(study.plan, study.results)
    for cell in study.cells.values():
        study.run(cell)
    page = results_page(study.plan, study.results)
    rows = rows_below(page, "**Means, with")
    assert list(rows) == ["BM25", "teacher", "simplified", "labels"]
    assert rows["BM25"][0].startswith("0.125 (")
    assert "Against teacher, worse: simplified, labels.\n- Against labels, better: simplified.\n" in page
    values = [json.loads((study.results / f"simplified-{seed}.trec_dl19.json").read_text()) for seed in (1, 2)]
    means = [np.mean(list(v["per_query"]["nDCG@10"][v["system"]].values())) for v in values]
    assert float(rows["simplified"][0].split()[0]) == pytest.approx(np.mean(means), abs=5e-4)
    assert rows["simplified"][0].endswith("), 2 seeds")
    assert list(rows_below(page, "**Kept of the teacher's**")) == ["BM25", "simplified", "labels"]
    told = rows_below(page, "**Difference from labels**")["simplified"][0]
    assert told.startswith("**+")
    assert float(told.strip("*").split("p ")[-1]) < 0.05
    assert "| simplified |" in page[page.index("## Cost and size") :]


def rows_below(page: str, title: str) -> dict[str, list[str]]:
    """Return system -> cells of the first table below a title."""
    table = page[page.index(title) :].split("\n\n")[1].splitlines()[2:]
    return {each[0]: each[1:] for each in ([cell.strip() for cell in line.split("|")[1:-1]] for line in table)}


def test_costs_are_those_of_the_shape_and_leave_out_what_was_resumed(study: Study) -> None:
    (study.plan.folder("labels-1")).mkdir(parents=True)  # as a stopped run leaves it
    for name in ("simplified-1", "labels-1"):
        study.run(study.cells[name])
    small = {"multiply_adds": 25.0, "weights_without_embeddings": 5.0, "ms_per_100": 30.0}
    workloads = {each: {"1/4/8/2": small, **dict.fromkeys(NETWORKS, small)} for each in WORKLOADS}
    workloads["128 tokens"][BERT_BASE] = {
        "multiply_adds": 100.0,
        "weights_without_embeddings": 10.0,
        "ms_per_100": 60.0,
    }
    speed = {"texts": 20, "threads": 2, "workloads": workloads}
    (study.results / SPEED).write_text(json.dumps(speed))
    page = results_page(study.plan, study.results)
    costs = {
        line.split("|")[1].strip(): [each.strip() for each in line.split("|")[2:-1]]
        for line in page.splitlines()
        if line.startswith("|")
    }
    # 32 weights outside of embeddings; the operations are those of test_facts_say_what_was_run_and_what_it_cost.
    assert costs["simplified"] == ["1/4/8/2", "0.00", "0.0", "0", "30", "3.0"]
    assert costs["labels"][-1] == ""
    assert costs["TinyBERT, 4/312 against BERT-base"][1:] == [
        "128 tokens",
        "4.0 times fewer",
        "2 times fewer",
        "2.0 times as fast",
    ]


def test_what_other_commands_began_and_left_is_made_anew(study: Study) -> None:
    cell = study.cells["simplified-1"]
    left = study.plan.folder(cell.name) / "run" / "checkpoint"
    left.parent.mkdir(parents=True)
    left.write_text("half of another run")
    begun = study.plan.runs / "logs" / f"{cell.name}.key"
    begun.parent.mkdir(parents=True)
    begun.write_text(study.keys[cell.name])
    study.make(cell)
    assert left.is_file()  # its own: the commands go on from it
    (study.plan.folder(cell.name) / "study.json").unlink()
    begun.write_text("another key")
    study.make(cell)
    assert not left.exists()
