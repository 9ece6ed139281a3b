"""BERT with a classification head as an ONNX graph that does no work in vain.

The same network as torch's, in other steps; torch's own export computes every token in every layer. Here

- the last layer is computed for [CLS] alone, which is all that the head reads: its keys and values come from every
  token, everything else from one. Of a network of three layers that saves a quarter of the work, of six an eighth,
  and no digit changes but for rounding;
- the division of attention scores by the square root of the head size is done once, to the weights;
- the mask is one number per token that is added to the scores, without the checks for rows of padding alone.

All operators are standard. onnxruntime joins them when it loads the file (Gelu, biases into matrix products).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from transformers import BertForSequenceClassification, PreTrainedModel

from distilrank.export.graph import PAIR_INPUTS, GraphWriter
from distilrank.models.relu_head import has_relu_head

MASKED = -1e30
"""Added to the attention scores of padding: far below any score, and its sum with one is still a number."""

Weights = dict[str, NDArray[np.float32]]


def is_plain_bert(model: PreTrainedModel) -> bool:
    """Tell whether ``bert_graph`` can write the network."""
    return type(model) is BertForSequenceClassification and has_known_body(model.config)


def has_known_body(config: Any) -> bool:
    """Tell whether a BERT's layers are such as can be written."""
    return (
        config.hidden_act in ("gelu", "relu")
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and not config.is_decoder
    )


def bert_graph(model: PreTrainedModel) -> onnx.ModelProto:
    """Write a network for which ``is_plain_bert`` holds; inputs and output as in ``export.onnx``."""
    weights = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    return BertGraph(model.config, weights, relu_head=has_relu_head(model)).graph()


class BertGraph(GraphWriter):
    """The graph in the making; ``states`` are names of values of shape (batch, sequence, hidden)."""

    def __init__(self, config: Any, weights: Weights, *, relu_head: bool = False) -> None:
        super().__init__()
        self.config = config
        self.weights = weights
        self.relu_head = relu_head

    def graph(self) -> onnx.ModelProto:
        """Write everything."""
        states, mask = self._embeddings(), self._mask()
        layers = int(self.config.num_hidden_layers)
        for layer in range(layers):
            states = self._layer(layer, states, mask, first_only=layer == layers - 1)
        # (batch, 1, hidden): of the last layer there is the first token alone, and of no layer all of them
        first = self.node("Gather", states, self.constant("zero", np.array(0, np.int64)), axis=1, name="first")
        pooled = self.node("Tanh", self._dense(first, "bert.pooler.dense"))
        if self.relu_head:
            pooled = self.node("Relu", pooled)
        self._dense(pooled, "classifier", output="logits")
        labels = self.weights["classifier.weight"].shape[0]
        return self.model(PAIR_INPUTS, {"logits": ("batch", labels)})

    def _embeddings(self) -> str:
        prefix = "bert.embeddings"
        words, segments, places = (
            self._weight(f"{prefix}.{kind}_embeddings.weight") for kind in ("word", "token_type", "position")
        )
        length = self.node("Shape", "input_ids", start=1, end=2)
        zero = self.integers(0)
        place = self.node("Slice", places, zero, length, zero)  # (sequence, hidden)
        word = self.node("Gather", words, "input_ids", name="words")
        segment = self.node("Gather", segments, "token_type_ids")
        total = self.node("Add", self.node("Add", word, segment), place)
        return self._layer_norm(total, f"{prefix}.LayerNorm")

    def _mask(self) -> str:
        """Return 0 for tokens and ``MASKED`` for padding, (batch, 1, 1, sequence)."""
        padding = self.node(
            "Sub", self.constant("one", np.float32(1)), self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        )
        return self.node(
            "Unsqueeze", self.node("Mul", padding, self.constant("masked", np.float32(MASKED))), self.integers(1, 2)
        )

    def _layer(self, layer: int, states: str, mask: str, *, first_only: bool) -> str:
        """Write a layer; with ``first_only`` it returns (batch, 1, hidden)."""
        prefix = f"bert.encoder.layer.{layer}"
        asking = states
        if first_only:
            zero, one = self.integers(0), self.integers(1)
            asking = self.node("Slice", states, zero, one, one)
        context = self._attention(f"{prefix}.attention.self", asking, states, mask)
        attended = self._residual(f"{prefix}.attention.output", context, asking)
        inner = self._activation(self._linear(attended, f"{prefix}.intermediate.dense"))
        return self._residual(f"{prefix}.output", inner, attended)

    def _attention(self, prefix: str, asking: str, states: str, mask: str) -> str:
        heads, hidden = int(self.config.num_attention_heads), int(self.config.hidden_size)
        scale = 1.0 / math.sqrt(hidden // heads)
        query = self._heads(self._linear(asking, f"{prefix}.query", scale=scale), (0, 2, 1, 3))
        key = self._heads(self._linear(states, f"{prefix}.key"), (0, 2, 3, 1))
        value = self._heads(self._linear(states, f"{prefix}.value"), (0, 2, 1, 3))
        scores = self.node("Add", self.node("MatMul", query, key), mask)  # (batch, heads, asking, sequence)
        context = self.node("MatMul", self.node("Softmax", scores, axis=-1), value)
        joined = self.node("Transpose", context, perm=(0, 2, 1, 3))
        return self.node("Reshape", joined, self.integers(0, 0, hidden))

    def _heads(self, states: str, order: tuple[int, ...]) -> str:
        """Return (batch, sequence, heads, head size) with its axes in another order."""
        heads = int(self.config.num_attention_heads)
        size = int(self.config.hidden_size) // heads
        return self.node("Transpose", self.node("Reshape", states, self.integers(0, 0, heads, size)), perm=order)

    def _residual(self, prefix: str, changed: str, before: str) -> str:
        total = self.node("Add", self._linear(changed, f"{prefix}.dense"), before)
        return self._layer_norm(total, f"{prefix}.LayerNorm")

    def _activation(self, states: str) -> str:
        if self.config.hidden_act == "relu":
            return self.node("Relu", states)
        # x / 2 * (1 + erf(x / sqrt 2)), in the form that onnxruntime knows as Gelu
        erf = self.node("Erf", self.node("Div", states, self.constant("sqrt_two", np.float32(math.sqrt(2.0)))))
        share = self.node("Add", erf, self.constant("one", np.float32(1)))
        return self.node("Mul", self.node("Mul", states, share), self.constant("half", np.float32(0.5)))

    def _linear(self, states: str, name: str, *, scale: float = 1.0) -> str:
        """Write x W' + b for states of any shape; the node is called as the layer, so that quantising can name it."""
        weight = self.weights[f"{name}.weight"].T * np.float32(scale)
        bias = self.weights[f"{name}.bias"] * np.float32(scale)
        product = self.node("MatMul", states, self.constant(f"{name}.weight", weight), name=name)
        return self.node("Add", product, self.constant(f"{name}.bias", bias))

    def _dense(self, vectors: str, name: str, *, output: str = "") -> str:
        """Write x W' + b for a vector per pair."""
        return self.node(
            "Gemm", vectors, self._weight(f"{name}.weight"), self._weight(f"{name}.bias"), transB=1, output=output
        )

    def _layer_norm(self, states: str, name: str) -> str:
        return self.node(
            "LayerNormalization",
            states,
            self._weight(f"{name}.weight"),
            self._weight(f"{name}.bias"),
            axis=-1,
            epsilon=float(self.config.layer_norm_eps),
        )

    def _weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])
