"""What every loss asks of its arguments: equal shapes, a fitting mask, enough precision."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor in fp32 when it holds halves or integers; fp32 and fp64 stay as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def require_equal_shapes(**tensors: Tensor) -> None:
    """Refuse two or more tensors that differ in shape, because torch would silently broadcast them.

    Args:
        **tensors: The tensors under the names the message shall use.

    Raises:
        ValueError: The shapes differ; the message holds all of them.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"shapes must be equal: {_named(shapes)}")


def require_dimensions(count: int, **tensors: Tensor) -> None:
    """Refuse tensors that have another number of dimensions than ``count``.

    Raises:
        ValueError: One has; the message holds all shapes.
    """
    if any(tensor.dim() != count for tensor in tensors.values()):
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise ValueError(f"expected {count} dimension{'s' if count > 1 else ''}: {_named(shapes)}")


def require_several_classes(logits: Tensor) -> None:
    """Refuse logits with fewer than two classes: their softmax is constant, the loss 0 and the gradient 0.

    Raises:
        ValueError: The last dimension is shorter than two.
    """
    if logits.shape[-1] < 2:
        raise ValueError(
            f"a softmax needs two classes or more, got logits of shape {tuple(logits.shape)}; "
            "enter the score of a one-logit ranker as two_class_logits(score)"
        )


def require_probabilities(name: str, values: Tensor) -> None:
    """Refuse values outside [0, 1], for which a binary cross entropy has no lower bound.

    Raises:
        ValueError: There are some; the message holds the smallest and the largest value.
    """
    if values.numel() and not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError(f"{name} must lie in [0, 1], found values from {values.min():g} to {values.max():g}")


def token_counts(mask: Tensor) -> Tensor:
    """Count the valid tokens of every example.

    Args:
        mask: (batch, length), 1 or True where a token is real.

    Returns:
        (batch,), in the dtype of ``mask`` (int64 for bool).

    Raises:
        ValueError: An example has none, so that its mean does not exist.
    """
    counts = mask.sum(dim=1)
    if not bool((counts > 0).all()):
        empty = (counts == 0).nonzero().flatten().tolist()
        raise ValueError(f"no valid token in example(s) {empty} of a mask of shape {tuple(mask.shape)}")
    return counts


def require_lists(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Refuse what is no lists of passages, and return the mask as booleans.

    Args:
        scores: (groups, passages).
        targets: Likewise.
        mask: Likewise, 1 or True where a passage is real.

    Raises:
        ValueError: Shapes differ, or there are not two dimensions.
    """
    require_equal_shapes(scores=scores, targets=targets, mask=mask)
    require_dimensions(2, scores=scores)
    return mask.bool()


def refuse_groups(bad: Tensor, problem: str, scores: Tensor) -> None:
    """Refuse groups.

    Args:
        bad: (groups,), True for those.
        problem: What they have or lack.
        scores: (groups, passages).

    Raises:
        ValueError: There are some; the message holds their numbers.
    """
    if bool(bad.any()):
        groups = bad.nonzero().flatten().tolist()
        raise ValueError(f"{problem} in group(s) {groups} of scores of shape {tuple(scores.shape)}")


def require_positive(**values: float) -> None:
    """Refuse temperatures and their like that are not above 0.

    Raises:
        ValueError: Naming the first.
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")


def mean_over(examples: Tensor, shares: Tensor | None) -> Tensor:
    """Average over examples.

    Args:
        examples: (batch,), a value for each.
        shares: (batch,), what each counts for in the mean; they sum to 1. None: the same.

    Raises:
        ValueError: Shapes differ.
    """
    if shares is None:
        return examples.mean()
    require_equal_shapes(examples=examples, shares=shares)
    return (examples * shares.to(examples.dtype)).sum()


def _named(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
