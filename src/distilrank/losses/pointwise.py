"""Ranking as judging each passage by itself."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import (
    at_least_float32,
    require_dimensions,
    require_equal_shapes,
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
