"""A siamese network's exported halves: every text is encoded once, and passages may have been encoded ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.data.passage_vectors import PassageVectors
from distilrank.data.tokens import PairTokenizer

PAIRS_AT_ONCE = 65_536
BATCH_WORDS = 8_192


class SiameseNetwork:
    """Scores pairs by one encoding per text and the head; implements ``Scorer``.

    Args:
        encoder: Session of the graph from a text to its vector.
        head: Session of the graph from two vectors to logits.
        tokenizer: Of the network.
        vectors: Of passages. None, and where a passage is not among them: it is encoded now.
        batch_tokens: Limit on the padded words of a batch.
    """

    def __init__(
        self,
        encoder: Any,
        head: Any,
        tokenizer: PairTokenizer,
        *,
        vectors: PassageVectors | None = None,
        batch_tokens: int = BATCH_WORDS,
    ) -> None:
        self._encoder, self._head = encoder, head
        self._tokenizer = tokenizer
        self._vectors = vectors
        self._batch_tokens = batch_tokens
        self.width = int(encoder.get_outputs()[0].shape[-1])

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one raw logit per (query, passage) pair, shape (pairs,)."""
        queries = list(dict.fromkeys(query for query, _ in pairs))
        passages = list(dict.fromkeys(passage for _, passage in pairs))
        query_rows = {query: row for row, query in enumerate(queries)}
        passage_rows = {passage: row for row, passage in enumerate(passages)}
        query_vectors, passage_vectors = self.encode(queries), self._passages(passages)
        scores = np.empty(len(pairs), np.float32)
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            part = pairs[start : start + PAIRS_AT_ONCE]
            inputs = {
                "first": query_vectors[[query_rows[query] for query, _ in part]],
                "second": passage_vectors[[passage_rows[passage] for _, passage in part]],
            }
            (logits,) = self._head.run(["logits"], inputs)
            scores[start : start + len(part)] = logits[:, 0]
        return scores

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a vector per text, (texts, width)."""
        vectors = np.empty((len(texts), self.width), np.float32)
        for places, arrays in self._tokenizer.batches(texts, batch_tokens=self._batch_tokens):
            inputs = {"input_ids": arrays.input_ids, "attention_mask": arrays.attention_mask}
            (vectors[places],) = self._encoder.run(["vector"], inputs)
        return vectors

    def _passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._vectors is None:
            return self.encode(texts)
        rows = self._vectors.find(texts)
        found = rows >= 0
        vectors = np.empty((len(texts), self.width), np.float32)
        vectors[found] = self._vectors.rows(rows[found])
        vectors[~found] = self.encode([text for text, is_found in zip(texts, found, strict=True) if not is_found])
        return vectors
