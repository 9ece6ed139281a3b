"""TinyBERT's two phases from the command line to folders that load, on tiny data."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from distilrank.models.load import load_model, stored_label_names
from distilrank.training.journal import read_steps
from tests.end_to_end.test_training_verbs import manifest_of, weights_of
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker, without_export
from tests.tiny import WORDS

SHORT = ("--max-tokens", 32, "--batch-size", 8, "--learning-rate", "3e-3", "--set", "trackers=[]")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(1)
    file = tmp_path_factory.mktemp("text") / "plain.txt"
    documents = ["\n".join(" ".join(draw.choices(WORDS, k=7)) + "." for _ in range(12)) for _ in range(8)]
    file.write_text("\n\n".join(documents), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_ranker(tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture(scope="module")
def general(text: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A general student of half the layers, from the command line."""
    out = tmp_path_factory.mktemp("models") / "general"
    told = ("general-distil", "--text", text, "--teacher", teacher, "--shape", "2/8/16/4", "--steps", 10)
    assert distilrank(*told, "--out", out, *SHORT) == 0
    return out


def test_a_general_student_has_no_head_and_any_task_starts_from_it(
    general: Path, text: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = AutoModel.from_pretrained(general)
    assert type(encoder).__name__ == "BertModel"
    names = set(weights_of(general))
    assert names == set(encoder.state_dict())
    assert not [name for name in names if "classifier" in name or "projection" in name]
    for labels in (1, 3):
        model, tokenizer = load_model(general, num_labels=labels)
        assert model.config.num_labels == labels
        assert tokenizer.max_tokens == 32
        for name, value in encoder.state_dict().items():
            assert torch.equal(value, model.base_model.state_dict()[name]), name
    assert tuple(read_steps(general / "run" / "journal.jsonl")[0]["terms"]) == ("embedding", "hidden", "attention")
    manifest = manifest_of(general)
    assert (manifest["verb"], manifest["settings"]["chunking"]["chunks"]) == ("general-distil", 80)
    assert manifest["parameters"] == sum(value.size for value in weights_of(general).values())
    card = (general / "README.md").read_text(encoding="utf-8")
    assert "TinyBERT's general distillation" in card
    assert "AutoModel.from_pretrained" in card
    assert "AutoModelForSequenceClassification" not in card
    # The same command again returns at once; another one is refused.
    told = ("general-distil", "--text", text, "--teacher", teacher, "--shape", "2/8/16/4", "--out", general, *SHORT)
    before = sorted(files_of(general))
    assert distilrank(*told, "--steps", 10) == 0
    assert distilrank(*told, "--steps", 11) == 2
    assert distilrank(*told, "--steps", 10, "--seed", 3) == 2
    assert sorted(files_of(general)) == before
    assert "give --out another folder" in capsys.readouterr().err


def test_general_distillation_goes_on_where_it_was_stopped(
    text: Path, teacher: Path, general: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distilrank.training.run_folder import RunFolder

    told = ("general-distil", "--text", text, "--teacher", teacher, "--shape", "2/8/16/4", "--steps", 10, *SHORT)
    told = (*told, "--out", tmp_path / "stopped", "--set", "checkpoint_every=4")
    save = RunFolder.save_checkpoint

    def stop(self: RunFolder, *given: object) -> None:
        save(self, *given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_checkpoint", stop)
        assert distilrank(*told) == 130
    assert distilrank(*told) == 0
    whole, stopped = weights_of(general), weights_of(tmp_path / "stopped")
    for name, value in whole.items():
        np.testing.assert_array_equal(value, stopped[name])


def test_a_ranker_in_two_stages_from_the_general_student(
    general: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_export(monkeypatch)
    data = prepared_ranking(tmp_path / "prepared")
    out = tmp_path / "student"
    told = ("distil", "--procedure", "tinybert", "--teacher", teacher, "--data", data, "--student", general)
    told = (*told, "--out", out, "--triples", 20, *SHORT, "--set", "layers.max_steps=4")
    assert distilrank(*told, "--set", "answers.max_steps=3") == 0
    shown = capsys.readouterr().out
    assert "after 3 steps; best at step 3" in shown
    assert len(read_steps(out / "run" / "layers" / "journal.jsonl")) == 4
    assert set(read_steps(out / "run" / "answers" / "journal.jsonl")[0]["terms"]) == {"soft"}
    assert "TinyBERT (Jiao et al. 2020" in (out / "README.md").read_text(encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.delattr("distilrank.procedures.tinybert.task.train")  # training again would not work
        assert distilrank(*told, "--set", "answers.max_steps=3") == 0
        assert distilrank(*told, "--set", "answers.max_steps=3", "--set", "threads=1") == 0
    assert capsys.readouterr().out.startswith(shown)
    assert distilrank(*told, "--set", "answers.max_steps=2") == 2
    assert "settings.answers.max_steps was 3 and is 2 now" in capsys.readouterr().err


def test_a_classifier_learns_from_augmented_examples(
    general: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_export(monkeypatch)
    teacher = saved_ranker(tmp_path / "teacher", num_labels=2)
    rows = [f"{' '.join(random.Random(i).choices(WORDS, k=6))}\tLABEL_{i % 2}" for i in range(10)]
    data, augmented = tmp_path / "train.tsv", tmp_path / "augmented.jsonl"
    data.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    added = [*(row.split("\t")[0] for row in rows), "red dog", "blue sea"]
    augmented.write_text("".join(json.dumps({"text": text}) + "\n" for text in added), encoding="utf-8")
    told = ("distil", "--procedure", "tinybert", "--teacher", teacher, "--data", data, "--student", general)
    told = (*told, "--augmented", augmented, "--steps", 2, *SHORT[2:])
    assert distilrank(*told, "--task", "cola", "--max-tokens", 40, "--out", tmp_path / "student") == 0
    assert stored_label_names(load_model(tmp_path / "student")[0].config) == ["LABEL_0", "LABEL_1"]
    manifest = manifest_of(tmp_path / "student")
    assert manifest["settings"]["settings"]["layers"]["epochs"] == 50
    assert manifest["settings"]["settings"]["max_tokens"] == 40
    command = json.loads((tmp_path / "student" / "run" / "layers" / "command.json").read_text(encoding="utf-8"))
    assert command["examples"] == 12  # the data's ten, and two new ones
    assert "10 examples from train.tsv and 2 augmented ones" in (tmp_path / "student" / "README.md").read_text("utf-8")
    assert manifest["inputs"]["augmented 1"]["path"] == augmented.as_posix()
    capsys.readouterr()
    assert distilrank(*told, "--max-tokens", 40, "--task", "colla", "--out", tmp_path / "other") == 2
    assert "task 'colla' is unknown; did you mean 'cola'" in capsys.readouterr().err
    simplified = [*told[:2], "simplified_tinybert", *told[3:]]
    assert distilrank(*simplified, "--max-tokens", 40, "--out", tmp_path / "other") == 2
    assert "simplified_tinybert takes no augmented examples, but tinybert does" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_bad_text_ends_with_code_2_and_leaves_nothing(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.tsv"
    bad.write_text("a\tb\tc\n", encoding="utf-8")
    for file, problem in ((bad, "bad.tsv, line 1: has 3 columns"), (tmp_path / "none.txt", "cannot be read")):
        told = ("general-distil", "--text", file, "--teacher", teacher, "--layers", 2, "--steps", 1, *SHORT)
        assert distilrank(*told, "--out", tmp_path / "out") == 2
        assert problem in capsys.readouterr().err
    assert not (tmp_path / "out" / "config.json").exists()
