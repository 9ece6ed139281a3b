"""A cross-encoder that only scores, millions of pairs: as a ``TorchScorer``, with less work for the same logits."""

from __future__ import annotations

from typing import Literal

import torch
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.models.scorer import TorchScorer


class TeacherScorer(TorchScorer):
    """Scores with a torch network that is not trained meanwhile."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PairTokenizer,
        *,
        batch_tokens: int | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, precision=precision)
        model.to(device)  # type: ignore[arg-type]
