from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import scipy.special
import torch

from distilrank.losses import as_published_soft_cross_entropy, soft_cross_entropy, two_class_logits

Loss = Callable[..., torch.Tensor]


def logits(*shape: int, seed: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_by_hand() -> None:
    # Teacher [0, ln 3] is (1/4, 3/4); student [0, 0] is (1/2, 1/2): the sum over classes is ln 2.
    teacher = torch.tensor([[0.0, math.log(3.0)]])
    assert soft_cross_entropy(torch.zeros(1, 2), teacher).item() == pytest.approx(math.log(2.0))
    assert as_published_soft_cross_entropy(torch.zeros(1, 2), teacher).item() == pytest.approx(math.log(2.0) / 2)


def test_by_hand_with_temperature() -> None:
    # At T = 2 the teacher [0, 2 ln 3] is (1/4, 3/4) and the student [0, -2 ln 3] is (3/4, 1/4):
    # 4 * (1/4 ln 4/3 + 3/4 ln 4) = 4 ln 4 - ln 3.
    teacher = torch.tensor([[0.0, 2 * math.log(3.0)]])
    expected = 4 * math.log(4.0) - math.log(3.0)
    assert soft_cross_entropy(-teacher, teacher, temperature=2.0).item() == pytest.approx(expected)
    published = as_published_soft_cross_entropy(-teacher, teacher, temperature=2.0)
    assert published.item() == pytest.approx(expected / 4 / 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_another_way(temperature: float) -> None:
    student, teacher = logits(7, 5, seed=1), logits(7, 5, seed=2)
    p = scipy.special.softmax(teacher.numpy() / temperature, axis=1)
    q = scipy.special.softmax(student.numpy() / temperature, axis=1)
    # Cross entropy is relative entropy plus the teacher's entropy.
    expected = (scipy.special.rel_entr(p, q) + scipy.special.entr(p)).sum(axis=1).mean() * temperature**2
    loss = soft_cross_entropy(student, teacher, temperature=temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_least_when_student_equals_teacher(temperature: float) -> None:
    teacher = logits(6, 4, seed=3)
    student = teacher.clone().requires_grad_()
    least = soft_cross_entropy(student, teacher, temperature=temperature)
    least.backward()
    torch.testing.assert_close(student.grad, torch.zeros_like(teacher))
    entropy = scipy.special.entr(scipy.special.softmax(teacher.numpy() / temperature, axis=1)).sum(axis=1).mean()
    assert least.item() == pytest.approx(entropy * temperature**2, rel=1e-12)
    for seed in range(5):
        other = teacher + 0.05 * logits(6, 4, seed=seed)
        assert soft_cross_entropy(other, teacher, temperature=temperature).item() > least.item()


def test_gradient_keeps_its_size_when_the_temperature_grows() -> None:
    # For high T the gradient tends to (centred student - centred teacher) / classes: Hinton 2015, equation 4.
    student, teacher = logits(1, 3, seed=4), logits(1, 3, seed=5)
    student = (student - student.mean()).requires_grad_()
    teacher = teacher - teacher.mean()
    soft_cross_entropy(student, teacher, temperature=1e6).backward()
    torch.testing.assert_close(student.grad, (student.detach() - teacher) / 3, rtol=1e-3, atol=1e-4)


def test_one_logit_ranker_as_two_classes_has_a_positive_loss_and_a_gradient() -> None:
    student = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
    teacher = torch.tensor([4.0, -3.0, -1.0])
    for loss_of in (soft_cross_entropy, as_published_soft_cross_entropy):
        student.grad = None
        loss = loss_of(two_class_logits(student), two_class_logits(teacher))
        loss.backward()
        assert loss.item() > 0.1
        assert student.grad is not None
        assert (student.grad.abs() > 1e-3).all()
        assert torch.equal(student.grad.sign(), (student.detach() - teacher).sign())


@pytest.mark.parametrize("loss_of", [soft_cross_entropy, as_published_soft_cross_entropy])
class TestRefusals:
    def test_other_shapes_with_both(self, loss_of: Loss) -> None:
        with pytest.raises(ValueError, match=r"student \(4, 2\), teacher \(4, 3\)"):
            loss_of(torch.zeros(4, 2), torch.zeros(4, 3))
        with pytest.raises(ValueError, match=r"student \(4, 2\), teacher \(1, 2\)"):
            loss_of(torch.zeros(4, 2), torch.zeros(1, 2))

    def test_one_logit_points_to_two_class_logits(self, loss_of: Loss) -> None:
        with pytest.raises(ValueError, match=r"\(4, 1\); .*two_class_logits"):
            loss_of(torch.zeros(4, 1), torch.zeros(4, 1))

    def test_plain_vectors(self, loss_of: Loss) -> None:
        with pytest.raises(ValueError, match=r"2 dimensions: student \(4,\)"):
            loss_of(torch.zeros(4), torch.zeros(4))

    @pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
    def test_temperature_that_is_not_positive(self, loss_of: Loss, temperature: float) -> None:
        with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
            loss_of(torch.zeros(4, 2), torch.zeros(4, 2), temperature=temperature)
