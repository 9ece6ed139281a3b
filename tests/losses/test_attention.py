from __future__ import annotations

import numpy as np
import pytest
import torch

from distilrank.losses import as_published_attention_loss, attention_loss


def scores(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def masked_by_loops(student: np.ndarray, teacher: np.ndarray, lengths: list[int]) -> float:
    per_example = []
    for s, t, length in zip(student, teacher, lengths, strict=True):
        per_example.append(np.mean((s[:, :length, :length] - t[:, :length, :length]) ** 2))
    return float(np.mean(per_example))


def mask_of(lengths: list[int], longest: int) -> torch.Tensor:
    return (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()


def test_by_hand_rows_and_columns_of_padding_do_not_count() -> None:
    # One head. Example 1 has two tokens: differences 1, 2, 3, 4 -> (1 + 4 + 9 + 16) / 4 = 7.5.
    # Example 2 has one token: difference 5 -> 25; its padded row and column hold 100. Mean: 16.25.
    student = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 100.0], [100.0, 100.0]]]])
    loss = attention_loss(student, torch.zeros_like(student), torch.tensor([[1, 1], [1, 0]]))
    assert loss.item() == pytest.approx(16.25, rel=1e-6)


def test_by_hand_heads_are_averaged() -> None:
    # Differences 1 and 3 in two heads of one token: (1 + 9) / 2 = 5.
    student = torch.tensor([[[[1.0]], [[3.0]]]])
    loss = attention_loss(student, torch.zeros_like(student), torch.ones(1, 1))
    assert loss.item() == pytest.approx(5.0)


def test_another_way() -> None:
    student, teacher = scores(4, 3, 11, 11, seed=1), scores(4, 3, 11, 11, seed=2)
    lengths = [11, 1, 6, 8]
    loss = attention_loss(student, teacher, mask_of(lengths, 11))
    assert loss.item() == pytest.approx(masked_by_loops(student.numpy(), teacher.numpy(), lengths), rel=1e-12)


def test_holes_in_the_mask_are_left_out_like_padding() -> None:
    student, teacher = scores(2, 3, 5, 5, seed=3), scores(2, 3, 5, 5, seed=4)
    kept = [0, 2, 4]
    mask = torch.zeros(2, 5)
    mask[:, kept] = 1
    dense = attention_loss(student[:, :, kept][..., kept], teacher[:, :, kept][..., kept], torch.ones(2, 3))
    assert attention_loss(student, teacher, mask).item() == pytest.approx(dense.item(), rel=1e-12)


def test_least_when_student_equals_teacher() -> None:
    teacher, mask = scores(2, 3, 5, 5, seed=5), mask_of([5, 3], 5)
    assert attention_loss(teacher.clone(), teacher, mask).item() == 0.0
    assert attention_loss(teacher + 0.01 * scores(2, 3, 5, 5, seed=6), teacher, mask).item() > 0.0


def test_padding_does_not_matter_to_value_and_gradient() -> None:
    student, teacher = scores(2, 3, 5, 5, seed=7).requires_grad_(), scores(2, 3, 5, 5, seed=8)
    mask = mask_of([5, 3], 5)
    wide_student = 1e3 * scores(2, 3, 9, 9, seed=9)
    wide_teacher = 1e3 * scores(2, 3, 9, 9, seed=10)
    wide_student[..., :5, :5], wide_teacher[..., :5, :5] = student.detach(), teacher
    wide_student.requires_grad_()

    narrow, wide = (
        attention_loss(student, teacher, mask),
        attention_loss(wide_student, wide_teacher, mask_of([5, 3], 9)),
    )
    narrow.backward()
    wide.backward()

    assert wide.item() == pytest.approx(narrow.item(), rel=1e-12)
    torch.testing.assert_close(wide_student.grad[..., :5, :5], student.grad)
    assert wide_student.grad[..., 5:, :].abs().max() == 0
    assert wide_student.grad[..., 5:].abs().max() == 0


def test_equals_the_published_loss_without_padding() -> None:
    student, teacher = scores(2, 3, 7, 7, seed=11), scores(2, 3, 7, 7, seed=12)
    mask = torch.ones(2, 7)
    published = as_published_attention_loss(student, teacher, mask)
    assert attention_loss(student, teacher, mask).item() == pytest.approx(published.item(), rel=1e-12)


def test_autocast_does_not_coarsen_it() -> None:
    student, teacher, mask = scores(2, 3, 7, 7, seed=13).float(), scores(2, 3, 7, 7, seed=14).float(), torch.ones(2, 7)
    plain = attention_loss(student, teacher, mask)
    with torch.autocast("cpu", torch.bfloat16):
        cast = attention_loss(student, teacher, mask)
    assert cast.dtype == torch.float32
    assert cast.item() == pytest.approx(plain.item(), rel=1e-6)


def test_refuses_other_heads_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"student \(2, 12, 5, 5\), teacher \(2, 8, 5, 5\)"):
        attention_loss(torch.zeros(2, 12, 5, 5), torch.zeros(2, 8, 5, 5), torch.ones(2, 5))
    with pytest.raises(ValueError, match=r"student \(2, 12, 5, 5\), teacher \(2, 8, 5, 5\)"):
        as_published_attention_loss(torch.zeros(2, 12, 5, 5), torch.zeros(2, 8, 5, 5), torch.ones(2, 5))


@pytest.mark.parametrize("mask_shape", [(2, 6), (1, 5), (2, 1), (5,)])
def test_refuses_another_mask_with_both_shapes(mask_shape: tuple[int, ...]) -> None:
    student = torch.zeros(2, 3, 5, 5)
    with pytest.raises(ValueError, match=r"mask \(.*\), queries \(2, 5\), keys \(2, 5\)") as refusal:
        attention_loss(student, student, torch.ones(mask_shape))
    assert str(mask_shape) in str(refusal.value)


def test_refuses_scores_that_are_not_square() -> None:
    student = torch.zeros(2, 3, 5, 6)
    with pytest.raises(ValueError, match=r"queries \(2, 5\), keys \(2, 6\)"):
        attention_loss(student, student, torch.ones(2, 5))


def test_refuses_scores_without_heads() -> None:
    student = torch.zeros(2, 5, 5)
    with pytest.raises(ValueError, match=r"4 dimensions: student \(2, 5, 5\)"):
        attention_loss(student, student, torch.ones(2, 5))


def test_refuses_an_example_without_tokens() -> None:
    student = torch.zeros(3, 2, 4, 4)
    with pytest.raises(ValueError, match=r"no valid token in example\(s\) \[1\] .*\(3, 4\)"):
        attention_loss(student, student, mask_of([4, 0, 2], 4))
