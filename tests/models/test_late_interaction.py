from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertModel

from distilrank.errors import ModelError
from distilrank.models.answers import Batch, answer
from distilrank.models.calibration import fold_into_head
from distilrank.models.late_interaction import BertForLateInteraction, LateInteractionHead, own_positions, visible
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


def batch_of(pairs: list[tuple[str, str]], *, length: int | None = None) -> Batch:
    tokenizer = tiny_tokenizer()
    texts, passages = zip(*pairs, strict=True)
    return Batch.from_arrays(tokenizer.pad(tokenizer.encode(texts, passages), length=length))


def test_the_head_by_hand() -> None:
    head = LateInteractionHead(2)
    states = torch.tensor([[[2.0, 0.0], [4.0, 3.0], [0.0, 5.0], [3.0, -4.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    types = torch.tensor([[0, 0, 1, 1, 0]])
    # Means (3, 1.5) and (1.5, 0.5): cosine 5.25 / (3.3541 * 1.5811) = 0.98995. Best matches of the query's tokens
    # (1, 0) and (0.8, 0.6) among (0, 1) and (0.6, -0.8): 0.6 and 0.6.
    torch.testing.assert_close(head(states, mask, types), torch.tensor([[10 * 0.989949 + 20 * 0.6]]))
    states[0, 1] = torch.tensor([0.0, 2.0])  # now it is found in the passage: matches 0.6 and 1
    with torch.no_grad():
        head.scale.fill_(0.0)
        head.importance.copy_(torch.tensor([0.0, 0.5 * torch.log(torch.tensor(3.0)).item()]))
        head.bias.fill_(-1.0)
    # importance . state is 0 and log 3: weights 1/4 and 3/4.
    torch.testing.assert_close(head(states, mask, types), torch.tensor([[20 * (0.25 * 0.6 + 0.75 * 1.0) - 1]]))


def test_no_passage_gives_the_bias() -> None:
    head = LateInteractionHead(3)
    with torch.no_grad():
        head.bias.fill_(0.5)
    states = torch.ones(1, 2, 3)
    assert head(states, torch.ones(1, 2).long(), torch.zeros(1, 2).long()).item() == 0.5


def test_the_head_computes_in_fp32_under_autocast() -> None:
    states = torch.randn(2, 40, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    mask = torch.ones(2, 40).long()
    types = (torch.arange(40) >= 7).long().expand(2, 40)
    head = LateInteractionHead(8)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(states, mask, types)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, head(states.float(), mask, types), rtol=0, atol=0)


def test_a_text_sees_itself_and_counts_from_0() -> None:
    mask = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]])
    types = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1]])
    assert own_positions(mask, types)[0, :5].tolist() == [0, 1, 0, 1, 2]
    assert own_positions(mask, types)[1].tolist() == [0, 1, 2, 3, 0, 1]
    rows = visible(mask, types)[0, 0].int().tolist()
    assert rows[:2] == [[1, 1, 0, 0, 0, 0]] * 2
    assert rows[2:5] == [[0, 0, 1, 1, 1, 0]] * 3


def test_it_starts_as_the_encoder_of_two_texts(encoder: Path) -> None:
    pairs = tiny_pairs(6, lengths=(1, 5, 12))
    batch = batch_of(pairs)
    model, _ = load_model(encoder, head="late_interaction")
    logits = answer(model, batch).logits
    bare = BertModel.from_pretrained(encoder).eval()
    for row in range(len(pairs)):
        kept = batch.attention_mask[row] == 1
        query, passage = (
            bare(batch.input_ids[row][kept & (batch.token_type_ids[row] == text)][None]).last_hidden_state[0]
            for text in (0, 1)
        )
        cosine = torch.cosine_similarity(query.mean(0), passage.mean(0), dim=0)
        matches = torch.cosine_similarity(query[:, None], passage[None], dim=-1).amax(dim=1)
        assert logits[row].item() == pytest.approx((10 * cosine + 20 * matches.mean()).item(), abs=1e-4)
    assert logits.std() > 0.1


def test_padding_changes_nothing(encoder: Path) -> None:
    model, _ = load_model(encoder, head="late_interaction")
    pairs = tiny_pairs(3)
    short, long = (answer(model, batch_of(pairs, length=length)).logits for length in (None, 60))
    torch.testing.assert_close(short, long, rtol=0, atol=1e-5)


def test_saved_and_loaded_it_is_the_same(encoder: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(encoder, head="late_interaction")
    with torch.no_grad():
        model.head.match_scale.fill_(7.0)
        model.head.importance.normal_()
    save_model(model, tokenizer, tmp_path / "saved")
    assert (
        json.loads((tmp_path / "saved" / "config.json").read_text())["model_type"] == "distilrank_bert_late_interaction"
    )
    batch = batch_of(tiny_pairs(4))
    for head in (None, "late_interaction"):
        again, _ = load_model(tmp_path / "saved", head=head)
        assert isinstance(again, BertForLateInteraction)
        assert torch.equal(answer(model, batch).logits, answer(again, batch).logits)
    classic, _ = load_model(tmp_path / "saved", head="classic")
    assert type(classic).__name__ == "BertForSequenceClassification"
    torch.testing.assert_close(classic.bert.encoder.state_dict(), model.bert.encoder.state_dict())


def test_from_one_warm_head_to_the_other(encoder: Path, tmp_path: Path) -> None:
    save_model(*load_model(encoder, head="cosine"), tmp_path / "cosine")
    model, _ = load_model(tmp_path / "cosine", head="late_interaction")
    assert isinstance(model, BertForLateInteraction)
    assert model.head.match_scale.item() == LateInteractionHead.initial_match_scale


def test_calibration_changes_the_whole_logit(encoder: Path) -> None:
    model, _ = load_model(encoder, head="late_interaction")
    batch = batch_of(tiny_pairs(4))
    before = answer(model, batch).logits
    fold_into_head(model, 0.25, -3.0)
    torch.testing.assert_close(answer(model, batch).logits, 0.25 * before - 3)


def test_it_learns_and_answers_as_the_others(encoder: Path) -> None:
    model, _ = load_model(encoder, head="late_interaction")
    answers = answer(model, batch_of(tiny_pairs(4)), hidden_states=True, attention_layers=(1,))
    assert len(answers.hidden_states) == 3
    assert answers.attention_scores[0].shape[:2] == (4, 4)
    answers.logits.square().sum().backward()
    assert {name for name, weight in model.named_parameters() if weight.grad is None} == set()


def test_refusals(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one logit, 2 were asked"):
        load_model(encoder, head="late_interaction", num_labels=2)
    save_model(tiny_model("roberta"), tiny_tokenizer(), tmp_path / "roberta")
    with pytest.raises(ModelError, match="two segments, this is 'roberta'"):
        load_model(tmp_path / "roberta", head="late_interaction")
