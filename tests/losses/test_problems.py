from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from distilrank.losses import (
    hard_cross_entropy,
    hard_loss,
    soft_binary_cross_entropy,
    soft_cross_entropy,
    soft_loss,
    two_class_logits,
)

RANDOM = torch.Generator().manual_seed(0)
ONE, ONE_OF_TEACHER = torch.randn(2, 5, 1, generator=RANDOM, dtype=torch.float64)
THREE, THREE_OF_TEACHER = torch.randn(2, 5, 3, generator=RANDOM, dtype=torch.float64)
CLASSES = torch.tensor([0, 1, 1, 0, 1])


@pytest.mark.parametrize("problem", [None, "single_label_classification"])
def test_classes_and_the_one_logit_of_a_ranker(problem: str | None) -> None:
    assert hard_loss(THREE, CLASSES, problem=problem) == hard_cross_entropy(THREE, CLASSES)
    assert hard_loss(ONE, CLASSES, problem=problem) == hard_cross_entropy(two_class_logits(ONE), CLASSES)
    soft = soft_loss(ONE, ONE_OF_TEACHER, problem=problem, temperature=2.0)
    assert soft == soft_cross_entropy(two_class_logits(ONE), two_class_logits(ONE_OF_TEACHER), temperature=2.0)
    soft = soft_loss(THREE, THREE_OF_TEACHER, problem=problem, temperature=2.0)
    assert soft == soft_cross_entropy(THREE, THREE_OF_TEACHER, temperature=2.0)


def test_numbers_are_compared_by_squared_error_at_any_temperature() -> None:
    soft = soft_loss(ONE, ONE_OF_TEACHER, problem="regression", temperature=7.0)
    assert soft.item() == pytest.approx(float(((ONE - ONE_OF_TEACHER) ** 2).mean()), rel=1e-12)
    numbers = torch.tensor([0.5, 1.0, 2.0, -1.0, 0.0])
    expected = float(((ONE[:, 0] - numbers) ** 2).mean())
    assert hard_loss(ONE, numbers, problem="regression").item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_labels_that_hold_or_not_are_binary_cross_entropies(temperature: float) -> None:
    wanted = torch.sigmoid(THREE_OF_TEACHER / temperature)
    expected = functional.binary_cross_entropy_with_logits(THREE / temperature, wanted) * temperature**2
    found = soft_loss(THREE, THREE_OF_TEACHER, problem="multi_label_classification", temperature=temperature)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    held = (THREE_OF_TEACHER > 0).double()
    hard = hard_loss(THREE, held, problem="multi_label_classification")
    assert hard.item() == pytest.approx(functional.binary_cross_entropy_with_logits(THREE, held).item(), rel=1e-9)


def test_by_hand_one_label_at_even_odds() -> None:
    # The teacher is undecided: -0.5 log 0.5 - 0.5 log 0.5 for a student that is too.
    zero = torch.zeros(1, 1)
    assert soft_binary_cross_entropy(zero, zero).item() == pytest.approx(0.6931472)


@pytest.mark.parametrize("problem", [None, "regression", "multi_label_classification"])
def test_the_gradient_reaches_the_student_and_never_the_teacher(problem: str | None) -> None:
    student, teacher = ONE.clone().requires_grad_(), ONE_OF_TEACHER.clone().requires_grad_()
    soft_loss(student, teacher, problem=problem).backward()
    assert student.grad is not None
    assert student.grad.abs().min() > 0
    assert teacher.grad is None


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"student \(5, 3\), teacher \(5, 1\)"):
        soft_binary_cross_entropy(THREE, ONE)
