from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from distilrank.data.files import file_hash
from distilrank.errors import ModelError, SettingsError
from distilrank.models.load import load_model
from distilrank.models.save import save_model
from distilrank.runtime.ranker import Ranker
from distilrank.teaching.endpoint import EndpointSettings
from distilrank.teaching.teachers import (
    BiEncoderTeacher,
    CrossEncoderTeacher,
    EndpointTeacher,
    OnnxTeacher,
    Running,
    find_teacher,
)
from tests.tiny import tiny_export, tiny_model, tiny_pairs, tiny_tokenizer

PAIRS = tiny_pairs(20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ranker with weights and an export."""
    folder = tmp_path_factory.mktemp("models") / "ranker"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


def logits(folder: Path, *, max_tokens: int = 48) -> np.ndarray:
    """The network's own answers, pair by pair."""
    model, tokenizer = load_model(folder)
    tokenizer = tokenizer.with_max_tokens(max_tokens)
    rows = []
    with torch.inference_mode():
        for query, passage in PAIRS:
            arrays = tokenizer.pad(tokenizer.encode([query], [passage]))
            inputs = {name: torch.from_numpy(getattr(arrays, name)) for name in ("input_ids", "attention_mask")}
            rows.append(model(**inputs, token_type_ids=torch.from_numpy(arrays.token_type_ids)).logits[0].numpy())
    return np.stack(rows)


def test_a_cross_encoder(folder: Path) -> None:
    teacher = pickle.loads(pickle.dumps(CrossEncoderTeacher(source=str(folder), running=Running(max_tokens=20))))
    np.testing.assert_allclose(teacher.open().score(PAIRS), logits(folder, max_tokens=20)[:, 0], atol=1e-5)
    described = teacher.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["files"] == {name: file_hash(folder / name) for name in ("model.safetensors", "config.json")}
    assert described["running"] == {
        "max_tokens": 20, "precision": "fp32", "batch_tokens": 2048, "device": "cpu",
    }  # fmt: skip
    assert (teacher.name, teacher.meaning, described["logits"]) == ("ranker", "logit", 1)
    assert CrossEncoderTeacher(source=str(folder)).describe()["running"]["max_tokens"] == 48  # type: ignore[index]


def test_two_logits_are_folded(tmp_path: Path) -> None:
    save_model(tiny_model(num_labels=2), tiny_tokenizer(), tmp_path)
    both = logits(tmp_path)
    teacher = CrossEncoderTeacher(source=str(tmp_path))
    np.testing.assert_allclose(teacher.open().score(PAIRS), both[:, 1] - both[:, 0], atol=1e-5)
    assert teacher.describe()["logits"] == 2


def test_bf16_scores_are_close_and_not_the_same(folder: Path) -> None:
    scores = CrossEncoderTeacher(source=str(folder), running=Running(precision="bf16")).open().score(PAIRS)
    assert scores.dtype == np.float32
    exact = logits(folder)[:, 0]
    np.testing.assert_allclose(scores, exact, atol=0.05)
    assert np.abs(scores - exact).max() > 1e-5


def test_what_cannot_teach(tmp_path: Path, folder: Path) -> None:
    save_model(tiny_model(num_labels=3), tiny_tokenizer(), tmp_path / "three")
    with pytest.raises(ModelError, match=r"one logit, or two to be folded; .*three has 3 logits"):
        CrossEncoderTeacher(source=str(tmp_path / "three")).describe()
    shutil.copytree(folder, tmp_path / "bare")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "bare" / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(ModelError, match="bare has no ranking head"):
        CrossEncoderTeacher(source=str(tmp_path / "bare")).describe()
    with pytest.raises(SettingsError, match=r"max_tokens is 65, but .* has positions for 64 tokens"):
        CrossEncoderTeacher(source=str(folder), running=Running(max_tokens=65)).describe()
    with pytest.raises(SettingsError, match="batch_tokens is 0 but must be at least 1"):
        Running(batch_tokens=0)


def test_an_exported_network(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "light", ignore=shutil.ignore_patterns("*.safetensors"))
    teacher = find_teacher(str(tmp_path / "light"), running=Running(max_tokens=20))
    assert isinstance(teacher, OnnxTeacher)
    np.testing.assert_allclose(teacher.open().score(PAIRS), logits(folder, max_tokens=20)[:, 0], atol=1e-4)
    files = teacher.describe()["files"]
    assert isinstance(files, dict)
    assert set(files) == {"model.onnx", "tokenizer.json", "tokenizer_config.json"}
    named = find_teacher(str(folder / "onnx" / "model.onnx"), running=Running())
    np.testing.assert_array_equal(named.open().score(PAIRS), Ranker.load(folder, threads=1).score(PAIRS))
    assert isinstance(find_teacher(str(folder), running=Running()), CrossEncoderTeacher)
    with pytest.raises(SettingsError, match="runs in the precision of its file"):
        find_teacher(str(tmp_path / "light"), running=Running(precision="bf16")).describe()


def pooled(folder: Path, text: str, how: str, *, unit: bool) -> torch.Tensor:
    model, tokenizer = load_model(folder)
    arrays = tokenizer.pad(tokenizer.encode([text]))
    with torch.inference_mode():
        states = model.base_model(torch.from_numpy(arrays.input_ids)).last_hidden_state[0]
    vector = states.mean(0) if how == "mean" else states[0]
    return functional.normalize(vector, dim=0) if unit else vector


FORMS: dict[str, tuple[dict[str, object], bool, dict[str, object], str, bool, str]] = {
    "mean and unit vectors": ({"pooling_mode_mean_tokens": True}, True, {}, "mean", True, "cosine"),
    "the first token": ({"pooling_mode": "cls"}, False, {}, "cls", True, "cosine"),
    "dot product": (
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        False,
        {"similarity_fn_name": "dot", "prompts": {"query": "the ", "passage": "of a "}},
        "cls",
        False,
        "dot product",
    ),
}


def sentence_transformer(
    folder: Path, pooling: dict[str, object], normalise: bool, settings: dict[str, object]
) -> None:
    save_model(tiny_model(), tiny_tokenizer(), folder)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalise else [])]
    modules = [
        {"idx": i, "path": "" if i == 0 else f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "1_Pooling").mkdir()
    for name, content in (
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("config_sentence_transformers.json", settings),
        ("sentence_bert_config.json", {"max_seq_length": 30}),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("name", FORMS)
def test_a_bi_encoder_of_sentence_transformers(tmp_path: Path, name: str) -> None:
    pooling, normalise, settings, how, unit, meaning = FORMS[name]
    sentence_transformer(tmp_path, pooling, normalise, settings)
    teacher = BiEncoderTeacher(source=str(tmp_path))
    ahead, behind = ("the ", "of a ") if settings else ("", "")
    short = [pair for pair in PAIRS if len(pair[1].split()) < 13][:4]
    expected = [
        float(pooled(tmp_path, ahead + query, how, unit=unit) @ pooled(tmp_path, behind + passage, how, unit=unit))
        for query, passage in short
    ]
    np.testing.assert_allclose(teacher.open().score(short), expected, rtol=1e-5, atol=1e-6)
    assert teacher.meaning == meaning
    assert teacher.describe()["running"]["max_tokens"] == 30  # type: ignore[index]


def test_poolings_that_are_not_known(tmp_path: Path) -> None:
    sentence_transformer(tmp_path / "max", {"pooling_mode_max_tokens": True}, True, {})
    with pytest.raises(ModelError, match="max pools by pooling_mode_max_tokens; mean and cls are known"):
        BiEncoderTeacher(source=str(tmp_path / "max")).describe()
    sentence_transformer(tmp_path / "dense", {"pooling_mode": "mean"}, True, {})
    modules = json.loads((tmp_path / "dense" / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (tmp_path / "dense" / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="is made of Transformer, Pooling, Dense"):
        BiEncoderTeacher(source=str(tmp_path / "dense")).describe()


def test_an_endpoint_is_described_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "s3cret")
    settings = EndpointSettings(url="http://host", form="jina", model="org/best", key_from="KEY", tries=2)
    teacher = EndpointTeacher(settings=settings)
    assert (teacher.name, teacher.meaning) == ("best", "given")
    assert teacher.describe() == {
        "kind": "endpoint", "address": "http://host/v1/rerank", "form": "jina", "model": "org/best",
    }  # fmt: skip
