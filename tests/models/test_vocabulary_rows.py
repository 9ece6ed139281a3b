"""Embeddings of fewer tokens: the same answers to the bit, in every family and with a masked-language head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from distilrank.data.vocabulary import choose_tokens, count_tokens, trim_tokenizer
from distilrank.errors import ModelError
from distilrank.models.cosine import BertForCosineRanking, CosineRankingConfig
from distilrank.models.load import load_model
from distilrank.models.masked_language import load_masked_language_model
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.models.vocabulary_rows import keep_rows
from tests.tiny import WORDS, tiny_config, tiny_model, tiny_tokenizer

WHOLE = tiny_tokenizer()
SEEN = " ".join(["where is the", *WORDS[25:45]])
KEPT = choose_tokens(WHOLE, count_tokens(WHOLE, [SEEN]))
SMALL = trim_tokenizer(WHOLE, KEPT)
PAIRS = [(f"where is the {word}", f"{word} {SEEN}") for word in WORDS[27:35]]


def masked(family: str = "bert") -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(tiny_config(family)).eval()
    for bias in (each for name, each in model.named_parameters() if name.endswith("bias")):
        torch.nn.init.normal_(bias)  # a new one is zero, which would hide a lost one
    return model


@pytest.mark.parametrize("family", ["bert", "electra", "distilbert", "cosine"])
def test_scores_are_the_same_to_the_bit(family: str) -> None:
    if family == "cosine":
        torch.manual_seed(0)
        described = {k: v for k, v in tiny_config().to_dict().items() if k != "model_type"}
        model: PreTrainedModel = BertForCosineRanking(CosineRankingConfig(**described)).eval()
    else:
        model = tiny_model(family)
    before = TorchScorer(model, WHOLE).score(PAIRS)
    assert max(KEPT) >= len(KEPT) + 10  # what goes lies between what stays
    keep_rows(model, KEPT)
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == len(KEPT)
    np.testing.assert_array_equal(TorchScorer(model, SMALL).score(PAIRS), before)
    assert np.ptp(before) > 1e-3


@pytest.mark.parametrize("family", ["bert", "electra", "distilbert"])
def test_a_masked_language_head_loses_the_same_rows_and_stays_tied(family: str, tmp_path: Path) -> None:
    model = masked(family)
    ids = torch.tensor([WHOLE.encode([SEEN])[0].input_ids])
    place = {number: i for i, number in enumerate(KEPT)}
    with torch.no_grad():
        before = model(ids).logits[..., KEPT]
        keep_rows(model, KEPT)
        fewer = torch.tensor([[place[int(number)] for number in ids[0]]])
        np.testing.assert_allclose(model(fewer).logits, before, atol=1e-6, rtol=0)
    head = model.get_output_embeddings()
    assert head.weight is model.get_input_embeddings().weight
    assert head.out_features == len(KEPT)
    # It is saved and loaded like any other.
    save_model(model, SMALL, tmp_path / "mlm")
    again, tokenizer = load_masked_language_model(tmp_path / "mlm")
    assert tokenizer.vocabulary_size == again.config.vocab_size == len(KEPT)
    with torch.no_grad():
        np.testing.assert_allclose(again(fewer).logits, before, atol=1e-6, rtol=0)
    load_model(tmp_path / "mlm")  # students start from it


def test_an_untied_head_keeps_its_own_rows() -> None:
    model = masked()
    head = model.get_output_embeddings()
    head.weight = torch.nn.Parameter(torch.randn_like(head.weight))
    wanted = head.weight.detach()[KEPT].clone()
    keep_rows(model, KEPT)
    assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    torch.testing.assert_close(model.get_output_embeddings().weight.detach(), wanted, rtol=0, atol=0)


def test_ids_in_the_configuration_follow() -> None:
    model = tiny_model()
    model.config.pad_token_id = 4
    model.config.sep_token_id = 3
    model.get_input_embeddings().padding_idx = 4
    model.config.bos_token_id = KEPT[-1] + 1 if KEPT[-1] + 1 not in KEPT else 1
    keep_rows(model, [2, 3, 4, 10])
    assert (model.config.pad_token_id, model.config.sep_token_id, model.config.bos_token_id) == (2, 1, None)
    assert model.get_input_embeddings().padding_idx == 2
    assert model.get_input_embeddings().weight.requires_grad


def test_a_network_without_a_table_of_tokens_is_refused() -> None:
    model = tiny_model()
    model.set_input_embeddings(torch.nn.Linear(4, 4))
    with pytest.raises(ModelError, match="does not embed its tokens as BERT does"):
        keep_rows(model, KEPT)
