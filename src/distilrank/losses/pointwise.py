"""Ranking as judging each passage by itself."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import (
    at_least_float32,
    refuse_groups,
    require_dimensions,
    require_equal_shapes,
    require_lists,
    require_positive,
    require_probabilities,
)


def binary_cross_entropy(scores: Tensor, relevance: Tensor) -> Tensor:
    """Compare one raw score per pair with its relevance.

    The pointwise objective of monoBERT (Nogueira and Cho 2019, arXiv 1901.04085, equation 1), averaged;
    equal to ``hard_cross_entropy(two_class_logits(scores), relevance)`` for labels 0 and 1.

    Args:
        scores: (batch,), raw logits.
        relevance: (batch,), in [0, 1]; scale graded judgements into that range first.

    Returns:
        Scalar: the mean over pairs, in nats.

    Raises:
        ValueError: Shapes differ or a relevance lies outside [0, 1].
    """
    require_equal_shapes(scores=scores, relevance=relevance)
    require_dimensions(1, scores=scores)
    require_probabilities("relevance", relevance)
    scores = at_least_float32(scores)
    return functional.binary_cross_entropy_with_logits(scores, relevance.to(scores.dtype))


def score_mse(scores: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Compare raw scores one by one by squared error.

    As the small cross-encoders of sentence-transformers learn from their teachers (its ``MSELoss``), and L_distill of
    Tang et al. (2019, arXiv 1903.12136) for one logit. Both sides should be raw logits.

    Args:
        scores: (groups, passages), raw logits.
        teacher: (groups, passages), raw logits; detached.
        mask: (groups, passages), 1 or True where a passage is real.

    Returns:
        Scalar: the mean over a group's passages, then over groups.

    Raises:
        ValueError: Shapes differ, or a group has no passage.
    """
    real = require_lists(scores, teacher, mask)
    squares = (at_least_float32(scores) - at_least_float32(teacher.detach())).masked_fill(~real, 0.0).square()
    return _mean_over_passages(squares, real)


def score_bce(scores: Tensor, teacher: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compare each passage's probability of being relevant with the teacher's, by cross entropy.

    The soft loss of Hinton, Vinyals and Dean (2015, arXiv 1503.02531, section 2) with T^2 in front, for the two
    classes [0, z] of a ranker's logit z. The least value is T^2 times the teacher's entropy, not 0.

    Args:
        scores: (groups, passages), raw logits.
        teacher: (groups, passages), raw logits, whose sigmoid is a probability; detached.
        mask: (groups, passages), 1 or True where a passage is real.
        temperature: T > 0; divides both.

    Returns:
        Scalar: the mean over a group's passages times T^2, then over groups, in nats.

    Raises:
        ValueError: Shapes differ, a group has no passage, or the temperature is not positive.
    """
    require_positive(temperature=temperature)
    wanted = (at_least_float32(teacher.detach()) / temperature).sigmoid()
    return temperature**2 * grouped_bce(at_least_float32(scores) / temperature, wanted, mask)


def grouped_bce(scores: Tensor, relevance: Tensor, mask: Tensor) -> Tensor:
    """Compare the passages of groups with their relevance: ``binary_cross_entropy``, averaged over groups.

    Args:
        scores: (groups, passages), raw logits.
        relevance: (groups, passages), in [0, 1] where a passage is real.
        mask: (groups, passages), 1 or True where a passage is real.

    Returns:
        Scalar: the mean over a group's passages, then over groups, in nats.

    Raises:
        ValueError: Shapes differ, a group has no passage, or a relevance lies outside [0, 1].
    """
    real = require_lists(scores, relevance, mask)
    scores = at_least_float32(scores).masked_fill(~real, 0.0)
    relevance = relevance.to(scores.dtype).masked_fill(~real, 0.0)
    require_probabilities("relevance", relevance)
    losses = functional.binary_cross_entropy_with_logits(scores, relevance, reduction="none")
    return _mean_over_passages(losses, real)


def _mean_over_passages(values: Tensor, real: Tensor) -> Tensor:
    counts = real.sum(dim=1)
    refuse_groups(counts == 0, "no passage", values)
    return (values.masked_fill(~real, 0.0).sum(dim=1) / counts).mean()
