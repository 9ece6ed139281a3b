"""An ONNX graph with its matrix products in 8 bits.

What onnxruntime's own quantiser does, with four things that it leaves out: the input of several products is quantised
once; channels that are far larger than the others are evened out first; embeddings keep a scale per row; and scales
can come from ranges measured on tokens alone, without padding. All operators written are standard; onnxruntime joins
them into its integer kernels when it loads the file.

Weights W become round(W / s) with one s per output column (or one for all), activations x become round(x / t) + z with

- ``static``: t and z from ranges seen on calibration pairs, so that a pair's score does not depend on the batch.
- ``dynamic``: t and z from the batch at hand, so that it does.
- ``float``: not at all. Weights alone are stored in 8 bits and become floats again when the file is loaded: a quarter
  of the size, the speed of fp32, and the same scores on every processor.

Evening out is SmoothQuant's (Xiao et al. 2023, arXiv 2211.10438, equation 4): x W = (x / f) (f W) with
f_j = max|x_j|^a / max|W_j|^(1 - a) for each channel j. In BERT a few channels are ten to fifty times larger than the
rest, and one scale for all would leave the rest with two or three bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from distilrank.runtime.cpu import Arithmetic

SMOOTHING = 0.7
"""The exponent a. SmoothQuant's 0.5 suits large language models; 0.7 keeps more of the order of the rankers measured
in docs/export.md."""

SMALLEST = 1e-5
"""Channels that are never larger count as this large, so that nothing is divided by zero."""

GROUP = 32
"""Units that share a scale in 4 bits."""

MANY = 100
"""Rows of a table that is worth storing in 8 bits."""

Ranges = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Value -> least and largest of each of its channels, both (channels,)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How numbers become 8-bit numbers.

    Attributes:
        arithmetic: Of the processor that the file is for; it decides between signed, unsigned and 7-bit weights.
        activations: See the module.
        per_channel: One scale per output column, instead of one per matrix.
        embeddings: Whether the word embeddings are stored in few bits too.
        embedding_bits: How few: 8 with a scale per word, or 4 with a scale per ``GROUP`` units of a word.
        keep: Names of the products that stay as they are.
    """

    arithmetic: Arithmetic
    activations: Literal["static", "dynamic", "float"] = "static"
    per_channel: bool = True
    embeddings: bool = True
    embedding_bits: Literal[8, 4] = 8
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
        return ", ".join(words)


def file_name(arithmetic: Arithmetic) -> str:
    """Return the name of the quantised file for a processor."""
    return f"model_{'quint8' if arithmetic == 'avx2' else 'qint8'}_{arithmetic}.onnx"


def products(graph: onnx.ModelProto) -> dict[str, tuple[str, NDArray[np.float32]]]:
    """Return the products with a constant matrix: name of the node -> its input and the matrix (channels, columns)."""
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    found = {}
    for node in graph.graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants and node.input[0] not in constants:
            matrix = numpy_helper.to_array(constants[node.input[1]])
            if matrix.ndim == 2 and matrix.dtype == np.float32:
                found[node.name] = (node.input[0], matrix)
    return found


def quantise(graph: onnx.ModelProto, recipe: Recipe, ranges: Ranges) -> onnx.ModelProto:
    """Return a copy of a graph in 8 bits.

    Args:
        graph: In fp32.
        recipe: How.
        ranges: Of the inputs of all products, see ``ranges.measure_ranges``; not read where activations stay floats.
    """
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    chosen = {name: product for name, product in products(graph).items() if name not in recipe.keep}
    evened = {} if recipe.activations == "float" else chosen  # nothing is gained where activations are not rounded
    writer = _Quantiser(recipe, ranges, _smoothing(evened, ranges))
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


def _smoothing(chosen: Mapping[str, tuple[str, NDArray[np.float32]]], ranges: Ranges) -> dict[str, NDArray[np.float32]]:
    """Return the factor of each channel of every input; several products of one input share them."""
    largest: dict[str, NDArray[np.float32]] = {}
    for value, matrix in chosen.values():
        rows = np.abs(matrix).max(axis=1)
        largest[value] = np.maximum(largest.get(value, rows), rows)
    factors = {}
    for value, rows in largest.items():
        least, most = ranges[value]
        seen = np.maximum(np.maximum(np.abs(least), np.abs(most)), SMALLEST)
        factor = seen**SMOOTHING / np.maximum(rows, SMALLEST) ** (1.0 - SMOOTHING)
        factors[value] = (factor / np.exp(np.log(factor).mean())).astype(np.float32)
    return factors


