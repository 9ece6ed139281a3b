"""Cross entropy of the student against the teacher's softened probabilities."""

from __future__ import annotations

from torch import Tensor

from distilrank.losses.arguments import (
    at_least_float32,
    require_dimensions,
    require_equal_shapes,
    require_several_classes,
)
from distilrank.losses.two_class import two_class_logits


def soft_cross_entropy(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compare class logits, softened by a temperature.

    L_pred of TinyBERT (Jiao et al. 2020, arXiv 1909.10351), equation 10, times T^2 as Hinton, Vinyals and
    Dean (2015, arXiv 1503.02531, section 2) advise, so that gradients keep their size when T changes. The
    teacher's entropy is not taken away: the least value is T^2 times that entropy, not 0.

    Args:
        student: (batch, classes) with two classes or more; one-logit rankers enter as ``two_class_logits``.
        teacher: (batch, classes); detached.
        temperature: T > 0; divides both logits.

    Returns:
        Scalar: the sum over classes times T^2, then the mean over examples.

    Raises:
        ValueError: Shapes differ, there are fewer than two classes, or the temperature is not positive.
    """
    return _products(student, teacher, temperature).sum(dim=-1).mean() * temperature**2


def as_published_soft_cross_entropy(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compare class logits with the normalisation of the authors' code: mean over classes too, no T^2.

    Follows ``soft_cross_entropy`` in ``task_distill.py`` of TinyBERT and ``task_distill_simplified.py`` of
    Simplified TinyBERT; for two classes and T = 1 it is half of ``soft_cross_entropy``.

    Args:
        student: (batch, classes) with two classes or more.
        teacher: (batch, classes); detached.
        temperature: T > 0; divides both logits.

    Returns:
        Scalar: the mean over batch x classes.

    Raises:
        ValueError: Shapes differ, there are fewer than two classes, or the temperature is not positive.
    """
    return _products(student, teacher, temperature).mean()


def soft_binary_cross_entropy(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compare the logits of labels that hold or not, each by itself, softened by a temperature.

    What ``soft_cross_entropy`` is to classes: one label is the two classes [0, z].

    Args:
        student: (batch, labels).
        teacher: (batch, labels); detached.
        temperature: T > 0; divides both logits.

    Returns:
        Scalar: the mean over an example's labels times T^2, then over examples.

    Raises:
        ValueError: Shapes differ, or the temperature is not positive.
    """
    require_equal_shapes(student=student, teacher=teacher)
    require_dimensions(2, student=student)
    ours, theirs = (two_class_logits(logits.flatten()) for logits in (student, teacher))  # (batch * labels, 2)
    return soft_cross_entropy(ours, theirs, temperature=temperature)


def _products(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return -p_T log p_S for every example and class, (batch, classes)."""
    require_equal_shapes(student=student, teacher=teacher)
    require_dimensions(2, student=student)
    require_several_classes(student)
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    student, teacher = at_least_float32(student), at_least_float32(teacher.detach())
    return -(teacher / temperature).softmax(dim=-1) * (student / temperature).log_softmax(dim=-1)
