from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilrank.losses import list_mle
from tests.losses.lists import SIZES, mask_of, rows, values

Array = NDArray[np.float64]
MASK = mask_of(SIZES, 6)


def plackett_luce(s: Array, order: Array) -> list[float]:
    """-log of the probability of each draw in this order, from the definition."""
    left = [float(np.exp(s[i])) for i in order]
    return [-math.log(left[k] / sum(left[k:])) for k in range(len(left))]


def test_by_hand() -> None:
    # Worths 2, 1 and 3; the teacher's order is 2nd, 3rd, 1st: 1/6, then 3/5, then 2/2.
    scores = torch.tensor([[math.log(2.0), 0.0, math.log(3.0), 8.0]])
    loss = list_mle(scores, torch.tensor([[-1.0, 5.0, 2.0, 99.0]]), mask_of([3], 4))
    assert loss.item() == pytest.approx(-(math.log(1 / 6) + math.log(3 / 5)) / 3)


def test_by_hand_position_aware_and_top() -> None:
    # The same draws; with n = 3 the places weigh 2^2 - 1, 2^1 - 1 and 0.
    scores, teacher = torch.tensor([[math.log(2.0), 0.0, math.log(3.0)]]), torch.tensor([[-1.0, 5.0, 2.0]])
    whole = list_mle(scores, teacher, torch.ones(1, 3), position_aware=True)
    assert whole.item() == pytest.approx(-(3 * math.log(1 / 6) + math.log(3 / 5)) / 4)
    assert list_mle(scores, teacher, torch.ones(1, 3), top=1).item() == pytest.approx(math.log(6))


@pytest.mark.parametrize("top", [None, 1, 3, 9])
@pytest.mark.parametrize("position_aware", [False, True])
def test_another_way(position_aware: bool, top: int | None) -> None:
    scores, teacher = values(3, 6, seed=1), values(3, 6, seed=2)
    groups = []
    for s, t in rows(scores, teacher):
        draws = plackett_luce(s, np.argsort(-t))
        weights = [2.0 ** (len(s) - k) - 1 if position_aware else 1.0 for k in range(1, len(s) + 1)]
        groups.append(np.average(draws[:top], weights=weights[:top]))
    loss = list_mle(scores, teacher, MASK, position_aware=position_aware, top=top)
    assert loss.item() == pytest.approx(np.mean(groups), rel=1e-6)


def test_the_likelihood_is_a_distribution_over_orders() -> None:
    # ListMLE (Xia et al. 2008): the probabilities of all permutations sum to 1.
    scores = values(1, 4, seed=3)
    orders = torch.tensor(list(itertools.permutations(range(4)))).double()
    total = sum(math.exp(-4 * list_mle(scores, order[None], torch.ones(1, 4)).item()) for order in orders)
    assert total == pytest.approx(1.0, rel=1e-6)


def test_the_teachers_order_is_the_best() -> None:
    teacher = torch.arange(4.0)[None]
    losses = [list_mle(gap * teacher, teacher, torch.ones(1, 4)).item() for gap in (-1.0, 0.0, 1.0, 10.0, 50.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-15


def test_only_order_and_differences_count() -> None:
    scores, teacher = values(3, 6, seed=4), values(3, 6, seed=5)
    plain = list_mle(scores, teacher, MASK).item()
    assert list_mle(scores, teacher.exp() * 5, MASK).item() == plain
    assert list_mle(scores + 11, teacher, MASK).item() == pytest.approx(plain, rel=1e-9)


def test_equal_teacher_scores_stand_as_they_come() -> None:
    scores = values(1, 3, seed=6)
    tied = list_mle(scores, torch.tensor([[1.0, 2.0, 2.0]]), torch.ones(1, 3))
    assert tied.item() == list_mle(scores, torch.tensor([[1.0, 3.0, 2.0]]), torch.ones(1, 3)).item()


def test_a_long_list_has_finite_weights() -> None:
    loss = list_mle(values(1, 2000, seed=7).float(), values(1, 2000, seed=8), torch.ones(1, 2000), position_aware=True)
    assert math.isfinite(loss.item())


@pytest.mark.parametrize("padded", [1e4, -1e4, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("position_aware", [False, True])
def test_padding_does_not_matter_to_value_and_gradient(position_aware: bool, padded: float) -> None:
    scores, teacher = values(3, 6, seed=9), values(3, 6, seed=10)
    plain = scores.clone().requires_grad_()
    filled = scores.masked_fill(~MASK, padded).requires_grad_()
    expected = list_mle(plain, teacher, MASK, position_aware=position_aware)
    loss = list_mle(filled, teacher.masked_fill(~MASK, padded), MASK, position_aware=position_aware)
    expected.backward()
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(filled.grad, plain.grad)


def test_refusals() -> None:
    zeros = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"fewer than two passages in group\(s\) \[1\] .*\(2, 3\)"):
        list_mle(zeros, zeros, mask_of([3, 1], 3))
    with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 4\), mask \(2, 3\)"):
        list_mle(zeros, torch.zeros(2, 4), zeros)
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        list_mle(zeros, zeros, torch.ones(2, 3), top=0)
