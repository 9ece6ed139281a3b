"""How large the numbers are that go into a graph's matrix products, on pairs like those that will be scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from distilrank.data.tokens import PairTokenizer
from distilrank.export.quantise import products
from distilrank.runtime.session import named_inputs, open_session

BATCH_TOKENS = 1024
Ranges = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def measure_ranges(graph: onnx.ModelProto, tokenizer: PairTokenizer, pairs: Sequence[tuple[str, str]]) -> Ranges:
    """Return least and largest of every channel of the inputs of all products, on tokens alone.

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
    found: Ranges = {}
    queries, passages = [query for query, _ in pairs], [passage for _, passage in pairs]
    for _, arrays in tokenizer.batches(queries, passages, batch_tokens=BATCH_TOKENS):
        for name, states in zip(values, session.run(values, named_inputs(session, arrays)), strict=True):
            # Of the last layer there may be one token, which is never padding.
            is_token = arrays.attention_mask.astype(bool)
            rows = states[is_token] if states.shape[:2] == is_token.shape else states.reshape(-1, states.shape[-1])
            least, most = rows.min(axis=0), rows.max(axis=0)
            before = found.get(name, (least, most))
            found[name] = (np.minimum(before[0], least), np.maximum(before[1], most))
    return found
