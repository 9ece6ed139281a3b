"""Mean squared error between hidden states; the embedding output is hidden state 0.

TinyBERT (Jiao et al. 2020, arXiv 1909.10351), equations 8 (L_hidn) and 9 (L_embd). The student's states
arrive already projected to the teacher's width: projections belong to the procedure.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import (
    at_least_float32,
    mean_over,
    require_dimensions,
    require_equal_shapes,
    token_counts,
)


def hidden_state_loss(student: Tensor, teacher: Tensor, mask: Tensor, *, shares: Tensor | None = None) -> Tensor:
    """Compare hidden states over the valid tokens.

    Args:
        student: (batch, length, width), projected to the teacher's width.
        teacher: (batch, length, width); detached.
        mask: (batch, length), 1 or True where a token is real. What stands elsewhere has no effect if finite.
        shares: (batch,), what each example counts for in the mean over examples; they sum to 1. None: the same.

    Returns:
        Scalar: the mean over an example's valid tokens and the width, then over examples.

    Raises:
        ValueError: Shapes do not fit, or an example has no valid token.
    """
    require_equal_shapes(student=student, teacher=teacher)
    require_dimensions(3, student=student)
    require_equal_shapes(mask=mask, tokens=student[..., 0])
    student, teacher = at_least_float32(student), at_least_float32(teacher.detach())
    per_token = (student - teacher).square().mean(dim=-1)  # (batch, length)
    weights = mask.to(per_token.dtype)
    return mean_over((per_token * weights).sum(dim=1) / token_counts(weights), shares)


def as_published_hidden_state_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compare hidden states over every cell, padding included, as ``task_distill.py`` of TinyBERT does.

    Args:
        student: (batch, length, width), projected to the teacher's width.
        teacher: (batch, length, width); detached.

    Returns:
        Scalar: the mean over batch x length x width.

    Raises:
        ValueError: Shapes differ.
    """
    require_equal_shapes(student=student, teacher=teacher)
    return functional.mse_loss(at_least_float32(student), at_least_float32(teacher.detach()))
