"""Tiny BiLSTMs with a vocabulary of words, for the tests of what uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distilrank.data.tokens import PairTokenizer
from distilrank.data.word_tokens import word_tokenizer
from distilrank.models.bilstm import BiLstmForSequenceClassification, new_bilstm
from distilrank.models.save import save_model
from tests.tiny import WORDS

MAX_WORDS = 20


def tiny_word_tokenizer() -> PairTokenizer:
    """The words of the tiny texts, at most 20 of each text."""
    return word_tokenizer(WORDS, max_tokens=MAX_WORDS)


def tiny_bilstm(
    *, num_labels: int = 1, siamese: bool = True, channels: int = 2, seed: int = 0
) -> BiLstmForSequenceClassification:
    """A BiLSTM of a few thousand weights over the words of the tiny texts."""
    vectors = np.random.default_rng(seed).standard_normal((3 + len(WORDS), 6)).astype(np.float32)
    return new_bilstm(
        vectors,
        num_labels=num_labels,
        siamese=siamese,
        channels=channels,
        hidden=5,
        fully_connected=7,
        dropout=0.0,
        seed=seed,
    )


def saved_bilstm(folder: Path, **options: int) -> Path:
    """A model folder of a tiny siamese ranker."""
    save_model(tiny_bilstm(**options), tiny_word_tokenizer(), folder)
    return folder
