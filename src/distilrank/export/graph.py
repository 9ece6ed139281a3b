"""Writing an ONNX graph node by node, in standard operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
"""Every runtime of section 4.6 of the conventions reads 14 to 20."""

IR_VERSION = 10
"""Of the file format; read by onnxruntime since 1.18."""

INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT


class GraphWriter:
    """Nodes and constants in the order in which they are written; each method returns the name of a value."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._names: set[str] = set()

    def constant(self, name: str, values: NDArray[Any] | np.generic) -> str:
        """Keep an array under a name; the second time the name alone counts."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.array(values, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        """Return a constant vector of int64, as operators take axes and shapes."""
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, np.int64))

    def node(self, operator: str, *inputs: str, name: str | None = None, output: str = "", **attributes: Any) -> str:
        """Add a node with one output.

        Args:
            operator: Of ONNX's own domain.
            inputs: Names of values; an empty one leaves an optional input out.
            name: Of the node and, where ``output`` gives none, of its output; None numbers it.
            output: Name of its output.
            attributes: Of the operator.
        """
        (made,) = self.nodes(operator, *inputs, name=name, outputs=(output,) if output else (), **attributes)
        return made

    def nodes(
        self,
        operator: str,
        *inputs: str,
        name: str | None = None,
        outputs: Sequence[str] = (),
        count: int = 1,
        **attributes: Any,
    ) -> list[str]:
        """Add a node with any number of outputs, named ``outputs`` or numbered up to ``count``."""
        name = name or f"{operator}_{len(self._nodes)}"
        if name in self._names:
            raise ValueError(f"two nodes are called {name}")
        self._names.add(name)
        made = list(outputs) or ([name] if count == 1 else [f"{name}_{number}" for number in range(count)])
        self._nodes.append(helper.make_node(operator, list(inputs), made, name=name, **attributes))
        return made

    def model(
        self, inputs: Mapping[str, tuple[int, Sequence[str | int]]], outputs: Mapping[str, Sequence[str | int]]
    ) -> onnx.ModelProto:
        """Return the whole model.

        Args:
            inputs: Name -> element type and shape, in which a text is a size that is known at run time only.
            outputs: Name -> shape, of float32.
        """
        read = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
        written = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()]
        graph = helper.make_graph(self._nodes, "distilrank", read, written, list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="distilrank")


PAIR_INPUTS: dict[str, tuple[int, Sequence[str | int]]] = dict.fromkeys(
    ("input_ids", "attention_mask", "token_type_ids"), (INT64, ("batch", "sequence"))
)
"""What servers look for in a ranker's file."""
