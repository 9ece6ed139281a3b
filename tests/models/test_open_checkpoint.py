from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from distilrank.errors import ModelError
from distilrank.models.open_checkpoint import known_head, open_checkpoint
from distilrank.models.relu_head import has_relu_head, use_relu_head
from distilrank.models.save import save_model
from tests.tiny import VOCABULARY, tiny_model, tiny_tokenizer

IDS = torch.arange(5, 17).reshape(2, 6)


def as_tinybert_saves(folder: Path, *, num_labels: int = 2, fit_dense: bool = True, **config: Any) -> PreTrainedModel:
    """A folder of TinyBERT's code: a pickle, sizes and a word list. Returns the network, still without its ReLU."""
    model = tiny_model(num_labels=num_labels)
    folder.mkdir()
    weights = dict(model.state_dict())
    if fit_dense:
        weights |= {"fit_dense.weight": torch.zeros(32, 16), "fit_dense.bias": torch.zeros(32)}
    torch.save(weights, folder / "pytorch_model.bin")
    sizes = (
        "hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings vocab_size "
        "type_vocab_size hidden_act hidden_dropout_prob attention_probs_dropout_prob initializer_range"
    ).split()
    described = {name: getattr(model.config, name) for name in sizes}
    (folder / "config.json").write_text(json.dumps({**described, "pre_trained": "", "training": "", **config}))
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
    return model


@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_a_folder_of_tinyberts_code_gets_its_relu_back(tmp_path: Path, num_labels: int) -> None:
    model = as_tinybert_saves(tmp_path / "tiny", num_labels=num_labels)
    use_relu_head(model)
    opened, tokenizer = open_checkpoint(tmp_path / "tiny")
    assert has_relu_head(opened)
    torch.testing.assert_close(opened(IDS).logits, model(IDS).logits)
    assert tokenizer.encode(["red dog"], ["The river"]) == tiny_tokenizer().encode(["red dog"], ["The river"])


@pytest.mark.parametrize("head", ["relu", "plain"])
def test_without_fit_dense_the_head_has_to_be_said(tmp_path: Path, head: Any) -> None:
    model = as_tinybert_saves(tmp_path / "tiny", fit_dense=False)
    with pytest.raises(ModelError, match=r"nothing in .*tiny says .* --head relu or --head plain"):
        open_checkpoint(tmp_path / "tiny")
    opened, _ = open_checkpoint(tmp_path / "tiny", head=head)
    plain = model(IDS).logits
    use_relu_head(model)
    torch.testing.assert_close(opened(IDS).logits, model(IDS).logits if head == "relu" else plain)
    assert not torch.allclose(plain, model(IDS).logits)


def test_what_is_said_goes_before_what_the_folder_says(tmp_path: Path) -> None:
    plain = as_tinybert_saves(tmp_path / "tiny")
    marked = tiny_model(num_labels=2)
    use_relu_head(marked)
    save_model(marked, tiny_tokenizer(), tmp_path / "marked")
    assert has_relu_head(open_checkpoint(tmp_path / "marked")[0])
    for name in ("tiny", "marked"):
        opened, _ = open_checkpoint(tmp_path / name, head="plain")
        torch.testing.assert_close(opened(IDS).logits, plain(IDS).logits)
        assert not hasattr(opened.config, "distilrank_head")


def test_a_folder_that_transformers_wrote_is_plain(tmp_path: Path) -> None:
    model = tiny_model(num_labels=2)
    model.save_pretrained(tmp_path / "usual")
    tiny_tokenizer().save(tmp_path / "usual")
    opened, _ = open_checkpoint(tmp_path / "usual")
    torch.testing.assert_close(opened(IDS).logits, model(IDS).logits)
    for family in ("electra", "roberta"):
        other = tiny_model(family, num_labels=2)
        save_model(other, tiny_tokenizer(), tmp_path / family)
        torch.testing.assert_close(open_checkpoint(tmp_path / family)[0](IDS).logits, other(IDS).logits)


def test_what_a_checkpoint_says_of_its_head() -> None:
    assert known_head({}, {"classifier.weight": 2}) is None
    assert known_head({"architectures": ["BertForSequenceClassification"]}, {}) is None
    assert known_head({"transformers_version": "4.0", "architectures": ["X"]}, {}) == "plain"
    assert known_head({"transformers_version": "4.0", "architectures": ["X"]}, {"fit_dense.bias": 3}) == "relu"
    assert known_head({"transformers_version": "4.0", "architectures": ["X"], "distilrank_head": "relu"}, {}) == "relu"


def test_folders_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        open_checkpoint(tmp_path)
    as_tinybert_saves(tmp_path / "tiny")
    (tmp_path / "tiny" / "pytorch_model.bin").write_bytes(b"no pickle")
    with pytest.raises(ModelError, match=r"the weights in .*tiny cannot be read"):
        open_checkpoint(tmp_path / "tiny")
    (tmp_path / "tiny" / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"neither model.safetensors nor pytorch_model.bin"):
        open_checkpoint(tmp_path / "tiny")
    tiny_model().bert.save_pretrained(tmp_path / "bare")
    tiny_tokenizer().save(tmp_path / "bare")
    with pytest.raises(ModelError, match="bare has no ranking or classification head"):
        open_checkpoint(tmp_path / "bare")


class Code:
    """What would run code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


def test_a_pickle_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    as_tinybert_saves(tmp_path / "tiny")
    torch.save({"classifier.weight": torch.zeros(2, 4), "code": Code()}, tmp_path / "tiny" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"the weights in .*tiny cannot be read"):
        open_checkpoint(tmp_path / "tiny")
    assert not (tmp_path / "ran").exists()
