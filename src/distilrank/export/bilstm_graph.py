"""A BiLSTM as ONNX graphs: the whole of it, and for a siamese ranker its two halves.

- **model**: what any server runs. A pair is one row of word ids whose ``token_type_ids`` tell the two texts.
- **encoder**: one text to its vector, so that passages can be read ahead of any query.
- **head**: two vectors to logits.

The LSTM is told the true length of every text, so that its backward direction begins at the last word and not at the
padding. torch's exporter knows no packed sequences, so the operators are written from the weights.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from distilrank.export.graph import FLOAT, PAIR_INPUTS, GraphWriter
from distilrank.models.bilstm import BiLstmForSequenceClassification

TEXT_INPUTS = {name: PAIR_INPUTS[name] for name in ("input_ids", "attention_mask")}


def model_graph(model: BiLstmForSequenceClassification) -> onnx.ModelProto:
    """Write the whole network: ``logits`` of texts, or of pairs where it is siamese."""
    writer = _BiLstm(model)
    outputs = {"logits": ("batch", int(model.config.num_labels or 0))}
    if not model.config.siamese:
        writer.head(writer.encode("input_ids", writer.count("attention_mask")))
        return writer.model(TEXT_INPUTS, outputs)
    mask, types = "attention_mask", "token_type_ids"
    in_second = writer.node("Mul", mask, types)
    second = writer.count(in_second)
    first = writer.node("Sub", writer.count(mask), second)
    zero = writer.node("Sub", first, first)
    parts = [writer.part(zero, first), writer.part(first, second)]
    both = writer.node("Concat", *parts, axis=0)
    vectors = writer.encode(both, writer.node("Concat", first, second, axis=0))
    writer.compare(*writer.nodes("Split", vectors, count=2, axis=0, num_outputs=2))
    return writer.model(PAIR_INPUTS, outputs)


def encoder_graph(model: BiLstmForSequenceClassification) -> onnx.ModelProto:
    """Write the half from a text to its ``vector``, (batch, 2 * hidden)."""
    writer = _BiLstm(model)
    writer.encode("input_ids", writer.count("attention_mask"), output="vector")
    return writer.model(TEXT_INPUTS, {"vector": ("batch", 2 * int(model.config.hidden_size))})


def head_graph(model: BiLstmForSequenceClassification) -> onnx.ModelProto:
    """Write the half from the vectors of a pair's texts, ``first`` and ``second``, to ``logits``."""
    writer = _BiLstm(model)
    writer.compare("first", "second")
    shape = ("batch", 2 * int(model.config.hidden_size))
    inputs = dict.fromkeys(("first", "second"), (FLOAT, shape))
    return writer.model(inputs, {"logits": ("batch", int(model.config.num_labels or 0))})


class _BiLstm(GraphWriter):
    """The graphs' parts; names of values in, names of values out."""

    def __init__(self, model: BiLstmForSequenceClassification) -> None:
        super().__init__()
        self.config = model.config
        self.weights = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}

    def count(self, mask: str) -> str:
        """Return how many ones stand in each row, (batch, 1)."""
        return self.node("ReduceSum", mask, self.integers(1), keepdims=1)

    def part(self, start: str, count: str) -> str:
        """Return ``count`` ids of each row from ``start`` on, with padding after them, (batch, sequence + 1)."""
        ids = self._with_padding("input_ids")
        length = self.node("Shape", ids, start=1, end=2)
        places = self._places(length)
        last = self.node("Sub", length, self.integers(1))
        wanted = self.node("Min", self.node("Add", start, places), last)  # (batch, sequence + 1)
        chosen = self.node("GatherElements", ids, wanted, axis=1)
        return self.node("Where", self.node("Less", places, count), chosen, self.integers(self._pad_id))

    def encode(self, ids: str, counts: str, *, output: str = "") -> str:
        """Return the final states of both directions, (batch, 2 * hidden).

        Args:
            ids: (batch, sequence).
            counts: Words of each text, (batch, 1); a text without any reads as one [PAD].
            output: Name of the value.
        """
        words = self.node("Gather", self._table(), self._with_padding(ids))  # (batch, sequence + 1, width)
        lengths = self.node("Max", self.node("Squeeze", counts, self.integers(1)), self.integers(1))
        names = [
            self.constant(f"lstm.{what}", self._directions(what))
            for what in ("input_weights", "hidden_weights", "bias")
        ]
        _, final = self.nodes(
            "LSTM",
            self.node("Transpose", words, perm=(1, 0, 2)),
            *names,
            self.node("Cast", lengths, to=TensorProto.INT32),
            outputs=("lstm_states", "lstm_final"),
            direction="bidirectional",
            hidden_size=int(self.config.hidden_size),
        )
        side_by_side = self.node("Transpose", final, perm=(1, 0, 2))  # (batch, 2, hidden)
        return self.node("Reshape", side_by_side, self.integers(0, -1), output=output)

    def compare(self, first: str, second: str) -> str:
        """Return the logits of pairs from their texts' vectors."""
        product = self.node("Mul", first, second)
        distance = self.node("Abs", self.node("Sub", first, second))
        return self.head(self.node("Concat", first, second, product, distance, axis=-1))

    def head(self, features: str) -> str:
        """Return ``logits``."""
        hidden = self.node("Relu", self._dense(features, "fully_connected"))
        return self._dense(hidden, "output", output="logits")

    @property
    def _pad_id(self) -> int:
        return int(self.config.pad_token_id or 0)

    def _with_padding(self, ids: str) -> str:
        """Add a column of padding, so that there is one where not a word is in the whole batch."""
        rows = self.node("Shape", ids, start=0, end=1)
        shape = self.node("Concat", rows, self.integers(1), axis=0)
        return self.node("Concat", ids, self.node("Expand", self.integers(self._pad_id), shape), axis=1)

    def _places(self, length: str) -> str:
        """Return 0, 1, ... up to a length, (sequence,)."""
        zero, one = (self.constant(f"number_{value}", np.array(value, np.int64)) for value in (0, 1))
        return self.node("Range", zero, self.node("Squeeze", length), one)

    def _table(self) -> str:
        """Return the channels of embeddings side by side, the static one first."""
        names = [name for name in ("embeddings.static.weight", "embeddings.tuned.weight") if name in self.weights]
        return self.constant("embeddings", np.concatenate([self.weights[name] for name in names], axis=1))

    def _directions(self, what: str) -> NDArray[np.float32]:
        """Return the weights of both directions in ONNX's order of gates."""
        found = []
        for suffix in ("", "_reverse"):
            if what == "bias":
                both = [self.weights[f"lstm.bias_{kind}_l0{suffix}"] for kind in ("ih", "hh")]
                found.append(np.concatenate([_gates(bias) for bias in both]))
            else:
                kind = "ih" if what == "input_weights" else "hh"
                found.append(_gates(self.weights[f"lstm.weight_{kind}_l0{suffix}"]))
        return np.stack(found)

    def _dense(self, vectors: str, name: str, *, output: str = "") -> str:
        weight, bias = (self.constant(f"{name}.{what}", self.weights[f"{name}.{what}"]) for what in ("weight", "bias"))
        return self.node("Gemm", vectors, weight, bias, transB=1, output=output)


def _gates(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return torch's gates (input, forget, cell, output) in ONNX's order (input, output, forget, cell)."""
    given, forget, cell, output = np.split(rows, 4)
    return np.concatenate([given, output, forget, cell])
