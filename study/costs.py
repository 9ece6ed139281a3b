"""What systems take: size, operations, time and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distilrank.data.files import read_json
from study.cells import by_name
from study.plan import Plan
from study.run import FACTS, model_facts
from study.speed import COSTED


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a system takes; None: not known, or not to be compared.

    Attributes:
        shape: Layers/hidden/feed-forward/heads, or "BiLSTM".
        million_weights: Outside of embeddings.
        megabytes: Of the file that is run.
        million_multiply_adds: For a pair of 128 tokens.
        ms_per_100: Milliseconds for 100 pairs of 128 tokens, of new weights of this shape.
        core_minutes: Of training, mean over the seeds that were not stopped in between.
    """

    shape: str
    million_weights: float | None
    megabytes: float
    million_multiply_adds: float | None
    ms_per_100: float | None
    core_minutes: float | None


def costs(plan: Plan, results: Path, speed: Mapping[str, Any]) -> dict[str, Cost]:
    """Return system -> its cost, in the plan's order.

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
    found = {}
    for system, cells in systems.items():
        model = model_facts(plan.teacher) if system == "teacher" else cells[0]["model"]
        counted, whole = model["multiply_adds"], [each["training"] for each in cells]
        minutes = [each["core_minutes"] for each in whole if not each.get("resumed")]
        # Of a BiLSTM no time: the one that is timed has the paper's word vectors, which are wider than the study's.
        timed = by_shape.get(f"{model['shape']}{', int8' if 'int8' in system else ''}", {}).get("ms_per_100")
        found[system] = Cost(
            shape=model["shape"] or "BiLSTM",
            million_weights=model["parameters"] and (model["parameters"] - model["embeddings"]) / 1e6,
            megabytes=model["megabytes"],
            million_multiply_adds=None if counted is None else counted["128"] / 1e6,
            ms_per_100=timed,
            core_minutes=float(np.mean(minutes)) if any(minutes) else None,
        )
    return found


def cost_table(found: Mapping[str, Cost]) -> list[str]:
    """Return the costs as a Markdown table, with what its columns mean."""
    lines = [
        "Shape: layers/hidden/feed-forward/heads. Weights are those outside of embeddings; MB are of the file that is "
        "run. Operations and times are those of a pair of 128 tokens with new weights; training is that of the cell "
        "alone, in minutes of one core: a general student or a teacher's scores that several share are not counted, "
        "nor is a cell that was stopped and went on.",
        "",
        "| system | shape | million weights | MB | million multiply-adds | ms for 100 passages | core-minutes |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for system, cost in found.items():
        told = [
            told_number(cost.million_weights, "2f"),
            told_number(cost.megabytes, "1f"),
            told_number(cost.million_multiply_adds, "0f"),
            told_number(cost.ms_per_100, "0f"),
            told_number(cost.core_minutes, "1f"),
        ]
        lines.append(f"| {' | '.join([system, cost.shape, *told])} |")
    return lines


def told_number(value: float | None, digits: str) -> str:
    """Return a cell's number, empty where there is none."""
    return "" if value is None else f"{value:.{digits}}"
