from __future__ import annotations

import numpy as np
import pytest
import torch

from distilrank.models.bi_encoder import BiEncoderScorer
from tests.tiny import tiny_model, tiny_tokenizer

PAIRS = [
    ("red dog", "the dog and the fast cat in the old city by the river"),
    ("blue sea", "red sky"),
    ("red dog", "red sky"),
    ("red dog", "red dog"),
    ("", "old"),
]


def test_it_is_the_scaled_cosine_of_two_mean_pooled_texts() -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    scores = BiEncoderScorer(model, tokenizer).score(PAIRS)
    assert scores.dtype == np.float32
    for score, pair in zip(scores, PAIRS, strict=True):
        means = []
        for text in pair:
            ids = torch.tensor([tokenizer.encode([text])[0].input_ids])
            with torch.no_grad():
                means.append(model.bert(ids).last_hidden_state[0].mean(dim=0).double().numpy())
        cosine = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
        assert score == pytest.approx(20 * cosine, abs=1e-4)
    assert scores[3] == pytest.approx(20.0, abs=1e-4)


def test_batching_and_the_scale_change_nothing_else() -> None:
    scores = BiEncoderScorer(tiny_model(), tiny_tokenizer()).score(PAIRS)
    small = BiEncoderScorer(tiny_model(), tiny_tokenizer(), batch_tokens=1, scale=1.0).score(PAIRS)
    np.testing.assert_allclose(small * 20, scores, atol=1e-4)
    assert BiEncoderScorer(tiny_model(), tiny_tokenizer()).score([]).shape == (0,)


def test_every_text_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = BiEncoderScorer(tiny_model().train(), tiny_tokenizer())
    read: list[str] = []
    encode = scorer.encode
    monkeypatch.setattr(scorer, "encode", lambda texts: (read.extend(texts), encode(texts))[1])
    scorer.score(PAIRS)
    assert sorted(read) == sorted({text for pair in PAIRS for text in pair})
    assert not scorer.model.training


def test_bf16_is_close() -> None:
    scores = BiEncoderScorer(tiny_model(), tiny_tokenizer()).score(PAIRS)
    halves = BiEncoderScorer(tiny_model(), tiny_tokenizer(), precision="bf16").score(PAIRS)
    np.testing.assert_allclose(halves, scores, atol=0.5)
    assert not np.array_equal(halves, scores)
