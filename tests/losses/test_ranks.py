from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata

from distilrank.losses import adr_mse, reciprocal_ranks
from distilrank.losses.ranks import places
from tests.losses.lists import SIZES, mask_of, rows, values

Array = NDArray[np.float64]
MASK = mask_of(SIZES, 6)


def rank_distillm(s: Array, r: Array, alpha: float) -> float:
    """Rank-DistiLLM: pi_i = 1 + sum_{j != i} sigmoid(alpha (s_j - s_i)), mean of (r_i - pi_i)^2 / log2(r_i + 1)."""
    pi = [1 + sum(expit(alpha * (s[j] - s[i])) for j in range(len(s)) if j != i) for i in range(len(s))]
    return float(np.mean([(r[i] - pi[i]) ** 2 / math.log2(r[i] + 1) for i in range(len(s))]))


class TestAdrMse:
    def test_by_hand(self) -> None:
        # Equal scores have the ranks 1.5 and 1.5; the teacher's are 1 and 2, discounted by 1 and log2(3).
        loss = adr_mse(torch.zeros(1, 3), torch.tensor([[7.0, -7.0, 99.0]]), mask_of([2], 3))
        assert loss.item() == pytest.approx((0.25 + 0.25 / math.log2(3)) / 2)

    def test_by_hand_equal_teacher_scores_share_a_rank(self) -> None:
        # The teacher's ranks are 1.5, 1.5 and 3; equal scores have approximate ranks 2, 2, 2.
        loss = adr_mse(torch.zeros(1, 3), torch.tensor([[4.0, 4.0, 1.0]]), torch.ones(1, 3))
        assert loss.item() == pytest.approx((2 * 0.25 / math.log2(2.5) + 1 / math.log2(4)) / 3)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
    def test_another_way_and_the_authors_formula(self, temperature: float) -> None:
        scores, teacher = values(3, 6, seed=1), values(3, 6, seed=2).round()  # some of the teacher's are equal
        expected = [rank_distillm(s, rankdata(-t), 1 / temperature) for s, t in rows(scores, teacher)]
        loss = adr_mse(scores, teacher, MASK, temperature=temperature)
        assert loss.item() == pytest.approx(np.mean(expected), rel=1e-12)

    def test_goes_to_nothing_in_the_teachers_order(self) -> None:
        teacher = torch.arange(4.0, dtype=torch.float64)[None]
        losses = [adr_mse(gap * teacher, teacher, torch.ones(1, 4)).item() for gap in (-1.0, 0.0, 1.0, 10.0, 60.0)]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 1e-15

    def test_only_the_order_of_the_teacher_counts(self) -> None:
        scores, teacher = values(3, 6, seed=3), values(3, 6, seed=4)
        assert adr_mse(scores, teacher.exp() * 9, MASK).item() == adr_mse(scores, teacher, MASK).item()

    @pytest.mark.parametrize("padded", [1e4, -1e4, math.inf, -math.inf, math.nan])
    def test_padding_does_not_matter_to_value_and_gradient(self, padded: float) -> None:
        scores, teacher = values(3, 6, seed=5), values(3, 6, seed=6)
        plain = scores.clone().requires_grad_()
        filled = scores.masked_fill(~MASK, padded).requires_grad_()
        expected = adr_mse(plain, teacher, MASK)
        loss = adr_mse(filled, teacher.masked_fill(~MASK, padded), MASK)
        expected.backward()
        loss.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        torch.testing.assert_close(filled.grad, plain.grad)

    def test_refuses_what_it_cannot_rank(self) -> None:
        zeros = torch.zeros(2, 3)
        with pytest.raises(ValueError, match=r"fewer than two passages in group\(s\) \[1\] .*\(2, 3\)"):
            adr_mse(zeros, zeros, mask_of([3, 1], 3))
        with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 4\), mask \(2, 3\)"):
            adr_mse(zeros, torch.zeros(2, 4), zeros)
        with pytest.raises(ValueError, match=r"temperature must be positive, got -1.0"):
            adr_mse(zeros, zeros, torch.ones(2, 3), temperature=-1.0)


def test_reciprocal_ranks_of_a_teachers_order() -> None:
    teacher = torch.tensor([[-1.0, 3.0, 3.0, 0.5, 50.0], [2.0, 1.0, 0.0, -1.0, -2.0]])
    gains = reciprocal_ranks(teacher, mask_of([4, 5], 5))
    torch.testing.assert_close(
        gains, torch.tensor([[1 / 4, 1 / 1.5, 1 / 1.5, 1 / 3, 0.0], [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]])
    )


def test_places_break_ties_by_appearance_and_put_padding_last() -> None:
    scores = torch.tensor([[1.0, 2.0, 2.0, 9.0, 3.0]])
    assert places(scores, torch.tensor([[True, True, True, False, True]])).tolist() == [[4, 2, 3, 5, 1]]
