from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch

from distilrank.losses import hard_cross_entropy, multi_label_cross_entropy, regression_mse, two_class_logits


def logits(*shape: int, seed: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class TestHardCrossEntropy:
    def test_by_hand(self) -> None:
        # [0, ln 3] is (1/4, 3/4): -ln(3/4) for class 1, -ln(1/4) for class 0; mean = (2 ln 4 - ln 3) / 2.
        rows = torch.tensor([[0.0, math.log(3.0)], [0.0, math.log(3.0)]])
        loss = hard_cross_entropy(rows, torch.tensor([1, 0]))
        assert loss.item() == pytest.approx((2 * math.log(4.0) - math.log(3.0)) / 2)

    def test_another_way(self) -> None:
        rows, labels = logits(9, 4, seed=1), torch.tensor([0, 1, 2, 3, 3, 2, 1, 0, 2])
        expected = -scipy.special.log_softmax(rows.numpy(), axis=1)[np.arange(9), labels.numpy()].mean()
        assert hard_cross_entropy(rows, labels).item() == pytest.approx(expected, rel=1e-12)

    def test_goes_to_nothing_as_the_right_class_wins(self) -> None:
        labels = torch.tensor([0, 1])
        losses = [hard_cross_entropy(scale * torch.eye(2), labels).item() for scale in (0.0, 1.0, 10.0, 40.0)]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 1e-15

    def test_one_logit_ranker_as_two_classes_has_a_positive_loss_and_a_gradient(self) -> None:
        student = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
        loss = hard_cross_entropy(two_class_logits(student), torch.tensor([1, 1, 0]))
        loss.backward()
        assert loss.item() > 0.1
        assert student.grad is not None
        assert (student.grad.abs() > 1e-2).all()
        assert student.grad.sign().tolist() == [-1.0, -1.0, 1.0]

    def test_small_integer_labels_are_class_indices_too(self) -> None:
        rows = logits(3, 4, seed=2)
        labels = torch.tensor([0, 3, 1])
        assert hard_cross_entropy(rows, labels.to(torch.uint8)).item() == hard_cross_entropy(rows, labels).item()

    @pytest.mark.parametrize("labels", [[-100, 1], [0, 3], [-1, 0]])
    def test_refuses_labels_that_are_no_classes_even_those_torch_would_ignore(self, labels: list[int]) -> None:
        with pytest.raises(ValueError, match="from 0 to 2, got") as refusal:
            hard_cross_entropy(torch.zeros(2, 3), torch.tensor(labels))
        assert str(labels) in str(refusal.value)

    def test_refuses_labels_that_are_not_whole(self) -> None:
        with pytest.raises(ValueError, match=r"class indices from 0 to 2, got \[0.5, 1.0\]"):
            hard_cross_entropy(torch.zeros(2, 3), torch.tensor([0.5, 1.0]))

    def test_refuses_other_shapes_with_both(self) -> None:
        with pytest.raises(ValueError, match=r"labels \(3,\), examples \(2,\)"):
            hard_cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1, 2]))
        with pytest.raises(ValueError, match=r"labels \(2, 1\), examples \(2,\)"):
            hard_cross_entropy(torch.zeros(2, 3), torch.tensor([[0], [1]]))

    def test_refuses_one_logit_and_points_to_two_class_logits(self) -> None:
        with pytest.raises(ValueError, match=r"\(2, 1\); .*two_class_logits"):
            hard_cross_entropy(torch.zeros(2, 1), torch.tensor([0, 0]))


class TestMultiLabelCrossEntropy:
    def test_by_hand(self) -> None:
        # Logit 0 costs ln 2 either way; logit ln 3 costs ln(4/3) when the label holds and ln 4 when not.
        rows = torch.tensor([[0.0, math.log(3.0)], [0.0, math.log(3.0)]])
        loss = multi_label_cross_entropy(rows, torch.tensor([[1, 1], [0, 0]]))
        expected = (2 * math.log(2.0) + math.log(4 / 3) + math.log(4.0)) / 4
        assert loss.item() == pytest.approx(expected)

    def test_another_way(self) -> None:
        rows = logits(5, 3, seed=3)
        labels = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        x, y = rows.numpy(), labels.numpy()
        expected = -(y * scipy.special.log_expit(x) + (1 - y) * scipy.special.log_expit(-x)).mean()
        assert multi_label_cross_entropy(rows, labels).item() == pytest.approx(expected, rel=1e-12)

    def test_least_where_the_probabilities_are_the_labels(self) -> None:
        labels = torch.tensor([[0.25, 0.9], [0.5, 0.1]], dtype=torch.float64)
        rows = torch.logit(labels).requires_grad_()
        least = multi_label_cross_entropy(rows, labels)
        least.backward()
        torch.testing.assert_close(rows.grad, torch.zeros_like(labels))
        assert multi_label_cross_entropy(rows.detach() + 0.1, labels).item() > least.item()

    def test_refuses_other_shapes_with_both(self) -> None:
        with pytest.raises(ValueError, match=r"logits \(2, 3\), labels \(2, 1\)"):
            multi_label_cross_entropy(torch.zeros(2, 3), torch.zeros(2, 1))

    def test_refuses_labels_outside_0_to_1(self) -> None:
        with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\], found values from 0 to 2"):
            multi_label_cross_entropy(torch.zeros(1, 2), torch.tensor([[0, 2]]))


class TestRegressionMse:
    def test_by_hand(self) -> None:
        # (1 + 4) / 2.
        assert regression_mse(torch.tensor([1.0, 5.0]), torch.tensor([2, 3])).item() == pytest.approx(2.5)

    def test_another_way(self) -> None:
        predictions, targets = logits(9, seed=5), logits(9, seed=6)
        expected = np.square(predictions.numpy() - targets.numpy()).mean()
        assert regression_mse(predictions, targets).item() == pytest.approx(expected, rel=1e-12)

    def test_least_when_equal(self) -> None:
        targets = logits(9, seed=7)
        assert regression_mse(targets.clone(), targets).item() == 0.0

    def test_refuses_other_shapes_with_both_because_torch_would_compare_all_with_all(self) -> None:
        with pytest.raises(ValueError, match=r"predictions \(4, 1\), targets \(4,\)"):
            regression_mse(torch.zeros(4, 1), torch.zeros(4))
