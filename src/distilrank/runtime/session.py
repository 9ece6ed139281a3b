"""Opening an exported network with onnxruntime, the same way everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from distilrank.data.tokens import TokenArrays
from distilrank.runtime.folder import usable_cores


def open_session(graph: str | Path | bytes, *, threads: int | None = None, optimised: bool = True) -> Any:
    """Open a network for the CPU.

    Args:
        graph: Its file, or its content.
        threads: Threads of one forward pass; None takes one per core, of those that this process may use.
        optimised: Whether onnxruntime may join operators; without, every value of the graph can be looked at.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _cores()
    options.log_severity_level = 3  # errors are raised; its warnings are about its own affairs
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _cores() -> int:
    """Return how many threads to start where nobody says; 0 leaves it to onnxruntime, one per physical core.

    It counts the machine's cores and binds threads to them, also where this process was given a part of them
    (``taskset``, a container's cpuset).
    """
    usable = usable_cores()
    return usable if usable < (os.cpu_count() or 1) else 0


def named_inputs(session: Any, arrays: TokenArrays) -> dict[str, NDArray[np.int64]]:
    """Return those of a batch's arrays that a network reads, by name."""
    return {item.name: getattr(arrays, item.name) for item in session.get_inputs()}
