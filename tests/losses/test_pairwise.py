from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilrank.losses import lambda_loss, margin_mse, ranknet
from tests.losses.lists import POSITIVES, SIZES, mask_of, relevance_of, rows, values

Array = NDArray[np.float64]
MASK = mask_of(SIZES, 6)
RELEVANCE = relevance_of(SIZES, 6, POSITIVES)


class TestMarginMse:
    def test_by_hand_a_triple(self) -> None:
        # The student's margin is 1.5, the teacher's 4: (1.5 - 4)^2.
        loss = margin_mse(
            torch.tensor([[2.0, 0.5]]), torch.tensor([[3.0, -1.0]]), torch.tensor([[1, 0]]), torch.ones(1, 2)
        )
        assert loss.item() == pytest.approx(6.25)

    def test_by_hand_all_pairs_and_groups_weigh_the_same(self) -> None:
        # Group 1: positives 3 and 1 against 0 and 1: margins 3, 2, 1, 0; the teacher's 3, 3, 1, 1: (0 + 1 + 0 + 1) / 4.
        # Group 2: margin -1, the teacher's 2: 9; its last two passages are padding.
        scores = torch.tensor([[3.0, 1.0, 0.0, 1.0], [0.0, 1.0, 50.0, 60.0]])
        teacher = torch.tensor([[3.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0, 9.0]])
        relevance = torch.tensor([[2.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
        loss = margin_mse(scores, teacher, relevance, mask_of([4, 2], 4))
        assert loss.item() == pytest.approx((0.5 + 9.0) / 2)

    def test_another_way(self) -> None:
        scores, teacher = values(3, 6, seed=1), values(3, 6, seed=2)
        groups = []
        for s, t, r in rows(scores, teacher, RELEVANCE):
            pairs = [(i, j) for i in range(len(s)) for j in range(len(s)) if r[i] > 0 and r[j] == 0]
            groups.append(np.mean([((s[i] - s[j]) - (t[i] - t[j])) ** 2 for i, j in pairs]))
        assert margin_mse(scores, teacher, RELEVANCE, MASK).item() == pytest.approx(np.mean(groups), rel=1e-12)

    def test_the_authors_formula(self) -> None:
        """``margin_mse_loss.py`` of neural-ranking-kd: mean(((pos - neg) - (label_pos - label_neg))^2) over triples."""
        scores, teacher = values(5, 2, seed=3).numpy(), values(5, 2, seed=4).numpy()
        expected = np.mean(np.power((scores[:, 0] - scores[:, 1]) - (teacher[:, 0] - teacher[:, 1]), 2))
        first = torch.tensor([[1, 0]]).expand(5, 2)
        loss = margin_mse(torch.from_numpy(scores), torch.from_numpy(teacher), first, torch.ones(5, 2))
        assert loss.item() == pytest.approx(expected, rel=1e-12)

    def test_nothing_where_the_margins_agree(self) -> None:
        teacher = values(3, 6, seed=5)
        scores = (teacher + 3).requires_grad_()
        loss = margin_mse(scores, teacher, RELEVANCE, MASK)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-25)
        torch.testing.assert_close(scores.grad, torch.zeros_like(teacher))

    def test_refuses_groups_without_a_pair(self) -> None:
        zeros = torch.zeros(2, 3)
        with pytest.raises(ValueError, match=r"no positive passage in group\(s\) \[1\] .*\(2, 3\)"):
            margin_mse(zeros, zeros, torch.tensor([[1, 0, 0], [0, 0, 1]]), mask_of([3, 2], 3))
        with pytest.raises(ValueError, match=r"no negative passage in group\(s\) \[0\] .*\(2, 3\)"):
            margin_mse(zeros, zeros, torch.tensor([[1, 1, 0], [1, 0, 0]]), mask_of([2, 3], 3))

    def test_refuses_other_shapes_with_both(self) -> None:
        zeros = torch.zeros(2, 3)
        with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 4\), mask \(2, 3\)"):
            margin_mse(zeros, torch.zeros(2, 4), zeros, zeros)
        with pytest.raises(ValueError, match=r"scores \(2, 3\), relevance \(3,\)"):
            margin_mse(zeros, zeros, torch.zeros(3), zeros)


class TestRankNet:
    def test_by_hand(self) -> None:
        # The teacher's order is 2nd, 1st, 3rd. log(1 + e^(s_j - s_i)): (2, 1) ln 3 behind, (2, 3) equal, (1, 3) ahead.
        scores = torch.tensor([[math.log(3.0), 0.0, 0.0, 9.0]])
        loss = ranknet(scores, torch.tensor([[0.5, 8.0, -1.0, 99.0]]), mask_of([3], 4))
        assert loss.item() == pytest.approx((math.log(4.0) + math.log(2.0) + math.log(4 / 3)) / 3)

    def test_by_hand_equal_scores_are_no_pair(self) -> None:
        # Only (1, 2) and (1, 3) are pairs; the second group's teacher has no order at all and counts as 0.
        scores = torch.tensor([[0.0, math.log(3.0), 0.0], [5.0, 1.0, 2.0]])
        loss = ranknet(scores, torch.tensor([[1.0, 0.0, 0.0], [4.0, 4.0, 4.0]]), torch.ones(2, 3))
        assert loss.item() == pytest.approx((math.log(4.0) + math.log(2.0)) / 2 / 2)

    def test_another_way(self) -> None:
        scores, teacher = values(3, 6, seed=1), values(3, 6, seed=2)
        groups = []
        for s, t in rows(scores, teacher):
            ordered = s[np.argsort(-t)]
            groups.append(np.mean([np.logaddexp(0, low - high) for high, low in itertools.combinations(ordered, 2)]))
        assert ranknet(scores, teacher, MASK).item() == pytest.approx(np.mean(groups), rel=1e-12)

    def test_the_authors_formula(self) -> None:
        """``rank_net`` of RankGPT's ``rank_loss.py`` on y = 1 / rank: the mean BCE of the logits s_i - s_j with 1."""
        scores, teacher = values(1, 7, seed=3), values(1, 7, seed=4)
        y = np.empty(7)
        y[np.argsort(-teacher[0].numpy())] = 1 / np.arange(1, 8)
        differences = [(scores[0, i] - scores[0, j]).item() for i in range(7) for j in range(7) if y[i] > y[j]]
        expected = np.mean([-math.log(1 / (1 + math.exp(-d))) for d in differences])
        assert ranknet(scores, teacher, torch.ones(1, 7)).item() == pytest.approx(expected, rel=1e-12)

    def test_only_the_order_of_the_teacher_counts(self) -> None:
        scores, teacher = values(3, 6, seed=5), values(3, 6, seed=6)
        plain = ranknet(scores, teacher, MASK).item()
        assert ranknet(scores, teacher.exp() * 7 - 3, MASK).item() == plain
        assert ranknet(scores, -teacher, MASK).item() != pytest.approx(plain)

    def test_goes_to_nothing_in_the_teachers_order(self) -> None:
        teacher = torch.arange(4.0)[None]
        losses = [ranknet(gap * teacher, teacher, torch.ones(1, 4)).item() for gap in (-1.0, 0.0, 1.0, 10.0, 50.0)]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 1e-15

    def test_refuses_groups_of_one(self) -> None:
        with pytest.raises(ValueError, match=r"fewer than two passages in group\(s\) \[1\] .*\(2, 3\)"):
            ranknet(torch.zeros(2, 3), torch.zeros(2, 3), mask_of([3, 1], 3))

    def test_refuses_other_shapes_with_both(self) -> None:
        with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 4\), mask \(2, 3\)"):
            ranknet(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 3))


