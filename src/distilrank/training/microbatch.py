"""What one forward and backward pass sees: a part of an optimiser step that fits in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch(Generic[B]):
    """A part of an optimiser step.

    Attributes:
        content: What the loss is computed from.
        examples: How many training examples it holds. It is the weight of this part in the step's mean, so a
            step split into parts has the gradient of the whole.
        pairs: How many (query, passage) pairs or texts the student reads, for the throughput.
        tokens: How many tokens the student reads, padding left out, for the throughput.
    """

    content: B
    examples: int
    pairs: int
    tokens: int
