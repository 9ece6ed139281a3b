from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertModel

from distilrank.data.tokens import TokenArrays
from distilrank.errors import ModelError
from distilrank.models.answers import Batch, takes_token_types
from distilrank.models.masked_language import load_masked_language_model, masked_logits
from distilrank.models.save import save_model
from tests.augmentation.networks import tiny_masked_model
from tests.tiny import tiny_config, tiny_tokenizer


def tiny_arrays() -> TokenArrays:
    tokenizer = tiny_tokenizer()
    return tokenizer.pad(tokenizer.encode(["the red dog", "a", "what is the old city"]))


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert"])
def test_logits_of_one_place_are_those_of_the_whole_text(family: str) -> None:
    model, batch = tiny_masked_model(family), Batch.from_arrays(tiny_arrays())
    places = torch.tensor([2, 1, 4])
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if takes_token_types(model):
        inputs["token_type_ids"] = batch.token_type_ids
    with torch.no_grad():
        whole = model(**inputs).logits
        torch.testing.assert_close(masked_logits(model, batch, places), whole[torch.arange(3), places])
        torch.testing.assert_close(model(**inputs).logits, whole)  # and the network is left as it was


def test_a_saved_model_is_loaded_with_its_head(tmp_path: Path) -> None:
    model = tiny_masked_model()
    save_model(model, tiny_tokenizer(), tmp_path / "mlm")
    loaded, tokenizer = load_masked_language_model(tmp_path / "mlm", offline=True)
    assert not loaded.training
    assert tokenizer.max_tokens == 48
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight)


def bare_checkpoint(folder: Path) -> Path:
    BertModel(tiny_config()).save_pretrained(folder)
    tiny_tokenizer().save(folder)
    return folder


def test_a_checkpoint_without_a_head_is_refused_with_two_ways_on(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_masked_language_model(bare_checkpoint(tmp_path / "bare"), offline=True)
    message = str(caught.value)
    assert "has no masked-language head" in message
    assert f"distilrank fit-mlm-head --model {tmp_path / 'bare'}" in message
    assert "leave --mlm out, which takes word vectors for every word" in message


def test_a_new_head_follows_its_seed_and_shares_the_embeddings(tmp_path: Path) -> None:
    folder = bare_checkpoint(tmp_path / "bare")
    first, second, other = (
        load_masked_language_model(folder, new_head=True, seed=seed, offline=True)[0] for seed in (1, 1, 2)
    )
    name = "cls.predictions.transform.dense.weight"
    torch.testing.assert_close(first.state_dict()[name], second.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])
    assert first.get_output_embeddings().weight is first.get_input_embeddings().weight


def test_a_checkpoint_that_lacks_part_of_its_encoder_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = bare_checkpoint(tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of the weights.*layer\.1\.output\.dense\.weight"):
        load_masked_language_model(folder, new_head=True, offline=True)
