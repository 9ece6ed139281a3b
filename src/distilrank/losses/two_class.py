"""The bridge from a ranker's one logit to losses over classes."""

from __future__ import annotations

import torch
from torch import Tensor


def two_class_logits(logits: Tensor) -> Tensor:
    """Write the one logit z of a ranker as the two class logits [0, z].

    The softmax of [0, z] is [1 - sigmoid(z), sigmoid(z)]: class 1 is "relevant". The softmax of [z] alone
    would be 1 whatever z is, and every class loss on it constant, without a gradient and without a warning.

    Args:
        logits: (batch,) or (batch, 1).

    Returns:
        (batch, 2), in the dtype of ``logits``.

    Raises:
        ValueError: The logits have another shape.
    """
    if logits.dim() == 2 and logits.shape[1] == 1:
        logits = logits.squeeze(1)
    if logits.dim() != 1:
        raise ValueError(f"one logit per example has shape (batch,) or (batch, 1), got {tuple(logits.shape)}")
    return torch.stack([torch.zeros_like(logits), logits], dim=1)  # (batch, 2)


def class_logits(logits: Tensor) -> Tensor:
    """Return what enters a class loss: a ranker's one logit as ``[0, z]``, a classifier's as they are.

    Args:
        logits: (batch, labels).

    Returns:
        (batch, 2) when there is one label, else ``logits``.
    """
    return two_class_logits(logits) if logits.shape[-1] == 1 else logits
