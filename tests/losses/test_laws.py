"""Laws that hold for every loss alike; what is particular to one stands in its own file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from distilrank import losses

EXAMPLES = 6


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(EXAMPLES, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Case:
    """A loss with arguments for six examples: student, teacher (or labels), and a mask for some."""

    loss_of: Callable[..., Tensor]
    student: Tensor
    teacher: Tensor
    mask: Tensor | None = None

    def loss(self, student: Tensor, teacher: Tensor, rows: slice = slice(None)) -> Tensor:
        masks = () if self.mask is None else (self.mask[rows],)
        return self.loss_of(student[rows], teacher[rows], *masks)

    def teacher_in(self, dtype: torch.dtype) -> Tensor:
        return self.teacher.to(dtype) if self.teacher.is_floating_point() else self.teacher


# The first two are longer than the rest on average, and have more positives: a mean over all cells would show.
TOKENS = torch.arange(8) < torch.tensor([8, 6, 1, 3, 2, 5])[:, None]
PASSAGES = torch.arange(5) < torch.tensor([5, 4, 2, 3, 2, 2])[:, None]
RELEVANCE = (torch.arange(5) < torch.tensor([3, 2, 1, 1, 1, 1])[:, None]).double()
ATTENTION = numbers(3, 8, 8, seed=1), numbers(3, 8, 8, seed=2)
STATES = numbers(8, 4, seed=3), numbers(8, 4, seed=4)
CLASSES = numbers(3, seed=5), numbers(3, seed=6)
LISTS = numbers(5, seed=15), numbers(5, seed=16)

CASES = {
    "attention": Case(losses.attention_loss, *ATTENTION, TOKENS),
    "as_published_attention": Case(losses.as_published_attention_loss, *ATTENTION, TOKENS),
    "hidden_state": Case(losses.hidden_state_loss, *STATES, TOKENS),
    "as_published_hidden_state": Case(losses.as_published_hidden_state_loss, *STATES),
    "soft": Case(losses.soft_cross_entropy, *CLASSES),
    "soft_binary": Case(losses.soft_binary_cross_entropy, *CLASSES),
    "as_published_soft": Case(losses.as_published_soft_cross_entropy, *CLASSES),
    "hard": Case(losses.hard_cross_entropy, numbers(3, seed=7), torch.tensor([0, 1, 2, 2, 1, 1])),
    "multi_label": Case(losses.multi_label_cross_entropy, numbers(3, seed=8), numbers(3, seed=9).sigmoid()),
    "regression": Case(losses.regression_mse, numbers(seed=10), numbers(seed=11)),
    "pointwise": Case(losses.binary_cross_entropy, numbers(seed=12), numbers(seed=13).sigmoid()),
    "info_nce": Case(losses.info_nce, numbers(5, seed=14), RELEVANCE, PASSAGES),
    "logit_mse": Case(losses.logit_mse, *CLASSES),
    "kl_divergence": Case(losses.kl_divergence, *CLASSES),
    "graded_listwise": Case(losses.graded_listwise, *LISTS, PASSAGES),
    "listwise_kl": Case(losses.listwise_kl, *LISTS, PASSAGES),
    "score_mse": Case(losses.score_mse, *LISTS, PASSAGES),
    "score_bce": Case(losses.score_bce, *LISTS, PASSAGES),
    "grouped_bce": Case(losses.grouped_bce, numbers(5, seed=20), numbers(5, seed=21).sigmoid(), PASSAGES),
    "ranknet": Case(losses.ranknet, *LISTS, PASSAGES),
    "lambda": Case(losses.lambda_loss, numbers(5, seed=22), numbers(5, seed=23).abs(), PASSAGES),
    "adr_mse": Case(losses.adr_mse, *LISTS, PASSAGES),
    "list_mle": Case(losses.list_mle, *LISTS, PASSAGES),
    "pkd": Case(losses.pkd_loss, numbers(4, seed=24), numbers(4, seed=25)),
}


def relation_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Queries, keys and values are one tensor here, (examples, 3, length, width)."""
    return losses.relation_loss(student.unbind(1), teacher.unbind(1), mask, heads=2)


def margin_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """The teacher's scores and the relevance are one tensor here, (examples, passages, 2)."""
    return losses.margin_mse(student, *teacher.unbind(2), mask)


CASES["margin_mse"] = Case(margin_mse, LISTS[0], torch.stack([LISTS[1], RELEVANCE], dim=2), PASSAGES)
# How one token relates to itself is nothing to learn.
CASES["relation"] = Case(
    relation_loss, numbers(3, 8, 4, seed=18), numbers(3, 8, 6, seed=19), TOKENS | (torch.arange(8) < 2)
)
LABELS = {"hard", "multi_label", "regression", "pointwise", "info_nce", "grouped_bce"}
TEACHERS = [name for name in CASES if name not in LABELS]
each_loss = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def test_every_loss_stands_here() -> None:
    terms = set(losses.__all__) - {"class_logits", "two_class_logits", "hard_loss", "soft_loss"}  # those only choose
    terms -= {"reciprocal_ranks"}
    assert {case.loss_of.__name__ for case in CASES.values()} == terms


