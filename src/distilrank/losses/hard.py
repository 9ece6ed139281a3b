"""Losses against labels: one class of several, several of several, a number."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import (
    at_least_float32,
    require_dimensions,
    require_equal_shapes,
    require_probabilities,
    require_several_classes,
)


def hard_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compare class logits with the one right class.

    The hard term of Simplified TinyBERT (Chen et al. 2021, arXiv 2009.07531; ``task_distill_simplified.py``).

    Args:
        logits: (batch, classes) with two classes or more; one-logit rankers enter as ``two_class_logits``.
        labels: (batch,), int64 class indices from 0. No value means "ignore", unlike in torch.

    Returns:
        Scalar: the mean over examples, in nats.

    Raises:
        ValueError: Shapes do not fit, there are fewer than two classes, or a label is no class index.
    """
    require_dimensions(2, logits=logits)
    require_equal_shapes(labels=labels, examples=logits[:, 0])
    require_several_classes(logits)
    classes = logits.shape[1]
    if labels.is_floating_point() or not bool(((labels >= 0) & (labels < classes)).all()):
        raise ValueError(f"labels must be class indices from 0 to {classes - 1}, got {labels.tolist()}")
    return functional.cross_entropy(at_least_float32(logits), labels.long())


def multi_label_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compare logits with labels of which any number may hold: one binary cross entropy per label.

    Args:
        logits: (batch, labels).
        labels: (batch, labels), in [0, 1].

    Returns:
        Scalar: the mean over an example's labels, then over examples, in nats.

    Raises:
        ValueError: Shapes differ or a label lies outside [0, 1].
    """
    require_equal_shapes(logits=logits, labels=labels)
    require_dimensions(2, logits=logits)
    require_probabilities("labels", labels)
    logits = at_least_float32(logits)
    return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


def regression_mse(predictions: Tensor, targets: Tensor) -> Tensor:
    """Compare predicted numbers with right ones.

    Args:
        predictions: (batch,); a model's (batch, 1) logits enter as ``logits[:, 0]``.
        targets: (batch,).

    Returns:
        Scalar: the mean squared error over examples.

    Raises:
        ValueError: Shapes differ.
    """
    require_equal_shapes(predictions=predictions, targets=targets)
    require_dimensions(1, predictions=predictions)
    predictions = at_least_float32(predictions)
    return functional.mse_loss(predictions, targets.to(predictions.dtype))
