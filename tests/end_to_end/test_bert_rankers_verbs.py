"""The three ranker procedures from the command line: any start with any task, and networks that do not match."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from distilrank.models.load import load_model
from distilrank.models.save import save_model
from distilrank.training.journal import read_steps
from tests.end_to_end.verbs import distilrank, prepared_ranking, saved_ranker, without_export
from tests.tiny import WORDS, tiny_model, tiny_tokenizer

SHORT = ("--max-tokens", 32, "--batch-size", 8, "--steps", 2, "--set", "trackers=[]")
LAYERS = ("embedding", "hidden", "attention")
TERMS = {"fine_tuning": ("hard",), "ranker_distillation": (*LAYERS, "soft"), "both": (*LAYERS, "soft", "hard")}


@pytest.fixture(autouse=True)
def _no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    without_export(monkeypatch)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data, a teacher of four layers, a public checkpoint of two, and a general student of two."""
    folder = tmp_path_factory.mktemp("world")
    draw = random.Random(1)
    prepared_ranking(folder / "data")
    saved_ranker(folder / "teacher")
    saved_ranker(folder / "public", layers=2, seed=9)
    save_model(tiny_model(seed=4), tiny_tokenizer(lowercase=False), folder / "cased")
    sentences = [" ".join(draw.choices(WORDS, k=7)) + "." for _ in range(48)]
    (folder / "plain.txt").write_text("\n\n".join("\n".join(sentences[at : at + 12]) for at in range(0, 48, 12)))
    told = ("--text", folder / "plain.txt", "--teacher", folder / "teacher", "--shape", "2/8/16/4")
    assert distilrank("general-distil", *told, "--out", folder / "general", *SHORT) == 0
    return folder


def distil(world: Path, out: Path, *told: object) -> int:
    teacher = ("--teacher", world / "teacher", "--data", world / "data", "--triples", 16)
    return distilrank("distil", "--procedure", "bert_rankers", *teacher, *told, "--out", out, *SHORT)


STARTS = {
    "random": ("--shape", "2/8/16/4"),
    "general": ("--student", "general"),
    "layers": ("--layers", "2"),
    "public": ("--student", "public"),
}


@pytest.mark.parametrize("task", TERMS)
@pytest.mark.parametrize("start", STARTS)
def test_any_start_goes_with_any_task(world: Path, tmp_path: Path, start: str, task: str) -> None:
    begun = (world / part if part in ("general", "public") else part for part in STARTS[start])
    assert distil(world, tmp_path / "out", *begun, "--set", f"task={task}") == 0
    assert tuple(read_steps(tmp_path / "out" / "run" / "journal.jsonl")[0]["terms"]) == TERMS[task]
    student, _ = load_model(tmp_path / "out")
    assert (len(student.bert.encoder.layer), student.config.num_labels) == (2, 1)
    assert not [name for name in student.state_dict() if "projection" in name]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    origin = {"general": world / "general", "public": world / "public"}.get(start, world / "teacher")
    assert manifest["started_from"] == str(origin)


UNLIKE = {
    "heads": (("--shape", "2/8/16/2"), "2 attention heads and the teacher 4"),
    "layers": (("--shape", "3/8/16/4"), "name the teacher layers, as in mapping: [1, 3, 4]"),
    "tokenizer": (("--student", "cased"), "layers are compared token by token; learn from the scores alone"),
}


@pytest.mark.parametrize("task", TERMS)
@pytest.mark.parametrize("unlike", UNLIKE)
def test_only_a_task_that_compares_layers_refuses_a_start_unlike_the_teacher(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unlike: str, task: str
) -> None:
    told, problem = UNLIKE[unlike]
    begun = (world / part if part == "cased" else part for part in told)
    refused = task != "fine_tuning"
    assert distil(world, tmp_path / "out", *begun, "--set", f"task={task}") == (2 if refused else 0)
    assert (problem in " ".join(capsys.readouterr().err.split())) == refused
    assert (tmp_path / "out" / "config.json").exists() != refused


NO_LAYERS = tuple(part for name in LAYERS for part in ("--set", f"{name}=0"))


@pytest.mark.parametrize(
    "told",
    [
        ("--shape", "2/8/16/2", "--set", "attention_by=relations", "--set", "relation_heads=8"),
        ("--shape", "3/8/16/4", "--set", "mapping=[1,3,4]"),
        ("--student", "cased", *NO_LAYERS),
    ],
    ids=["other heads", "layers that do not divide", "another tokenizer"],
)
def test_networks_that_do_not_match_have_a_way(world: Path, tmp_path: Path, told: tuple[str, ...]) -> None:
    assert distil(world, tmp_path / "out", *(world / "cased" if part == "cased" else part for part in told)) == 0
    assert (tmp_path / "out" / "config.json").is_file()


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (("--shape", "2/8/16/2", "--set", "attention_by=relations"), "relation_heads is 48 but must divide"),
        (("--layers", 2, "--set", "task=fine-tuning"), "task is 'fine-tuning' but must be ranker_distillation"),
        (("--layers", 2, "--set", "task=fine_tuning", "--set", "hard=0"), "of task fine_tuning has weight 0"),
        (("--layers", 2, *NO_LAYERS, "--set", "soft=0"), "every term of task ranker_distillation has weight 0"),
        (("--layers", 2, "--shape", "2/8/16/4"), "exactly one of a shape"),
    ],
    ids=["relation heads", "task", "nothing of labels", "nothing of the teacher", "two starts"],
)
def test_what_makes_no_sense_is_refused(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], told: tuple[str, ...], problem: str
) -> None:
    assert distil(world, tmp_path / "out", *told) == 2
    assert problem in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / "config.json").exists()
