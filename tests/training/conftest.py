"""A small regression that trains in milliseconds: enough network for dropout, norms, biases and a teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilrank.training.loop import TrainingResult, train
from distilrank.training.microbatch import MicroBatch
from distilrank.training.settings import TrainingSettings

Content = tuple[Tensor, Tensor]


def small_model(*, dropout: float = 0.2, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))


def small_examples(count: int = 20) -> list[Content]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 4, generator=generator)
    return list(zip(inputs, inputs.prod(dim=1) + inputs[:, 0], strict=True))


@dataclass
class Problem:
    """A run to be varied: every attribute may be replaced before calling ``run``."""

    model: nn.Module = field(default_factory=small_model)
    examples: list[Content] = field(default_factory=small_examples)
    part_sizes: tuple[int, ...] = (3, 1, 4)
    """Sizes of the micro-batches, repeated."""
    settings: dict[str, Any] = field(default_factory=dict)
    seen: list[list[int]] = field(default_factory=list)
    """Positions of the examples of each step."""
    extra: dict[str, Any] = field(default_factory=dict)

    def split(self, examples: list[Content]) -> list[MicroBatch[Content]]:
        positions = {id(example): position for position, example in enumerate(self.examples)}
        self.seen.append([positions[id(example)] for example in examples])
        parts, start, turn = [], 0, 0
        while start < len(examples):
            chosen = examples[start : start + self.part_sizes[turn % len(self.part_sizes)]]
            start, turn = start + len(chosen), turn + 1
            content = (torch.stack([x for x, _ in chosen]), torch.stack([y for _, y in chosen]))
            parts.append(MicroBatch(content=content, examples=len(chosen), pairs=len(chosen), tokens=4 * len(chosen)))
        return parts

    def loss_terms(self, content: Content) -> Mapping[str, Tensor]:
        inputs, targets = content
        error = self.model(inputs)[:, 0] - targets
        return {"squared": (error**2).mean(), "absolute": 0.1 * error.abs().mean()}

    def negative_error(self) -> dict[str, float]:
        inputs, targets = zip(*self.examples, strict=True)
        error = self.model(torch.stack(inputs))[:, 0] - torch.stack(targets)
        return {"negative error": -(error**2).mean().item()}

    def run(self, folder: Path, **changes: Any) -> TrainingResult:
        defaults: dict[str, Any] = {"batch_size": 8, "learning_rate": 0.01, "trackers": (), "checkpoint_every": 2}
        arguments: dict[str, Any] = {
            "model": self.model,
            "examples": self.examples,
            "split": self.split,
            "loss_terms": self.loss_terms,
            "settings": TrainingSettings(**{**defaults, **self.settings}),
            "folder": folder,
            "command": {"data": {"hash": "abc"}},
        }
        return train(**{**arguments, **self.extra, **changes})

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


@pytest.fixture
def problem() -> Callable[..., Problem]:
    """Makes a fresh problem, always the same one."""
    return Problem


@pytest.fixture
def same() -> Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], bool]:
    """Says whether two state dicts are equal to the last bit."""
    return lambda one, two: one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
