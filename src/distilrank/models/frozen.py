"""A teacher that is only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn


@contextmanager
def frozen(module: nn.Module, *, precision: Literal["fp32", "bf16"] = "fp32") -> Iterator[None]:
    """Keep a network in evaluation mode and out of the gradient; put it back as it was afterwards.

    The published TinyBERT and Simplified TinyBERT code left the teacher's dropout on.

    Args:
        module: The teacher.
        precision: "bf16" holds the matrices in bf16 meanwhile. Autocast would cast them again in every forward pass,
            since it remembers only casts of what needs a gradient.
    """
    was_training = module.training
    parameters = [(parameter, parameter.requires_grad, parameter.data) for parameter in module.parameters()]
    module.eval()
    for parameter, _, _ in parameters:
        parameter.requires_grad_(False)
    if precision == "bf16":
        for linear in (part for part in module.modules() if isinstance(part, nn.Linear)):
            linear.weight.data = linear.weight.data.to(torch.bfloat16)
    try:
        yield
    finally:
        module.train(was_training)
        for parameter, needed, data in parameters:
            parameter.data = data.to(parameter.device)
            parameter.requires_grad_(needed)
