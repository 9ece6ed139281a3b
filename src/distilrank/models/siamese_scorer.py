"""A siamese BiLSTM as a ``Scorer``: every text is encoded once, and passages may have been encoded ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from distilrank.data.passage_vectors import PassageVectors
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.models.answers import Batch
from distilrank.models.bilstm import BiLstmForSequenceClassification

BATCH_WORDS = 32_768
PAIRS_AT_ONCE = 65_536


class SiameseScorer:
    """Scores pairs by one encoding per text and the small head; implements ``Scorer``.

    Args:
        model: Siamese, with one logit.
        tokenizer: Its tokeniser.
        vectors: Of passages. None, and where a passage is not among them: it is encoded now.

    Raises:
        ModelError: The network reads single texts, or has more than one logit.
    """

    def __init__(
        self,
        model: BiLstmForSequenceClassification,
        tokenizer: PairTokenizer,
        *,
        vectors: PassageVectors | None = None,
    ) -> None:
        if not model.config.siamese:
            raise ModelError("this BiLSTM reads single texts; a ranker reads pairs (siamese)")
        if model.config.num_labels != 1:
            raise ModelError(f"a ranker has one logit, this BiLSTM has {model.config.num_labels}")
        self.model = model
        self.model.train(False)
        self.tokenizer = tokenizer
        self.vectors = vectors

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one raw logit per (query, passage) pair, shape (pairs,)."""
        queries = list(dict.fromkeys(query for query, _ in pairs))
        passages = list(dict.fromkeys(passage for _, passage in pairs))
        query_rows = {query: row for row, query in enumerate(queries)}
        passage_rows = {passage: row for row, passage in enumerate(passages)}
        query_vectors, passage_vectors = self.encode(queries), self._passages(passages)
        scores = np.empty(len(pairs), np.float32)
        with torch.inference_mode():
            for start in range(0, len(pairs), PAIRS_AT_ONCE):
                part = pairs[start : start + PAIRS_AT_ONCE]
                first = query_vectors[[query_rows[query] for query, _ in part]]
                second = passage_vectors[[passage_rows[passage] for _, passage in part]]
                device = self.model.device
                logits = self.model.compare(torch.from_numpy(first).to(device), torch.from_numpy(second).to(device))
                scores[start : start + len(part)] = logits[:, 0].cpu().numpy()
        return scores

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a vector per text, (texts, width)."""
        vectors = np.empty((len(texts), self.width), np.float32)
        with torch.inference_mode():
            for positions, arrays in self.tokenizer.batches(texts, batch_tokens=BATCH_WORDS):
                batch = Batch.from_arrays(arrays, self.model.device)
                encoded = self.model.encode(batch.input_ids, batch.attention_mask.sum(dim=1))
                vectors[positions] = encoded.cpu().numpy()
        return vectors

    @property
    def width(self) -> int:
        """Of a text's vector."""
        return 2 * int(self.model.config.hidden_size)

    def _passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.vectors is None:
            return self.encode(texts)
        rows = self.vectors.find(texts)
        found = rows >= 0
        vectors = np.empty((len(texts), self.width), np.float32)
        vectors[found] = self.vectors.rows(rows[found])
        vectors[~found] = self.encode([text for text, is_found in zip(texts, found, strict=True) if not is_found])
        return vectors
