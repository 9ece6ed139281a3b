"""LlamaIndex: a node postprocessor, used as ``SentenceTransformerRerank`` is."""

from __future__ import annotations

from distilrank.errors import MissingExtraError
from distilrank.runtime.ranker import ranked
from distilrank.scorer import Scorer

try:
    from llama_index.core.bridge.pydantic import Field
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
except ModuleNotFoundError as error:
    raise MissingExtraError("llama_index", extra="llama-index", purpose="to rank in LlamaIndex") from error


class DistilrankRerank(BaseNodePostprocessor):
    """Keeps the best nodes, each with its raw logit as score.

    Attributes:
        ranker: A ``Ranker``, or anything else that scores pairs.
        top_n: How many nodes are kept; None keeps all.
        metadata_mode: Which metadata stand before a node's text when it is scored. ``MetadataMode.NONE`` scores the
            text alone, as most rankers are trained; the default is that of LlamaIndex's own rerankers.
        keep_retrieval_score: Whether the score that a node came with is kept as ``retrieval_score`` in its metadata.
    """

    ranker: Scorer = Field(exclude=True, repr=False)
    top_n: int | None = Field(default=2, ge=1)
    metadata_mode: MetadataMode = MetadataMode.EMBED
    keep_retrieval_score: bool = False

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex knows it."""
        return "DistilrankRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Return the best nodes, best first; equal scores keep the order given. The nodes given stay as they are.

        Raises:
            ValueError: There is no query.
        """
        if query_bundle is None:
            raise ValueError("DistilrankRerank ranks for a query; give query_str or query_bundle")
        texts = [node.node.get_content(metadata_mode=self.metadata_mode) for node in nodes]
        scores = self.ranker.score([(query_bundle.query_str, text) for text in texts])
        return [self._scored(nodes[place.index], place.score) for place in ranked(scores, texts, top_k=self.top_n)]

    def _scored(self, given: NodeWithScore, score: float) -> NodeWithScore:
        node = given.node
        if self.keep_retrieval_score:
            node = node.model_copy(update={"metadata": {**node.metadata, "retrieval_score": given.score}})
        return NodeWithScore(node=node, score=score)
