from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distilrank.models import save
from distilrank.models.load import load_model
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer


def test_the_folder_is_a_classic_one(tmp_path: Path) -> None:
    save_model(tiny_model(), tiny_tokenizer(max_tokens=40), tmp_path / "saved", card="# A card\n")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {
        "README.md", "config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json",
        "tokenizer_config.json", "vocab.txt",
    }  # fmt: skip
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "LABEL_0"}
    assert config["label2id"] == {"LABEL_0": 0}
    assert config["dtype"] == "float32"
    assert config["sentence_transformers"]["activation_fn"] == "torch.nn.modules.linear.Identity"
    assert json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())["model_max_length"] == 40
    assert (tmp_path / "saved" / "README.md").read_text() == "# A card\n"
    # Nothing is left beside it.
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_sentence_transformers_gives_the_same_raw_scores(tmp_path: Path) -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    save_model(model, tokenizer, tmp_path / "saved")
    pairs = tiny_pairs(20)
    scores = TorchScorer(model, tokenizer).score(pairs)
    cross_encoder = CrossEncoder(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(cross_encoder.predict(pairs), scores, atol=1e-5)
    # Raw logits: some lie where no sigmoid reaches.
    assert np.any(scores > 1)
    assert np.any(scores < 0)
    ranking = cross_encoder.rank(pairs[0][0], [passage for _, passage in pairs])
    assert len(ranking) == 20


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_transformers_gives_the_same_logits(tmp_path: Path, family: str) -> None:
    model, tokenizer = tiny_model(family, num_labels=3), tiny_tokenizer()
    save_model(model, tokenizer, tmp_path / "saved")
    texts, pairs = (list(side) for side in zip(*tiny_pairs(12), strict=True))
    # RoBERTa has one segment; BERT's tokeniser on it would index past its embedding.
    pairs = None if family == "roberta" else pairs
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    inputs = AutoTokenizer.from_pretrained(tmp_path / "saved")(
        texts, pairs, padding=True, truncation=True, return_tensors="pt"
    )
    expected = TorchScorer(model, tokenizer).logits(texts, pairs)
    np.testing.assert_allclose(again(**inputs).logits.detach().numpy(), expected, atol=1e-5)
    assert expected.std() > 0.05


def test_classifiers_are_not_told_to_keep_raw_logits(tmp_path: Path) -> None:
    save_model(tiny_model(num_labels=2), tiny_tokenizer(), tmp_path / "saved")
    assert "sentence_transformers" not in json.loads((tmp_path / "saved" / "config.json").read_text())


def test_weights_are_written_in_fp32_and_the_network_is_left_alone(tmp_path: Path) -> None:
    model = tiny_model().to(torch.bfloat16).train()
    save_model(model, tiny_tokenizer(), tmp_path / "saved")
    assert {weight.dtype for weight in load_file(tmp_path / "saved" / "model.safetensors").values()} == {torch.float32}
    assert model.dtype == torch.bfloat16
    assert model.training
    assert load_model(tmp_path / "saved")[0].dtype == torch.float32


def test_others_may_read_the_weights(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        save_model(tiny_model(), tiny_tokenizer(), tmp_path / "saved")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "saved" / "model.safetensors").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o755


def test_a_second_save_replaces_the_model_and_its_stale_export_only(tmp_path: Path) -> None:
    save_model(tiny_model(seed=1), tiny_tokenizer(), tmp_path / "saved")
    (tmp_path / "saved" / "journal.jsonl").write_text("{}\n")
    (tmp_path / "saved" / "onnx").mkdir()
    (tmp_path / "saved" / "onnx" / "model.onnx").write_bytes(b"old")
    save_model(tiny_model(seed=2), tiny_tokenizer(), tmp_path / "saved")
    again, _ = load_model(tmp_path / "saved")
    assert torch.equal(again.classifier.weight, tiny_model(seed=2).classifier.weight)
    assert (tmp_path / "saved" / "journal.jsonl").exists()
    assert not (tmp_path / "saved" / "onnx").exists()


def test_a_save_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *, one_logit: bool) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(save, "_complete_config", fail)
    with pytest.raises(OSError, match="no space"):
        save_model(tiny_model(), tiny_tokenizer(), tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []
