"""LangChain: a cross-encoder for ``CrossEncoderReranker``, and a document compressor that needs langchain-core alone.

``BaseCrossEncoder`` lives in langchain-core; langchain-classic and langchain-community only re-export it.
"""

from __future__ import annotations

from collections.abc import Sequence

from distilrank.errors import MissingExtraError
from distilrank.runtime.ranker import ranked
from distilrank.scorer import Scorer

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.cross_encoders import BaseCrossEncoder
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, Field
except ModuleNotFoundError as error:
    raise MissingExtraError("langchain_core", extra="langchain", purpose="to rank in LangChain") from error


class DistilrankCrossEncoder(BaseCrossEncoder):
    """A cross-encoder, as ``CrossEncoderReranker(model=...)`` takes it.

    Args:
        ranker: A ``Ranker``, or anything else that scores pairs.
    """

    def __init__(self, ranker: Scorer) -> None:
        self.ranker = ranker

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Return one raw logit per (query, text) pair, in order; higher is more relevant."""
        return [float(score) for score in self.ranker.score(text_pairs)]


class DistilrankReranker(BaseDocumentCompressor):
    """A document compressor that keeps the best documents, with their scores.

    Attributes:
        ranker: A ``Ranker``, or anything else that scores pairs.
        top_n: How many documents are kept; None keeps all.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    ranker: Scorer = Field(exclude=True, repr=False)
    top_n: int | None = Field(default=3, ge=1)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """Return copies of the best documents, best first; equal scores keep the order given.

        Args:
            documents: They stay as they are.
            query: What is looked for.
            callbacks: Not used.

        Returns:
            Documents whose metadata hold the raw logit as ``relevance_score``.
        """
        texts = [document.page_content for document in documents]
        scores = self.ranker.score([(query, text) for text in texts])
        return [
            documents[place.index].model_copy(
                update={"metadata": {**documents[place.index].metadata, "relevance_score": place.score}}
            )
            for place in ranked(scores, texts, top_k=self.top_n)
        ]
