"""Another dropout than the network's own, for the time of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def dropout_set_to(probability: float | None, module: nn.Module) -> Iterator[None]:
    """Give every ``nn.Dropout`` of a module this probability; each has its own back afterwards.

    transformers' attention reads the probability of its ``nn.Dropout`` at every call, so attention is included.

    Args:
        probability: From 0, which is faster than a small one, to less than 1. None: nothing is changed.
        module: The network; its configuration, and so what is saved, stays as it is.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Dropout)]
    own = [layer.p for layer in layers]
    if probability is not None:
        for layer in layers:
            layer.p = probability
    try:
        yield
    finally:
        for layer, p in zip(layers, own, strict=True):
            layer.p = p
