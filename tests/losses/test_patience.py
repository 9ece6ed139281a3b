from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distilrank.losses import pkd_loss
from tests.losses.lists import values


def test_by_hand() -> None:
    # One direction: 0; a right angle: 2; opposite directions: 4. Lengths do not matter.
    student = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.5, 0.0]])
    teacher = torch.tensor([[6.0, 8.0], [0.0, 9.0], [-7.0, 0.0]])
    assert pkd_loss(student, teacher).item() == pytest.approx((0 + 2 + 4) / 3, abs=1e-6)


def test_another_way() -> None:
    # || a - b ||^2 = 2 - 2 cos(a, b) for directions.
    student, teacher = values(5, 8, seed=1), values(5, 8, seed=2)
    s, t = student.numpy(), teacher.numpy()
    cosines = (s * t).sum(axis=1) / np.linalg.norm(s, axis=1) / np.linalg.norm(t, axis=1)
    assert pkd_loss(student, teacher).item() == pytest.approx((2 - 2 * cosines).mean(), rel=1e-12)


def test_the_authors_formula() -> None:
    """``patience_loss`` of PKD-for-BERT-Model-Compression, normalised: the mean over batch, layers and width."""
    student, teacher = values(4, 8, seed=3).numpy(), values(4, 8, seed=4).numpy()
    s, t = (each[:, np.newaxis] for each in (student, teacher))  # (batch, layers, width)
    s, t = (each / np.sqrt(np.square(each).sum(axis=2, keepdims=True)) for each in (s, t))
    published = np.square(t - s).mean()
    loss = pkd_loss(torch.from_numpy(student), torch.from_numpy(teacher))
    assert loss.item() == pytest.approx(published * 8, rel=1e-12)


def test_nothing_to_learn_from_oneself_at_any_length() -> None:
    teacher = values(3, 4, seed=5)
    assert pkd_loss(7 * teacher, teacher).item() == pytest.approx(0, abs=1e-25)


def test_shares_weigh_examples() -> None:
    student, teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert pkd_loss(student, teacher, shares=torch.tensor([0.75, 0.25])).item() == pytest.approx(1.0)


def test_a_state_of_zeros_stays_finite() -> None:
    student = torch.zeros(1, 3, requires_grad=True)
    loss = pkd_loss(student, torch.ones(1, 3))
    loss.backward()
    assert math.isfinite(loss.item())
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_refuses_other_shapes_with_both() -> None:
    with pytest.raises(ValueError, match=r"student \(2, 3\), teacher \(2, 4\)"):
        pkd_loss(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"expected 2 dimensions: student \(2, 3, 4\)"):
        pkd_loss(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"examples \(2,\), shares \(3,\)"):
        pkd_loss(torch.zeros(2, 3), torch.zeros(2, 3), shares=torch.ones(3))
