from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import pytest

from distilrank.errors import ModelError, SettingsError
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.runtime import pair_network
from distilrank.runtime.cpu import this_cpu
from distilrank.runtime.folder import Tuned, machine, tuned
from distilrank.runtime.ranker import RankedPassage, Ranker, ranked
from distilrank.scorer import Scorer
from tests.tiny import tiny_export, tiny_model, tiny_pairs, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ranker, saved and exported."""
    folder = tmp_path_factory.mktemp("models") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


def test_it_scores_as_torch_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_network, "TEXTS_AT_ONCE", 11)
    pairs = tiny_pairs(30)
    ranker: Scorer = Ranker.load(folder, threads=1, batch_tokens=100)
    scores = ranker.score(pairs)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, TorchScorer(tiny_model(), tiny_tokenizer()).score(pairs), atol=1e-4)
    assert ranker.score([]).shape == (0,)


def test_ranking_is_by_score(folder: Path) -> None:
    ranker = Ranker.load(folder)
    assert ranker.folder == folder
    passages = [passage for _, passage in tiny_pairs(8)]
    scores = ranker.score([("red dog", passage) for passage in passages])
    ranking = ranker.rank("red dog", passages)
    assert [place.rank for place in ranking] == list(range(1, 9))
    assert sorted(place.index for place in ranking) == list(range(8))
    assert [place.score for place in ranking] == sorted(map(float, scores), reverse=True)
    for place in ranking:
        assert place.passage == passages[place.index]
        assert place.score == float(scores[place.index])
    assert ranker.rank("red dog", passages, top_k=3) == ranking[:3]
    assert ranker.rank("red dog", passages, top_k=99) == ranking
    assert ranker.rank("red dog", []) == []


def test_many_queries_in_one_call(folder: Path) -> None:
    ranker = Ranker.load(folder)
    passages = [passage for _, passage in tiny_pairs(12)]
    asked = [("red dog", passages[:5]), ("blue sea", []), ("what is war", passages[3:])]
    found = ranker.rank_many(asked, top_k=4)
    assert [len(each) for each in found] == [4, 0, 4]
    for (query, own), many in zip(asked, found, strict=True):
        one = ranker.rank(query, own, top_k=4)
        assert [(each.rank, each.index, each.passage) for each in many] == [
            (each.rank, each.index, each.passage) for each in one
        ]
        np.testing.assert_allclose([each.score for each in many], [each.score for each in one], atol=1e-5)
    assert ranker.rank_many([]) == []


def test_what_was_tuned_on_this_machine_is_used(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "student"))
    stored = {"machine": machine(), "threads": 1, "batch_tokens": 64, "pad_to": 8}
    (copy / "runtime.json").write_text(json.dumps(stored))
    assert tuned(copy) == Tuned(threads=1, batch_tokens=64, pad_to=8)
    pairs = tiny_pairs(20)
    np.testing.assert_allclose(Ranker.load(copy).score(pairs), Ranker.load(folder).score(pairs), atol=1e-5)
    (copy / "runtime.json").write_text(json.dumps({**stored, "machine": {"cpu": "another", "cores": 96}}))
    assert tuned(copy) == Tuned()
    (copy / "runtime.json").write_text(json.dumps({**stored, "threads": "many"}))
    with pytest.raises(ModelError, match="should hold whole numbers from 1"):
        Ranker.load(copy)
    (copy / "runtime.json").write_text("{")
    with pytest.raises(ModelError, match=r"runtime\.json, line 1: is not JSON"):
        Ranker.load(copy)


def test_pickles_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"code")
    with pytest.raises(ModelError, match=r"its weights in pytorch_model\.bin, a pickle, which can run code"):
        Ranker.load(tmp_path)


def test_a_quality_file_cannot_name_a_file_elsewhere(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "student"))
    elsewhere = tmp_path / "elsewhere.onnx"
    elsewhere.write_bytes(b"four")
    here = this_cpu().arithmetic
    facts = {"arithmetic": here, "judged_on": here, "bytes": 4}
    (copy / "onnx" / "quality.json").write_text(json.dumps({"files": {"../../elsewhere.onnx": facts}}))
    assert Ranker.load(copy).file == copy / "onnx" / "model.onnx"


@pytest.mark.parametrize("content", ['{"files": ["model.onnx"]}', '{"files": {"model.onnx": 1}}', "[" * 100_000])
def test_a_quality_file_of_another_form_is_refused(content: str, folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "student"))
    (copy / "onnx" / "quality.json").write_text(content)
    with pytest.raises(ModelError, match=r"should hold an object of files|nested too deeply"):
        Ranker.load(copy)


def test_a_network_cannot_read_files_elsewhere(folder: Path, tmp_path: Path) -> None:
    """ONNX may keep weights in files beside it, named by paths."""
    copy = Path(shutil.copytree(folder, tmp_path / "student"))
    path = copy / "onnx" / "model.onnx"
    graph = onnx.load(path)
    tensor = next(each for each in graph.graph.initializer if each.name == "classifier.weight")
    (tmp_path / "elsewhere.bin").write_bytes(tensor.raw_data)
    onnx.external_data_helper.set_external_data(tensor, "../../elsewhere.bin", length=len(tensor.raw_data))
    tensor.ClearField("raw_data")
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match="cannot be loaded"):
        Ranker.load(copy)


def test_ties_keep_the_order_given() -> None:
    places = ranked(np.array([1.0, 2.0, 1.0, 2.0], np.float32), ["a", "b", "c", "d"], top_k=3)
    assert places == [
        RankedPassage(rank=1, index=1, score=2.0, passage="b"),
        RankedPassage(rank=2, index=3, score=2.0, passage="d"),
        RankedPassage(rank=3, index=0, score=1.0, passage="a"),
    ]
    with pytest.raises(SettingsError, match="top_k is 0"):
        ranked(np.zeros(1, np.float32), ["a"], top_k=0)


def test_folders_that_cannot_rank_say_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model folder"):
        Ranker.load(tmp_path / "nothing")
    bare = tmp_path / "bare"
    save_model(tiny_model(), tiny_tokenizer(), bare)
    with pytest.raises(ModelError, match=rf"run: distilrank export {bare}"):
        Ranker.load(bare)
    shutil.copytree(folder / "onnx", bare / "onnx")
    (bare / "onnx" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Ranker.load(bare)
    shutil.copy(folder / "onnx" / "model.onnx", bare / "onnx" / "model.onnx")
    (bare / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        Ranker.load(bare)


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    save_model(tiny_model(num_labels=3), tiny_tokenizer(), tmp_path / "classifier")
    inputs = [onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["batch", 3])]
    outputs = [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])]
    node = onnx.helper.make_node("Cast", ["input_ids"], ["logits"], to=onnx.TensorProto.FLOAT)
    graph = onnx.helper.make_graph([node], "three_logits", inputs, outputs)
    (tmp_path / "classifier" / "onnx").mkdir()
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "classifier" / "onnx" / "model.onnx")
    with pytest.raises(ModelError, match=r"one logit, the model in .* has 3"):
        Ranker.load(tmp_path / "classifier")


WITHOUT_TORCH = textwrap.dedent(
    """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {"torch", "transformers", "safetensors", "huggingface_hub"}:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Blocker())
    from distilrank import Ranker

    places = Ranker.load(sys.argv[1]).rank("red dog", ["the cat", "blue sea", "red dog"], top_k=2)
    print([place.index for place in places])
    heavy = {"torch", "transformers", "scipy", "pandas", "sklearn", "matplotlib", "typer", "rich", "yaml", "onnx"}
    print(sorted(heavy & set(sys.modules)))
    """
)


def test_ranking_needs_no_torch(folder: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(folder)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    indices, loaded = found.stdout.splitlines()
    expected = Ranker.load(folder).rank("red dog", ["the cat", "blue sea", "red dog"], top_k=2)
    assert indices == str([place.index for place in expected])
    assert loaded == "[]"
