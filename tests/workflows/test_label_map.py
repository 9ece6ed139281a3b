"""The labels of data, teacher and student mean the same, or training is refused with both lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilrank.errors import ModelError
from distilrank.models.load import load_model, name_labels, stored_label_names
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.workflows.distil import open_for_teacher
from distilrank.workflows.training_data import LabelledData
from tests.end_to_end.verbs import distilrank, without_export
from tests.tiny import WORDS, tiny_model, tiny_tokenizer

TEXTS = [" ".join(WORDS[place : place + 4]) for place in range(8)]
SHORT = ("--max-tokens", 16, "--steps", 1, "--set", "trackers=[]")


def classifier(folder: Path, *names: str, layers: int = 2) -> Path:
    """A folder of a classifier whose logits have these names."""
    model = tiny_model(layers=layers, num_labels=len(names))
    name_labels(model.config, names, num_labels=len(names))
    save_model(model, tiny_tokenizer(), folder)
    return folder


def texts(path: Path, first: str, second: str) -> Path:
    """Texts whose labels take turns."""
    lines = [f"{text}\t{(first, second)[place % 2]}\n" for place, text in enumerate(TEXTS)]
    path.write_text("sentence\tlabel\n" + "".join(lines), encoding="utf-8")
    return path


def opened(data: Path, teacher: Path) -> list[object]:
    model, _ = load_model(teacher)
    labelled = open_for_teacher(data, model, groups=None, filter_positives=None, bad=None)
    assert isinstance(labelled, LabelledData)
    return [example.label for example in labelled.train.examples]


def test_the_data_takes_the_teachers_order_by_name(tmp_path: Path) -> None:
    data = texts(tmp_path / "data.tsv", "neg", "pos")
    assert opened(data, classifier(tmp_path / "same", "neg", "pos"))[:2] == [0, 1]
    assert opened(data, classifier(tmp_path / "turned", "pos", "neg"))[:2] == [1, 0]
    assert opened(data, classifier(tmp_path / "upper", "POS", "NEG"))[:2] == [1, 0]
    # Where the names of one side say nothing, the order is all there is.
    assert opened(data, classifier(tmp_path / "unnamed", "LABEL_0", "LABEL_1"))[:2] == [0, 1]
    assert opened(texts(tmp_path / "numbers.tsv", "0", "1"), tmp_path / "turned")[:2] == [0, 1]


def test_data_whose_names_the_teacher_does_not_know_is_refused(tmp_path: Path) -> None:
    data = texts(tmp_path / "data.tsv", "neg", "pos")
    problem = "the labels of the data are neg, pos but those of the teacher yes, no, and nothing says which is which"
    with pytest.raises(ModelError, match=problem):
        opened(data, classifier(tmp_path / "teacher", "yes", "no"))


def test_a_student_with_the_teachers_labels_in_another_order_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = texts(tmp_path / "data.tsv", "neg", "pos")
    teacher = classifier(tmp_path / "teacher", "neg", "pos", layers=4)
    for procedure in ("bert_rankers", "standard", "simplified_tinybert", "tinybert"):
        for names, problem in (
            (("pos", "neg"), "labels of the student are ordered pos, neg but those of the teacher neg, pos"),
            (("yes", "no"), "labels of the student are yes, no but those of the teacher neg, pos"),
        ):
            student = classifier(tmp_path / f"{procedure}-{names[0]}", *names)
            told = ("distil", "--procedure", procedure, "--teacher", teacher, "--student", student, "--data", data)
            short = ("--max-tokens", 16, "--set", "attention=0") if procedure != "standard" else ("--max-tokens", 16)
            assert distilrank(*told, *short, "--out", tmp_path / "out") == 2
            assert problem in capsys.readouterr().err
    assert not (tmp_path / "out" / "config.json").exists()


def test_fine_tuning_goes_on_from_a_head_in_the_heads_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_export(monkeypatch)
    data, start = texts(tmp_path / "data.tsv", "neg", "pos"), classifier(tmp_path / "start", "pos", "neg")
    told = ("fine-tune", "--data", data, "--model", start, "--out", tmp_path / "out", "--learning-rate", "1e-12")
    assert distilrank(*told, *SHORT) == 0
    before, after = load_model(start)[0], load_model(tmp_path / "out")[0]
    assert stored_label_names(after.config) == ["pos", "neg"]
    logits = [TorchScorer(model, tiny_tokenizer()).logits(TEXTS) for model in (before, after)]
    np.testing.assert_allclose(*logits, atol=1e-5)
