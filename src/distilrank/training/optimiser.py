"""AdamW and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import AdamW

from distilrank.errors import SettingsError
from distilrank.training.settings import TrainingSettings


def trainable_parameters(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """Return each parameter that needs a gradient once, in a fixed order.

    Raises:
        SettingsError: If there is none, or one has fewer than 32 bits: half precision is a matter of autocast, and
            AdamW's small steps would be rounded away in bf16 weights.
    """
    parameters = list({id(p): p for module in modules for p in module.parameters() if p.requires_grad}.values())
    if not parameters:
        raise SettingsError("the model has no parameter that needs a gradient; unfreeze some of them")
    for parameter in parameters:
        if parameter.dtype not in (torch.float32, torch.float64):
            raise SettingsError(f"the model's weights are {parameter.dtype} but must be torch.float32 to be trained")
    return parameters


def build_optimiser(parameters: Iterable[nn.Parameter], settings: TrainingSettings) -> AdamW:
    """Return AdamW with decoupled weight decay on matrices (Loshchilov and Hutter 2019, arXiv 1711.05101).

    Vectors and scalars (biases, layer norms) are not decayed, as in BERT's own optimiser.
    """
    parameters = list(parameters)
    decayed = [p for p in parameters if p.ndim >= 2]
    others = [p for p in parameters if p.ndim < 2]
    groups = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((decayed, settings.weight_decay), (others, 0.0))
        if group
    ]
    return AdamW(groups, lr=settings.learning_rate, fused=True)


def learning_rate(step: int, *, steps: int, settings: TrainingSettings) -> float:
    """Return the learning rate of ``step`` (from 1 to ``steps``).

    It grows linearly to its highest value at the last warm-up step and then stays, or falls linearly towards
    zero, which it would reach one step after the last: no step is wasted on a rate of zero.
    """
    warmup = math.ceil(settings.warmup_share * steps)
    if step <= warmup:
        return settings.learning_rate * step / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (steps + 1 - step) / (steps + 1 - max(warmup, 1))


def set_learning_rate(optimiser: AdamW, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimiser.param_groups:
        group["lr"] = rate
