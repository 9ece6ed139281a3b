"""What goes into a graph's matrix products, on pairs like those that will be scored: how large it is, and a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from distilrank.data.tokens import PairTokenizer
from distilrank.export.products import products
from distilrank.runtime.session import named_inputs, open_session

BATCH_TOKENS = 1024

ROWS = 512
"""Drawn from all tokens of the pairs, as a sample."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """What one input was seen to be.

    Attributes:
        least: Of each channel, (channels,).
        most: Of each channel, (channels,).
        rows: A sample, (``ROWS`` at most, channels).
    """

    least: NDArray[np.float32]
    most: NDArray[np.float32]
    rows: NDArray[np.float32]


Ranges = Mapping[str, Range]
"""By the name of the input."""


def measure_ranges(
    graph: onnx.ModelProto, tokenizer: PairTokenizer, pairs: Sequence[tuple[str, str]]
) -> dict[str, Range]:
    """Return what the inputs of all products are, on tokens alone.

    Args:
        graph: In fp32.
        tokenizer: Its tokeniser.
        pairs: To calibrate on, at least one; a few hundred are enough.
    """
    values = sorted({value for value, _ in products(graph).values()})
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in values)
    session = open_session(watched.SerializeToString(), optimised=False)
    drawn = np.random.default_rng(0)
    found: dict[str, Range] = {}
    lots: dict[str, NDArray[np.float64]] = {}
    queries, passages = [query for query, _ in pairs], [passage for _, passage in pairs]
    for _, arrays in tokenizer.batches(queries, passages, batch_tokens=BATCH_TOKENS):
        for name, states in zip(values, session.run(values, named_inputs(session, arrays)), strict=True):
            # Of the last layer there may be one token, which is never padding.
            is_token = arrays.attention_mask.astype(bool)
            rows = states[is_token] if states.shape[:2] == is_token.shape else states.reshape(-1, states.shape[-1])
            least, most, own = rows.min(axis=0), rows.max(axis=0), drawn.random(len(rows))
            if name in found:
                before = found[name]
                least, most = np.minimum(before.least, least), np.maximum(before.most, most)
                rows, own = np.concatenate([before.rows, rows]), np.concatenate([lots[name], own])
            kept = np.argsort(own)[:ROWS]  # the lowest lots of all tokens so far
            found[name], lots[name] = Range(least=least, most=most, rows=rows[kept]), own[kept]
    return found
