from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertModel, PreTrainedModel

from distilrank.errors import ModelError
from distilrank.models.answers import Batch, answer
from distilrank.models.cosine import BertForCosineRanking, CosineHead
from distilrank.models.load import load_model
from distilrank.models.save import save_model
from tests.tiny import tiny_config, tiny_model, tiny_pairs, tiny_tokenizer


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A bare encoder, saved as sentence encoders are."""
    torch.manual_seed(0)
    BertModel(tiny_config()).save_pretrained(tmp_path)
    tiny_tokenizer().save(tmp_path)
    return tmp_path


def batch_of(pairs: list[tuple[str, str]]) -> Batch:
    tokenizer = tiny_tokenizer()
    texts, passages = zip(*pairs, strict=True)
    return Batch.from_arrays(tokenizer.pad(tokenizer.encode(texts, passages)))


def test_the_head_by_hand() -> None:
    head = CosineHead()
    states = torch.tensor([[[2.0, 0.0], [4.0, 0.0], [0.0, 5.0], [3.0, -1.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    types = torch.tensor([[0, 0, 1, 1, 0]])
    # The query's mean is (3, 0), the passage's (1.5, 2): the cosine is 1.5 / 2.5 = 0.6.
    torch.testing.assert_close(head(states, mask, types), torch.tensor([[12.0]]))
    with torch.no_grad():
        head.scale.fill_(10.0)
        head.bias.fill_(-1.0)
    torch.testing.assert_close(head(states, mask, types), torch.tensor([[5.0]]))


def test_no_passage_gives_the_bias() -> None:
    head = CosineHead()
    states = torch.ones(1, 2, 3)
    assert head(states, torch.ones(1, 2).long(), torch.zeros(1, 2).long()).item() == 0.0


def test_the_head_computes_in_fp32_under_autocast() -> None:
    states = torch.randn(2, 40, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    mask = torch.ones(2, 40).long()
    types = (torch.arange(40) >= 7).long().expand(2, 40)
    logits = CosineHead()(states, mask, types)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, CosineHead()(states.float(), mask, types), rtol=0, atol=0)


def test_it_starts_as_the_scaled_cosine_of_the_encoder(encoder: Path) -> None:
    pairs = tiny_pairs(6, lengths=(1, 5, 12))
    batch = batch_of(pairs)
    model, _ = load_model(encoder, head="cosine")
    logits = answer(model, batch).logits
    bare = BertModel.from_pretrained(encoder).eval()
    zeros = torch.zeros_like(batch.token_type_ids)
    states = bare(batch.input_ids, batch.attention_mask, zeros).last_hidden_state
    for row in range(len(pairs)):
        query = states[row][(batch.token_type_ids[row] == 0) & (batch.attention_mask[row] == 1)].mean(0)
        passage = states[row][batch.token_type_ids[row] == 1].mean(0)
        expected = 20 * torch.cosine_similarity(query, passage, dim=0)
        assert logits[row].item() == pytest.approx(expected.item(), abs=1e-4)
    assert logits.std() > 0.1


def test_saved_and_loaded_it_is_the_same(encoder: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(encoder, head="cosine")
    with torch.no_grad():
        model.head.scale.fill_(7.0)
        model.head.bias.fill_(0.5)
        model.bert.embeddings.token_type_embeddings.weight[1] += 0.1
    save_model(model, tokenizer, tmp_path / "saved")
    again, _ = load_model(tmp_path / "saved")
    assert isinstance(again, BertForCosineRanking)
    batch = batch_of(tiny_pairs(4))
    assert torch.equal(answer(model, batch).logits, answer(again, batch).logits)
    # Also when the head is named: it must not be built anew.
    named, _ = load_model(tmp_path / "saved", head="cosine")
    assert torch.equal(answer(model, batch).logits, answer(named, batch).logits)


def test_no_other_library_takes_it_for_a_classic_classifier(encoder: Path, tmp_path: Path) -> None:
    save_model(*load_model(encoder, head="cosine"), tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["architectures"] == ["BertForCosineRanking"]
    assert config["model_type"] == "distilrank_bert_cosine"


def test_it_answers_as_the_others(encoder: Path) -> None:
    model, _ = load_model(encoder, head="cosine")
    batch = batch_of(tiny_pairs(3))
    answers = answer(model, batch, hidden_states=True, attention_layers=(1,))
    assert len(answers.hidden_states) == 3
    assert answers.attention_scores[0].shape[:2] == (3, 4)
    assert torch.equal(answers.logits, answer(model, batch).logits)


def test_it_learns(encoder: Path) -> None:
    model, _ = load_model(encoder, head="cosine")
    answer(model, batch_of(tiny_pairs(4))).logits.square().sum().backward()
    assert {name for name, weight in model.named_parameters() if weight.grad is None} == set()


def test_a_classic_head_on_its_encoder(encoder: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(encoder, head="cosine")
    save_model(model, tokenizer, tmp_path / "saved")
    classic, _ = load_model(tmp_path / "saved", head="classic", num_labels=3)
    assert type(classic).__name__ == "BertForSequenceClassification"
    assert classic.config.num_labels == 3
    torch.testing.assert_close(classic.bert.encoder.state_dict(), model.bert.encoder.state_dict())


def save_tiny(folder: Path, model: PreTrainedModel) -> Path:
    save_model(model, tiny_tokenizer(), folder)
    return folder


def test_refusals(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one logit, 2 were asked"):
        load_model(encoder, head="cosine", num_labels=2)
    with pytest.raises(ModelError, match="two segments, this is 'roberta'"):
        load_model(save_tiny(tmp_path / "roberta", tiny_model("roberta")), head="cosine")
