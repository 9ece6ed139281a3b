"""The one interface between models and everything that ranks with them: pairs in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Scorer(Protocol):
    """Scores (query, passage) pairs; a higher score ranks first.

    Implemented by a torch model (``models.TorchScorer``), by the torch-free ``runtime.Ranker`` and by
    anything a user brings.
    """

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one raw score (logit, not probability) per pair, in order, shape (pairs,)."""
        ...
