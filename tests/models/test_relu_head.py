from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distilrank.errors import ModelError
from distilrank.models.load import load_model
from distilrank.models.relu_head import use_relu_head
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.models.students import parse_shape, student_from_layers, student_from_shape
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

IDS = torch.arange(12).reshape(2, 6)


def test_only_what_is_positive_is_read() -> None:
    model = tiny_model(num_labels=3)
    pooled = model.bert(IDS).pooler_output
    assert (pooled < 0).any()
    weight, bias = model.classifier.weight, model.classifier.bias
    before = {name: value.clone() for name, value in model.state_dict().items()}
    use_relu_head(model)
    torch.testing.assert_close(model(IDS).logits, pooled.clamp(min=0) @ weight.T + bias)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    use_relu_head(model)  # once is enough
    torch.testing.assert_close(model(IDS).logits, pooled.clamp(min=0) @ weight.T + bias)


def test_a_saved_folder_remembers_it(tmp_path: Path) -> None:
    model, pairs = tiny_model(), tiny_pairs(5)
    use_relu_head(model)
    save_model(model, tiny_tokenizer(), tmp_path / "relu")
    loaded, tokenizer = load_model(tmp_path / "relu")
    scores = TorchScorer(model, tiny_tokenizer()).score(pairs)
    torch.testing.assert_close(
        torch.from_numpy(TorchScorer(loaded, tokenizer).score(pairs)), torch.from_numpy(scores), rtol=0, atol=1e-6
    )
    plain = TorchScorer(tiny_model(), tiny_tokenizer()).score(pairs)
    assert abs(plain - scores).max() > 1e-3


def test_students_of_such_a_teacher_are_classic_and_say_so(tmp_path: Path) -> None:
    teacher = tiny_model()
    use_relu_head(teacher)
    for student in (
        student_from_layers(teacher, (1, 2), num_labels=1, seed=0),
        student_from_shape(teacher.config, parse_shape("1/16/32/4"), num_labels=1, seed=0),
    ):
        # Marked as the teacher is, they would get a ReLU when loaded that they were not trained with.
        save_model(student, tiny_tokenizer(), tmp_path / "student")
        loaded, _ = load_model(tmp_path / "student")
        torch.testing.assert_close(loaded(IDS).logits, student(IDS).logits, rtol=0, atol=1e-6)


def test_heads_that_are_no_linear_layer_are_refused() -> None:
    with pytest.raises(ModelError, match="RobertaForSequenceClassification has no linear classifier"):
        use_relu_head(tiny_model("roberta"))
