"""``distil --procedure scores`` from the command line, on tiny data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main

from distilrank.cli.app import build_app
from distilrank.cli.verbs import VERBS
from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.settings_files import read_settings
from distilrank.errors import SettingsError
from distilrank.models.load import load_model
from distilrank.procedures.score_distillation import OBJECTIVES, Objective, ScoreDistillationSettings
from distilrank.training.journal import read_steps
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker, without_export

SHORT = ("--max-tokens", 32, "--batch-size", 4, "--learning-rate", "3e-3", "--steps", 4, "--set", "trackers=[]")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_ranker(tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    without_export(monkeypatch)
    return iter(())


def distil(teacher: Path, data: Path, out: Path, *more: object) -> int:
    return distilrank(
        "distil",
        "--procedure",
        "scores",
        "--teacher",
        teacher,
        "--data",
        data,
        "--layers",
        2,
        "--out",
        out,
        *SHORT,
        *more,
    )


def terms(out: Path) -> list[str]:
    return list(read_steps(out / "run" / "journal.jsonl")[-1]["terms"])


def test_a_list_of_objectives_with_scores_of_the_groups(teacher: Path, data: Path, tmp_path: Path) -> None:
    scored = tmp_path / "scored.jsonl"
    groups = GroupFile(data / "groups" / "train.jsonl")
    write_groups((replace(g, scores=tuple(3.0 * r for r in g.relevance)) for g in groups), scored)
    asked = ("--objective", "margin_mse", "--objective", "kl:0.5:2.0", "--objective", "info_nce:0.1")
    out = tmp_path / "student"
    assert distil(teacher, data, out, "--groups", scored, *asked) == 0
    assert terms(out) == ["margin_mse", "kl", "info_nce"]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["settings"]["objectives"] == [
        {"name": "margin_mse", "weight": 1.0, "temperature": 1.0, "top": None},
        {"name": "kl", "weight": 0.5, "temperature": 2.0, "top": None},
        {"name": "info_nce", "weight": 0.1, "temperature": 1.0, "top": None},
    ]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"{len(groups)} groups from prepared" in card
    assert "distillation of a teacher's scores (margin_mse, kl, info_nce)" in card
    assert "loss:margin_mse" in card
    assert len(load_model(out)[0].bert.encoder.layer) == 2
    # The same command again finds everything done; another one is refused, and with the first difference.
    before = sorted(files_of(out))
    assert distil(teacher, data, out, "--groups", scored, *asked) == 0
    assert sorted(files_of(out)) == before
    assert distil(teacher, data, out, "--groups", scored, "--objective", "kl") == 2


def test_a_settings_file_and_a_live_teacher_with_layers(teacher: Path, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(
        "objectives:\n  - {name: kl, weight: 0.5}\n  - {name: list_mle, top: 2}\n  - {name: hidden, weight: 2}\n"
        "mapping: [1, 3]\n",
        encoding="utf-8",
    )
    assert distil(teacher, data, tmp_path / "student", "--settings", file) == 0
    assert terms(tmp_path / "student") == ["kl", "list_mle", "hidden"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (("--objective", "klm"), "objective 'klm' is unknown; did you mean 'kl'"),
        (("--triples", 10), "scores learns from whole groups, so --triples has no meaning"),
        (("--vectors", "random"), "the procedure scores has no --vectors"),
        (("--objective", "mse", "--layers", 3, "--set", "mapping=[1]", "--objective", "hidden"), "mapping is [1]"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_leaves_nothing(
    teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: Any, problem: str
) -> None:
    out = tmp_path / "student"
    assert distil(teacher, data, out, *more) == 2
    assert problem in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_labelled_texts_and_other_procedures_are_refused(
    teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.tsv"
    texts.write_text("sentence\tlabel\nred dog\t0.5\nblue sea\t0.1\n", encoding="utf-8")
    assert distil(teacher, texts, tmp_path / "a") == 2
    assert "scores learns from a query's passages, and the data is labelled texts" in capsys.readouterr().err
    told = ("distil", "--teacher", teacher, "--data", data, "--layers", 2, "--out", tmp_path / "b")
    assert distilrank(*told, "--objective", "kl") == 2
    assert "the procedure simplified_tinybert has no --objective" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_the_help_names_every_objective() -> None:
    command: Any = typer.main.get_command(build_app(VERBS)).commands["distil"]  # type: ignore[attr-defined]
    (option,) = (parameter for parameter in command.params if parameter.name == "objective")
    for name in OBJECTIVES:
        assert f" {name}" in option.help.replace(".", " ").replace(",", " ")


def test_objectives_in_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text("objectives: [{name: kl, weight: 2, temperature: 0.5}, {name: mse}]\n", encoding="utf-8")
    found = read_settings(ScoreDistillationSettings, file).objectives
    assert found == (Objective(name="kl", weight=2.0, temperature=0.5), Objective(name="mse"))
    assert type(found[0].weight) is float
    for text, problem in {
        "objectives: [{name: kl, wieght: 2}]": r"objectives\[0\].wieght' is unknown; did you mean",
        "objectives: [{name: mse}, {weight: 2}]": r"objectives\[1\].name is missing; give it",
        "objectives: [{name: kl, weight: much}]": r"objectives\[0\].weight is 'much' but must be a number",
        "objectives: [kl]": r"objectives\[0\] is 'kl' but must be a table",
        "objectives: [{name: klm}]": "objective 'klm' is unknown; did you mean 'kl'",
        "objectives: kl": "objectives is 'kl' but must be",
    }.items():
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError, match=problem) as raised:
            read_settings(ScoreDistillationSettings, file)
        assert raised.value.path == file
    changed = read_settings(ScoreDistillationSettings, changes=["objectives=[{name: ranknet, weight: 3}]"])
    assert changed.objectives == (Objective(name="ranknet", weight=3.0),)
