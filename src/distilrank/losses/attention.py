"""Mean squared error between attention scores before the softmax.

TinyBERT (Jiao et al. 2020, arXiv 1909.10351), equation 7: L_attn = 1/h * sum_i MSE(A_S^i, A_T^i) with
A = QK^T / sqrt(d_k). Heads are compared one by one, so student and teacher need equally many.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import at_least_float32, require_dimensions, require_equal_shapes, token_counts

MASKED_KEY = -10_000.0
"""What BERT's code adds to the scores of padded key columns (``transformer/modeling.py``)."""

ZEROED_BELOW = -1e2
"""Scores at or below this are set to 0 on both sides by ``task_distill.py``."""


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor, *, shares: Tensor | None = None) -> Tensor:
    """Compare attention scores over the cells whose query and key are both valid tokens.

    Args:
        student: (batch, heads, length, length), scaled by 1/sqrt(d_k), before the softmax and without mask.
        teacher: Likewise; detached.
        mask: (batch, length), 1 or True where a token is real. What stands elsewhere has no effect if finite.
        shares: (batch,), what each example counts for in the mean over examples; they sum to 1. None: the same.

    Returns:
        Scalar: the mean over an example's heads x valid rows x valid columns, then over examples.

    Raises:
        ValueError: Shapes do not fit, or an example has no valid token.
    """
    _require_scores(student, teacher, mask)
    student, teacher = at_least_float32(student), at_least_float32(teacher.detach())
    valid = mask.to(student.dtype)
    weights = valid / token_counts(valid).unsqueeze(1)  # (batch, length), summing to 1 over an example's tokens
    rows = weights / len(weights)
    if shares is not None:
        require_equal_shapes(examples=mask[:, 0], shares=shares)
        rows = weights * shares.to(weights.dtype).unsqueeze(1)
    # The sum is a matrix product, which autocast would run in bf16; of the ways tried it is the fastest on a CPU.
    with torch.autocast(student.device.type, enabled=False):
        total = torch.einsum("bhij,bi,bj->", (student - teacher).square(), rows, weights)
    return total / student.shape[1]


def as_published_attention_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Compare attention scores with the normalisation of the authors' code.

    Follows ``task_distill.py`` and ``transformer/modeling.py`` of TinyBERT, and
    ``task_distill_simplified.py`` of Simplified TinyBERT: padded key columns get -10000, whatever is at or
    below -100 becomes 0 on both sides, and all cells count, rows of padding and zeroed columns too. The value
    depends on padding; ``attention_loss`` is the one that does not.

    Args:
        student: (batch, heads, length, length), scaled by 1/sqrt(d_k), before the softmax and without mask.
        teacher: Likewise; detached.
        mask: (batch, length), 1 or True where a token is real.

    Returns:
        Scalar: the mean over batch x heads x length x length.

    Raises:
        ValueError: Shapes do not fit.
    """
    _require_scores(student, teacher, mask)
    student, teacher = at_least_float32(student), at_least_float32(teacher.detach())
    added = (1.0 - mask.to(student.dtype))[:, None, None, :] * MASKED_KEY  # (batch, 1, 1, length)
    return functional.mse_loss(_zeroed(student + added), _zeroed(teacher + added))


def _zeroed(scores: Tensor) -> Tensor:
    return torch.where(scores <= ZEROED_BELOW, torch.zeros_like(scores), scores)


def _require_scores(student: Tensor, teacher: Tensor, mask: Tensor) -> None:
    require_equal_shapes(student=student, teacher=teacher)
    require_dimensions(4, student=student)
    require_equal_shapes(mask=mask, queries=student[:, 0, :, 0], keys=student[:, 0, 0, :])
