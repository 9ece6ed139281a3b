"""``BertForLateInteraction`` as an ONNX graph: BERT's layers, each token seeing its own text, and MaxSim at the end.

Inputs and output are those of any cross-encoder, so whoever runs one can run this: segments tell the texts apart.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto
from transformers import PreTrainedModel

from distilrank.export.bert_graph import MASKED, BertGraph, has_known_body
from distilrank.export.graph import PAIR_INPUTS
from distilrank.models.late_interaction import BertForLateInteraction


def is_late_interaction(model: PreTrainedModel) -> bool:
    """Tell whether ``late_interaction_graph`` can write the network."""
    return type(model) is BertForLateInteraction and has_known_body(model.config)


def late_interaction_graph(model: PreTrainedModel) -> onnx.ModelProto:
    """Write a network for which ``is_late_interaction`` holds; inputs and output as in ``export.onnx``."""
    weights = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    return _LateInteraction(model.config, weights).graph()


class _LateInteraction(BertGraph):
    """The graph in the making; masks of tokens are float, (batch, sequence), 1 where a token is meant."""

    def graph(self) -> onnx.ModelProto:
        """Write everything."""
        segments = self.node("Cast", "token_type_ids", to=TensorProto.FLOAT, name="segments")
        valid = self.node("Cast", "attention_mask", to=TensorProto.FLOAT, name="valid")
        passage = self.node("Mul", valid, segments, name="passage")
        query = self.node("Sub", valid, passage, name="query")
        states, mask = self._embeddings(), self._mask()
        for layer in range(int(self.config.num_hidden_layers)):
            states = self._layer(layer, states, mask, first_only=False)
        self._head(states, query, passage)
        return self.model(PAIR_INPUTS, {"logits": ("batch", 1)})

    def _embeddings(self) -> str:
        """Return words, positions in the own text, and segment 0 everywhere, normalised."""
        prefix = "bert.embeddings"
        places = self.weights[f"{prefix}.position_embeddings.weight"]
        segment = self.weights[f"{prefix}.token_type_embeddings.weight"][:1]
        table = self.constant("places", places + segment)
        word = self.node("Gather", self._weight(f"{prefix}.word_embeddings.weight"), "input_ids", name="words")
        total = self.node("Add", word, self.node("Gather", table, self._positions()))
        return self._layer_norm(total, f"{prefix}.LayerNorm")

    def _positions(self) -> str:
        zero, one = (self.constant(f"int_{value}", np.array(value, np.int64)) for value in (0, 1))
        length = self.node("Squeeze", self.node("Shape", "input_ids", start=1, end=2), self.integers(0))
        places = self.node("Range", zero, length, one)  # (sequence,)
        counts = self.node(
            "ReduceSum", self.node("Cast", "query", to=TensorProto.INT64), self.integers(1), keepdims=1
        )  # (batch, 1): tokens of the query
        return self.node("Max", self.node("Sub", places, self.node("Mul", counts, "token_type_ids")), zero)

    def _mask(self) -> str:
        """Return 0 where a token (row) sees another (column), else ``MASKED``, (batch, 1, sequence, sequence)."""
        rows, columns = self.integers(2), self.integers(1)
        same = self.node(
            "Equal", self.node("Unsqueeze", "token_type_ids", rows), self.node("Unsqueeze", "token_type_ids", columns)
        )
        real = self.node(
            "Unsqueeze", self.node("Cast", "attention_mask", to=TensorProto.BOOL), columns
        )  # (batch, 1, sequence)
        seen = self.node("And", same, real)
        zero, masked = self.constant("nothing", np.float32(0)), self.constant("masked", np.float32(MASKED))
        return self.node("Unsqueeze", self.node("Where", seen, zero, masked), columns)

    def _head(self, states: str, query: str, passage: str) -> None:
        columns = self.integers(1)
        means = [self._unit(self._sum(states, mask)) for mask in (query, passage)]  # the length of a sum cancels
        cosine = self._total(self.node("Mul", *means), axis=1)  # (batch, 1)
        directions = self._unit(states)
        alike = self.node("MatMul", directions, self.node("Transpose", directions, perm=(0, 2, 1)))
        elsewhere = self._outside(passage, reach=2.0)
        best = self.node(
            "ReduceMax",
            self.node("Add", alike, self.node("Unsqueeze", elsewhere, columns)),
            self.integers(2),
            keepdims=0,
        )  # (batch, sequence)
        importance = self.node("MatMul", states, self._weight("head.importance"))
        weights = self.node("Softmax", self.node("Add", importance, self._outside(query, reach=-MASKED)), axis=1)
        matched = self._total(self.node("Mul", weights, best), axis=1)
        there = self.node("ReduceMax", passage, columns, keepdims=1)  # 0 where there is no passage to be found in
        matched = self.node("Mul", matched, there)
        total = self.node("Add", self._scaled(cosine, "head.scale"), self._scaled(matched, "head.match_scale"))
        self.node("Add", total, self._weight("head.bias"), output="logits")

    def _scaled(self, values: str, name: str) -> str:
        return self.node("Mul", values, self._weight(name))

    def _outside(self, mask: str, *, reach: float) -> str:
        """Return 0 where the mask is 1 and ``-reach`` elsewhere."""
        one, factor = self.constant("one", np.float32(1)), self.constant(f"reach_{reach:g}", np.float32(reach))
        return self.node("Mul", self.node("Sub", mask, one), factor)

    def _sum(self, states: str, mask: str) -> str:
        """Return the sum of the states meant, (batch, hidden)."""
        row = self.node("Unsqueeze", mask, self.integers(1))  # (batch, 1, sequence)
        return self.node("Squeeze", self.node("MatMul", row, states), self.integers(1))

    def _unit(self, vectors: str) -> str:
        length = self.node("ReduceL2", vectors, self.integers(-1), keepdims=1)
        return self.node("Div", vectors, self.node("Max", length, self.constant("least", np.float32(1e-8))))

    def _total(self, values: str, *, axis: int) -> str:
        return self.node("ReduceSum", values, self.integers(axis), keepdims=1)
