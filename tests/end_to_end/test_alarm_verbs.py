"""Alarms from the command line: on standard error, in the journal, on the card and in the record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilrank.data.files import read_json
from distilrank.data.groups import GroupFile, write_groups
from distilrank.models.save import save_model
from distilrank.records import Run
from distilrank.training.journal import read_events
from distilrank.workflows import evaluate_classification, judging
from tests.end_to_end.verbs import distilrank, prepared_ranking, saved_ranker, without_export
from tests.tiny import tiny_model, tiny_tokenizer

SHORT = ("--max-tokens", 32, "--batch-size", 4, "--steps", 4, "--learning-rate", "3e-3", "--set", "trackers=[]")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_ranker(tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture(autouse=True)
def _without_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_export(monkeypatch)
    monkeypatch.setattr("distilrank.workflows.scorers._export_of", lambda model: tmp_path / "no-such-export")


def alarms_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("alarm:", "note:")) and "judged queries" not in line]


def test_squashed_scores_of_a_teacher(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored, out = tmp_path / "scored.jsonl", tmp_path / "student"
    random = np.random.default_rng(1)
    groups = GroupFile(data / "groups" / "train.jsonl")
    write_groups((replace(g, scores=tuple(random.random(len(g.passages)).tolist())) for g in groups), scored)
    told = ("distil", "--procedure", "scores", "--teacher", teacher, "--data", data, "--groups", scored, "--layers", 1)
    assert distilrank(*told, "--out", out, "--objective", "margin_mse", *SHORT) == 0
    said = alarms_in(capsys.readouterr().err)
    assert len(said) == 2  # before the training, and after it
    assert said[0] == said[1]
    assert "scores of the teacher lie between 0.0" in said[0]
    assert "margin_mse takes raw logits" in said[0]
    (event,) = read_events(out / "run" / "journal.jsonl", "alarm")
    assert (event["step"], event["check"], event["level"]) == (0, "scale of scores", "problem")
    assert said[0] == f"alarm: {event['message']}"
    assert f"- {event['message']}" in (out / "README.md").read_text(encoding="utf-8")
    # The same command says it again, from the journal.
    assert distilrank(*told, "--out", out, "--objective", "margin_mse", *SHORT) == 0
    assert alarms_in(capsys.readouterr().err) == said[:1]
    assert distilrank(*told, "--out", tmp_path / "order", "--objective", "ranknet", *SHORT) == 0
    assert alarms_in(capsys.readouterr().err) == []


def test_listwise_fine_tuning_reads_scores_too(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = tmp_path / "scored.jsonl"
    groups = GroupFile(data / "groups" / "train.jsonl")
    write_groups((replace(g, scores=tuple(0.1 * r for r in g.relevance)) for g in groups), scored)
    told = ("fine-tune", "--data", data, "--groups", scored, "--model", teacher, *SHORT, "--objective", "listwise")
    assert distilrank(*told, "--out", tmp_path / "labels") == 0
    assert alarms_in(capsys.readouterr().err) == []
    assert distilrank(*told, "--out", tmp_path / "scores", "--set", "gains=scores") == 0
    assert "but listwise takes raw logits" in capsys.readouterr().err
    assert "listwise takes raw logits" in (tmp_path / "scores" / "README.md").read_text(encoding="utf-8")


def test_constant_scores_on_dev(
    data: Path,
    teacher: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turn = []

    def constant(scorer: Any, *, candidates: Run, **options: Any) -> Run:
        turn.append(1)
        best = 2.0 if len(turn) == 2 else 0.0  # the second evaluation ranks as BM25 does, the others not at all
        return {q: {d: best * s for d, s in scores.items()} for q, scores in candidates.items()}

    monkeypatch.setattr(judging, "rerank", constant)
    out = tmp_path / "student"
    told = ("distil", "--procedure", "standard", "--teacher", teacher, "--data", data, "--layers", 1, "--out", out)
    assert distilrank(*told, *SHORT, "--evaluate-every", 1) == 0
    journal = out / "run" / "journal.jsonl"
    events = read_events(journal, "alarm")
    assert [(event["step"], event["check"]) for event in events] == [
        (1, "constant scores"),
        (2, "input order"),
        (3, "constant scores"),
        (4, "constant scores"),
    ]
    best = read_events(journal, "best")[-1]["step"]
    (expected,) = (event["message"] for event in events if event["step"] == best)
    assert alarms_in(capsys.readouterr().err) == [f"alarm: {expected}"]
    assert expected in (out / "README.md").read_text(encoding="utf-8")


def test_rankers_that_work_raise_no_alarm(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, record = tmp_path / "student", tmp_path / "record.json"
    told = ("distil", "--teacher", teacher, "--data", data, "--layers", 2, "--out", out, *SHORT)
    assert distilrank(*told, "--evaluate-every", 2) == 0
    assert read_events(out / "run" / "journal.jsonl", "alarm") == []
    assert distilrank("evaluate", out, "--data", data, "--split", "dev", "--teacher", teacher, "--json", record) == 0
    assert read_json(record)["alarms"] == []
    assert alarms_in(capsys.readouterr().err) == []


def test_what_evaluate_finds(data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, record = tiny_model(layers=1), tmp_path / "record.json"
    with torch.no_grad():
        model.classifier.weight.zero_()  # type: ignore[union-attr]
    save_model(model, tiny_tokenizer(), tmp_path / "constant")
    groups = {"path": str(data / "groups" / "train.jsonl")}
    (tmp_path / "constant" / "manifest.json").write_text(json.dumps({"inputs": {"groups": groups}}))
    told = ("evaluate", tmp_path / "constant", "--data", data, "--split", "train", "--teacher", teacher)
    assert distilrank(*told, "--json", record) == 0
    found = {alarm["check"]: alarm for alarm in read_json(record)["alarms"]}
    constant, leak = found["constant scores"], found["leak between train and test"]
    assert constant["message"].startswith("constant gives all passages of a query one score for ")
    assert "(100.0%)" in leak["message"]
    said = alarms_in(capsys.readouterr().err)
    for alarm in (constant, leak):
        assert f"alarm: {alarm['message']}" in said


def test_what_evaluate_finds_about_classifiers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, record = tmp_path / "data", tmp_path / "record.json"
    folder.mkdir()
    lines = [{"text": f"dog {i}", "label": ("good", "bad")[i % 2]} for i in range(24)]
    for split in ("train", "dev"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "labels.json").write_text(json.dumps({"label_names": ["bad", "good"], "kind": "classes"}))
    model = tiny_model(num_labels=2)
    model.config.id2label, model.config.label2id = {0: "GOOD", 1: "BAD"}, {"GOOD": 0, "BAD": 1}
    save_model(model, tiny_tokenizer(), tmp_path / "model")
    inputs = {"train": {"path": str(folder / "train.jsonl")}}
    (tmp_path / "model" / "manifest.json").write_text(json.dumps({"inputs": inputs}))

    def turned(network: Any, data: Any) -> NDArray[np.float32]:
        """What a head gives whose config names its labels the wrong way round."""
        return np.eye(2, dtype=np.float32)[[1 - example.label for example in data.examples]] * 3

    monkeypatch.setattr(evaluate_classification, "_logits", turned)
    assert distilrank("evaluate", tmp_path / "model", "--data", folder, "--split", "dev", "--json", record) == 0
    found = [(alarm["check"], alarm["level"]) for alarm in read_json(record)["alarms"]]
    assert found == [("label order", "note"), ("label order", "problem"), ("leak between train and test", "problem")]
    said = alarms_in(capsys.readouterr().err)
    assert any("data (bad, good) than in model (GOOD, BAD)" in line for line in said)
    assert any("accuracy 0.000 would be 1.000" in line for line in said)
