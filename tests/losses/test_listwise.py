from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch

from distilrank.losses import graded_listwise, info_nce, kl_divergence, listwise_kl, soft_cross_entropy
from tests.losses.lists import SIZES, mask_of, relevance_of, rows, values


class TestInfoNce:
    def test_by_hand_one_positive(self) -> None:
        # Scores 0 (positive), 0 and ln 2: -ln(1 / (1 + 1 + 2)) = ln 4.
        scores = torch.tensor([[0.0, 0.0, math.log(2.0)]])
        loss = info_nce(scores, torch.tensor([[1.0, 0.0, 0.0]]), torch.ones(1, 3))
        assert loss.item() == pytest.approx(math.log(4.0))

    def test_by_hand_positives_do_not_compete_and_groups_weigh_the_same(self) -> None:
        # Group 1: positives ln 3 and 0 against one negative 0: ln(4/3) and ln 2, mean ln(8/3) / 2.
        # Group 2: positive 0 against 0: ln 2; its third passage is padding.
        scores = torch.tensor([[math.log(3.0), 0.0, 0.0], [0.0, 0.0, 50.0]])
        relevance = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
        loss = info_nce(scores, relevance, torch.tensor([[1, 1, 1], [1, 1, 0]]))
        assert loss.item() == pytest.approx((math.log(8 / 3) / 2 + math.log(2.0)) / 2)

    def test_another_way(self) -> None:
        scores, relevance = values(3, 6, seed=1), relevance_of(SIZES, 6, [2, 1, 3])
        groups = []
        for row, relevant, size in zip(scores.numpy(), relevance.numpy(), SIZES, strict=True):
            real, is_positive = row[:size], relevant[:size] > 0
            negatives = real[~is_positive]
            groups.append(np.mean([scipy.special.logsumexp(np.append(negatives, s)) - s for s in real[is_positive]]))
        loss = info_nce(scores, relevance, mask_of(SIZES, 6))
        assert loss.item() == pytest.approx(np.mean(groups), rel=1e-12)

    def test_one_positive_in_front_is_softmax_cross_entropy(self) -> None:
        scores = values(4, 5, seed=2)
        relevance = torch.zeros(4, 5)
        relevance[:, 0] = 1
        expected = torch.nn.functional.cross_entropy(scores, torch.zeros(4, dtype=torch.long))
        assert info_nce(scores, relevance, torch.ones(4, 5)).item() == pytest.approx(expected.item(), rel=1e-12)

    def test_goes_to_nothing_as_positives_win(self) -> None:
        relevance = torch.tensor([[1.0, 0.0, 0.0]])
        losses = [info_nce(gap * relevance, relevance, torch.ones(1, 3)).item() for gap in (0.0, 1.0, 10.0, 40.0)]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 1e-15

    def test_only_differences_of_scores_count(self) -> None:
        scores, relevance, mask = values(3, 6, seed=3), relevance_of(SIZES, 6, [2, 1, 3]), mask_of(SIZES, 6)
        assert info_nce(scores + 7, relevance, mask).item() == pytest.approx(info_nce(scores, relevance, mask).item())

    @pytest.mark.parametrize("padded", [1e4, -1e4, math.inf, -math.inf, math.nan])
    def test_padding_does_not_matter_to_value_and_gradient(self, padded: float) -> None:
        scores, relevance, mask = values(3, 6, seed=4), relevance_of(SIZES, 6, [2, 1, 3]), mask_of(SIZES, 6)
        plain = scores.clone().requires_grad_()
        filled = scores.masked_fill(~mask, padded).requires_grad_()
        expected, loss = info_nce(plain, relevance, mask), info_nce(filled, relevance, mask)
        expected.backward()
        loss.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        assert torch.equal(filled.grad, plain.grad)
        assert filled.grad[~mask].abs().max() == 0

    def test_extreme_scores_stay_finite(self) -> None:
        scores = torch.tensor([[-1e4, 1e4]], requires_grad=True)
        loss = info_nce(scores, torch.tensor([[1, 0]]), torch.ones(1, 2))
        loss.backward()
        assert loss.item() == pytest.approx(2e4)
        assert scores.grad is not None
        assert scores.grad.tolist() == [[-1.0, 1.0]]

    def test_refuses_groups_without_a_positive(self) -> None:
        # The second group's only relevant passage is padding.
        relevance = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        with pytest.raises(ValueError, match=r"no positive passage in group\(s\) \[1\] .*\(2, 3\)"):
            info_nce(torch.zeros(2, 3), relevance, mask_of([3, 2], 3))

    def test_refuses_groups_without_a_negative(self) -> None:
        relevance = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        with pytest.raises(ValueError, match=r"no negative passage in group\(s\) \[0\] .*\(2, 3\)"):
            info_nce(torch.zeros(2, 3), relevance, mask_of([2, 3], 3))

    def test_refuses_other_shapes_with_all(self) -> None:
        with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 4\), mask \(2, 3\)"):
            info_nce(torch.zeros(2, 3), torch.zeros(2, 4), torch.ones(2, 3))
        with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 3\), mask \(3,\)"):
            info_nce(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(3))


