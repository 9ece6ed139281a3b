"""Ranking as comparing the passages of one query, in groups padded to the longest.

The unit is the group: the mean runs over groups, so a long list weighs no more than a short one.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import at_least_float32, refuse_groups, require_lists, require_positive


def info_nce(scores: Tensor, relevance: Tensor, mask: Tensor) -> Tensor:
    """Set every positive of a group against all the group's negatives.

    For a positive p: -log( exp(s_p) / (exp(s_p) + sum over negatives n of exp(s_n)) ), InfoNCE of van den
    Oord et al. (2018, arXiv 1807.03748, equation 4) with the group's own negatives. Other positives of the
    group are not in the denominator, so that positives do not push each other down.

    Args:
        scores: (groups, passages), raw logits.
        relevance: (groups, passages); above 0 is positive, the rest negative.
        mask: (groups, passages), 1 or True where a passage is real.

    Returns:
        Scalar: the mean over a group's positives, then over groups, in nats.

    Raises:
        ValueError: Shapes differ, or a group lacks a positive or a negative.
    """
    real = require_lists(scores, relevance, mask)
    positive = real & (relevance > 0)
    negative = real & ~positive
    refuse_groups(~positive.any(dim=1), "no positive passage", scores)
    refuse_groups(~negative.any(dim=1), "no negative passage", scores)
    scores = at_least_float32(scores)
    against = scores.masked_fill(~negative, -float("inf")).logsumexp(dim=1, keepdim=True)  # (groups, 1)
    losses = functional.softplus(against - scores.masked_fill(~positive, 0.0))  # -log(e^p / (e^p + e^against))
    return (losses.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1)).mean()


def graded_listwise(scores: Tensor, gains: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compare the student's distribution over a list with the one that gains, or a teacher's scores, give.

    The top-one cross entropy of ListNet (Cao et al. 2007, ICML, with phi = exp), with a temperature
    on both sides and T^2 in front, as in ``soft_cross_entropy``, to which it is equal without padding. Its
    gradient is that of KL(gains || scores); the entropy of the gains is not taken away, so the least value is
    T^2 times that entropy, not 0.

    Args:
        scores: (groups, passages), raw logits.
        gains: (groups, passages), graded relevance or teacher scores, any real number; detached.
        mask: (groups, passages), 1 or True where a passage is real.
        temperature: T > 0; divides scores and gains.

    Returns:
        Scalar: the sum over a group's passages times T^2, then the mean over groups.

    Raises:
        ValueError: Shapes differ, a group has fewer than two passages (its softmax would be constant), or the
            temperature is not positive.
    """
    real = require_lists(scores, gains, mask)
    refuse_groups(real.sum(dim=1) < 2, "fewer than two passages", scores)
    require_positive(temperature=temperature)
    padding = ~real
    gains = at_least_float32(gains.detach()) / temperature
    scores = at_least_float32(scores) / temperature
    wanted = gains.masked_fill(padding, -float("inf")).softmax(dim=1)
    given = scores.masked_fill(padding, -float("inf")).log_softmax(dim=1)
    # The log of a padded passage is -inf, and 0 * -inf would be NaN.
    return -(wanted * given.masked_fill(padding, 0.0)).sum(dim=1).mean() * temperature**2


def listwise_kl(scores: Tensor, teacher: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compare the student's distribution over a list with the teacher's by KL(teacher || student).

    Hinton, Vinyals and Dean (2015, arXiv 1503.02531, section 2) over the passages of a query instead of classes; the
    top-one distributions are ListNet's (Cao et al. 2007, ICML). It is ``graded_listwise`` less the teacher's entropy:
    0 when both agree up to a shift, and of the same gradient. T^2 in front keeps gradients of one size when T changes.

    Args:
        scores: (groups, passages), raw logits.
        teacher: (groups, passages), raw logits; detached.
        mask: (groups, passages), 1 or True where a passage is real.
        temperature: T > 0; divides both.

    Returns:
        Scalar: the sum over a group's passages times T^2, then the mean over groups, in nats.

    Raises:
        ValueError: As ``graded_listwise``.
    """
    entropy = graded_listwise(teacher.detach(), teacher, mask, temperature=temperature)
    return graded_listwise(scores, teacher, mask, temperature=temperature) - entropy