class _Quantiser:
    """The nodes in the making."""

    def __init__(self, recipe: Recipe, ranges: Ranges, factors: Mapping[str, NDArray[np.float32]]) -> None:
        self.recipe, self.ranges, self.factors = recipe, ranges, factors
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._inputs: dict[str, tuple[str, ...]] = {}

    def product(self, node: onnx.NodeProto, matrix: NDArray[np.float32]) -> None:
        """Write a product with a constant matrix."""
        value, output = node.input[0], node.output[0]
        if value in self.factors:
            matrix = matrix * self.factors[value][:, None]
        quantised, scales, zero = weights_in_8_bits(matrix, self.recipe)
        names = [
            self._constant(f"{node.input[1]}_{what}", array)
            for what, array in (("quantized", quantised), ("scale", scales), ("zero_point", zero))
        ]
        if self.recipe.activations == "float":
            # Constant factors, so that any runtime does this once, when it loads the file.
            self._node("Cast", [names[0]], f"{output}_floats", to=TensorProto.FLOAT)
            self._node("Mul", [f"{output}_floats", names[1]], f"{output}_weights")
            self._node("MatMul", [value, f"{output}_weights"], output, name=node.name)
            del self.constants[names[2]]
            return
        if self.recipe.activations == "static":
            self._node("DequantizeLinear", names, f"{output}_weights", axis=1)
            self._node("MatMul", [self._static(value), f"{output}_weights"], output, name=node.name)
            return
        small, scale, zero_point = self._dynamic(value)
        self._node("MatMulInteger", [small, names[0], zero_point, names[2]], f"{output}_integers", name=node.name)
        self._node("Cast", [f"{output}_integers"], f"{output}_float", to=TensorProto.FLOAT)
        self._node("Mul", [scale, names[1]], f"{output}_scale")
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
        self._node("Cast", [f"{output}_small_scale"], f"{output}_scale", to=TensorProto.FLOAT)
        self._node("Cast", [f"{output}_packed"], f"{output}_both", to=TensorProto.FLOAT)
        sixteen = self._constant("sixteen", np.float32(16))
        self._node("Div", [f"{output}_both", sixteen], f"{output}_sixteenth")
        self._node("Floor", [f"{output}_sixteenth"], f"{output}_high")
        self._node("Mul", [f"{output}_high", sixteen], f"{output}_rest")
        self._node("Sub", [f"{output}_both", f"{output}_rest"], f"{output}_low")
        self._node("Concat", [f"{output}_low", f"{output}_high"], f"{output}_joined", axis=-1)
        self._node("Sub", [f"{output}_joined", self._constant("eight", np.float32(8))], f"{output}_signed")
        groups, whole = np.array([0, 0, -1, GROUP], np.int64), np.array([0, 0, table.shape[1]], np.int64)
        grouped = self._constant(f"{name}_groups", groups)
        self._node("Reshape", [f"{output}_signed", grouped], f"{output}_grouped")
        self._node("Unsqueeze", [f"{output}_scale", self._constant("last", np.array([-1], np.int64))], f"{output}_each")
        self._node("Mul", [f"{output}_grouped", f"{output}_each"], f"{output}_scaled")
        self._node("Reshape", [f"{output}_scaled", self._constant(f"{name}_whole", whole)], output)

    def _even(self, value: str) -> str:
        inverse = self._constant(f"{value}_smoothing", (1.0 / self.factors[value]).astype(np.float32))
        self._node("Mul", [value, inverse], f"{value}_even")
        return f"{value}_even"

    def _static(self, value: str) -> str:
        """Return the value after rounding to 8 bits with a scale of its own, once."""
        if value not in self._inputs:
            least, most = (float(end) for end in self._range(value))
            scale = np.float32(max(most - least, SMALLEST) / 255.0)
            zero = np.uint8(np.clip(np.round(-least / scale), 0, 255))
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

    def _range(self, value: str) -> tuple[np.float32, np.float32]:
        """Return the least and largest number of a value after evening out; 0 is always between them."""
        least, most = self.ranges[value]
        factor = self.factors[value]
        return min(np.float32(0), (least / factor).min()), max(np.float32(0), (most / factor).max())

    def _node(self, operator: str, inputs: list[str], output: str, *, name: str = "", **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))

    def _constant(self, name: str, values: NDArray[np.generic] | np.generic) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name


def weights_in_8_bits(
    matrix: NDArray[np.float32], recipe: Recipe
) -> tuple[NDArray[np.generic], NDArray[np.float32], NDArray[np.generic]]:
    """Return a matrix (channels, columns) in 8 bits, its scales and zero points, each (columns,) or a scalar."""
    most = 63.0 if recipe.arithmetic == "avx512" else 127.0  # 7 bits: two products fit into 16 bits
    largest = np.abs(matrix).max(axis=0 if recipe.per_channel else None)
    scales = (np.maximum(largest, SMALLEST) / most).astype(np.float32)
    rounded = np.round(matrix / scales)
    if recipe.arithmetic == "avx2":  # the same numbers, shifted to be unsigned
        return (rounded + 128).astype(np.uint8), scales, np.full(scales.shape, 128, np.uint8)
    return rounded.astype(np.int8), scales, np.zeros(scales.shape, np.int8)


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


def _is_embedding(node: onnx.NodeProto, graph: onnx.ModelProto) -> bool:
    """Tell whether a node looks rows up in a table of many: words, or places; two segments are not worth it."""
    if node.op_type != "Gather":
        return False
    tables = (tensor for tensor in graph.graph.initializer if tensor.name == node.input[0])
    return any(len(tensor.dims) == 2 and (node.input[1] == "input_ids" or tensor.dims[0] >= MANY) for tensor in tables)


def _constant(graph: onnx.ModelProto, name: str) -> NDArray[np.float32]:
    (tensor,) = (tensor for tensor in graph.graph.initializer if tensor.name == name)
    return numpy_helper.to_array(tensor)
