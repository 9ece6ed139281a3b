"""AdamW, as it is and as BERT's code has it, clipping, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adadelta, AdamW, Optimizer

from distilrank.errors import SettingsError
from distilrank.training.settings import TrainingSettings

ADADELTA_RHO = 0.95
"""Share of the running means of Adadelta that a step keeps; as in the code of Tang et al. (2019)."""


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


def build_optimiser(parameters: Iterable[nn.Parameter], settings: TrainingSettings) -> Optimizer:
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
    if settings.optimiser == "bert_adam":
        return BertAdam(groups, lr=settings.learning_rate)
    if settings.optimiser == "adadelta":
        return Adadelta(groups, lr=settings.learning_rate, rho=ADADELTA_RHO)
    return AdamW(groups, lr=settings.learning_rate, fused=True)


class BertAdam(Optimizer):
    """AdamW without bias correction, as BERT's and TinyBERT's code has it.

    p <- p - lr (m / (sqrt(v) + 1e-6) + weight_decay p), with the usual running means m and v of g and g^2. Without
    the correction the first steps are about three times as long (0.1 g / sqrt(0.001 g^2)); warm-up tames them.

    Args:
        groups: Parameter groups with a ``weight_decay`` each.
        lr: Learning rate.
    """

    BETAS = 0.9, 0.999
    EPSILON = 1e-6

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("BertAdam takes no closure; the loop computes the gradients")
        (b1, b2), epsilon = self.BETAS, self.EPSILON
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                state, gradient = self.state[parameter], parameter.grad
                if not state:
                    state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["mean"].lerp_(gradient, 1 - b1)
                state["square"].mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.addcdiv_(state["mean"], state["square"].sqrt().add_(epsilon), value=-group["lr"])


def clip_gradients(parameters: Sequence[nn.Parameter], settings: TrainingSettings) -> Tensor:
    """Scale gradients down to ``max_grad_norm``, all together or, for "bert_adam", tensor by tensor.

    Returns:
        Scalar: the norm of all gradients before that.
    """
    limit = math.inf if settings.max_grad_norm is None else settings.max_grad_norm
    if settings.optimiser != "bert_adam":
        return nn.utils.clip_grad_norm_(parameters, limit)
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    for parameter in parameters:
        nn.utils.clip_grad_norm_(parameter, limit)
    return norm


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


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimiser.param_groups:
        group["lr"] = rate
