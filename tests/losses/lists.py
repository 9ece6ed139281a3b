"""Lists of passages of several lengths for the tests of losses over lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIZES = [6, 2, 4]
POSITIVES = [2, 1, 3]


def values(*shape: int, seed: int) -> Tensor:
    return 2 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mask_of(sizes: list[int], longest: int) -> Tensor:
    return torch.arange(longest) < torch.tensor(sizes)[:, None]


def relevance_of(sizes: list[int], longest: int, positives: list[int]) -> Tensor:
    """The last ``positives`` real passages of each group are relevant; padding claims to be relevant too."""
    relevance = torch.ones(len(sizes), longest)
    for row, size, count in zip(relevance, sizes, positives, strict=True):
        row[: size - count] = 0
    return relevance


def rows(*lists: Tensor) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """The real passages of each of ``SIZES``' groups, in numpy."""
    for number, size in enumerate(SIZES):
        yield tuple(each[number, :size].numpy() for each in lists)