@each_loss
def test_a_batch_is_the_mean_of_its_parts(case: Case) -> None:
    whole = case.loss(case.student, case.teacher)
    assert whole.shape == ()
    first, second = slice(0, 2), slice(2, EXAMPLES)
    parts = 2 * case.loss(case.student, case.teacher, first) + 4 * case.loss(case.student, case.teacher, second)
    assert whole.item() == pytest.approx(parts.item() / EXAMPLES, rel=1e-12)


@each_loss
def test_order_of_examples_does_not_matter(case: Case) -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = Case(
        case.loss_of, case.student[order], case.teacher[order], None if case.mask is None else case.mask[order]
    )
    expected = case.loss(case.student, case.teacher).item()
    assert shuffled.loss(shuffled.student, shuffled.teacher).item() == pytest.approx(expected, rel=1e-12)


@each_loss
def test_gradient_reaches_every_example_of_the_student_and_is_right(case: Case) -> None:
    student = case.student.clone().requires_grad_()
    case.loss(student, case.teacher).backward()
    assert student.grad is not None
    assert (student.grad.reshape(EXAMPLES, -1).abs().amax(dim=1) > 0).all()
    # Against the slope along a random direction.
    step = 1e-6 * numbers(*student.shape[1:], seed=17)
    ahead, behind = case.loss(case.student + step, case.teacher), case.loss(case.student - step, case.teacher)
    slope = (student.grad * step).sum().item()
    assert slope == pytest.approx((ahead - behind).item() / 2, rel=1e-4, abs=1e-13)


@pytest.mark.parametrize("name", TEACHERS)
def test_gradient_never_reaches_the_teacher(name: str) -> None:
    case = CASES[name]
    student, teacher = case.student.clone().requires_grad_(), case.teacher.clone().requires_grad_()
    case.loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


@each_loss
def test_arguments_are_left_as_they_were(case: Case) -> None:
    student, teacher = case.student.clone(), case.teacher.clone()
    case.loss(student, teacher)
    assert torch.equal(student, case.student)
    assert torch.equal(teacher, case.teacher)


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_precision_is_computed_as_it_comes(case: Case, dtype: torch.dtype) -> None:
    loss = case.loss(case.student.to(dtype), case.teacher_in(dtype))
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(case.loss(case.student, case.teacher).item(), rel=1e-5)


@each_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_are_computed_in_fp32(case: Case, dtype: torch.dtype) -> None:
    student, teacher = case.student.to(dtype), case.teacher_in(dtype)
    loss = case.loss(student, teacher)
    assert loss.dtype == torch.float32
    # The same rounded numbers in fp64: only the computation can differ.
    exact = case.loss(student.double(), teacher.double() if teacher.is_floating_point() else teacher)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


@each_loss
def test_finite_in_bf16_with_large_numbers(case: Case) -> None:
    student = (300 * case.student).bfloat16().requires_grad_()
    loss = case.loss(student, case.teacher_in(torch.bfloat16))
    loss.backward()
    assert torch.isfinite(loss)
    assert student.grad is not None
    assert student.grad.dtype == torch.bfloat16
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.mask is not None])
def test_bool_int_and_float_masks_say_the_same(name: str) -> None:
    case = CASES[name]
    assert case.mask is not None
    found = {
        case.loss_of(case.student, case.teacher, case.mask.to(dtype)).item()
        for dtype in (torch.bool, torch.int64, torch.float32, torch.bfloat16)
    }
    assert len(found) == 1


@each_loss
def test_autocast_does_not_coarsen_it(case: Case) -> None:
    student, teacher = case.student.float(), case.teacher_in(torch.float32)
    plain = case.loss(student, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        cast = case.loss(student, teacher)
    assert cast.dtype == torch.float32
    assert cast.item() == pytest.approx(plain.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["attention", "hidden_state", "pkd", "relation"])
def test_examples_may_have_shares_in_the_mean(name: str) -> None:
    case = CASES[name]
    each = [case.loss(case.student, case.teacher, slice(i, i + 1)) for i in range(EXAMPLES)]
    shares = torch.tensor([0.3, 0.1, 0.0, 0.25, 0.15, 0.2], dtype=torch.float64)
    masks = () if case.mask is None else (case.mask,)
    options = {"heads": 2} if name == "relation" else {}
    student, teacher = case.student, case.teacher
    if name == "relation":
        student, teacher = student.unbind(1), teacher.unbind(1)  # type: ignore[assignment]
    loss_of = losses.relation_loss if name == "relation" else case.loss_of
    expected = (torch.stack(each) * shares).sum().item()
    assert loss_of(student, teacher, *masks, shares=shares, **options).item() == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"examples \(6,\), shares \(2,\)"):
        loss_of(student, teacher, *masks, shares=shares[:2], **options)
