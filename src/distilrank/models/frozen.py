"""A teacher that is only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Keep a network in evaluation mode and out of the gradient; put it back as it was afterwards.

    The published TinyBERT and Simplified TinyBERT code left the teacher's dropout on.
    """
    was_training = module.training
    needed = [parameter for parameter in module.parameters() if parameter.requires_grad]
    module.eval()
    for parameter in needed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        module.train(was_training)
        for parameter in needed:
            parameter.requires_grad_(True)
