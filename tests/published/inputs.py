"""Weights and batches that anyone can draw again, for numbers that the authors' own modules computed.

All of it comes from numpy's RandomState, whose stream is frozen for good, seeded by the CRC-32 of a name; so nothing
but the numbers is stored. See docs/parity.md.
"""

from __future__ import annotations

import zlib
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LENGTHS = (37, 256)
EXAMPLES = 4


class Size(TypedDict):
    """As BERT's configurations have it, in both codes."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int


VOCABULARY = 60
STUDENT = Size(
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=256,
    type_vocab_size=2,
)
TEACHER = Size(
    hidden_size=24,
    num_hidden_layers=4,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=256,
    type_vocab_size=2,
)


def draw(name: str) -> np.random.RandomState:
    """Return the generator of a name."""
    return np.random.RandomState(zlib.crc32(name.encode()))


def weight(role: str, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a parameter by its name in the network; queries and keys are so large that some scores are below -100."""
    values = draw(f"{role} {name}").standard_normal(shape)
    if name.endswith("LayerNorm.weight"):
        return 1.0 + 0.2 * values
    if name.endswith("bias"):
        return 0.3 * values
    if "embeddings" in name:
        return values
    return values * (1.2 if ".query." in name or ".key." in name else shape[-1] ** -0.5)


def fill(network: nn.Module, role: str) -> None:
    """Give every parameter of a network its value, in float64, and leave dropout off."""
    network.double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(weight(role, name, tuple(parameter.shape))))


class Inputs(TypedDict):
    """A padded batch: int64 tensors of shape (batch, length), and labels."""

    input_ids: Tensor
    input_mask: Tensor
    segment_ids: Tensor
    classes: Tensor
    numbers: Tensor


def inputs(length: int) -> Inputs:
    """Return a batch with one example of full length, one of a single token and two in between."""
    random = draw(f"inputs {length}")
    sizes = np.array([length, 1, length // 3, length - 5])
    mask = np.arange(length) < sizes[:, np.newaxis]
    ids = np.where(mask, random.randint(1, VOCABULARY, size=mask.shape), 0)
    segments = np.where(mask & (np.arange(length) >= sizes[:, np.newaxis] // 2), 1, 0)
    return Inputs(
        input_ids=torch.from_numpy(ids),
        input_mask=torch.from_numpy(mask.astype(np.int64)),
        segment_ids=torch.from_numpy(segments),
        classes=torch.from_numpy(random.randint(0, 2, size=EXAMPLES)),
        numbers=torch.from_numpy(random.uniform(0.0, 5.0, size=EXAMPLES)),
    )


def changes(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, float]:
    """Sum up how far each parameter moved in one number: the change times a random direction of its own."""
    return {
        name: float(
            (after[name] - before[name]).numpy().ravel() @ draw(f"direction {name}").standard_normal(value.numel())
        )
        for name, value in before.items()
    }
