"""The three ranker procedures from the command line: any start with any task, and networks that do not match."""

from __future__ import annotations

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
    """Prepared data, a teacher of four layers, a public checkpoint of two, and plain text."""
    folder = tmp_path_factory.mktemp("world")
    draw = random.Random(1)
    prepared_ranking(folder / "data")
    saved_ranker(folder / "teacher")
    saved_ranker(folder / "public", layers=2, seed=9)
    save_model(tiny_model(seed=4), tiny_tokenizer(lowercase=False), folder / "cased")
    sentences = [" ".join(draw.choices(WORDS, k=7)) + "." for _ in range(48)]
    (folder / "plain.txt").write_text("\n\n".join("\n".join(sentences[at : at + 12]) for at in range(0, 48, 12)))
    return folder


def distil(world: Path, out: Path, *told: object) -> int:
    teacher = ("--teacher", world / "teacher", "--data", world / "data", "--triples", 16)
    return distilrank("distil", "--procedure", "bert_rankers", *teacher, *told, "--out", out, *SHORT)


@pytest.mark.parametrize(
    ("start", "task"),
    [
        (("--shape", "2/8/16/4"), "both"),
        (("--student", "{general}"), "fine_tuning"),
        (("--layers", 2), "ranker_distillation"),
        (("--student", "{public}"), "both"),
    ],
)
def test_any_start_goes_with_any_task(world: Path, tmp_path: Path, start: tuple[str, object], task: str) -> None:
    if start[1] == "{general}" and not (world / "general").exists():
        told = ("--text", world / "plain.txt", "--teacher", world / "teacher", "--shape", "2/8/16/4")
        assert distilrank("general-distil", *told, "--out", world / "general", *SHORT) == 0
    option, value = start
    begun = str(value).format(general=world / "general", public=world / "public")
    assert distil(world, tmp_path / "out", option, begun, "--set", f"task={task}") == 0
    assert tuple(read_steps(tmp_path / "out" / "run" / "journal.jsonl")[0]["terms"]) == TERMS[task]
    student, _ = load_model(tmp_path / "out")
    assert (len(student.bert.encoder.layer), student.config.num_labels) == (2, 1)
    assert not [name for name in student.state_dict() if "projection" in name]


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
        (("--shape", "2/8/16/2"), "2 attention heads and the teacher 4"),
        (("--shape", "2/8/16/2", "--set", "attention_by=relations"), "relation_heads is 48 but must divide"),
        (("--shape", "3/8/16/4"), "name the teacher layers, as in mapping: [1, 3, 4]"),
        (("--student", "cased"), "layers are compared token by token; learn from the scores alone"),
        (("--layers", 2, "--set", "task=fine-tuning"), "task is 'fine-tuning' but must be ranker_distillation"),
    ],
    ids=["heads", "relation heads", "layers", "tokenizer", "task"],
)
def test_what_cannot_be_compared_is_refused(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], told: tuple[str, ...], problem: str
) -> None:
    assert distil(world, tmp_path / "out", *(world / "cased" if part == "cased" else part for part in told)) == 2
    assert problem in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / "config.json").exists()