def lambda_by_loops(s: Array, g: Array, mu: float) -> float:
    """NDCG-Loss2++ of one list, pair by pair."""
    rank = {int(i): place for place, i in enumerate(np.argsort(-s, kind="stable"), start=1)}
    ideal = sum((2**gain - 1) / math.log2(1 + place) for place, gain in enumerate(sorted(g, reverse=True), start=1))
    terms = []
    for i, j in itertools.permutations(range(len(s)), 2):
        if g[i] > g[j]:
            apart = abs(rank[i] - rank[j])
            rho = abs(1 / math.log2(1 + rank[i]) - 1 / math.log2(1 + rank[j]))
            delta = abs(1 / math.log2(1 + apart) - 1 / math.log2(2 + apart))
            terms.append((rho + mu * delta) * (2 ** g[i] - 2 ** g[j]) / ideal * math.log2(1 + math.exp(s[j] - s[i])))
    return float(np.mean(terms)) if terms else 0.0


class TestLambdaLoss:
    def test_by_hand(self) -> None:
        # Two passages with equal scores, gains 1 and 0: the pair costs 1 bit, G = 1, and both rho and delta are
        # 1 / log2(2) - 1 / log2(3), delta ten times.
        loss = lambda_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2))
        assert loss.item() == pytest.approx(11 * (1 - 1 / math.log2(3)), rel=1e-6)

    @pytest.mark.parametrize("mu", [0.0, 10.0])
    def test_another_way(self, mu: float) -> None:
        scores, gains = values(3, 6, seed=1), values(3, 6, seed=2).abs()
        expected = np.mean([lambda_by_loops(s, g, mu) for s, g in rows(scores, gains)])
        assert lambda_loss(scores, gains, MASK, mu=mu).item() == pytest.approx(expected, rel=1e-12)

    def test_equal_gains_are_no_pair(self) -> None:
        scores, gains = values(2, 4, seed=3), torch.tensor([[2.0, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]]).double()
        expected = lambda_by_loops(scores[0].numpy(), gains[0].numpy(), 10.0) / 2
        assert lambda_loss(scores, gains, torch.ones(2, 4)).item() == pytest.approx(expected, rel=1e-12)
        assert lambda_loss(scores, torch.zeros(2, 4), torch.ones(2, 4)).item() == 0

    def test_the_weights_have_no_gradient(self) -> None:
        # Were the ranks smoothed, the gradient would not be that of the weighted pairs alone.
        scores, gains = values(1, 2, seed=4).requires_grad_(), torch.tensor([[1.0, 0.0]]).double()
        lambda_loss(scores, gains, torch.ones(1, 2)).backward()
        weight = 11 * (1 - 1 / math.log2(3)) / math.log(2)
        wrong = torch.sigmoid(scores[0, 1] - scores[0, 0]).item()
        assert scores.grad is not None
        assert scores.grad[0].tolist() == pytest.approx([-weight * wrong, weight * wrong])

    def test_the_top_weighs_more_than_the_bottom(self) -> None:
        gains = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
        top_swapped, bottom_swapped = torch.tensor([[3.0, 4.0, 2.0, 1.0]]), torch.tensor([[4.0, 3.0, 1.0, 2.0]])
        costs = [lambda_loss(s, gains, torch.ones(1, 4)).item() for s in (top_swapped, bottom_swapped)]
        assert costs[0] > 1.5 * costs[1]

    def test_refuses_gains_below_nothing_and_groups_of_one(self) -> None:
        zeros = torch.zeros(2, 3)
        with pytest.raises(ValueError, match=r"gains below 0 in group\(s\) \[1\] .*\(2, 3\)"):
            lambda_loss(zeros, torch.tensor([[0.0, 1.0, -9.0], [0.0, -0.5, 1.0]]), mask_of([2, 3], 3))
        with pytest.raises(ValueError, match=r"fewer than two passages in group\(s\) \[0\]"):
            lambda_loss(zeros, zeros, mask_of([1, 3], 3))

    def test_refuses_other_shapes_with_both(self) -> None:
        with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 4\), mask \(2, 3\)"):
            lambda_loss(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 3))


@pytest.mark.parametrize("padded", [1e4, -1e4, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["margin_mse", "ranknet", "lambda_loss"])
def test_padding_does_not_matter_to_value_and_gradient(name: str, padded: float) -> None:
    def loss_of(scores: Tensor, teacher: Tensor) -> Tensor:
        if name == "margin_mse":
            return margin_mse(scores, teacher, RELEVANCE, MASK)
        return {"ranknet": ranknet, "lambda_loss": lambda_loss}[name](scores, teacher, MASK)

    scores, teacher = values(3, 6, seed=7), values(3, 6, seed=8).abs()
    plain = scores.clone().requires_grad_()
    filled = scores.masked_fill(~MASK, padded).requires_grad_()
    expected, loss = loss_of(plain, teacher), loss_of(filled, teacher.masked_fill(~MASK, padded))
    expected.backward()
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(filled.grad, plain.grad)
    assert filled.grad is not None
    assert filled.grad[~MASK].abs().max() == 0
