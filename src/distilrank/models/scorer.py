"""A torch network as a ``Scorer``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.models.answers import Batch, answer, usual_batch_tokens
from distilrank.models.load import stored_label_names


class TorchScorer:
    """Scores with a torch network, on whatever device it is.

    Pairs are batched by length, so little padding is computed. The network is in evaluation mode while it
    scores and afterwards in the mode it was in.

    Args:
        model: A sequence classifier; with one logit it is a ranker.
        tokenizer: Its tokeniser.
        batch_tokens: Limit on the padded tokens of a batch; None takes what suits the
            device (answers.usual_batch_tokens).
        precision: "fp32", or "bf16" for autocast.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PairTokenizer,
        *,
        batch_tokens: int | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_tokens = batch_tokens
        self.precision = precision

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one raw logit per (query, passage) pair, shape (pairs,).

        Raises:
            ModelError: The network has more than one logit.
        """
        labels = len(stored_label_names(self.model.config))
        if labels != 1:
            raise ModelError(f"a ranker has one logit, this {type(self.model).__name__} has {labels}")
        return self.logits([query for query, _ in pairs], [passage for _, passage in pairs])[:, 0]

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Return the raw logits of texts or pairs of texts, shape (texts, labels).

        Args:
            texts: First texts (queries).
            text_pairs: Second texts (passages); None for single texts.
        """
        logits = np.empty((len(texts), len(stored_label_names(self.model.config))), np.float32)
        # Not when it is made: training moves the network to another device later.
        batch_tokens = self.batch_tokens or usual_batch_tokens(self.model.device)
        with self._scoring():
            for indices, arrays in self.tokenizer.batches(texts, text_pairs, batch_tokens=batch_tokens):
                batch = Batch.from_arrays(arrays, self.model.device)
                logits[indices] = answer(self.model, batch).logits.float().cpu().numpy()
        return logits

    @contextmanager
    def _scoring(self) -> Iterator[None]:
        """Switch dropout and gradients off, and autocast on when asked; the training mode comes back after."""
        training = self.model.training
        self.model.eval()
        bf16 = self.precision == "bf16"
        try:
            with torch.inference_mode(), torch.autocast(self.model.device.type, torch.bfloat16, enabled=bf16):
                yield
        finally:
            self.model.train(training)
