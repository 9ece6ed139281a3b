from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor
from torch.nn import functional

from distilrank.losses import relation_loss


def states(*shape: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, dtype=torch.float64, generator=generator) for _ in range(3))  # type: ignore[return-value]


def mask_of(lengths: Sequence[int], longest: int) -> Tensor:
    return (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()


def only(queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries with keys and values that relate in the same way in every network."""
    return queries, torch.zeros_like(queries), torch.zeros_like(queries)


def by_loops(student: Sequence[Tensor], teacher: Sequence[Tensor], lengths: Sequence[int], heads: int) -> float:
    """Head by head and row by row on real tokens only, with scipy."""
    per_example = []
    for row, length in enumerate(lengths):
        total = 0.0
        for ours, theirs in zip(student, teacher, strict=True):
            divergences = []
            for head in range(heads):
                relations = []
                for whole in (ours, theirs):
                    size = whole.shape[2] // heads
                    x = whole[row, :length, head * size : (head + 1) * size].numpy()
                    relations.append(softmax(x @ x.T / np.sqrt(size), axis=1))
                given, wanted = relations
                divergences.extend(rel_entr(wanted[i], given[i]).sum() for i in range(length))
            total += float(np.mean(divergences))
        per_example.append(total)
    return float(np.mean(per_example))


def minilm_v2_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], heads: int) -> float:
    """Equations 4 to 6 of MiniLMv2 (arXiv 2012.15828), for texts without padding.

    R_X = softmax(X X^T / sqrt(d_r)) for X in Q, K, V of the relation heads; L = sum over X of
    1 / (A_r |x|) * sum over heads and positions of KL(R_X^T || R_X^S); the mean over the batch.
    """
    loss = 0.0
    for x_s, x_t in zip(student, teacher, strict=True):
        batch, length, _ = x_s.shape
        r_s, r_t = (
            torch.softmax(torch.einsum("nahd,nbhd->nhab", x, x) / x.shape[-1] ** 0.5, dim=-1)
            for x in (each.reshape(batch, length, heads, -1) for each in (x_s, x_t))
        )
        loss += functional.kl_div(r_s.log(), r_t, reduction="sum").item() / (heads * length * batch)
    return loss


def test_by_hand() -> None:
    # One head of size 1, two tokens: Q = (0, 1) relates as ((0, 0), (0, 1)) before the softmax, Q = (0, 2) as
    # ((0, 0), (0, 4)). The first rows are equal. The second: p = sigmoid(4) against sigmoid(1). Mean over two rows.
    student, teacher = (torch.tensor([[[0.0], [value]]], dtype=torch.float64) for value in (1.0, 2.0))
    p, q = 1 / (1 + np.exp(-4.0)), 1 / (1 + np.exp(-1.0))
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    loss = relation_loss(only(student), only(teacher), torch.ones(1, 2), heads=1)
    assert loss.item() == pytest.approx(divergence / 2, rel=1e-12)
    # The three are summed: queries, keys and values alike are three times as much.
    thrice = relation_loss((student,) * 3, (teacher,) * 3, torch.ones(1, 2), heads=1)
    assert thrice.item() == pytest.approx(3 * divergence / 2, rel=1e-12)


def test_by_hand_heads_are_averaged_and_scaled_by_the_root_of_their_size() -> None:
    # Two heads of size 4: in the first nothing differs, in the second Q Q^T = 4 and 16, over sqrt(4): 2 and 8.
    student, teacher = (torch.zeros(1, 2, 8, dtype=torch.float64) for _ in range(2))
    student[0, 1, 4:], teacher[0, 1, 4:] = 1.0, 2.0
    p, q = 1 / (1 + np.exp(-8.0)), 1 / (1 + np.exp(-2.0))
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    loss = relation_loss(only(student), only(teacher), torch.ones(1, 2), heads=2)
    assert loss.item() == pytest.approx(divergence / 2 / 2, rel=1e-12)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_another_way_with_other_widths(heads: int) -> None:
    lengths = [9, 2, 5, 7]
    student, teacher = states(4, 9, 8, seed=1), states(4, 9, 12, seed=2)
    loss = relation_loss(student, teacher, mask_of(lengths, 9), heads=heads)
    assert loss.item() == pytest.approx(by_loops(student, teacher, lengths, heads), rel=1e-10)


def test_equals_the_published_formula_without_padding() -> None:
    student, teacher = states(3, 6, 8, seed=3), states(3, 6, 12, seed=4)
    loss = relation_loss(student, teacher, torch.ones(3, 6), heads=4)
    assert loss.item() == pytest.approx(minilm_v2_loss(student, teacher, 4), rel=1e-10)


def test_zero_when_the_relations_are_equal_and_more_otherwise() -> None:
    teacher, mask = states(2, 5, 8, seed=5), mask_of([5, 3], 5)
    assert relation_loss(teacher, teacher, mask, heads=2).item() == pytest.approx(0.0, abs=1e-15)
    # A rotation within each head, other for each, leaves the relations as they are.
    rotation, _ = torch.linalg.qr(torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(6)))
    turned = [torch.einsum("blhs,hst->blht", x.view(2, 5, 2, 4), rotation).reshape(2, 5, 8) for x in teacher]
    assert relation_loss(turned, teacher, mask, heads=2).item() == pytest.approx(0.0, abs=1e-12)
    for changed in range(3):
        other = [x * 1.1 if i == changed else x for i, x in enumerate(teacher)]
        assert relation_loss(other, teacher, mask, heads=2).item() > 1e-4


def test_the_teacher_is_what_is_diverged_from() -> None:
    student, teacher, mask = states(2, 5, 8, seed=7), states(2, 5, 8, seed=8), torch.ones(2, 5)
    there = relation_loss(student, teacher, mask, heads=2).item()
    assert relation_loss(teacher, student, mask, heads=2).item() != pytest.approx(there, rel=0.01)


def test_padding_does_not_matter_to_value_and_gradient() -> None:
    mask, wide_mask = mask_of([5, 3], 5), mask_of([5, 3], 9)
    student = [x.requires_grad_() for x in states(2, 5, 8, seed=9)]
    teacher = states(2, 5, 12, seed=10)
    wide_student, wide_teacher = ([100 * x for x in states(2, 9, width, seed=width)] for width in (8, 12))
    for narrow, wide in zip((*student, *teacher), (*wide_student, *wide_teacher), strict=True):
        wide[:, :5][mask.bool()] = narrow.detach()[mask.bool()]
    wide_student = [x.requires_grad_() for x in wide_student]
    loss = relation_loss(student, teacher, mask, heads=4)
    padded = relation_loss(wide_student, wide_teacher, wide_mask, heads=4)
    loss.backward()
    padded.backward()
    assert padded.item() == pytest.approx(loss.item(), rel=1e-12)
    for narrow, wide in zip(student, wide_student, strict=True):
        torch.testing.assert_close(wide.grad[:, :5], narrow.grad)
        assert wide.grad[wide_mask == 0].abs().max() == 0
        assert narrow.grad[mask == 0].abs().max() == 0


def test_holes_in_the_mask_are_left_out_like_padding() -> None:
    student, teacher, kept = states(2, 5, 8, seed=11), states(2, 5, 4, seed=12), [0, 2, 4]
    mask = torch.zeros(2, 5)
    mask[:, kept] = 1
    dense = relation_loss([x[:, kept] for x in student], [x[:, kept] for x in teacher], torch.ones(2, 3), heads=2)
    assert relation_loss(student, teacher, mask, heads=2).item() == pytest.approx(dense.item(), rel=1e-12)


def test_refusals_hold_the_numbers() -> None:
    student, teacher, mask = states(2, 5, 8, seed=13), states(2, 5, 12, seed=14), torch.ones(2, 5)
    with pytest.raises(ValueError, match="3 relation heads do not divide a width of 8"):
        relation_loss(student, teacher, mask, heads=3)
    with pytest.raises(ValueError, match="8 relation heads do not divide a width of 12"):
        relation_loss(student, teacher, mask, heads=8)
    with pytest.raises(ValueError, match="0 relation heads"):
        relation_loss(student, teacher, mask, heads=0)
    with pytest.raises(ValueError, match="got 2 and 3 tensors"):
        relation_loss(student[:2], teacher, mask, heads=4)
    with pytest.raises(ValueError, match=r"mask \(2, 5\), student_tokens \(2, 6\), teacher_tokens \(2, 5\)"):
        relation_loss(states(2, 6, 8, seed=15), teacher, mask, heads=4)
    with pytest.raises(ValueError, match=r"mask \(1, 5\)"):
        relation_loss(student, teacher, mask[:1], heads=4)
    with pytest.raises(ValueError, match=r"3 dimensions: student \(2, 5, 2, 4\)"):
        relation_loss([x.view(2, 5, 2, 4) for x in student], teacher, mask, heads=4)
    with pytest.raises(ValueError, match=r"no valid token in example\(s\) \[1\]"):
        relation_loss(student, teacher, mask_of([5, 0], 5), heads=4)
