"""What systems take: size, operations, time and training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distilrank.data.files import read_json
from study.cells import by_name
from study.plan import Plan
from study.run import FACTS, model_facts
from study.speed import COSTED


def costs(plan: Plan, results: Path, speed: Mapping[str, Any]) -> list[str]:
    """Return the table, a row for each system in the plan's order.

    Args:
        plan: What was run.
        results: Folder of what came of it.
        speed: What ``measure_speed`` found; empty where nothing was measured.
    """
    by_shape = speed.get("workloads", {}).get(COSTED, {})
    systems: dict[str, list[dict[str, Any]]] = {}
    for cell in by_name(list(plan.cells())).values():
        file = results / f"{cell.name}{FACTS}"
        if file.is_file():
            facts = read_json(file)
            systems.setdefault(facts["system"], []).append(facts)
    if not systems:
        return []
    lines = [
        "Shape: layers/hidden/feed-forward/heads. Weights are those outside of embeddings; MB are of the file that is "
        "run. Operations and times are those of a pair of 128 tokens with new weights; training is that of the cell "
        "alone, in minutes of one core: a general student or a teacher's scores that several share are not counted, "
        "nor is a cell that was stopped and went on.",
        "",
        "| system | shape | million weights | MB | million multiply-adds | ms for 100 passages | core-minutes |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for system, cells in systems.items():
        model = model_facts(plan.teacher) if system == "teacher" else cells[0]["model"]
        weights = None if model["parameters"] is None else (model["parameters"] - model["embeddings"]) / 1e6
        operations = None if model["multiply_adds"] is None else model["multiply_adds"]["128"] / 1e6
        # Of a BiLSTM none: the one that is timed has the paper's word vectors, which are wider than the study's.
        timed = by_shape.get(f"{model['shape']}{', int8' if 'int8' in system else ''}", {}).get("ms_per_100")
        whole = [each["training"]["core_minutes"] for each in cells if not each["training"].get("resumed")]
        minutes = float(np.mean(whole)) if any(whole) else None
        told = (weights, "2f"), (model["megabytes"], "1f"), (operations, "0f"), (timed, "0f"), (minutes, "1f")
        cells_of_row = ["" if value is None else f"{value:.{digits}}" for value, digits in told]
        lines.append(f"| {' | '.join([system, model['shape'] or 'BiLSTM', *cells_of_row])} |")
    return lines
