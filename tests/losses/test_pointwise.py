from __future__ import annotations

import math

import pytest
import scipy.special
import torch

from distilrank.losses import binary_cross_entropy, hard_cross_entropy, two_class_logits


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
