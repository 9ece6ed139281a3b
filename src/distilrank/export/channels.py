"""How the input of matrix products is made fit for 8 bits, where all its channels share one scale.

In BERT a few channels are ten to fifty times larger than the rest, and one scale for all would leave the rest with two
or three bits. Two remedies, chosen for each input by the error that is left on a sample of its rows:

- *Evening out* is SmoothQuant's (Xiao et al. 2023, arXiv 2211.10438, equation 4): x W = (x / f) (f W) with
  f_j = max|x_j|^a / max|W_j|^(1 - a) for each channel j, and a searched over.
- *The largest channels apart* is LLM.int8()'s (Dettmers et al. 2022, arXiv 2208.07339, section 3.2): they are
  multiplied in fp32, and the rest share a finer scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from distilrank.export.integers import SMALLEST, through_8_bits, weights_in_8_bits
from distilrank.export.products import products
from distilrank.export.ranges import Range, Ranges
from distilrank.runtime.cpu import Arithmetic

EXPONENTS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Tried for a. SmoothQuant's own is 0.5."""

APART = 16
"""Channels that are taken apart, where any are."""

FEWEST_TOGETHER = 16
"""Channels that must share the scale for each that is taken apart."""

WORTH = 0.5
"""Share of the error that may be left when channels are taken apart; if more is left, they stay with the others."""


@dataclass(frozen=True, kw_only=True)
class Channels:
    """What is done to an input.

    Attributes:
        factors: f, what each channel is divided by, (channels,).
        apart: Channels that are multiplied in fp32, ascending; often none.
        least: Of the others after division, 0 at most.
        most: Of the others after division, 0 at least.
        error: Mean squared error of the input's products on the sample, in shares of their mean square, summed.
    """

    factors: NDArray[np.float32]
    apart: NDArray[np.int64]
    least: float
    most: float
    error: float


def choose_channels(graph: onnx.ModelProto, ranges: Ranges, arithmetic: Arithmetic) -> dict[str, Channels]:
    """Return what is done to each input of products; several products of one input share it.

    Args:
        graph: In fp32.
        ranges: Of the inputs of all its products.
        arithmetic: Of the processor that the weights are rounded for.
    """
    matrices: dict[str, list[NDArray[np.float32]]] = {}
    for value, matrix in products(graph).values():
        matrices.setdefault(value, []).append(matrix)
    return {value: _of_input(found, ranges[value], arithmetic) for value, found in matrices.items()}


def _of_input(matrices: Sequence[NDArray[np.float32]], seen: Range, arithmetic: Arithmetic) -> Channels:
    """Search over exponents, with and without channels apart."""
    rows = np.max([np.abs(matrix).max(axis=1) for matrix in matrices], axis=0)
    largest = np.maximum(np.maximum(np.abs(seen.least), np.abs(seen.most)), SMALLEST)
    most_apart = min(APART, len(rows) // FEWEST_TOGETHER)
    best: dict[int, Channels] = {}
    for exponent in EXPONENTS:
        factors = largest**exponent / np.maximum(rows, SMALLEST) ** (1.0 - exponent)
        factors = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
        for count in {0, most_apart}:
            apart = np.sort(np.argsort(-largest / factors, kind="stable")[:count]).astype(np.int64)
            together = np.delete(np.arange(len(factors)), apart)
            least = min(0.0, float((seen.least / factors)[together].min()))
            most = max(0.0, float((seen.most / factors)[together].max()))
            rounded = through_8_bits(seen.rows / factors, least, most)
            rounded[:, apart] = 0.0
            error = 0.0
            for matrix in matrices:
                exact = seen.rows @ matrix
                even = evened(matrix, factors, apart)
                whole, scales, zero = weights_in_8_bits(even, arithmetic)
                small = (whole.astype(np.float32) - zero.astype(np.float32)) * scales
                made = rounded @ small + seen.rows[:, apart] @ matrix[apart]
                error += float(np.square(made - exact).mean() / max(np.square(exact).mean(), SMALLEST))
            if count not in best or error < best[count].error:
                best[count] = Channels(factors=factors, apart=apart, least=least, most=most, error=error)
    return best[most_apart] if best[most_apart].error < WORTH * best[0].error else best[0]


def evened(matrix: NDArray[np.float32], factors: NDArray[np.float32], apart: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return f W (channels, columns), without the channels that are taken apart."""
    even = matrix * factors[:, None]
    even[apart] = 0.0
    return even


def multipliers(channels: Channels) -> NDArray[np.float32]:
    """Return what the input is multiplied by, (channels,): 1 / f, and 0 for the channels that are taken apart."""
    inverse = (1.0 / channels.factors).astype(np.float32)
    inverse[channels.apart] = 0.0
    return inverse
