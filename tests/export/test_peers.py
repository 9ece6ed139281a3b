"""Packages that are not installed here, by stand-ins of their form; the real ones are asked where they are there."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from distilrank.benchmark.entry import Entry
from distilrank.benchmark.running import open_entry
from distilrank.export.peers import open_fastembed, open_flashrank
from distilrank.runtime.ranker import Ranker
from distilrank.runtime.session import open_session
from tests.export.exported import exported_ranker
from tests.tiny import tiny_pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_ranker(tmp_path_factory.mktemp("models") / "student")


def flashrank(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = ModuleType("flashrank.Ranker")
    module.model_file_map = {"known": "known.onnx"}

    class FlashRanker:
        def __init__(self, name: str, *, cache_dir: str, log_level: str) -> None:
            logging.basicConfig(level=log_level)
            self.file = Path(cache_dir) / name / module.model_file_map[name]
            self.session = self.own_session = open_session(self.file)

        def rerank(self, request: Any) -> list[dict[str, Any]]:
            lengths = [len(passage["text"]) for passage in request.passages]
            self.session.run(["logits"], pair_of_ids(self.session))
            scored = [{**each, "score": 1 / (1 + n)} for each, n in zip(request.passages, lengths, strict=True)]
            return sorted(scored, key=lambda each: -each["score"])

    module.Ranker = FlashRanker
    module.RerankRequest = lambda query, passages: SimpleNamespace(query=query, passages=passages)
    monkeypatch.setitem(sys.modules, "flashrank", ModuleType("flashrank"))
    monkeypatch.setitem(sys.modules, "flashrank.Ranker", module)
    return module


def pair_of_ids(session: Any) -> dict[str, Any]:
    return {item.name: np.full((2, 7), 1) for item in session.get_inputs()}


def test_flashrank_finds_the_folder_and_forgets_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = flashrank(monkeypatch)
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    file = folder / "onnx" / "model.onnx"
    ranker = open_flashrank(folder, file)
    assert ranker.file == file.resolve()
    assert ranker.session is ranker.own_session
    assert module.model_file_map == {"known": "known.onnx"}
    assert (root.level, root.handlers) == before
    # A folder that is called like one of its own models.
    module.model_file_map[folder.name] = "its.onnx"
    assert open_flashrank(folder, file).file == file.resolve()
    assert module.model_file_map[folder.name] == "its.onnx"


def test_flashrank_as_a_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flashrank(monkeypatch)
    running = open_entry(Entry(name="s", folder=folder, runner="flashrank", threads=1))
    pairs = [("q", "longest"), ("q", "a"), ("q", "two")]
    assert list(running.score(pairs)) == pytest.approx([1 / 8, 1 / 2, 1 / 4])
    assert running.computed_tokens() == 14


def test_flashrank_gets_as_many_threads_as_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flashrank(monkeypatch)
    ranker = open_flashrank(folder, folder / "onnx" / "model.onnx", threads=3)
    assert ranker.session is not ranker.own_session
    assert ranker.session.get_session_options().intra_op_num_threads == 3


def test_fastembed_is_told_of_a_file_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[dict[str, Any]] = []

    class TextCrossEncoder:
        def __init__(self, name: str, *, specific_model_path: str, local_files_only: bool, threads: int | None) -> None:
            assert local_files_only
            (model,) = [each for each in known if each["model"] == name]
            session = open_session(Path(specific_model_path) / model["model_file"], threads=threads)
            self.model = SimpleNamespace(model=session)

        @staticmethod
        def list_supported_models() -> list[dict[str, Any]]:
            return known

        @staticmethod
        def add_custom_model(*, model: str, sources: Any, model_file: str) -> None:
            assert model not in [each["model"] for each in known]
            known.append({"model": model, "model_file": model_file})

        def rerank_pairs(self, pairs: list[tuple[str, str]]) -> Any:
            self.model.model.run(None, pair_of_ids(self.model.model))
            return (float(len(passage)) for _, passage in pairs)

    described: Any = ModuleType("fastembed.common.model_description")
    described.ModelSource = lambda hf: hf
    cross_encoder: Any = ModuleType("fastembed.rerank.cross_encoder")
    cross_encoder.TextCrossEncoder = TextCrossEncoder
    monkeypatch.setitem(sys.modules, "fastembed.common.model_description", described)
    monkeypatch.setitem(sys.modules, "fastembed.rerank.cross_encoder", cross_encoder)
    running = open_entry(Entry(name="s", folder=folder, runner="fastembed", threads=3))
    assert running.score([("q", "abc"), ("q", "a")]) == [3.0, 1.0]
    assert running.computed_tokens() == 14
    model = open_fastembed(folder, folder / "onnx" / "model.onnx", threads=2)
    assert model.model.model.get_session_options().intra_op_num_threads == 2
    assert [each["model_file"] for each in known] == ["onnx/model.onnx"]


@pytest.mark.parametrize("name", ["fastembed", "flashrank"])
def test_the_real_ones_rank_as_distilrank_does(name: Any, folder: Path) -> None:
    pytest.importorskip(name)
    pairs = [("where is war", passage) for _, passage in tiny_pairs(12)]
    running = open_entry(Entry(name="s", folder=folder, runner=name, threads=1))
    found, expected = np.asarray(running.score(pairs)), Ranker.load(folder).score(pairs)
    if name == "flashrank":
        expected = 1 / (1 + np.exp(-expected))
    assert np.allclose(found, expected, atol=1e-5)
    assert running.computed_tokens() > 0
