from __future__ import annotations

import numpy as np
import pytest
import torch

from distilrank.losses import as_published_hidden_state_loss, hidden_state_loss


def states(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mask_of(lengths: list[int], longest: int) -> torch.Tensor:
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


def test_by_hand_tokens_of_padding_do_not_count_and_examples_weigh_the_same() -> None:
    # Example 1, tokens (1, 3) and (0, 2): (1 + 9 + 0 + 4) / 4 = 3.5. Example 2, one token (1, 1): 1. Mean: 2.25.
    student = torch.tensor([[[1.0, 3.0], [0.0, 2.0]], [[1.0, 1.0], [100.0, 100.0]]])
    loss = hidden_state_loss(student, torch.zeros_like(student), torch.tensor([[1, 1], [1, 0]]))
    assert loss.item() == pytest.approx(2.25)


def test_another_way() -> None:
    student, teacher, lengths = states(4, 11, 6, seed=1), states(4, 11, 6, seed=2), [11, 1, 6, 8]
    mask = mask_of(lengths, 11)
    squares = (student.numpy() - teacher.numpy()) ** 2
    expected = np.mean([np.average(s.mean(axis=1), weights=m) for s, m in zip(squares, mask.numpy(), strict=True)])
    assert hidden_state_loss(student, teacher, mask).item() == pytest.approx(expected, rel=1e-12)


def test_least_when_student_equals_teacher() -> None:
    teacher, mask = states(2, 5, 4, seed=3), mask_of([5, 3], 5)
    assert hidden_state_loss(teacher.clone(), teacher, mask).item() == 0.0
    assert hidden_state_loss(teacher + 0.01 * states(2, 5, 4, seed=4), teacher, mask).item() > 0.0


def test_padding_does_not_matter_to_value_and_gradient() -> None:
    student, teacher = states(2, 5, 4, seed=5).requires_grad_(), states(2, 5, 4, seed=6)
    wide_student, wide_teacher = 1e3 * states(2, 9, 4, seed=7), 1e3 * states(2, 9, 4, seed=8)
    wide_student[:, :5], wide_teacher[:, :5] = student.detach(), teacher
    wide_student.requires_grad_()

    narrow = hidden_state_loss(student, teacher, mask_of([5, 3], 5))
    wide = hidden_state_loss(wide_student, wide_teacher, mask_of([5, 3], 9))
    narrow.backward()
    wide.backward()

    assert wide.item() == pytest.approx(narrow.item(), rel=1e-12)
    torch.testing.assert_close(wide_student.grad[:, :5], student.grad)
    assert wide_student.grad[:, 5:].abs().max() == 0


def test_equals_the_published_loss_without_padding() -> None:
    student, teacher = states(2, 7, 4, seed=9), states(2, 7, 4, seed=10)
    published = as_published_hidden_state_loss(student, teacher)
    assert hidden_state_loss(student, teacher, torch.ones(2, 7)).item() == pytest.approx(published.item(), rel=1e-12)


def test_refuses_other_widths_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"student \(2, 5, 384\), teacher \(2, 5, 768\)"):
        hidden_state_loss(torch.zeros(2, 5, 384), torch.zeros(2, 5, 768), torch.ones(2, 5))
    with pytest.raises(ValueError, match=r"student \(2, 5, 384\), teacher \(2, 5, 768\)"):
        as_published_hidden_state_loss(torch.zeros(2, 5, 384), torch.zeros(2, 5, 768))


@pytest.mark.parametrize("mask_shape", [(2, 6), (1, 5), (2, 1), (5,)])
def test_refuses_another_mask_with_both_shapes(mask_shape: tuple[int, ...]) -> None:
    student = torch.zeros(2, 5, 4)
    with pytest.raises(ValueError, match=r"mask \(.*\), tokens \(2, 5\)") as refusal:
        hidden_state_loss(student, student, torch.ones(mask_shape))
    assert str(mask_shape) in str(refusal.value)


def test_refuses_an_example_without_tokens() -> None:
    student = torch.zeros(3, 4, 2)
    with pytest.raises(ValueError, match=r"no valid token in example\(s\) \[1\] .*\(3, 4\)"):
        hidden_state_loss(student, student, mask_of([4, 0, 2], 4))
