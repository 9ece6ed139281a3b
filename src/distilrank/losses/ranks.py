"""Ranks in a list, and learning them as numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from distilrank.losses.arguments import at_least_float32, refuse_groups, require_lists, require_positive


def adr_mse(scores: Tensor, teacher: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compare the student's approximate ranks with the teacher's ranks: (r_i - pi_i)^2 / log2(r_i + 1).

    ADR-MSE (approximate discounted rank MSE) of Rank-DistiLLM (Schlatt et al. 2025, ECIR, arXiv 2405.07920), with
    pi_i = 1 + sum over j != i of sigmoid((s_j - s_i) / T). As in sentence-transformers, whose alpha is 1 / T, passages
    with equal teacher scores share the mean of their ranks.

    Args:
        scores: (groups, passages), raw logits.
        teacher: (groups, passages), on any scale; higher is better.
        mask: (groups, passages), 1 or True where a passage is real.
        temperature: T > 0; small values make the approximate ranks sharp.

    Returns:
        Scalar: the mean over a group's passages, then over groups.

    Raises:
        ValueError: Shapes differ, a group has fewer than two passages, or the temperature is not positive.
    """
    real = require_lists(scores, teacher, mask)
    refuse_groups(real.sum(dim=1) < 2, "fewer than two passages", scores)
    require_positive(temperature=temperature)
    scores = at_least_float32(scores).masked_fill(~real, 0.0) / temperature
    ahead = (scores.unsqueeze(1) - scores.unsqueeze(2)).sigmoid()  # [.., i, j]: whether j stands before i
    approximate = 0.5 + ahead.masked_fill(~real.unsqueeze(1), 0.0).sum(dim=2)  # it is itself one of them, at 0.5
    ranks = _ranks(teacher, real).to(scores.dtype)
    errors = (ranks - approximate).square() / (ranks + 1).log2()
    return (errors.masked_fill(~real, 0.0).sum(dim=1) / real.sum(dim=1)).mean()


def reciprocal_ranks(teacher: Tensor, mask: Tensor) -> Tensor:
    """Return 1 / rank by the teacher's scores: gains in (0, 1] that depend on nothing but its order.

    What the code of RankGPT gives to losses over graded relevance. Equal scores share the mean of their ranks.

    Args:
        teacher: (groups, passages), on any scale; higher is better.
        mask: (groups, passages), 1 or True where a passage is real.

    Returns:
        (groups, passages) fp32, 0 where there is no passage.
    """
    real = require_lists(teacher, teacher, mask)
    return (1 / _ranks(teacher, real)).masked_fill(~real, 0.0)


def places(scores: Tensor, real: Tensor) -> Tensor:
    """Return each passage's place by falling score, from 1; of equals the first is first, and padding is last.

    Args:
        scores: (groups, passages).
        real: (groups, passages), True where there is a passage.

    Returns:
        (groups, passages) int64.
    """
    order = scores.masked_fill(~real, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1) + 1


def _ranks(scores: Tensor, real: Tensor) -> Tensor:
    """Return ranks from 1, equals with the mean of theirs, (groups, passages) fp32; padding's mean nothing."""
    others = real.unsqueeze(1)
    before = ((scores.unsqueeze(1) > scores.unsqueeze(2)) & others).sum(dim=2)
    equal = ((scores.unsqueeze(1) == scores.unsqueeze(2)) & others).sum(dim=2)
    return before + (equal + 1) / 2
