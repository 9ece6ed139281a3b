from __future__ import annotations

import pytest
import torch

from distilrank.errors import SettingsError
from distilrank.models.cosine import BertForCosineRanking, CosineRankingConfig
from distilrank.models.facts import count_parameters
from distilrank.models.load import stored_label_names
from distilrank.models.students import (
    STUDENT_SHAPES,
    StudentShape,
    layers_to_copy,
    parse_shape,
    student_from_layers,
    student_from_shape,
)
from tests.tiny import tiny_config, tiny_model


def test_named_shapes_are_what_their_names_say() -> None:
    for name, shape in STUDENT_SHAPES.items():
        assert str(shape) == name
        assert parse_shape(name) == shape


def test_shapes_are_read() -> None:
    assert parse_shape(" 2/64/256/4 ") == StudentShape(layers=2, hidden=64, feed_forward=256, heads=4)


@pytest.mark.parametrize("text", ["", "3/384/1536", "3/384/1536/12/1", "3/x/1536/12", "3/-384/1536/12", "3.0/4/4/4"])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no student shape"):
        parse_shape(text)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(SettingsError, match="split 10 states among 4 heads"):
        parse_shape("3/10/40/4")
    with pytest.raises(SettingsError, match="positive"):
        parse_shape("0/12/40/4")


@pytest.mark.parametrize(
    ("teacher", "student", "rule", "expected"),
    [
        (12, 4, "uniform", (3, 6, 9, 12)),
        (6, 3, "uniform", (2, 4, 6)),
        (6, 6, "uniform", (1, 2, 3, 4, 5, 6)),
        (6, 4, "uniform", (2, 3, 5, 6)),
        (12, 5, "uniform", (2, 5, 7, 10, 12)),
        (12, 3, "first", (1, 2, 3)),
        (12, 3, "last", (10, 11, 12)),
    ],
)
def test_layers_to_copy(teacher: int, student: int, rule: str, expected: tuple[int, ...]) -> None:
    assert layers_to_copy(teacher, student, rule) == expected  # type: ignore[arg-type]


def test_layers_to_copy_refuses() -> None:
    with pytest.raises(SettingsError, match=r"student of 7 layers .* teacher of 6"):
        layers_to_copy(6, 7, "uniform")
    with pytest.raises(SettingsError, match="did you mean 'uniform'"):
        layers_to_copy(6, 3, "unifrom")  # type: ignore[arg-type]


def test_a_student_by_shape_has_that_shape_and_the_teachers_vocabulary() -> None:
    config = tiny_config(num_labels=3)
    student = student_from_shape(config, parse_shape("3/24/48/4"), num_labels=1, seed=0)
    assert type(student).__name__ == "BertForSequenceClassification"
    assert len(student.bert.encoder.layer) == 3
    assert student.bert.encoder.layer[0].intermediate.dense.weight.shape == (48, 24)
    assert student.bert.embeddings.word_embeddings.weight.shape == (config.vocab_size, 24)
    assert student.config.num_attention_heads == 4
    assert stored_label_names(student.config) == ["LABEL_0"]
    # The teacher's configuration is only read.
    assert (config.num_hidden_layers, config.hidden_size, config.num_labels) == (2, 16, 3)


def test_the_papers_student_has_the_papers_size() -> None:
    config = tiny_config()
    config.vocab_size, config.max_position_embeddings = 30522, 512
    student = student_from_shape(config, STUDENT_SHAPES["4/312/1200/12"], num_labels=2, seed=0)
    # 14.5 million in Jiao et al. 2020, table 1 (without the classifier).
    assert count_parameters(student).total == pytest.approx(14.5e6, rel=0.02)


def test_the_seed_decides_the_weights() -> None:
    first, same, other = (
        student_from_shape(tiny_config(), parse_shape("1/16/32/4"), num_labels=1, seed=seed) for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first.state_dict(), same.state_dict(), rtol=0, atol=0)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert not torch.equal(first.bert.embeddings.word_embeddings.weight, other.bert.embeddings.word_embeddings.weight)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_chosen_layers_are_copied_in_the_order_given(family: str) -> None:
    teacher = tiny_model(family, layers=4, num_labels=1, seed=3)
    student = student_from_layers(teacher, (4, 2), num_labels=1, seed=0)
    assert type(student) is type(teacher)
    assert student.config.num_hidden_layers == 2
    for mine, theirs in ((0, 3), (1, 1)):
        torch.testing.assert_close(
            student.base_model.encoder.layer[mine].state_dict(),
            teacher.base_model.encoder.layer[theirs].state_dict(),
            rtol=0,
            atol=0,
        )
    for name in {"bert": ("embeddings", "pooler"), "electra": ("embeddings", "embeddings_project")}.get(
        family, ("embeddings",)
    ):
        mine, theirs = (getattr(model.base_model, name).state_dict() for model in (student, teacher))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    assert teacher.config.num_hidden_layers == 4


def test_the_head_is_copied_when_it_fits_and_new_otherwise() -> None:
    teacher = tiny_model(layers=2, num_labels=3)
    same = student_from_layers(teacher, (2,), num_labels=3, seed=0)
    torch.testing.assert_close(same.classifier.state_dict(), teacher.classifier.state_dict(), rtol=0, atol=0)
    other = student_from_layers(teacher, (2,), num_labels=1, seed=0)
    assert other.classifier.weight.shape == (1, 16)


def test_all_layers_in_order_give_the_teachers_answers() -> None:
    teacher = tiny_model(layers=2, num_labels=3)
    student = student_from_layers(teacher, (1, 2), num_labels=3, seed=0)
    ids = torch.arange(10).reshape(2, 5)
    assert torch.equal(student(ids).logits, teacher(ids).logits)


def test_changing_the_student_leaves_the_teacher_alone() -> None:
    teacher = tiny_model()
    student = student_from_layers(teacher, (1, 2), num_labels=1, seed=0)
    before = teacher.bert.encoder.layer[0].output.dense.weight.clone()
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1.0)
    assert torch.equal(teacher.bert.encoder.layer[0].output.dense.weight, before)


def test_label_names_are_inherited_when_they_fit() -> None:
    teacher = tiny_model(num_labels=2)
    teacher.config.id2label = {0: "no", 1: "yes"}
    assert stored_label_names(student_from_layers(teacher, (1,), num_labels=2, seed=0).config) == ["no", "yes"]
    assert stored_label_names(student_from_layers(teacher, (1,), num_labels=1, seed=0).config) == ["LABEL_0"]


def test_a_cosine_teacher_gives_a_classic_student() -> None:
    config = tiny_config().to_dict()
    config.pop("model_type")
    teacher = BertForCosineRanking(CosineRankingConfig(**config)).eval()
    for student in (
        student_from_layers(teacher, (2,), num_labels=1, seed=0),
        student_from_shape(teacher.config, parse_shape("1/16/32/4"), num_labels=1, seed=0),
    ):
        assert type(student).__name__ == "BertForSequenceClassification"
        assert student.config.model_type == "bert"
    torch.testing.assert_close(
        student_from_layers(teacher, (2,), num_labels=1, seed=0).bert.embeddings.state_dict(),
        teacher.bert.embeddings.state_dict(),
    )


@pytest.mark.parametrize("layers", [(), (0,), (1, 3)])
def test_layers_the_teacher_has_not_are_refused(layers: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="between 1 and 2"):
        student_from_layers(tiny_model(), layers, num_labels=1, seed=0)
