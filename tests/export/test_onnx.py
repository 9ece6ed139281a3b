from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import quantize_dynamic
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedModel

from distilrank.errors import MissingExtraError, ModelError
from distilrank.export import onnx as export_module
from distilrank.export.onnx import check_parity, export_onnx
from distilrank.models.answers import Batch, answer
from distilrank.models.cosine import BertForCosineRanking, CosineRankingConfig
from distilrank.models.late_interaction import BertForLateInteraction, LateInteractionConfig
from tests.tiny import VOCABULARY, tiny_config, tiny_export, tiny_model, tiny_pairs, tiny_tokenizer


def cosine_model() -> PreTrainedModel:
    config = tiny_config().to_dict()
    config.pop("model_type")
    torch.manual_seed(0)
    return BertForCosineRanking(CosineRankingConfig(**config)).eval()


def late_interaction_model() -> PreTrainedModel:
    config = tiny_config().to_dict()
    config.pop("model_type")
    torch.manual_seed(0)
    model = BertForLateInteraction(LateInteractionConfig(**config)).eval()
    with torch.no_grad():  # what training makes of the values it starts with
        model.head.importance.normal_()
        model.head.bias.fill_(0.7)
        model.bert.embeddings.token_type_embeddings.weight[1] += 1.0
    return model


def distilbert() -> PreTrainedModel:
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(VOCABULARY), dim=16, n_layers=2, n_heads=4, hidden_dim=32, num_labels=2)
    return DistilBertForSequenceClassification(config).eval()


MODELS = {
    "bert": tiny_model,
    "roberta": lambda: tiny_model("roberta", num_labels=3),
    "electra": lambda: tiny_model("electra"),
    "distilbert": distilbert,
    "cosine": cosine_model,
    "late interaction": late_interaction_model,
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT ranker, exported once."""
    return tiny_export(tmp_path_factory.mktemp("exported"))


@pytest.mark.parametrize("family", list(MODELS))
def test_onnx_equals_torch_at_any_batch_and_length(family: str, tmp_path: Path) -> None:
    model, tokenizer = MODELS[family](), tiny_tokenizer()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    path = export_onnx(model.train(), tokenizer, tmp_path)
    # The network is left as it was.
    assert model.training
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    model.eval()
    assert path == tmp_path / "onnx" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path))
    names = [item.name for item in session.get_inputs()]
    assert names == ["input_ids", "attention_mask", "token_type_ids"][: 2 if family == "distilbert" else 3]
    for count, length in ((1, 2), (1, 48), (7, 13), (4, None)):
        texts, pairs = zip(*tiny_pairs(count, lengths=(1,) if length == 13 else (0, 5, 40)), strict=True)
        encoded = tokenizer.encode(["red"] * count if length == 2 else texts, None if length == 2 else pairs)
        arrays = tokenizer.pad(encoded, length=None if length == 2 else length)
        if family == "roberta":
            arrays.token_type_ids[:] = 0
        inputs = {name: getattr(arrays, name) for name in names}
        (logits,) = session.run(["logits"], inputs)
        with torch.no_grad():
            expected = answer(model, Batch.from_arrays(arrays)).logits.numpy()
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_one_file_with_the_expected_names_and_shapes(exported: Path) -> None:
    assert [path.name for path in exported.parent.iterdir()] == ["model.onnx"]
    graph = onnx.load(exported, load_external_data=False)
    onnx.checker.check_model(graph)

    def shape(value: Any) -> list[str | int]:
        return [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]

    names = [value.name for value in graph.graph.input]
    assert names == ["input_ids", "attention_mask", "token_type_ids"]
    assert [shape(value) for value in graph.graph.input] == [["batch", "sequence"]] * 3
    assert {value.name: shape(value) for value in graph.graph.output} == {"logits": ["batch", 1]}
    assert {value.type.tensor_type.elem_type for value in graph.graph.input} == {onnx.TensorProto.INT64}
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 18)]


def test_no_path_of_this_machine_is_in_the_file(exported: Path) -> None:
    content = exported.read_bytes()
    for part in (torch.__path__[0], export_module.__file__, "site-packages"):
        assert part.encode() not in content


def test_it_can_be_quantised(exported: Path, tmp_path: Path) -> None:
    quantize_dynamic(str(exported), str(tmp_path / "int8.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx"))
    ids = np.full((3, 9), 7, np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    assert session.run(["logits"], inputs)[0].shape == (3, 1)


def test_a_graph_of_other_weights_is_refused(exported: Path) -> None:
    assert check_parity(tiny_model(), exported.read_bytes(), max_tokens=48) <= 1e-5
    with pytest.raises(ModelError, match="differs from torch by"):
        check_parity(tiny_model(seed=1), exported.read_bytes(), max_tokens=48)


def test_a_graph_that_answers_nan_is_refused(exported: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.classifier.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match="differs from torch by nan"):
        check_parity(model, exported.read_bytes(), max_tokens=48)


def test_a_model_that_answers_the_same_to_everything_is_refused(exported: Path) -> None:
    model, graph = tiny_model(), onnx.load(exported)
    with torch.no_grad():
        model.classifier.weight.zero_()
    (weight,) = (tensor for tensor in graph.graph.initializer if tensor.name.endswith("classifier.weight"))
    weight.CopyFrom(onnx.numpy_helper.from_array(np.zeros((1, 16), np.float32), weight.name))
    with pytest.raises(ModelError, match="every input the same logits"):
        check_parity(model, graph.SerializeToString(), max_tokens=48)


def test_a_failed_export_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_export(tmp_path)
    older = path.read_bytes()
    monkeypatch.setattr(export_module, "bert_graph", lambda model: onnx.load(path))
    with pytest.raises(ModelError, match="was not written"):
        export_onnx(tiny_model(seed=1), tiny_tokenizer(), tmp_path)
    assert path.read_bytes() == older


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"distilrank\[export\]"):
        export_onnx(tiny_model(), tiny_tokenizer(), tmp_path)
