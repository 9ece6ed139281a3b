"""Opening an exported network with OpenVINO, as an alternative to onnxruntime."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.errors import MissingExtraError

FILE = Path("openvino") / "openvino_model.xml"
"""In a model folder, where sentence-transformers and optimum look for it; its weights lie beside it (``.bin``)."""


@dataclass(frozen=True, slots=True)
class _Value:
    """An input or output as onnxruntime describes it; None for a size that is known at run time only."""

    name: str
    shape: tuple[int | None, ...]


class OpenVinoSession:
    """A network on the CPU in fp32, asked as a session of onnxruntime is; from several threads if need be.

    Args:
        file: Intermediate representation (``.xml`` with its ``.bin``), or an ONNX file.
        threads: Of one forward pass; None leaves it to OpenVINO.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, file: Path, *, threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError:
            raise MissingExtraError("openvino", extra="openvino", purpose="to run a model with OpenVINO") from None
        # By itself it would calculate in bf16 where the processor can, and scores would differ in the third digit.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._network = openvino.Core().compile_model(file, "CPU", settings)
        self._inputs, self._outputs = map(_described, (self._network.inputs, self._network.outputs))
        self._requests = threading.local()

    def get_inputs(self) -> Sequence[_Value]:
        """Return what goes in."""
        return self._inputs

    def get_outputs(self) -> Sequence[_Value]:
        """Return what comes out."""
        return self._outputs

    def run(self, names: Sequence[str], inputs: Mapping[str, NDArray[np.int64]]) -> list[NDArray[Any]]:
        """Return the outputs of these names."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._network.create_infer_request()
        found = self._requests.own.infer(dict(inputs))
        return [np.array(found[name]) for name in names]


def _described(ports: Sequence[Any]) -> list[_Value]:
    return [
        _Value(
            port.get_any_name(),
            tuple(None if size.is_dynamic else size.get_length() for size in port.get_partial_shape()),
        )
        for port in ports
    ]
