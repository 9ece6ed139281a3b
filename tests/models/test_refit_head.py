from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from distilrank.errors import InputError, ModelError
from distilrank.models.refit_head import refit_head
from distilrank.models.relu_head import has_relu_head, use_relu_head
from distilrank.models.scorer import TorchScorer
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

TEXTS, PAIRS = (list(side) for side in zip(*tiny_pairs(200, seed=3), strict=True))


def relu_model(*, saturated: bool = False) -> PreTrainedModel:
    model = tiny_model(num_labels=2)
    if saturated:  # a pooler that puts out almost nothing but -1 and 1
        model.bert.pooler.dense.weight.data *= 1000
    use_relu_head(model)
    return model


def logits_of(model: PreTrainedModel) -> np.ndarray:
    return TorchScorer(model, tiny_tokenizer()).logits(TEXTS, PAIRS)


def test_it_is_the_least_squares_fit_to_four_in_five_texts_and_says_what_it_lost() -> None:
    model = relu_model()
    exact = logits_of(model)
    read: list[torch.Tensor] = []
    handle = model.classifier.register_forward_hook(lambda module, inputs, output: read.append((inputs[0], output)))
    logits_of(model)
    handle.remove()
    pooled, given = (torch.cat(parts).numpy() for parts in zip(*read, strict=True))
    lost = refit_head(model, tiny_tokenizer(), TEXTS, PAIRS)
    assert not has_relu_head(model)
    assert not hasattr(model.config, "distilrank_head")
    kept = np.arange(200) % 5 != 4
    columns = np.concatenate([pooled, np.ones((200, 1))], axis=1)
    solution, *_ = np.linalg.lstsq(columns[kept], given[kept], rcond=None)
    np.testing.assert_allclose(model.classifier.weight.detach().numpy(), solution[:-1].T, atol=1e-4)
    np.testing.assert_allclose(model.classifier.bias.detach().numpy(), solution[-1], atol=1e-4)
    missed = columns[~kept] @ solution - given[~kept]
    assert lost.texts == 40
    assert lost.error == pytest.approx(np.sqrt(np.square(missed).mean()), rel=1e-3)
    assert lost.spread == pytest.approx(np.sqrt(given[~kept].var(axis=0, ddof=1).mean()), rel=1e-3)
    assert f"by {lost.error:.3g} (root mean square, 40 held-out texts)" in str(lost)
    # Near to the exact logits, and not equal.
    difference = np.abs(logits_of(model) - exact)
    assert difference.max() > 1e-3
    assert np.sqrt(np.square(difference).mean()) < exact.std()


def test_a_saturated_pooler_loses_next_to_nothing() -> None:
    model = relu_model(saturated=True)
    exact = logits_of(model)
    lost = refit_head(model, tiny_tokenizer(), TEXTS, PAIRS)
    assert lost.error < 0.05 * lost.spread
    assert np.sqrt(np.square(logits_of(model) - exact).mean()) < 0.05 * exact.std()


def test_too_few_texts_and_a_plain_head_are_refused() -> None:
    with pytest.raises(
        InputError, match="30 texts are too few to refit a head that reads 16 numbers; give at least 47"
    ):
        refit_head(relu_model(), tiny_tokenizer(), TEXTS[:30], PAIRS[:30])
    refit_head(relu_model(), tiny_tokenizer(), TEXTS[:47], PAIRS[:47])
    with pytest.raises(ModelError, match="no head with a ReLU"):
        refit_head(tiny_model(), tiny_tokenizer(), TEXTS, PAIRS)
