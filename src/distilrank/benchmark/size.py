"""How large a model folder is: weights by their file's header, without torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilrank.errors import ModelError

LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights:
    """Numbers of weights; ``embeddings`` (of words, positions and segments, and their norm) is part of ``total``."""

    total: int
    embeddings: int


def count_weights(folder: Path) -> StoredWeights | None:
    """Count the weights of a folder's safetensors files; None where there are none.

    Raises:
        ModelError: A file is no safetensors file.
    """
    total = embeddings = 0
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        for name, described in _header(file).items():
            if name == "__metadata__" or not described["dtype"].startswith(("F", "BF")):
                continue
            count = math.prod(described["shape"])
            total += count
            embeddings += count if "embeddings" in name.split(".") else 0
    return StoredWeights(total=total, embeddings=embeddings) if files else None


def _header(file: Path) -> dict[str, Any]:
    """Return name -> dtype and shape: JSON, after its length in eight bytes."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if 0 < length <= LONGEST_HEADER:
            try:
                found = json.loads(stream.read(length))
            except ValueError:
                found = None
            if isinstance(found, dict):
                return found
    raise ModelError(f"{file} is no safetensors file; save the model again")


def megabytes(files: Iterable[Path]) -> float:
    """Return the size of files, in units of 1,000,000 bytes."""
    return sum(file.stat().st_size for file in files) / 1e6
