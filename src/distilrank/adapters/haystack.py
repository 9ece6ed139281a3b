"""Haystack: a ranker component, used as ``SentenceTransformersSimilarityRanker`` is.

Pipelines are written to YAML and read again, so it is given a folder and loads the ranker itself.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from distilrank.errors import MissingExtraError
from distilrank.runtime.pair_network import LongPassages
from distilrank.runtime.ranker import Ranker, ranked

try:
    from haystack import Document, component
except ModuleNotFoundError as error:
    raise MissingExtraError("haystack", extra="haystack", purpose="to rank in Haystack") from error


@component
class DistilrankRanker:
    """Ranks documents for a query.

    Args:
        model: A model folder, as ``distilrank export`` leaves it.
        top_k: How many documents are returned.
        scale_score: Whether scores are sigmoids of the logits instead of the logits; the order is by logit.
        score_threshold: Documents with a lower score are left out; None leaves none out.
        meta_fields_to_embed: Entries of a document's ``meta`` that stand before its content, such as its title.
        embedding_separator: What stands between these.
        ranker_kwargs: Options of ``Ranker.load``; ``long_passages`` may be a dict of its fields.
    """

    def __init__(
        self,
        model: str,
        *,
        top_k: int = 10,
        scale_score: bool = True,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        ranker_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model = str(model)
        self.top_k = top_k
        self.scale_score = scale_score
        self.score_threshold = score_threshold
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator
        self.ranker_kwargs = ranker_kwargs or {}
        self._ranker: Ranker | None = None

    def warm_up(self) -> None:
        """Load the model."""
        if self._ranker is None:
            options = dict(self.ranker_kwargs)
            if isinstance(options.get("long_passages"), dict):
                options["long_passages"] = LongPassages(**options["long_passages"])
            self._ranker = Ranker.load(self.model, **options)

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """Return copies of the best documents with their scores, best first; equal scores keep the order given.

        Args:
            query: What is looked for.
            documents: Of several with the same id the last one counts.
            top_k: How many to return; None returns as many as the component was told to.
        """
        self.warm_up()
        assert self._ranker is not None
        unique = list({document.id: document for document in documents}.values())
        texts = [self._text(document) for document in unique]
        logits = self._ranker.score([(query, text) for text in texts])
        places = ranked(logits, texts, top_k=self.top_k if top_k is None else top_k)
        best = [replace(unique[place.index], score=self._score(place.score)) for place in places]
        lowest = -math.inf if self.score_threshold is None else self.score_threshold
        return {"documents": [document for document in best if document.score >= lowest]}

    def _text(self, document: Document) -> str:
        embedded = [str(document.meta[name]) for name in self.meta_fields_to_embed if document.meta.get(name)]
        return self.embedding_separator.join([*embedded, document.content or ""])

    def _score(self, logit: float) -> float:
        return (1 + math.tanh(logit / 2)) / 2 if self.scale_score else logit
