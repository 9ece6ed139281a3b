from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from distilrank.cli.app import build_app
from distilrank.cli.app import run as run_app
from distilrank.cli.check import check
from distilrank.errors import ModelError
from distilrank.export.consumers import Checked, check_consumers, open_folder, run, transformers_js
from distilrank.export.consumers import check as module
from distilrank.export.consumers.folder import PASSAGES
from distilrank.export.onnx import export_onnx
from distilrank.models.relu_head import use_relu_head
from distilrank.models.save import save_model
from tests.bilstms import saved_bilstm, tiny_bilstm, tiny_word_tokenizer
from tests.tiny import tiny_export, tiny_model, tiny_tokenizer

BY_RULE = ("fastembed", "flashrank", "text-embeddings-inference", "vLLM", "Transformers.js")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "student"))


@pytest.fixture(autouse=True)
def only_what_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """fastembed, FlashRank and Transformers.js are looked at by rule wherever the tests run."""
    monkeypatch.setattr(transformers_js, "shutil", SimpleNamespace(which=lambda name: None))
    find = importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, "find_spec", lambda name: None if name in ("fastembed", "flashrank") else find(name)
    )


def quick(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Checked]:
    """Everybody's answer, by name without version; sentence-transformers, which takes long to import, left out."""
    kept = tuple(each for each in module.CONSUMERS if each.name != "sentence-transformers")
    monkeypatch.setattr(module, "CONSUMERS", kept)
    return {checked.consumer.split(" ")[0]: checked for checked in check_consumers(open_folder(folder))}


def change(folder: Path, name: str, **values: Any) -> None:
    """Set entries of a JSON file; None removes one."""
    path = folder / name
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_a_folder_of_ours_loads_everywhere(made: Path) -> None:
    found = list(check_consumers(open_folder(made)))
    assert [checked.problems for checked in found] == [()] * 9
    ways = {checked.consumer.split(" ")[0]: checked.how for checked in found}
    for name in ("transformers", "sentence-transformers", "onnxruntime"):
        assert ways.pop(name) == "run"
        version = importlib.metadata.version(name)
        (said,) = (each for each in found if each.consumer == f"{name} {version}")
        assert said.note.startswith("logits equal to ")
    assert ways == {"the": "by rule", **dict.fromkeys(BY_RULE, "by rule")}
    assert [each.note for each in found if each.consumer in BY_RULE] == ["not installed"] * 2 + [""] * 2 + [
        "not installed"
    ]


