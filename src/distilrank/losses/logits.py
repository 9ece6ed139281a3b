"""Tang et al. (2019, arXiv 1903.12136): the student's logits against the teacher's, as numbers or as distributions."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import (
    at_least_float32,
    require_dimensions,
    require_equal_shapes,
    require_several_classes,
)


def logit_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Compare raw logits by squared error: L_distill of Tang et al., section 2.2.

    The paper writes the squared norm ||z_T - z_S||^2; its code, as here, divides that by the number of logits
    (``nn.MSELoss``).

    Args:
        student: (batch, labels); a ranker's one logit, a regression's number and multi-label logits as they are.
        teacher: (batch, labels); detached.

    Returns:
        Scalar: the mean over an example's logits, then over examples.

    Raises:
        ValueError: Shapes differ, or there are not two dimensions.
    """
    require_equal_shapes(student=student, teacher=teacher)
    require_dimensions(2, student=student)
    student, teacher = at_least_float32(student), at_least_float32(teacher.detach())
    return functional.mse_loss(student, teacher)


def kl_divergence(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compare class logits by KL(teacher || student), softened by a temperature.

    It is ``soft_cross_entropy`` less the teacher's entropy: 0 when both agree, and of the same gradient. The code of
    Tang et al. has it in its MNLI script, with T = 3 and without the factor T^2 of Hinton, Vinyals and Dean (2015).

    Args:
        student: (batch, classes) with two classes or more; one-logit rankers enter as ``two_class_logits``.
        teacher: (batch, classes); detached.
        temperature: T > 0; divides both logits.

    Returns:
        Scalar: the sum over classes times T^2, then the mean over examples ("batchmean").

    Raises:
        ValueError: Shapes differ, there are fewer than two classes, or the temperature is not positive.
    """
    require_equal_shapes(student=student, teacher=teacher)
    require_dimensions(2, student=student)
    require_several_classes(student)
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    ours = (at_least_float32(student) / temperature).log_softmax(dim=-1)
    theirs = (at_least_float32(teacher.detach()) / temperature).log_softmax(dim=-1)
    return functional.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
