"""How long models take on this machine, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

TURNS = 6
"""The first of them is for warming up."""


def ms_per_100(work: Mapping[str, Callable[[], object]], count: int) -> dict[str, float]:
    """Time every model in turn, so that a noisy machine hits all alike.

    Args:
        work: Name -> what has a model score all texts once.
        count: How many texts that is.

    Returns:
        Name -> median milliseconds for 100 of them.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(TURNS):
        for name, score in work.items():
            began = time.perf_counter()
            score()
            if turn:
                times[name].append(1000 * (time.perf_counter() - began) * 100 / count)
    return {name: float(np.median(values)) for name, values in times.items()}