def test_a_head_that_others_leave_a_part_out_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers loads it without a word, and scores otherwise."""
    model = tiny_model()
    use_relu_head(model)
    save_model(model, tiny_tokenizer(), folder)
    export_onnx(model, tiny_tokenizer(), folder)
    found = quick(folder, monkeypatch)
    (problem,) = found["transformers"].problems
    assert problem.startswith("its logits differ from distilrank's by up to ")
    assert found["onnxruntime"].passed


def test_an_export_of_other_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_onnx(tiny_model(seed=1), tiny_tokenizer(), folder)
    found = quick(folder, monkeypatch)
    assert "its logits differ" in found["onnxruntime"].problems[0]
    assert found["transformers"].passed


def test_no_export_and_a_broken_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "onnx" / "model.onnx").write_bytes(b"broken")
    found = quick(folder, monkeypatch)
    assert "onnx/model.onnx cannot be loaded; run: distilrank export" in found["onnxruntime"].problems[0]
    shutil.rmtree(folder / "onnx")
    found = quick(folder, monkeypatch)
    assert "it fails: there is no onnx/model.onnx; run: distilrank export" in found["onnxruntime"].problems[0]
    for name in ("fastembed", "flashrank", "Transformers.js"):
        assert "there is no onnx/model.onnx" in found[name].problems
    assert found["text-embeddings-inference"].passed  # it has its own BERT
    assert found["vLLM"].passed


@pytest.mark.parametrize(
    ("file", "values", "consumer", "said"),
    [
        (
            "tokenizer_config.json",
            {"model_max_length": 1e30},
            "the",
            "model_max_length in tokenizer_config.json is 1e+30",
        ),
        ("tokenizer_config.json", {"pad_token": None}, "fastembed", "tokenizer_config.json lacks pad_token"),
        ("config.json", {"label2id": {"LABEL_0": 1}}, "the", "do not both name 1 labels"),
        ("config.json", {"auto_map": {"AutoModel": "code.py"}}, "the", "auto_map in config.json names code"),
        ("config.json", {"pad_token_id": None}, "flashrank", "config.json lacks pad_token_id"),
    ],
)
def test_rules_are_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, file: str, values: dict[str, Any], consumer: str, said: str
) -> None:
    checked = open_folder(folder)
    change(folder, file, **values)
    broken = module.ModelFolder(
        path=folder,
        config=json.loads((folder / "config.json").read_text()),
        tokenizer_config=json.loads((folder / "tokenizer_config.json").read_text()),
        logits=checked.logits,
    )
    monkeypatch.setattr(module, "CONSUMERS", tuple(each for each in module.CONSUMERS if each.rules))
    found = {each.consumer.split(" ")[0]: each for each in check_consumers(broken)}
    assert any(said in problem for problem in found[consumer].problems)


def test_files_that_older_consumers_need(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "special_tokens_map.json").unlink()
    (folder / "modules.json").write_text("[]")
    (folder / "optimiser.pt").write_bytes(b"")
    found = quick(folder, monkeypatch)
    for name in ("fastembed", "flashrank"):
        assert found[name].problems == ("there is no special_tokens_map.json",)
    assert "modules.json describes a head" in found["text-embeddings-inference"].problems[0]
    assert found["the"].problems == ("optimiser.pt is a pickle, which can run code; remove it",)


def test_networks_of_our_own_are_run_by_their_onnx_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = saved_bilstm(tmp_path / "bilstm")
    export_onnx(tiny_bilstm(), tiny_word_tokenizer(), saved)
    found = quick(saved, monkeypatch)
    assert [checked.problems for checked in found.values()] == [()] * len(found)
    assert found["transformers"].how == found["vLLM"].how == "not for it"
    assert "only distilrank knows distilrank_bilstm" in found["transformers"].note
    assert found["onnxruntime"].how == "run"
    assert "long pairs are truncated otherwise there" in found["onnxruntime"].note


def test_classifiers_are_not_for_rerankers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tiny_model(num_labels=3), tiny_tokenizer(), tmp_path / "three")
    export_onnx(tiny_model(num_labels=3), tiny_tokenizer(), tmp_path / "three")
    found = quick(tmp_path / "three", monkeypatch)
    assert all(checked.passed for checked in found.values())
    assert {name for name, checked in found.items() if checked.how == "not for it"} == {
        "fastembed",
        "flashrank",
        "vLLM",
    }


def test_what_a_consumer_raises_is_what_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: object) -> Any:
        raise RuntimeError("no\n such thing")

    failing = module._Consumer(name="onnxruntime", library="onnxruntime", run=fail)
    assert module._check(failing, open_folder(folder)).problems == ("it fails: no such thing",)
    broken = module._Consumer(name="onnxruntime", library="onnxruntime", run=lambda folder: np.zeros((6, 2)))
    assert "it gives 2 logits a pair, and 1 are expected" in module._check(broken, open_folder(folder)).problems[0]
    nan = module._Consumer(name="onnxruntime", library="onnxruntime", run=lambda folder: np.full(6, np.nan))
    assert "differ from distilrank's by up to nan" in module._check(nan, open_folder(folder)).problems[0]


def test_flashrank_gives_sigmoids(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in of its form: a module with a list of models, and a Ranker that looks its file up there."""
    opened = open_folder(folder)
    object.__setattr__(opened, "logits", opened.logits * np.float32(12.0))  # some where float32 sigmoids are coarse
    stand_in: Any = ModuleType("flashrank.Ranker")
    stand_in.model_file_map, stand_in.shift = {}, 0.0

    class Request:
        def __init__(self, query: str, passages: list[dict[str, Any]]) -> None:
            self.passages = passages

    class Ranker:
        def __init__(self, name: str, *, cache_dir: str, log_level: str) -> None:
            logging.basicConfig(level=log_level)
            assert (Path(cache_dir) / name / stand_in.model_file_map[name]).is_file()

        def rerank(self, request: Request) -> list[dict[str, Any]]:
            scores = 1 / (1 + np.exp(-(opened.logits[:, 0] + np.float32(stand_in.shift))))
            found = [{**passage, "score": score} for passage, score in zip(request.passages, scores, strict=True)]
            return sorted(found, key=lambda each: -each["score"])

    stand_in.Ranker, stand_in.RerankRequest = Ranker, Request
    monkeypatch.setitem(sys.modules, "flashrank", ModuleType("flashrank"))
    monkeypatch.setitem(sys.modules, "flashrank.Ranker", stand_in)
    level = logging.getLogger().level
    assert opened.difference(run.run_flashrank(opened)) <= 1e-4
    stand_in.shift = 0.1
    assert opened.difference(run.run_flashrank(opened)) > 0.01
    assert (stand_in.model_file_map, logging.getLogger().level) == ({}, level)


@pytest.mark.parametrize("consumer", ["fastembed", "flashrank"])
def test_the_real_ones_where_they_are_installed(consumer: str, made: Path) -> None:
    pytest.importorskip(consumer)
    opened = open_folder(made)
    found = {"fastembed": run.run_fastembed, "flashrank": run.run_flashrank}[consumer](opened)
    assert found.shape == (len(PASSAGES),)
    assert opened.difference(found) <= 1e-4


def call(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["distilrank", "check", str(folder)])
    kept = tuple(each for each in module.CONSUMERS if each.name != "sentence-transformers")
    monkeypatch.setattr(module, "CONSUMERS", kept)
    return run_app(build_app({"check": check, "other": lambda: None}))


def test_the_command_ends_with_1_and_a_line_for_each_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, folder) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 8
    assert "ok\tvLLM\tby rule\n" in out
    (folder / "special_tokens_map.json").unlink()
    assert call(monkeypatch, folder) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 6
    assert err.splitlines() == [
        f"{name} (by rule): there is no special_tokens_map.json" for name in ("fastembed", "flashrank")
    ]


def test_what_is_no_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"code")
    assert call(monkeypatch, tmp_path) == 2
    assert "a pickle, which can run code when it is loaded and is never read" in capsys.readouterr().err
    with pytest.raises(ModelError, match="there is no model folder"):
        open_folder(tmp_path / "nothing")


def test_an_onnx_file_alone_is_enough_for_those_who_run_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A packed folder has no weights beside it."""
    with_weights = open_folder(folder)
    (folder / "model.safetensors").unlink()
    np.testing.assert_allclose(open_folder(folder).logits, with_weights.logits, atol=1e-5)
    found = quick(folder, monkeypatch)
    assert [checked.problems for checked in found.values()] == [()] * len(found)
    assert {name for name, checked in found.items() if checked.how == "not for it"} == {"transformers", "vLLM"}
    assert "there is an ONNX file alone" in found["vLLM"].note
    assert found["onnxruntime"].how == "run"
