"""PyTerrier: a re-ranking transformer, as in ``bm25 % 100 >> DistilrankReRanker(ranker)``; it needs no Java."""

from __future__ import annotations

import numpy as np

from distilrank.errors import MissingExtraError
from distilrank.scorer import Scorer

try:
    import pandas as pd
    import pyterrier as pt
except ModuleNotFoundError as error:
    raise MissingExtraError("pyterrier", extra="pyterrier", purpose="to rank in PyTerrier") from error


class DistilrankReRanker(pt.Transformer):
    """Scores the documents of a result frame for its queries and ranks them anew.

    The pairs of all queries share batches.

    Args:
        ranker: A ``Ranker``, or anything else that scores pairs.
        text_field: The column with the documents' texts.
    """

    def __init__(self, ranker: Scorer, *, text_field: str = "text") -> None:
        super().__init__()
        self.ranker = ranker
        self.text_field = text_field

    def __repr__(self) -> str:
        """Return the name under which ``pt.Experiment`` shows it."""
        return f"DistilrankReRanker({getattr(self.ranker, 'folder', self.ranker)})"

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the rows, in the order given, with ``score`` (the raw logit) and ``rank`` (from 0, within a query).

        Equal scores are ranked in the order given; the frame given stays as it is.

        Args:
            inp: Columns ``qid``, ``docno``, ``query`` and that of the texts; ``score`` and ``rank`` are replaced, all
                others kept.
        """
        pt.validate.result_frame(inp, extra_columns=["query", self.text_field])
        scores = self.ranker.score(list(zip(inp["query"], inp[self.text_field], strict=True)))
        return pt.model.add_ranks(inp.assign(score=np.asarray(scores, np.float64)))
