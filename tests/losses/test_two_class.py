from __future__ import annotations

import math

import pytest
import torch

from distilrank.losses import class_logits, two_class_logits


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_by_hand(shape: tuple[int, ...]) -> None:
    logits = torch.tensor([1.5, -2.0, 0.0], dtype=torch.float64).reshape(shape)
    assert two_class_logits(logits).tolist() == [[0.0, 1.5], [0.0, -2.0], [0.0, 0.0]]
    assert two_class_logits(logits).dtype == torch.float64


def test_class_one_has_the_probability_of_the_sigmoid() -> None:
    # sigmoid(ln 3) = 3/4.
    probabilities = two_class_logits(torch.tensor([math.log(3.0)])).softmax(dim=1)
    assert probabilities.tolist() == [pytest.approx([0.25, 0.75])]


def test_gradient_passes_through() -> None:
    logits = torch.tensor([1.5, -2.0], requires_grad=True)
    two_class_logits(logits)[:, 1].sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("shape", [(3, 2), (3, 1, 1), ()])
def test_refuses_anything_but_one_logit_per_example(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"one logit per example") as refusal:
        two_class_logits(torch.zeros(shape))
    assert str(shape) in str(refusal.value)


def test_class_logits_turn_one_logit_into_two_classes_and_leave_classifiers_alone() -> None:
    assert class_logits(torch.tensor([[1.5], [-2.0]])).tolist() == [[0.0, 1.5], [0.0, -2.0]]
    several = torch.tensor([[1.0, 2.0, 3.0]])
    assert class_logits(several) is several
