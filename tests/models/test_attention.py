"""Attention as two products gives what fused attention gives, and goes away again."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from distilrank.models.answers import Batch, answer
from distilrank.models.attention import NAME, products_attention
from tests.tiny import tiny_model


@pytest.fixture
def model() -> PreTrainedModel:
    return tiny_model().train()


def batch(*, padded: bool) -> Batch:
    ids = torch.randint(5, 20, (4, 11), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    if padded:
        mask[1, 6:] = 0
        mask[3, 1:] = 0
    return Batch(ids, mask, torch.zeros_like(ids))


def gradients(model: PreTrainedModel, inputs: Batch) -> list[torch.Tensor]:
    model.zero_grad()
    torch.manual_seed(0)
    answer(model, inputs).logits.square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("padded", [True, False])
def test_logits_and_gradients_are_those_of_fused_attention(model: PreTrainedModel, padded: bool) -> None:
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    model.double()
    expected = gradients(model, batch(padded=padded))
    with products_attention(model):
        assert model.config._attn_implementation == NAME
        found = gradients(model, batch(padded=padded))
    assert len(found) == len(expected)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)


def test_dropout_works_on_the_probabilities(model: PreTrainedModel) -> None:
    for name, part in model.named_modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.5 if name.endswith("attention.self.dropout") else 0.0
    with products_attention(model):
        first, second = (answer(model, batch(padded=True)).logits for _ in range(2))
        assert not torch.equal(first, second)
        model.eval()
        first, second = (answer(model, batch(padded=True)).logits for _ in range(2))
        assert torch.equal(first, second)


def test_without_a_gradient_fused_attention_stays(model: PreTrainedModel) -> None:
    model.eval()
    with torch.no_grad():
        expected = answer(model, batch(padded=True)).logits
        with products_attention(model):
            assert torch.equal(answer(model, batch(padded=True)).logits, expected)


def test_it_is_taken_back_after_an_error_too(model: PreTrainedModel) -> None:
    with pytest.raises(KeyError), products_attention(model):
        raise KeyError
    assert model.config._attn_implementation == "sdpa"


def test_other_attention_and_other_networks_are_left_alone(model: PreTrainedModel) -> None:
    model.set_attn_implementation("eager")
    with products_attention(model):
        assert model.config._attn_implementation == "eager"
    with products_attention(nn.Linear(1, 1)):
        pass
