"""Numbers of few bits: weights in 8 with scales, activations as they come out of 8, tables in 4."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distilrank.runtime.cpu import Arithmetic

SMALLEST = 1e-5
"""Channels that are never larger count as this large, so that nothing is divided by zero."""

GROUP = 32
"""Units that share a scale in 4 bits."""


def weights_in_8_bits(
    matrix: NDArray[np.float32], arithmetic: Arithmetic, *, per_channel: bool = True
) -> tuple[NDArray[np.generic], NDArray[np.float32], NDArray[np.generic]]:
    """Return a matrix (channels, columns) in 8 bits, its scales and zero points, each (columns,) or a scalar.

    Args:
        matrix: In fp32.
        arithmetic: Of the processor; it decides between signed, unsigned and 7-bit weights.
        per_channel: One scale per column, instead of one for all.
    """
    most = 63.0 if arithmetic == "avx512" else 127.0  # 7 bits: two products fit into 16 bits
    largest = np.abs(matrix).max(axis=0 if per_channel else None)
    scales = (np.maximum(largest, SMALLEST) / most).astype(np.float32)
    rounded = np.round(matrix / scales)
    if arithmetic == "avx2":  # the same numbers, shifted to be unsigned
        return (rounded + 128).astype(np.uint8), scales, np.full(scales.shape, 128, np.uint8)
    return rounded.astype(np.int8), scales, np.zeros(scales.shape, np.int8)


def scale_and_zero(least: float, most: float) -> tuple[np.float32, np.uint8]:
    """Return scale and zero point by which 0 to 255 stand for the numbers from ``least`` (<= 0) to ``most`` (>= 0)."""
    scale = np.float32(max(most - least, SMALLEST) / 255.0)
    return scale, np.uint8(np.clip(np.round(-least / scale), 0, 255))


def through_8_bits(states: NDArray[np.float32], least: float, most: float) -> NDArray[np.float32]:
    """Return states as they are after rounding to 0 to 255; what lies outside the range ends at its edge."""
    scale, zero = scale_and_zero(least, most)
    return (np.clip(np.round(states / scale) + np.float32(zero), 0, 255) - np.float32(zero)) * scale


def half_bytes(table: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Return a table (rows, units) in 4 bits, (rows, units / 2), and its scales, (rows, units / ``GROUP``).

    A unit is (q - 8) s with q from 1 to 15; a byte is q of unit j plus 16 q of unit j + units / 2.
    """
    rows, units = table.shape
    grouped = table.reshape(rows, units // GROUP, GROUP)
    scales = (np.maximum(np.abs(grouped).max(axis=2), SMALLEST) / 7).astype(np.float16)
    scales = np.maximum(scales, np.finfo(np.float16).tiny)
    numbers = np.clip(np.round(grouped / scales[:, :, None].astype(np.float32)), -7, 7).reshape(rows, units) + 8
    low, high = np.split(numbers.astype(np.uint8), 2, axis=1)
    return (low + 16 * high).astype(np.uint8), scales
