from __future__ import annotations

import numpy as np
import pytest
import torch

from distilrank.data import tokens
from distilrank.errors import ModelError
from distilrank.models.answers import Batch, answer
from distilrank.models.scorer import TorchScorer
from distilrank.scorer import Scorer
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer


def one_by_one(pairs: list[tuple[str, str]], labels: int = 1) -> np.ndarray:
    model, tokenizer = tiny_model(num_labels=labels), tiny_tokenizer()
    with torch.no_grad():
        logits = [
            answer(model, Batch.from_arrays(tokenizer.pad(tokenizer.encode([query], [passage])))).logits[0].numpy()
            for query, passage in pairs
        ]
    return np.array(logits)


def test_it_is_a_scorer() -> None:
    scorer: Scorer = TorchScorer(tiny_model(), tiny_tokenizer())
    assert scorer.score([]).shape == (0,)


@pytest.mark.parametrize("batch_tokens", [1, 100, 8192])
def test_scores_are_in_order_whatever_the_batches(monkeypatch: pytest.MonkeyPatch, batch_tokens: int) -> None:
    monkeypatch.setattr(tokens, "TEXTS_AT_ONCE", 9)
    pairs = tiny_pairs(25)
    scores = TorchScorer(tiny_model(), tiny_tokenizer(), batch_tokens=batch_tokens).score(pairs)
    assert scores.dtype == np.float32
    assert scores.std() > 0.05
    np.testing.assert_allclose(scores, one_by_one(pairs)[:, 0], atol=1e-5)


def test_logits_of_classifiers() -> None:
    pairs = tiny_pairs(7)
    texts, seconds = zip(*pairs, strict=True)
    scorer = TorchScorer(tiny_model(num_labels=3), tiny_tokenizer())
    np.testing.assert_allclose(scorer.logits(texts, seconds), one_by_one(pairs, labels=3), atol=1e-5)
    assert scorer.logits(["red dog", "blue"]).shape == (2, 3)
    with pytest.raises(ModelError, match="one logit, this BertForSequenceClassification has 3"):
        scorer.score(pairs)


def test_dropout_and_gradients_are_off_and_the_mode_comes_back() -> None:
    model = tiny_model().train()
    scorer = TorchScorer(model, tiny_tokenizer())
    pairs = tiny_pairs(5)
    np.testing.assert_array_equal(scorer.score(pairs), scorer.score(pairs))
    assert model.training
    model.eval()
    scorer.score(pairs)
    assert not model.training


def test_the_mode_comes_back_after_an_error() -> None:
    model = tiny_model().train()
    with pytest.raises(ValueError, match="2 texts but 1"):
        TorchScorer(model, tiny_tokenizer()).logits(["a", "b"], ["c"])
    assert model.training


def test_bf16_is_close_and_is_not_fp32() -> None:
    pairs = tiny_pairs(10)
    exact = TorchScorer(tiny_model(), tiny_tokenizer()).score(pairs)
    rounded = TorchScorer(tiny_model(), tiny_tokenizer(), precision="bf16").score(pairs)
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=0.1)
    assert not np.array_equal(rounded, exact)
