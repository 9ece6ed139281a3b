"""``distilrank pack`` from the command line to a folder that is run without its weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from distilrank.models.save import save_model
from distilrank.runtime.ranker import Ranker
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker
from tests.tiny import tiny_model, tiny_tokenizer

PAIRS = [("where is the king?", "the old king is in the city."), ("bread", "water and bread."), ("the queen", "stone")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = saved_ranker(tmp_path_factory.mktemp("ranker") / "ranker")
    assert distilrank("export", folder) == 0
    return folder


def test_it_scores_as_before_from_a_quarter_of_the_weights(ranker: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    assert distilrank("pack", ranker, "--data", data, "--out", out, "--margin", 0.5) == 0
    before, after = (Ranker.load(folder).score(PAIRS) for folder in (ranker, out))
    assert 0 < np.abs(before - after).max() < 0.05 * np.abs(before).max()
    graph = onnx.load(out / "onnx" / "model.onnx")
    kinds = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
    small = {name for name, kind in kinds.items() if kind == onnx.TensorProto.INT8}
    assert {"bert.embeddings.word_embeddings.weight_quantized"} < small
    assert sum("dense.weight" in name or ".query.weight" in name for name in small) >= 4
    # No processor's 8-bit arithmetic is asked for.
    assert {node.op_type for node in graph.graph.node}.isdisjoint({"QuantizeLinear", "MatMulInteger"})
    assert not list(out.rglob("*.safetensors"))
    assert (out / "README.md").is_file() == (ranker / "README.md").is_file()
    told = json.loads((out / "manifest.json").read_text())
    assert told["verb"] == "pack"
    assert told["verdict"]["passed"] is True


def test_the_same_command_again_does_nothing(ranker: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    told = ("pack", ranker, "--data", data, "--out", out, "--margin", 0.5)
    assert distilrank(*told) == 0
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert distilrank(*told) == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_a_ranker_that_lost_too_much_is_refused(
    ranker: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distilrank.workflows import pack as module

    def ruined(graph: onnx.ModelProto, *rest: object) -> onnx.ModelProto:
        made = onnx.ModelProto()
        made.CopyFrom(graph)
        for tensor in made.graph.initializer:
            if tensor.name == "classifier.weight":
                tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))
        return made

    monkeypatch.setattr(module, "quantise", ruined)
    assert distilrank("pack", ranker, "--data", data, "--out", tmp_path / "packed") == 2
    error = capsys.readouterr().err
    assert "is not packed" in error
    assert "nDCG@10" in error
    assert list(files_of(tmp_path)) == []


def test_refusals(ranker: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = saved_ranker(tmp_path / "bare")
    assert distilrank("pack", bare, "--data", data, "--out", tmp_path / "packed") == 2
    assert "run: distilrank export" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert distilrank("pack", ranker, "--data", data, "--out", tmp_path / "mine") == 2
    assert "give --out another folder" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_word_embeddings_in_half_a_byte(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = tmp_path / "wide"
    save_model(tiny_model(hidden=64), tiny_tokenizer(), wide)
    assert distilrank("export", wide) == 0
    told = ("pack", wide, "--data", data, "--margin", 0.9)
    sizes = {}
    for bits in (8, 4):
        out = tmp_path / str(bits)
        assert distilrank(*told, "--embedding-bits", bits, "--out", out) == 0
        graph = onnx.load(out / "onnx" / "model.onnx")
        sizes[bits] = {tensor.name: len(tensor.raw_data) for tensor in graph.graph.initializer}
    name = "bert.embeddings.word_embeddings.weight"
    assert 2 * sizes[4][f"{name}_packed"] == sizes[8][f"{name}_quantized"]
    before, after = (Ranker.load(folder).score(PAIRS) for folder in (wide, tmp_path / "4"))
    assert distilrank(*told, "--embedding-bits", 4, "--weight-bits", 4, "--out", tmp_path / "all") == 0
    graph = onnx.load(tmp_path / "all" / "onnx" / "model.onnx")
    sizes = {name: len(t.raw_data) for t in graph.graph.initializer if ".query." in (name := t.name)}
    assert [size for name, size in sizes.items() if name.endswith("_packed")] == [64 * 64 // 2] * 2
    assert json.loads((tmp_path / "all" / "manifest.json").read_text())["settings"]["weight_bits"] == 4
    assert not np.array_equal(Ranker.load(tmp_path / "all").score(PAIRS), after)
    assert distilrank(*told, "--weight-bits", 3, "--out", tmp_path / "5") == 2
    assert "--weight-bits is 3, give 8 or 4" in capsys.readouterr().err
    assert 0 < np.abs(before - after).max() < np.inf  # how much is shown by the look-up alone, in tests/export
    assert distilrank(*told, "--embedding-bits", 5, "--out", tmp_path / "5") == 2
    assert "--embedding-bits is 5, give 8 or 4" in capsys.readouterr().err
