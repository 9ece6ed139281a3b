"""Size of a model: what tables and model cards state about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Numbers of weights; ``embeddings`` (word, position, segment and their norm) is part of ``total``."""

    total: int
    embeddings: int


def count_parameters(model: PreTrainedModel) -> Parameters:
    """Count the weights of a network, shared ones once."""
    embeddings = getattr(model.base_model, "embeddings", None) or model.get_input_embeddings()
    return Parameters(total=_count(model), embeddings=_count(embeddings))


def weight_megabytes(folder: str | Path) -> float:
    """Return the size of the weights in a model folder, in units of 1,000,000 bytes."""
    return sum(path.stat().st_size for path in Path(folder).glob("*.safetensors")) / 1e6


def _count(module: nn.Module) -> int:
    """Count the weights of a module, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())
