"""Alarm about teacher scores on a scale that an objective cannot learn from."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from distilrank.evaluation.diagnostics.alarms.scores import Scores
from distilrank.evaluation.diagnostics.findings import Finding

Compares = Literal["values", "margins", "probabilities", "softmax", "order"]
"""What of a teacher's scores an objective looks at: the scores themselves (MSE), their differences (MarginMSE), their
sigmoid (BCE), their softmax over a query's passages (listwise KL), or nothing but their order (RankNet)."""

NARROW, WIDE = 0.1, 20.0
"""Standard deviation of a query's teacher scores that logits can take on. The teachers measured for docs/alarms.md have
0.4 to 2.2; cosines have less, and squared errors vanish; BM25 may have more, and they swamp everything else."""
COLD = 0.25
"""Up to this temperature a softmax tells probabilities or cosines apart: exp(1 / 0.25) is 55 to 1."""
FLAT_ENTROPY = 0.995
"""Entropy of the teacher's softmax as a share of that of "all alike". The teachers measured for docs/alarms.md have
0.46 to 0.98; logits with a standard deviation of 0.1 have 0.998."""


def scale_alarm(
    scores: Scores, *, objective: str, compares: Compares, temperature: float = 1.0, name: str = "the teacher"
) -> Finding | None:
    """Find teacher scores whose scale does not suit an objective, before a student is trained on them.

    Args:
        scores: query_id -> the teacher's scores of its passages, as the objective will get them.
        objective: Its name, for the sentence.
        compares: What it looks at.
        temperature: It divides the scores by this.
        name: What the teacher is called.
    """
    queries = [np.asarray(values, dtype=np.float64) for values in scores.values() if len(values) > 1]
    if not queries or compares == "order":
        return None
    every = np.concatenate(queries)
    squashed = bool(every.min() >= 0.0 and every.max() <= 1.0)
    if squashed and not (compares == "softmax" and temperature <= COLD):
        return _finding(
            f"all {len(every):,} scores of {name} lie between {every.min():.4f} and {every.max():.4f}, as "
            f"probabilities or cosines do, but {objective} takes raw logits; score again without the sigmoid, or learn "
            "from the order alone",
            len(every),
        )
    if compares in ("values", "margins"):
        spread = float(np.median([values.std() for values in queries]))
        if not NARROW <= spread <= WIDE:
            return _finding(
                f"the scores of {name} have a standard deviation of {spread:.3g} within a query (median of "
                f"{len(queries):,}), but {objective} has the student's logits take them on, which suits {NARROW:g} to "
                f"{WIDE:g}; rescale them, or learn from the order alone",
                len(queries),
            )
    if compares == "softmax":
        entropy = float(np.mean([_entropy(values / temperature) for values in queries]))
        if entropy > FLAT_ENTROPY:
            return _finding(
                f"at temperature {temperature:g} the softmax of the scores of {name} is all but uniform (entropy "
                f"{entropy:.1%} of the most possible, mean of {len(queries):,} queries), so {objective} teaches that "
                "all passages are alike; lower the temperature",
                len(queries),
            )
    return None


def _entropy(scores: NDArray[np.float64]) -> float:
    """Return the entropy of the scores' softmax as a share of the most possible."""
    return float(special.entr(special.softmax(scores)).sum() / np.log(len(scores)))


def _finding(message: str, count: int) -> Finding:
    return Finding(check="scale of scores", level="problem", message=message, count=count)
