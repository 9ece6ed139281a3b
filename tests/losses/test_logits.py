from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor

from distilrank.losses import kl_divergence, logit_mse, soft_cross_entropy, two_class_logits


def logits(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- logit_mse


def test_mse_by_hand() -> None:
    # ((1-3)^2 + (2-2)^2) / 2 = 2 and ((0-1)^2 + (0+3)^2) / 2 = 5; their mean is 3.5.
    assert logit_mse(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, 2.0], [1.0, -3.0]])).item() == 3.5


def test_mse_of_a_one_logit_ranker_is_of_its_raw_logits() -> None:
    student = torch.tensor([[0.5], [2.0]], requires_grad=True)
    loss = logit_mse(student, torch.tensor([[2.5], [1.0]]))
    assert loss.item() == 2.5
    loss.backward()
    assert student.grad is not None
    assert student.grad.tolist() == [[-2.0], [1.0]]


def test_mse_is_the_papers_squared_norm_over_the_number_of_logits() -> None:
    student, teacher = logits(7, 3, seed=1), logits(7, 3, seed=2)
    norms = np.linalg.norm(teacher.numpy() - student.numpy(), axis=1) ** 2
    assert logit_mse(student, teacher).item() == pytest.approx(norms.mean() / 3, rel=1e-12)


def test_mse_is_that_of_the_authors_code() -> None:
    # d-bert: ``nn.MSELoss()(logits, teacher_logits)``, a mean over batch x classes.
    student, teacher = logits(7, 3, seed=1), logits(7, 3, seed=2)
    assert logit_mse(student, teacher).item() == torch.nn.MSELoss()(student, teacher).item()


def test_both_are_least_where_student_and_teacher_agree() -> None:
    teacher = logits(5, 3, seed=4)
    for loss_of in (logit_mse, kl_divergence):
        assert loss_of(teacher, teacher).item() == pytest.approx(0.0, abs=1e-15)
        assert loss_of(teacher + 0.1 * logits(5, 3, seed=5), teacher).item() > 1e-4


# --- kl_divergence


def test_kl_by_hand() -> None:
    # Teacher (1/2, 1/2), student (3/4, 1/4): KL = 1/2 ln(2/3) + 1/2 ln 2 = 1/2 ln(4/3).
    student, teacher = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    assert kl_divergence(student, teacher).item() == pytest.approx(0.5 * math.log(4 / 3), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_kl_is_scipys(temperature: float) -> None:
    student, teacher = logits(6, 4, seed=6), logits(6, 4, seed=7)
    p, q = (softmax(z.numpy() / temperature, axis=1) for z in (teacher, student))
    expected = rel_entr(p, q).sum(axis=1).mean() * temperature**2
    assert kl_divergence(student, teacher, temperature=temperature).item() == pytest.approx(expected, rel=1e-9)


def test_kl_is_that_of_the_authors_mnli_script_times_the_square_of_the_temperature() -> None:
    """``nn.KLDivLoss(reduction="batchmean")(log_softmax(z_S / 3), softmax(z_T / 3))``."""
    student, teacher = logits(6, 3, seed=8), logits(6, 3, seed=9)
    published = torch.nn.KLDivLoss(reduction="batchmean")((student / 3).log_softmax(1), (teacher / 3).softmax(1))
    assert kl_divergence(student, teacher, temperature=3.0).item() == pytest.approx(9 * published.item(), rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_kl_has_the_gradient_of_the_soft_cross_entropy(temperature: float) -> None:
    teacher = logits(6, 3, seed=10)
    gradients = []
    for loss_of in (kl_divergence, soft_cross_entropy):
        student = logits(6, 3, seed=11).requires_grad_()
        loss_of(student, teacher, temperature=temperature).backward()
        gradients.append(student.grad)
    torch.testing.assert_close(*gradients)


def test_kl_of_a_one_logit_ranker_as_two_classes_teaches() -> None:
    student = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
    teacher = torch.tensor([4.0, -3.0, -1.0])
    loss = kl_divergence(two_class_logits(student), two_class_logits(teacher))
    loss.backward()
    assert loss.item() > 0.1
    assert student.grad is not None
    assert torch.equal(student.grad.sign(), (student.detach() - teacher).sign())


# --- refusals


def test_other_shapes_are_refused_with_both() -> None:
    for loss_of in (logit_mse, kl_divergence):
        with pytest.raises(ValueError, match=r"student \(4, 2\), teacher \(4, 3\)"):
            loss_of(torch.zeros(4, 2), torch.zeros(4, 3))
        with pytest.raises(ValueError, match=r"2 dimensions: student \(4,\)"):
            loss_of(torch.zeros(4), torch.zeros(4))


def test_kl_refuses_one_logit_and_a_temperature_that_is_not_positive() -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\); .*two_class_logits"):
        kl_divergence(torch.zeros(4, 1), torch.zeros(4, 1))
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
            kl_divergence(torch.zeros(4, 2), torch.zeros(4, 2), temperature=temperature)
