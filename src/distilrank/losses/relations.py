"""Kullback-Leibler divergence between self-attention relations, whatever the numbers of heads and the widths.

MiniLMv2 (Wang, Bao, Huang, Dong, Wei 2021, arXiv 2012.15828), section 3.1: the concatenated queries of all heads are
split anew into A_r relation heads of size d_r, and how they relate to each other, R_Q = softmax(Q Q^T / sqrt(d_r)), is
compared; keys and values likewise. The relations of both networks are (A_r, length, length), so neither the numbers of
attention heads nor the widths need be equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distilrank.losses.arguments import (
    at_least_float32,
    mean_over,
    require_dimensions,
    require_equal_shapes,
    token_counts,
)


def relation_loss(
    student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor, *, heads: int, shares: Tensor | None = None
) -> Tensor:
    """Compare how the queries, the keys and the values of one layer relate, over the valid tokens.

    sum over X in (Q, K, V) of 1 / (A_r * length) * sum over heads and rows of KL(R_T || R_S), with equal weights.

    Args:
        student: Queries, keys and values of all heads side by side, each (batch, length, width).
        teacher: Likewise, of its own width; detached.
        mask: (batch, length), 1 or True where a token is real. What stands elsewhere has no effect if finite.
        heads: A_r, relation heads; divides both widths. Published: 48 for a base and 64 for a large teacher.
        shares: (batch,), what each example counts for in the mean over examples; they sum to 1. None: the same.

    Returns:
        Scalar: for each of the three the mean over an example's heads x valid rows, their sum, then the mean over
        examples, in nats.

    Raises:
        ValueError: Shapes do not fit, ``heads`` does not divide a width, or an example has no valid token.
    """
    if not len(student) == len(teacher) == 3:
        raise ValueError(f"expected queries, keys and values, got {len(student)} and {len(teacher)} tensors")
    valid = mask.bool()
    counts = token_counts(valid)
    terms = []
    # R is a matrix product, which autocast would run in bf16.
    with torch.autocast(mask.device.type, enabled=False):
        for ours, theirs in zip(student, teacher, strict=True):
            require_dimensions(3, student=ours, teacher=theirs)
            require_equal_shapes(mask=mask, student_tokens=ours[..., 0], teacher_tokens=theirs[..., 0])
            given, wanted = (_log_relations(x, valid, heads) for x in (ours, theirs.detach()))
            # The log of a padded column is -inf on both sides, and -inf - -inf would be NaN.
            difference = (wanted - given).masked_fill(~valid[:, None, None, :], 0.0)
            divergences = (wanted.exp() * difference).sum(dim=-1).mean(dim=1)  # (batch, length)
            terms.append(mean_over(divergences.masked_fill(~valid, 0.0).sum(dim=1) / counts, shares))
    return torch.stack(terms).sum()


def _log_relations(states: Tensor, valid: Tensor, heads: int) -> Tensor:
    """Return log softmax(X X^T / sqrt(d_r)) over the valid columns, (batch, heads, length, length)."""
    batch, length, width = states.shape
    if heads < 1 or width % heads:
        raise ValueError(f"{heads} relation heads do not divide a width of {width}")
    size = width // heads
    split = at_least_float32(states).view(batch, length, heads, size).transpose(1, 2)  # (batch, heads, length, size)
    scale: float = size**-0.5
    products = torch.matmul(split, split.transpose(2, 3)) * scale  # (batch, heads, length, length)
    return products.masked_fill(~valid[:, None, None, :], -torch.inf).log_softmax(dim=-1)
