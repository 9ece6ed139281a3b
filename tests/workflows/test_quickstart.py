"""The quickstart end to end, with a tiny network in the place of the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from distilrank.errors import ResumeError
from distilrank.models.load import load_model
from distilrank.models.save import save_model
from distilrank.runtime.ranker import Ranker
from distilrank.workflows.quickstart import QuickstartSettings, quickstart
from distilrank.workflows.quickstart_report import BM25, PLAIN, STUDENT, TEACHER
from tests.tiny import tiny_config

MADE = {"teacher", "student", "data", "report.html", "results.json"}


@pytest.fixture
def settings(tmp_path: Path) -> QuickstartSettings:
    _, tokenizer = load_model("minilm-l6", num_labels=1)  # words and not letters, so that rankers can learn a little
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = tiny_config()
        config.vocab_size = 30_522
        model = AutoModelForSequenceClassification.from_config(config)
    save_model(model, tokenizer, tmp_path / "checkpoint")
    return QuickstartSettings(
        checkpoint=str(tmp_path / "checkpoint"),
        layers=1,
        test_queries=6,
        dev_queries=2,
        depth=5,
        warm_steps=20,
        teacher_steps=40,  # enough to tell relevant passages from others: its logits are calibrated
        warm_learning_rate=1e-3,
        teacher_learning_rate=1e-3,
        student_steps=2,
        student_batch=4,
        max_tokens=48,
        precision="fp32",
    )


@pytest.mark.slow
def test_leaves_what_it_promises(tmp_path: Path, settings: QuickstartSettings) -> None:
    out = tmp_path / "out"
    said: list[str] = []
    judged = quickstart(out, settings, say=said.append, command="distilrank quickstart")

    assert {path.name for path in out.iterdir()} >= MADE
    assert [line[:3] for line in said] == [f"{i}/6" for i in range(1, 7)]
    results = json.loads((out / "results.json").read_text())
    assert [row["name"] for row in results["rows"]] == [BM25, TEACHER, STUDENT, PLAIN]
    for row in results["rows"]:
        mean, low, high = (row["measures"]["RR@10"][key] for key in ("mean", "low", "high"))
        assert 0 <= low <= mean <= high <= 1
    teacher, student = results["rows"][1], results["rows"][2]
    assert 0 < student["parameters"] < teacher["parameters"]
    assert 0 < student["megabytes"] < teacher["megabytes"]
    assert student["ms_per_100_passages"] > 0
    assert judged.example[0]
    assert len(judged.example[1]) == 3

    model, _ = load_model(out / "student")
    assert model.config.num_hidden_layers == 1
    assert type(model).__name__ == "BertForSequenceClassification"
    assert Ranker.load(out / "student").score([("a query", "a passage")]).shape == (1,)

    weights = (out / "student" / "model.safetensors").stat().st_mtime_ns
    quickstart(out, settings, say=said.append)  # done: nothing is trained again
    assert (out / "student" / "model.safetensors").stat().st_mtime_ns == weights


def test_refuses_a_folder_of_other_settings(tmp_path: Path, settings: QuickstartSettings) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "settings.json").write_text(json.dumps({"seed": 7}))
    with pytest.raises(ResumeError, match="checkpoint"):
        quickstart(out, settings)
    assert [path.name for path in out.iterdir()] == ["settings.json"]