class TestGradedListwise:
    def test_by_hand(self) -> None:
        # Gains [ln 3, 0] are (3/4, 1/4); scores [0, 0] are (1/2, 1/2): ln 2. The third passage is padding.
        gains = torch.tensor([[math.log(3.0), 0.0, 9.0]])
        loss = graded_listwise(torch.tensor([[0.0, 0.0, 9.0]]), gains, torch.tensor([[1, 1, 0]]))
        assert loss.item() == pytest.approx(math.log(2.0))

    def test_by_hand_with_temperature(self) -> None:
        # At T = 2 gains [2 ln 3, 0] are (3/4, 1/4) and scores [-2 ln 3, 0] are (1/4, 3/4): 4 ln 4 - ln 3.
        gains = torch.tensor([[2 * math.log(3.0), 0.0]])
        loss = graded_listwise(-gains, gains, torch.ones(1, 2), temperature=2.0)
        assert loss.item() == pytest.approx(4 * math.log(4.0) - math.log(3.0))

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
    def test_another_way(self, temperature: float) -> None:
        scores, gains = values(3, 6, seed=1), values(3, 6, seed=2)
        groups = []
        for row, wanted, size in zip(scores.numpy(), gains.numpy(), SIZES, strict=True):
            p = scipy.special.softmax(wanted[:size] / temperature)
            groups.append(-(p * scipy.special.log_softmax(row[:size] / temperature)).sum() * temperature**2)
        loss = graded_listwise(scores, gains, mask_of(SIZES, 6), temperature=temperature)
        assert loss.item() == pytest.approx(np.mean(groups), rel=1e-12)

    @pytest.mark.parametrize("temperature", [1.0, 2.5])
    def test_equals_the_soft_class_loss_without_padding(self, temperature: float) -> None:
        scores, gains = values(3, 6, seed=3), values(3, 6, seed=4)
        soft = soft_cross_entropy(scores, gains, temperature=temperature)
        loss = graded_listwise(scores, gains, torch.ones(3, 6), temperature=temperature)
        assert loss.item() == pytest.approx(soft.item(), rel=1e-12)

    def test_least_when_scores_equal_gains(self) -> None:
        gains, mask = values(3, 6, seed=5), mask_of(SIZES, 6)
        scores = gains.clone().requires_grad_()
        least = graded_listwise(scores, gains, mask)
        least.backward()
        torch.testing.assert_close(scores.grad, torch.zeros_like(gains))
        for seed in range(5):
            assert graded_listwise(gains + 0.05 * values(3, 6, seed=seed), gains, mask).item() > least.item()

    @pytest.mark.parametrize("padded", [1e4, -1e4, math.inf, -math.inf, math.nan])
    def test_padding_does_not_matter_to_value_and_gradient(self, padded: float) -> None:
        scores, gains, mask = values(3, 6, seed=6), values(3, 6, seed=7), mask_of(SIZES, 6)
        plain = scores.clone().requires_grad_()
        filled = scores.masked_fill(~mask, padded).requires_grad_()
        expected = graded_listwise(plain, gains, mask)
        loss = graded_listwise(filled, gains.masked_fill(~mask, padded), mask)
        expected.backward()
        loss.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        assert torch.equal(filled.grad, plain.grad)
        assert filled.grad[~mask].abs().max() == 0

    @pytest.mark.parametrize("size", [0, 1])
    def test_refuses_groups_with_nothing_to_compare(self, size: int) -> None:
        with pytest.raises(ValueError, match=r"fewer than two passages in group\(s\) \[1\] .*\(2, 3\)"):
            graded_listwise(torch.zeros(2, 3), torch.zeros(2, 3), mask_of([3, size], 3))

    def test_refuses_other_shapes_with_all(self) -> None:
        with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 3\), mask \(2, 4\)"):
            graded_listwise(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 4))

    def test_refuses_a_temperature_that_is_not_positive(self) -> None:
        with pytest.raises(ValueError, match=r"temperature must be positive, got 0.0"):
            graded_listwise(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3), temperature=0.0)


