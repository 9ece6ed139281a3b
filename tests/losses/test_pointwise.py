from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import torch

from distilrank.losses import (
    binary_cross_entropy,
    grouped_bce,
    hard_cross_entropy,
    logit_mse,
    score_bce,
    score_mse,
    soft_binary_cross_entropy,
    two_class_logits,
)
from tests.losses.lists import SIZES, mask_of, rows, values

MASK = mask_of(SIZES, 6)


def scores(count: int, *, seed: int) -> torch.Tensor:
    return 3 * torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_by_hand() -> None:
    # sigmoid(ln 3) = 3/4: ln(4/3) when relevant, ln 4 when not; mean = ln 4 - ln(3) / 2.
    loss = binary_cross_entropy(torch.full((2,), math.log(3.0)), torch.tensor([1.0, 0.0]))
    assert loss.item() == pytest.approx(math.log(4.0) - math.log(3.0) / 2)


def test_another_way() -> None:
    raw = scores(9, seed=1)
    relevance = torch.rand(9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x, y = raw.numpy(), relevance.numpy()
    expected = -(y * scipy.special.log_expit(x) + (1 - y) * scipy.special.log_expit(-x)).mean()
    assert binary_cross_entropy(raw, relevance).item() == pytest.approx(expected, rel=1e-12)


def test_equals_the_class_loss_of_the_same_ranker() -> None:
    raw, labels = scores(8, seed=3), torch.tensor([1, 0, 0, 1, 0, 1, 0, 0])
    as_classes = hard_cross_entropy(two_class_logits(raw), labels)
    assert binary_cross_entropy(raw, labels).item() == pytest.approx(as_classes.item(), rel=1e-12)


def test_least_where_the_probability_is_the_relevance() -> None:
    relevance = torch.tensor([0.25, 0.5, 0.9], dtype=torch.float64)
    raw = torch.logit(relevance).requires_grad_()
    least = binary_cross_entropy(raw, relevance)
    least.backward()
    torch.testing.assert_close(raw.grad, torch.zeros_like(relevance))
    assert binary_cross_entropy(raw.detach() + 0.1, relevance).item() > least.item()


def test_extreme_scores_stay_finite() -> None:
    raw = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = binary_cross_entropy(raw, torch.tensor([0.0, 1.0]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert raw.grad is not None
    assert raw.grad.tolist() == [0.5, -0.5]


def test_refuses_other_shapes_with_both() -> None:
    with pytest.raises(ValueError, match=r"scores \(4, 1\), relevance \(4,\)"):
        binary_cross_entropy(torch.zeros(4, 1), torch.zeros(4))


@pytest.mark.parametrize("value", [2.0, -0.5, math.nan])
def test_refuses_relevance_outside_0_to_1(value: float) -> None:
    with pytest.raises(ValueError, match=r"relevance must lie in \[0, 1\]"):
        binary_cross_entropy(torch.zeros(2), torch.tensor([0.0, value]))


# --- over groups


def test_score_mse_by_hand() -> None:
    # (1 + 4) / 2 and 9; the second group's other passage is padding.
    loss = score_mse(torch.tensor([[1.0, 2.0], [3.0, 7.0]]), torch.tensor([[0.0, 0.0], [0.0, 0.0]]), mask_of([2, 1], 2))
    assert loss.item() == pytest.approx((2.5 + 9) / 2)


def test_score_mse_another_way() -> None:
    raw, teacher = values(3, 6, seed=4), values(3, 6, seed=5)
    expected = np.mean([np.square(s - t).mean() for s, t in rows(raw, teacher)])
    assert score_mse(raw, teacher, MASK).item() == pytest.approx(expected, rel=1e-12)
    each_by_itself = logit_mse(raw.reshape(-1, 1), teacher.reshape(-1, 1))  # Tang et al., for one logit
    assert score_mse(raw, teacher, torch.ones(3, 6)).item() == pytest.approx(each_by_itself.item(), rel=1e-12)


def test_score_mse_is_nothing_where_the_scores_agree() -> None:
    teacher = values(3, 6, seed=6)
    assert score_mse(teacher, teacher, MASK).item() == 0


def test_score_bce_by_hand_with_temperature() -> None:
    # At T = 2 the teacher's 2 ln 3 is a probability of 3/4 and the student's 0 is 1/2: 4 ln 2.
    loss = score_bce(torch.zeros(1, 2), torch.tensor([[2 * math.log(3.0), 9.0]]), mask_of([1], 2), temperature=2.0)
    assert loss.item() == pytest.approx(4 * math.log(2))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_score_bce_another_way(temperature: float) -> None:
    raw, teacher = values(3, 6, seed=7), values(3, 6, seed=8)
    groups = []
    for s, t in rows(raw / temperature, teacher / temperature):
        p = scipy.special.expit(t)
        groups.append(-(p * scipy.special.log_expit(s) + (1 - p) * scipy.special.log_expit(-s)).mean())
    loss = score_bce(raw, teacher, MASK, temperature=temperature)
    assert loss.item() == pytest.approx(np.mean(groups) * temperature**2, rel=1e-12)
    whole = soft_binary_cross_entropy(raw, teacher, temperature=temperature)
    without_padding = score_bce(raw, teacher, torch.ones(3, 6), temperature=temperature)
    assert without_padding.item() == pytest.approx(whole.item(), rel=1e-12)


def test_score_bce_is_least_where_the_scores_agree() -> None:
    teacher = values(3, 6, seed=9)
    raw = teacher.clone().requires_grad_()
    least = score_bce(raw, teacher, MASK, temperature=2.0)
    least.backward()
    torch.testing.assert_close(raw.grad, torch.zeros_like(teacher))
    assert score_bce(teacher + 0.1, teacher, MASK, temperature=2.0).item() > least.item()


def test_grouped_bce_is_the_mean_of_the_groups_own() -> None:
    raw, relevance = values(3, 6, seed=10), torch.rand(3, 6, generator=torch.Generator().manual_seed(11))
    own = [binary_cross_entropy(s[:size], r[:size]).item() for s, r, size in zip(raw, relevance, SIZES, strict=True)]
    assert grouped_bce(raw, relevance, MASK).item() == pytest.approx(np.mean(own), rel=1e-9)


@pytest.mark.parametrize("padded", [1e4, -1e4, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("loss_of", [score_mse, score_bce, grouped_bce])
def test_padding_does_not_matter_to_value_and_gradient(loss_of: Callable[..., torch.Tensor], padded: float) -> None:
    raw, wanted = values(3, 6, seed=12), values(3, 6, seed=13).sigmoid()
    plain = raw.clone().requires_grad_()
    filled = raw.masked_fill(~MASK, padded).requires_grad_()
    expected, loss = loss_of(plain, wanted, MASK), loss_of(filled, wanted.masked_fill(~MASK, padded), MASK)
    expected.backward()
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(filled.grad, plain.grad)


@pytest.mark.parametrize("loss_of", [score_mse, score_bce, grouped_bce])
def test_groups_are_refused_without_passages_and_in_other_shapes(loss_of: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"no passage in group\(s\) \[1\] of scores of shape \(2, 3\)"):
        loss_of(torch.zeros(2, 3), torch.zeros(2, 3), mask_of([3, 0], 3))
    with pytest.raises(ValueError, match=r"scores \(2, 3\), targets \(2, 4\), mask \(2, 3\)"):
        loss_of(torch.zeros(2, 3), torch.zeros(2, 4), torch.ones(2, 3))


def test_groups_are_refused_with_what_is_no_probability_and_no_temperature() -> None:
    with pytest.raises(ValueError, match=r"relevance must lie in \[0, 1\], found values from 0 to 2"):
        grouped_bce(torch.zeros(1, 3), torch.tensor([[0.0, 2.0, 1.0]]), torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"temperature must be positive, got 0.0"):
        score_bce(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1, 3), temperature=0.0)
