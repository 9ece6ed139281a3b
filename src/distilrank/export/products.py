"""The matrix products of an ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


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
