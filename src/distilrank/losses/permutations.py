"""Ranking as drawing one passage after the other: the likelihood of the teacher's order."""

from __future__ import annotations

import torch
from torch import Tensor

from distilrank.losses.arguments import at_least_float32, refuse_groups, require_lists
from distilrank.losses.ranks import places


def list_mle(
    scores: Tensor, teacher: Tensor, mask: Tensor, *, position_aware: bool = False, top: int | None = None
) -> Tensor:
    """Raise the probability that the student draws the passages in the teacher's order.

    For the k-th passage pi(k) of that order, -log( exp(s_pi(k)) / sum over j >= k of exp(s_pi(j)) ): the Plackett-Luce
    likelihood of ListMLE (Xia, Liu, Wang, Zhang and Li 2008, ICML). ``position_aware`` weighs place k of n by
    2^(n - k) - 1 (p-ListMLE; Lan, Zhu, Guo, Niu and Cheng 2014, UAI). ``top`` keeps the first places only, while all
    lower passages stay below them in the sum: RankDistil (Reddi et al. 2021, AISTATS) for the teacher's most probable
    permutation, where TF-Ranking draws several from its Plackett-Luce distribution.

    Args:
        scores: (groups, passages), raw logits.
        teacher: (groups, passages), on any scale; of equals the first is first.
        mask: (groups, passages), 1 or True where a passage is real.
        position_aware: Whether high places weigh more. Otherwise all weigh the same.
        top: Places that count, from the first. None: all.

    Returns:
        Scalar: the mean over a group's places, by their weights, then over groups, in nats. (The papers take the sum,
        by which long lists weigh more.)

    Raises:
        ValueError: Shapes differ, a group has fewer than two passages, or ``top`` is below 1.
    """
    real = require_lists(scores, teacher, mask)
    refuse_groups(real.sum(dim=1) < 2, "fewer than two passages", scores)
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    scores = at_least_float32(scores).masked_fill(~real, 0.0)
    place = places(teacher, real)
    left = (place.unsqueeze(1) >= place.unsqueeze(2)) & real.unsqueeze(1)  # [.., i, j]: j is drawn with i or later
    left = left | torch.eye(place.shape[1], dtype=torch.bool, device=place.device)  # a padded row is empty otherwise
    losses = scores.unsqueeze(1).masked_fill(~left, -torch.inf).logsumexp(dim=2) - scores
    weights = torch.ones_like(losses)
    if position_aware:  # as in the paper, over 2^(n - 1), which keeps long lists finite
        weights = (1.0 - place).exp2() - (1.0 - real.sum(dim=1, keepdim=True)).exp2()
    weights = weights.to(losses.dtype).masked_fill(~real if top is None else ~real | (place > top), 0.0)
    return ((losses * weights).sum(dim=1) / weights.sum(dim=1)).mean()