class TestListwiseKl:
    def test_by_hand_with_temperature(self) -> None:
        # At T = 2 the teacher's [2 ln 3, 0] is (3/4, 1/4) and the student's is (1/2, 1/2); the third is padding.
        teacher = torch.tensor([[2 * math.log(3.0), 0.0, 9.0]])
        loss = listwise_kl(torch.tensor([[1.0, 1.0, 9.0]]), teacher, torch.tensor([[1, 1, 0]]), temperature=2.0)
        assert loss.item() == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
    def test_another_way(self, temperature: float) -> None:
        scores, teacher = values(3, 6, seed=1), values(3, 6, seed=2)
        groups = []
        for s, t in rows(scores / temperature, teacher / temperature):
            groups.append(scipy.special.rel_entr(scipy.special.softmax(t), scipy.special.softmax(s)).sum())
        loss = listwise_kl(scores, teacher, mask_of(SIZES, 6), temperature=temperature)
        assert loss.item() == pytest.approx(np.mean(groups) * temperature**2, rel=1e-9)
        without_padding = listwise_kl(scores, teacher, torch.ones(3, 6), temperature=temperature)
        as_classes = kl_divergence(scores, teacher, temperature=temperature)
        assert without_padding.item() == pytest.approx(as_classes.item(), rel=1e-9)

    def test_nothing_where_the_scores_agree_up_to_a_shift(self) -> None:
        teacher, mask = values(3, 6, seed=3), mask_of(SIZES, 6)
        scores = (teacher + 5).requires_grad_()
        loss = listwise_kl(scores, teacher, mask)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-14)
        assert scores.grad is not None
        assert scores.grad.abs().max() < 1e-14
        assert listwise_kl(teacher * 1.1, teacher, mask).item() > 1e-3

    def test_the_gradient_keeps_its_size_when_the_temperature_changes(self) -> None:
        # Hinton et al., section 2: at high temperatures it goes to (s - t), centred, over the number of passages.
        teacher, scores = values(1, 5, seed=4), values(1, 5, seed=5).requires_grad_()
        listwise_kl(scores, teacher, torch.ones(1, 5), temperature=1e4).backward()
        difference = (scores - teacher).detach()
        torch.testing.assert_close(scores.grad, (difference - difference.mean()) / 5, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("padded", [1e4, -1e4, math.inf, -math.inf, math.nan])
    def test_padding_does_not_matter_to_value_and_gradient(self, padded: float) -> None:
        scores, teacher, mask = values(3, 6, seed=6), values(3, 6, seed=7), mask_of(SIZES, 6)
        plain = scores.clone().requires_grad_()
        filled = scores.masked_fill(~mask, padded).requires_grad_()
        expected = listwise_kl(plain, teacher, mask)
        loss = listwise_kl(filled, teacher.masked_fill(~mask, padded), mask)
        expected.backward()
        loss.backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        torch.testing.assert_close(filled.grad, plain.grad)

    def test_refuses_groups_of_one_other_shapes_and_temperatures(self) -> None:
        zeros = torch.zeros(2, 3)
        with pytest.raises(ValueError, match=r"fewer than two passages in group\(s\) \[1\] .*\(2, 3\)"):
            listwise_kl(zeros, zeros, mask_of([3, 1], 3))
        with pytest.raises(ValueError, match=r"\(2, 4\)"):
            listwise_kl(zeros, torch.zeros(2, 4), zeros)
        with pytest.raises(ValueError, match=r"temperature must be positive, got 0.0"):
            listwise_kl(zeros, zeros, torch.ones(2, 3), temperature=0.0)
