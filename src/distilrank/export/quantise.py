"""An ONNX graph with its matrix products in 8 bits.

What onnxruntime's own quantiser does, with four things that it leaves out: the input of several products is quantised
once; its channels are made fit for 8 bits first (``channels.py``); embeddings keep a scale per row; and scales can come
from ranges measured on tokens alone, without padding. All operators written are standard; onnxruntime joins
them into its integer kernels when it loads the file.

Weights W become round(W / s) with one s per output column (or one for all), activations x become round(x / t) + z with

- ``static``: t and z from ranges seen on calibration pairs, so that a pair's score does not depend on the batch.
- ``dynamic``: t and z from the batch at hand, so that it does.
- ``float``: not at all. Weights alone are stored in 8 bits, or in 4, and become floats again when the file is loaded:
  a quarter or a seventh of the size, the speed of fp32, and the same scores on every processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from distilrank.export.channels import Channels, evened, multipliers
from distilrank.export.integers import GROUP, SMALLEST, half_bytes, scale_and_zero, weights_in_8_bits
from distilrank.export.products import products
from distilrank.runtime.cpu import Arithmetic

MANY = 100
"""Rows of a table that is worth storing in 8 bits."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How numbers become 8-bit numbers.

    Attributes:
        arithmetic: Of the processor that the file is for; it decides between signed, unsigned and 7-bit weights.
        activations: See the module.
        per_channel: One scale per output column, instead of one per matrix.
        embeddings: Whether the word embeddings are stored in few bits too.
        embedding_bits: How few: 8 with a scale per word, or 4 with a scale per ``GROUP`` units of a word.
        weight_bits: Of the products, 8, or 4 with a scale per ``GROUP`` columns of a channel; 4 for float activations.
        keep: Names of the products that stay as they are.
    """

    arithmetic: Arithmetic
    activations: Literal["static", "dynamic", "float"] = "static"
    per_channel: bool = True
    embeddings: bool = True
    embedding_bits: Literal[8, 4] = 8
    weight_bits: Literal[8, 4] = 8
    keep: frozenset[str] = frozenset()

    @property
    def file_name(self) -> str:
        """By sentence-transformers' and optimum's rule: type of the weights, then the processor."""
        return file_name(self.arithmetic)

    def described(self) -> str:
        """Return it in a few words."""
        words = [
            "weights only" if self.activations == "float" else self.activations,
            "per channel" if self.per_channel else "one scale per matrix",
        ]
        if self.keep:
            words.append(f"{len(self.keep)} products left in fp32")
        if not self.embeddings:
            words.append("embeddings left in fp32")
        elif self.embedding_bits != 8:
            words.append(f"embeddings in {self.embedding_bits} bits")
        if self.weight_bits != 8:
            words.append(f"products in {self.weight_bits} bits")
        return ", ".join(words)


def file_name(arithmetic: Arithmetic) -> str:
    """Return the name of the quantised file for a processor."""
    return f"model_{'quint8' if arithmetic == 'avx2' else 'qint8'}_{arithmetic}.onnx"


def quantise(graph: onnx.ModelProto, recipe: Recipe, channels: Mapping[str, Channels]) -> onnx.ModelProto:
    """Return a copy of a graph in 8 bits.

    Args:
        graph: In fp32.
        recipe: How.
        channels: Of the inputs of all products, see ``channels.choose_channels``; not read where activations stay
            floats.
    """
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    chosen = {name: product for name, product in products(graph).items() if name not in recipe.keep}
    writer = _Quantiser(recipe, channels)
    nodes = []
    for node in made.graph.node:
        if node.name in chosen:
            writer.product(node, chosen[node.name][1])
        elif recipe.embeddings and _is_embedding(node, made):
            writer.embedding(node, _constant(made, node.input[0]))
        else:
            writer.nodes.append(node)
    nodes = writer.nodes
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in made.graph.initializer if tensor.name in used]
    del made.graph.initializer[:]
    made.graph.initializer.extend([*kept, *writer.constants.values()])
    return made


class _Quantiser:
    """The nodes in the making."""

    def __init__(self, recipe: Recipe, channels: Mapping[str, Channels]) -> None:
        self.recipe, self.channels = recipe, channels
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._inputs: dict[str, tuple[str, ...]] = {}

    def product(self, node: onnx.NodeProto, matrix: NDArray[np.float32]) -> None:
        """Write a product with a constant matrix."""
        value, output = node.input[0], node.output[0]
        if self.recipe.activations == "float":
            # Constant factors, so that any runtime does this once, when it loads the file.
            if self.recipe.weight_bits == 4 and matrix.shape[1] % (2 * GROUP) == 0:
                packed, scales = half_bytes(matrix)
                names = [
                    self._constant(f"{node.input[1]}_{what}", array)
                    for what, array in (("packed", packed), ("scale", scales))
                ]
                self._unpacked(names[0], names[1], f"{output}_weights", units=matrix.shape[1], leading=1)
            else:
                names = self._weights(node.input[1], matrix)
                self._node("Cast", [names[0]], f"{output}_floats", to=TensorProto.FLOAT)
                self._node("Mul", [f"{output}_floats", names[1]], f"{output}_weights")
                del self.constants[names[2]]
            self._node("MatMul", [value, f"{output}_weights"], output, name=node.name)
            return
        channels = self.channels[value]
        names = self._weights(node.input[1], evened(matrix, channels.factors, channels.apart))
        if not channels.apart.size:
            self._rounded_product(node.name, value, names, output)
            return
        self._rounded_product(node.name, value, names, f"{output}_together")
        few = self._constant(f"{node.input[1]}_apart", matrix[channels.apart])
        self._node("MatMul", [self._apart(value), few], f"{output}_apart", name=f"{node.name}_apart")
        self._node("Add", [f"{output}_together", f"{output}_apart"], output)

    def _weights(self, name: str, matrix: NDArray[np.float32]) -> list[str]:
        """Write the constants of a matrix in 8 bits."""
        made = weights_in_8_bits(matrix, self.recipe.arithmetic, per_channel=self.recipe.per_channel)
        whats = ("quantized", "scale", "zero_point")
        return [self._constant(f"{name}_{what}", array) for what, array in zip(whats, made, strict=True)]

    def _rounded_product(self, name: str, value: str, weights: list[str], output: str) -> None:
        """Write the product of a rounded input with rounded weights."""
        if self.recipe.activations == "static":
            self._node("DequantizeLinear", weights, f"{output}_weights", axis=1)
            self._node("MatMul", [self._static(value), f"{output}_weights"], output, name=name)
            return
        small, scale, zero_point = self._dynamic(value)
        self._node("MatMulInteger", [small, weights[0], zero_point, weights[2]], f"{output}_integers", name=name)
        self._node("Cast", [f"{output}_integers"], f"{output}_float", to=TensorProto.FLOAT)
        self._node("Mul", [scale, weights[1]], f"{output}_scale")
        self._node("Mul", [f"{output}_float", f"{output}_scale"], output)

    def embedding(self, node: onnx.NodeProto, table: NDArray[np.float32]) -> None:
        """Write a look-up in a table of few bits."""
        if self.recipe.embedding_bits == 4 and table.shape[1] % (2 * GROUP) == 0:
            self._half_bytes(node, table)
        else:
            self._bytes(node, table)

    def _bytes(self, node: onnx.NodeProto, table: NDArray[np.float32]) -> None:
        """Write a look-up in a table that has a scale per row."""
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), SMALLEST) / np.float32(127)
        small = np.round(table / scales).astype(np.int8)
        name, ids, output = node.input[0], node.input[1], node.output[0]
        self._node("Gather", [self._constant(f"{name}_quantized", small), ids], f"{output}_integers", name=node.name)
        self._node("Gather", [self._constant(f"{name}_scale", scales), ids], f"{output}_scale")
        self._node("Cast", [f"{output}_integers"], f"{output}_float", to=TensorProto.FLOAT)
        self._node("Mul", [f"{output}_float", f"{output}_scale"], output)

    def _half_bytes(self, node: onnx.NodeProto, table: NDArray[np.float32]) -> None:
        """Write a look-up in a table with two units in a byte: the first half of a row low, the second half high."""
        packed, scales = half_bytes(table)
        name, ids, output = node.input[0], node.input[1], node.output[0]
        self._node("Gather", [self._constant(f"{name}_packed", packed), ids], f"{output}_packed", name=node.name)
        self._node("Gather", [self._constant(f"{name}_scale", scales), ids], f"{output}_small_scale")
        self._unpacked(f"{output}_packed", f"{output}_small_scale", output, units=table.shape[1], leading=2)

    def _unpacked(self, packed: str, scales: str, output: str, *, units: int, leading: int) -> None:
        """Write what makes floats of ``half_bytes``: (..., units / 2) and (..., units / GROUP), ``leading`` axes."""
        self._node("Cast", [scales], f"{output}_scale", to=TensorProto.FLOAT)
        self._node("Cast", [packed], f"{output}_both", to=TensorProto.FLOAT)
        sixteen = self._constant("sixteen", np.float32(16))
        self._node("Div", [f"{output}_both", sixteen], f"{output}_sixteenth")
        self._node("Floor", [f"{output}_sixteenth"], f"{output}_high")
        self._node("Mul", [f"{output}_high", sixteen], f"{output}_rest")
        self._node("Sub", [f"{output}_both", f"{output}_rest"], f"{output}_low")
        self._node("Concat", [f"{output}_low", f"{output}_high"], f"{output}_joined", axis=-1)
        self._node("Sub", [f"{output}_joined", self._constant("eight", np.float32(8))], f"{output}_signed")
        as_it_is = [0] * leading  # what Reshape takes for the length that an axis has
        groups = self._constant(f"groups_of_{leading}_{units}", np.array([*as_it_is, -1, GROUP], np.int64))
        whole = self._constant(f"whole_of_{leading}_{units}", np.array([*as_it_is, units], np.int64))
        self._node("Reshape", [f"{output}_signed", groups], f"{output}_grouped")
        self._node("Unsqueeze", [f"{output}_scale", self._constant("last", np.array([-1], np.int64))], f"{output}_each")
        self._node("Mul", [f"{output}_grouped", f"{output}_each"], f"{output}_scaled")
        self._node("Reshape", [f"{output}_scaled", whole], output)

    def _even(self, value: str) -> str:
        even = self._constant(f"{value}_smoothing", multipliers(self.channels[value]))
        self._node("Mul", [value, even], f"{value}_even")
        return f"{value}_even"

    def _apart(self, value: str) -> str:
        """Return the channels that are taken apart, once."""
        name = f"{value}_apart"
        if name not in self.constants:
            of = self._constant(name, self.channels[value].apart)
            self._node("Gather", [value, of], f"{name}_channels", axis=-1)
        return f"{name}_channels"

    def _static(self, value: str) -> str:
        """Return the value after rounding to 8 bits with a scale of its own, once."""
        if value not in self._inputs:
            scale, zero = scale_and_zero(self.channels[value].least, self.channels[value].most)
            names = [self._constant(f"{value}_scale", scale), self._constant(f"{value}_zero_point", zero)]
            self._node("QuantizeLinear", [self._even(value), *names], f"{value}_quantized")
            self._node("DequantizeLinear", [f"{value}_quantized", *names], f"{value}_rounded")
            self._inputs[value] = (f"{value}_rounded",)
        return self._inputs[value][0]

    def _dynamic(self, value: str) -> tuple[str, ...]:
        """Return the value in 8 bits with its scale and zero point, once."""
        if value not in self._inputs:
            outputs = tuple(f"{value}_{what}" for what in ("quantized", "scale", "zero_point"))
            self.nodes.append(helper.make_node("DynamicQuantizeLinear", [self._even(value)], outputs))
            self._inputs[value] = outputs
        return self._inputs[value]

    def _node(self, operator: str, inputs: list[str], output: str, *, name: str = "", **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))

    def _constant(self, name: str, values: NDArray[np.generic] | np.generic) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name


def _is_embedding(node: onnx.NodeProto, graph: onnx.ModelProto) -> bool:
    """Tell whether a node looks rows up in a table of many: words, or places; two segments are not worth it."""
    if node.op_type != "Gather":
        return False
    tables = (tensor for tensor in graph.graph.initializer if tensor.name == node.input[0])
    return any(len(tensor.dims) == 2 and (node.input[1] == "input_ids" or tensor.dims[0] >= MANY) for tensor in tables)


def _constant(graph: onnx.ModelProto, name: str) -> NDArray[np.float32]:
    (tensor,) = (tensor for tensor in graph.graph.initializer if tensor.name == name)
    return numpy_helper.to_array(tensor)
