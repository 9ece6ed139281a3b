"""Masked-language models of a few thousand weights, and word vectors for the tiny vocabulary."""

from __future__ import annotations

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from distilrank.augmentation.candidates import MaskedLanguageCandidates
from distilrank.augmentation.tinybert import TinyBertAugmentation
from distilrank.data.word_vectors import WordVectors
from tests.tiny import WORDS, tiny_config, tiny_tokenizer

LONG_WORDS = ("unbelievable", "xylophone")


def tiny_masked_model(model_type: str = "bert", *, seed: int = 0) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForMaskedLM.from_config(tiny_config(model_type)).eval()


def tiny_vectors(*, seed: int = 0) -> WordVectors:
    words = (*WORDS, *LONG_WORDS)
    return WordVectors(words, np.random.default_rng(seed).normal(size=(len(words), 6)).astype(np.float32))


def tiny_candidates(
    settings: TinyBertAugmentation, *, batch_tokens: int | None = None, max_tokens: int = 48
) -> MaskedLanguageCandidates:
    once = settings.candidates == "original"
    return MaskedLanguageCandidates(
        tiny_masked_model(),
        tiny_tokenizer(max_tokens=max_tokens),
        k=settings.k,
        whole_words="last" if once else "first",
        original_beside=once,
        batch_tokens=batch_tokens,
    )
