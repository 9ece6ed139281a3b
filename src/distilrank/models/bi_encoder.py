"""A bi-encoder as a scorer: query and passage are read apart, and the score is their cosine (or dot product).

The two texts never meet inside the network, so it is weaker than a cross-encoder of its size, but a checkpoint that
was trained this way on a billion pairs is the best teacher at hand where there are no good labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.models.answers import Batch, usual_batch_tokens
from distilrank.models.sentence_encoder import EncoderForm


class BiEncoderScorer:
    """Scores pairs by the scaled cosine (or dot product) of two pooled texts; implements ``Scorer``.

    Mean pooling over all tokens and the scale of 20 are those of the all-MiniLM family (sentence-transformers'
    ``MultipleNegativesRankingLoss`` trains with them).

    Args:
        model: Any encoder that returns ``last_hidden_state``.
        tokenizer: Its tokeniser.
        scale: What the cosine is multiplied with.
        batch_tokens: Most tokens run at once; None: what suits the device.
        precision: "bf16" runs in autocast.
        form: How texts become vectors.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PairTokenizer,
        *,
        scale: float = 20.0,
        batch_tokens: int | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
        form: EncoderForm | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.scale = scale
        self.batch_tokens = batch_tokens or usual_batch_tokens(model.device)
        self.precision = precision
        self.form = EncoderForm() if form is None else form

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return ``scale`` times the similarity of each pair, shape (pairs,); every text is encoded once."""
        ahead, behind = self.form.query_prompt, self.form.passage_prompt
        prompted = [(ahead + query, behind + passage) for query, passage in pairs]
        texts = list(dict.fromkeys(text for pair in prompted for text in pair))
        place = {text: i for i, text in enumerate(texts)}
        vectors = self.encode(texts)
        queries = vectors[[place[query] for query, _ in prompted]]
        passages = vectors[[place[passage] for _, passage in prompted]]
        return np.asarray(self.scale * (queries * passages).sum(axis=1), dtype=np.float32)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors, of length 1 unless the form says otherwise, (texts, hidden)."""
        vectors = np.empty((len(texts), int(self.model.config.hidden_size)), np.float32)
        autocast = torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), autocast:
            for positions, arrays in self.tokenizer.batches(texts, batch_tokens=self.batch_tokens):
                batch = Batch.from_arrays(arrays, self.model.device)
                states = self.model.base_model(batch.input_ids, attention_mask=batch.attention_mask)
                pooled = self._pooled(states.last_hidden_state.float(), batch.attention_mask[:, :, None].float())
                if self.form.normalise:
                    pooled = functional.normalize(pooled, dim=-1)
                vectors[positions] = pooled.cpu().numpy()
        return vectors

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return (texts, hidden) of states (texts, length, hidden) and a mask (texts, length, 1)."""
        return states[:, 0] if self.form.pooling == "cls" else (states * mask).sum(1) / mask.sum(1)
