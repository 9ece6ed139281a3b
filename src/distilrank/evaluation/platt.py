"""Platt scaling: the two numbers that make a ranker's logit the log odds of relevance.

Platt (1999), "Probabilistic Outputs for Support Vector Machines": p(relevant) = sigmoid(a z + b), by Newton's method
with steps halved where they go too far, as Lin, Lin and Weng (2007), "A note on Platt's probabilistic outputs for
support vector machines", do it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distilrank.errors import ModelError

NEWTON_STEPS = 100
"""Far more than are ever taken: the function is convex in two numbers."""

SMALLEST_STEP = 1e-10


def fit_platt(
    logits: NDArray[np.floating], relevant: NDArray[np.bool_], *, balanced: bool = False
) -> tuple[float, float]:
    """Return a > 0 and b that minimise the cross entropy.

    Platt's smoothed targets (n+1)/(n+2) keep a finite where the classes are parted.

    Args:
        logits: (pairs,).
        relevant: (pairs,), with at least one of each.
        balanced: Let positives and negatives weigh the same in total, so that sigmoid(a z + b) is the probability for
            a pair drawn as often relevant as not, as training triples are; otherwise it is that of pairs like these.

    Raises:
        ModelError: All pairs are relevant or none, or the ranker does not put the relevant ones higher.
    """
    positives, negatives = int(relevant.sum()), int((~relevant).sum())
    if not positives or not negatives:
        raise ModelError(f"calibration needs relevant and other passages, but there are {positives} and {negatives}")
    z = np.asarray(logits, np.float64)
    centre, spread = z.mean(), z.std()
    if spread <= 1e-6 * max(abs(centre), 1.0):  # noise of fp32 logits that are all the same
        raise _no_ranker()
    target = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    share = (0.5 / positives, 0.5 / negatives) if balanced else (1 / len(z), 1 / len(z))
    slope, offset = _newton((z - centre) / spread, target, np.where(relevant, *share))
    a = slope / float(spread)
    if not a > 0:
        raise _no_ranker()
    return a, offset - a * float(centre)


def _no_ranker() -> ModelError:
    return ModelError("the ranker gives relevant passages no higher scores than others, so it cannot be calibrated")


def _newton(z: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and offset of the logistic regression of targets in (0, 1) on one variable."""
    inputs = np.stack([z, np.ones_like(z)])  # (2, pairs)
    found = np.zeros(2)

    def loss(parameters: NDArray[np.float64]) -> float:
        logit = parameters @ inputs
        return float(weight @ (np.logaddexp(0.0, logit) - target * logit))

    for _ in range(NEWTON_STEPS):
        probability = 0.5 * (1.0 + np.tanh(0.5 * (found @ inputs)))
        gradient = inputs @ (weight * (probability - target))
        curvature = (inputs * (weight * probability * (1.0 - probability))) @ inputs.T
        direction = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        step = 1.0
        while loss(found - step * direction) > loss(found) and step > SMALLEST_STEP:
            step /= 2
        found = found - step * direction
        if float(np.abs(step * direction).max()) < SMALLEST_STEP:
            break
    return float(found[0]), float(found[1])
