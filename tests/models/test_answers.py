from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedModel

from distilrank.errors import ModelError
from distilrank.models.answers import Batch, answer
from tests.tiny import VOCABULARY, tiny_model, tiny_pairs, tiny_tokenizer

FAMILIES = ("bert", "roberta", "electra")


@pytest.fixture
def batch() -> Batch:
    tokenizer = tiny_tokenizer()
    texts, pairs = zip(*tiny_pairs(5), strict=True)
    return Batch.from_arrays(tokenizer.pad(tokenizer.encode(texts, pairs)))


def for_family(batch: Batch, family: str) -> Batch:
    """RoBERTa knows one segment only."""
    types = torch.zeros_like(batch.token_type_ids) if family == "roberta" else batch.token_type_ids
    return Batch(batch.input_ids, batch.attention_mask, types)


def inputs(batch: Batch) -> dict[str, torch.Tensor]:
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "token_type_ids": batch.token_type_ids,
    }


def family_model(family: str) -> PreTrainedModel:
    # Positions of RoBERTa begin after the padding id; 64 still leave room for 48 tokens.
    return tiny_model(family, num_labels=3)


def hooks(model: PreTrainedModel) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_give_the_attention_probabilities_of_the_eager_path(batch: Batch, family: str, bf16: bool) -> None:
    batch = for_family(batch, family)
    model = family_model(family)
    assert model.config._attn_implementation == "sdpa"
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        answers = answer(model, batch, attention_layers=(2, 1))
        model.set_attn_implementation("eager")
        eager = model(**inputs(batch), output_attentions=True)
    hidden_columns = (batch.attention_mask == 0)[:, None, None, :]
    for scores, layer in zip(answers.attention_scores, (2, 1), strict=True):
        assert scores.shape == (5, 4, *batch.input_ids.shape[1:], *batch.input_ids.shape[1:])
        found = scores.float().masked_fill(hidden_columns, -torch.inf).softmax(-1)
        torch.testing.assert_close(found, eager.attentions[layer - 1].float(), atol=0.06 if bf16 else 1e-5, rtol=0)
    # Otherwise the comparison would pass with scores of nothing.
    assert answers.attention_scores[0].std() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_asking_for_more_does_not_change_the_logits(batch: Batch, family: str) -> None:
    batch = for_family(batch, family)
    model = family_model(family)
    plain = answer(model, batch)
    full = answer(model, batch, hidden_states=True, attention_layers=(1, 2))
    assert torch.equal(plain.logits, model(**inputs(batch)).logits)
    assert torch.equal(plain.logits, full.logits)
    assert plain.hidden_states == ()
    assert plain.attention_scores == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_the_embedding_output_and_one_per_layer(batch: Batch, family: str) -> None:
    batch = for_family(batch, family)
    model = family_model(family)
    states = answer(model, batch, hidden_states=True).hidden_states
    assert len(states) == 3
    embedded: Any = model.base_model.embeddings(input_ids=batch.input_ids, token_type_ids=batch.token_type_ids)
    if family == "electra":
        embedded = model.base_model.embeddings_project(embedded)
    torch.testing.assert_close(states[0], embedded)
    last = model.base_model(**inputs(batch)).last_hidden_state
    torch.testing.assert_close(states[2], last)


@pytest.mark.parametrize("family", FAMILIES)
def test_relation_states_are_what_the_layers_projections_put_out(batch: Batch, family: str) -> None:
    batch = for_family(batch, family)
    model = family_model(family)
    answers = answer(model, batch, hidden_states=True, relation_layer=2)
    attention: Any = model.base_model.encoder.layer[1].attention.self
    read = answers.hidden_states[1]
    for found, name in zip(answers.relation_states, ("query", "key", "value"), strict=True):
        torch.testing.assert_close(found, getattr(attention, name)(read))
    assert answer(model, batch).relation_states == ()
    # Beside the scores of the same layer, which they give.
    both = answer(model, batch, attention_layers=(2,), relation_layer=2)
    queries, keys = (x.view(5, -1, 4, 4).transpose(1, 2) for x in both.relation_states[:2])
    torch.testing.assert_close(both.attention_scores[0], queries @ keys.transpose(2, 3) / 2)


def test_gradients_flow_through_all_that_is_returned(batch: Batch) -> None:
    model = family_model("bert")
    answers = answer(model, batch, hidden_states=True, attention_layers=(2,), relation_layer=2)
    for tensor in (answers.logits, answers.hidden_states[1], answers.attention_scores[0], *answers.relation_states):
        model.zero_grad()
        tensor.square().sum().backward(retain_graph=True)
        assert model.base_model.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_hooks_are_removed(batch: Batch) -> None:
    model = family_model("bert")
    before = hooks(model)
    answer(model, batch, attention_layers=(1, 2), relation_layer=1)
    assert hooks(model) == before


def test_hooks_are_removed_after_an_exception(batch: Batch) -> None:
    model = family_model("bert")
    before = hooks(model)
    too_large = Batch(batch.input_ids + 10_000, batch.attention_mask, batch.token_type_ids)
    with pytest.raises(IndexError):
        answer(model, too_large, attention_layers=(1, 2))
    assert hooks(model) == before


@pytest.mark.parametrize("layer", [0, 3, -1])
def test_layers_that_do_not_exist_are_refused(batch: Batch, layer: int) -> None:
    with pytest.raises(ModelError, match=f"layer {layer} .* layers 1 to 2"):
        answer(family_model("bert"), batch, attention_layers=(layer,))
    with pytest.raises(ModelError, match=f"layer {layer} .* layers 1 to 2"):
        answer(family_model("bert"), batch, relation_layer=layer)


def test_a_network_without_segments_is_run_without_them(batch: Batch) -> None:
    config = DistilBertConfig(vocab_size=len(VOCABULARY), dim=16, n_layers=2, n_heads=4, hidden_dim=32, num_labels=2)
    model = DistilBertForSequenceClassification(config).eval()
    expected = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    torch.testing.assert_close(answer(model, batch).logits, expected)
    with pytest.raises(ModelError, match="as BERT does"):
        answer(model, batch, attention_layers=(1,))


def test_padding_does_not_change_the_logits() -> None:
    tokenizer = tiny_tokenizer()
    model = family_model("bert")
    encoded = tokenizer.encode(["red dog"], ["the cat"])
    short, long = (Batch.from_arrays(tokenizer.pad(encoded, length=length)) for length in (None, 40))
    torch.testing.assert_close(answer(model, short).logits, answer(model, long).logits)
