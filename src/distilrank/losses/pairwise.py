"""Ranking as comparing two passages of one query.

The unit is the group, as in ``listwise``: a group's pairs are averaged first, then groups.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import at_least_float32, refuse_groups, require_equal_shapes, require_lists
from distilrank.losses.ranks import places


def margin_mse(scores: Tensor, teacher: Tensor, relevance: Tensor, mask: Tensor) -> Tensor:
    """Compare how far every relevant passage is ahead of every other one: ((s+ - s-) - (t+ - t-))^2.

    Margin-MSE of Hofstätter, Althammer, Schröder, Sertkan and Hanbury (2020, arXiv 2010.02666), there on triples of a
    query, a relevant and another passage; here on all (positive, negative) pairs of a group. Margins are in the unit of
    the scores, so both sides should be raw logits: a teacher squashed by a sigmoid has margins below 1.

    Args:
        scores: (groups, passages), raw logits.
        teacher: (groups, passages), raw logits; detached.
        relevance: (groups, passages); above 0 is positive, the rest negative.
        mask: (groups, passages), 1 or True where a passage is real.

    Returns:
        Scalar: the mean over a group's pairs, then over groups.

    Raises:
        ValueError: Shapes differ, or a group lacks a positive or a negative.
    """
    real = require_lists(scores, teacher, mask)
    require_equal_shapes(scores=scores, relevance=relevance)
    positive = real & (relevance > 0)
    negative = real & ~positive
    refuse_groups(~positive.any(dim=1), "no positive passage", scores)
    refuse_groups(~negative.any(dim=1), "no negative passage", scores)
    ahead = (at_least_float32(scores) - at_least_float32(teacher.detach())).masked_fill(~real, 0.0)
    squares = (ahead.unsqueeze(2) - ahead.unsqueeze(1)).square()  # (groups, positives, negatives)
    return _mean_over_pairs(squares, positive.unsqueeze(2) & negative.unsqueeze(1))


def ranknet(scores: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Have the student order every two passages as the teacher does: log(1 + exp(s_j - s_i)) where i is before j.

    RankNet (Burges et al. 2005, ICML) on a teacher's order, as RankGPT distils permutations (Sun et al. 2023, arXiv
    2304.09542), whose code takes the mean over the pairs. Of the teacher nothing but the order counts: no pair weighs
    more than another, and passages with equal scores are no pair. A group whose teacher scores are all equal counts
    as 0.

    Args:
        scores: (groups, passages), raw logits.
        teacher: (groups, passages), on any scale; higher is better.
        mask: (groups, passages), 1 or True where a passage is real.

    Returns:
        Scalar: the mean over a group's pairs, then over groups, in nats.

    Raises:
        ValueError: Shapes differ, or a group has fewer than two passages.
    """
    real = require_lists(scores, teacher, mask)
    refuse_groups(real.sum(dim=1) < 2, "fewer than two passages", scores)
    scores = at_least_float32(scores).masked_fill(~real, 0.0)
    losses = functional.softplus(scores.unsqueeze(1) - scores.unsqueeze(2))  # [.., i, j]: s_j - s_i
    return _mean_over_pairs(losses, _ordered_pairs(teacher, real))


def lambda_loss(scores: Tensor, gains: Tensor, mask: Tensor, *, mu: float = 10.0) -> Tensor:
    """Order every two passages of different gain, weighted by what their order means to nDCG: NDCG-Loss2++.

    LambdaLoss (Wang, Li, Golbandi, Bendersky and Najork 2018, CIKM, "The LambdaLoss Framework for Ranking Metric
    Optimization"): log2(1 + exp(s_j - s_i)) * (rho_ij + mu * delta_ij) * |G_i - G_j| for g_i > g_j, where G is
    (2^g - 1) over the ideal DCG, D(r) = log2(1 + r), rho_ij = |1/D(r_i) - 1/D(r_j)| for the ranks by the student's
    scores, and delta_ij = |1/D(|r_i - r_j|) - 1/D(|r_i - r_j| + 1)|. Weights carry no gradient. allRank sums over
    pairs and sentence-transformers averages over all pairs of a batch; here it is a group's mean first. A group of
    equal gains counts as 0.

    Args:
        scores: (groups, passages), raw logits.
        gains: (groups, passages), at least 0: graded relevance, or what a teacher's scores are made into, such as
            ``reciprocal_ranks``; detached.
        mask: (groups, passages), 1 or True where a passage is real.
        mu: Weight of delta, as in both codes.

    Returns:
        Scalar: the mean over a group's pairs, then over groups, in bits.

    Raises:
        ValueError: Shapes differ, a group has fewer than two passages, or a gain is below 0.
    """
    real = require_lists(scores, gains, mask)
    refuse_groups(real.sum(dim=1) < 2, "fewer than two passages", scores)
    refuse_groups(((gains < 0) & real).any(dim=1), "gains below 0", scores)
    scores = at_least_float32(scores).masked_fill(~real, 0.0)
    gains = at_least_float32(gains.detach()).masked_fill(~real, 0.0)
    place, best = (places(values, real).to(scores.dtype) for values in (scores, gains))
    worth = gains.exp2() - 1
    worth = worth / (worth / _discount(best)).sum(dim=1, keepdim=True).clamp(min=1e-10)
    apart = (place.unsqueeze(2) - place.unsqueeze(1)).abs().clamp(min=1)
    rho = (1 / _discount(place).unsqueeze(2) - 1 / _discount(place).unsqueeze(1)).abs()
    delta = 1 / _discount(apart) - 1 / _discount(apart + 1)
    weights = (rho + mu * delta) * (worth.unsqueeze(2) - worth.unsqueeze(1)).abs()
    bits = functional.softplus(scores.unsqueeze(1) - scores.unsqueeze(2)) / math.log(2)
    return _mean_over_pairs(weights * bits, _ordered_pairs(gains, real))


def _discount(places: Tensor) -> Tensor:
    return (1 + places).log2()


def _ordered_pairs(wanted: Tensor, real: Tensor) -> Tensor:
    """Return which passage i is to stand before which passage j, (groups, i, j)."""
    return (wanted.unsqueeze(2) > wanted.unsqueeze(1)) & real.unsqueeze(2) & real.unsqueeze(1)


def _mean_over_pairs(values: Tensor, pairs: Tensor) -> Tensor:
    """Average the chosen cells of each group, 0 where there are none, then groups."""
    sums = values.masked_fill(~pairs, 0.0).sum(dim=(1, 2))
    return (sums / pairs.sum(dim=(1, 2)).clamp(min=1)).mean()
