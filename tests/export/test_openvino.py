"""The gate is tested everywhere; what needs OpenVINO itself, where it is installed."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.errors import MissingExtraError, ModelError, SettingsError
from distilrank.export import openvino as module
from distilrank.export.onnx import export_onnx, write_float
from distilrank.export.openvino import check_parity, export_openvino
from distilrank.models.load import load_model
from distilrank.models.save import save_model
from distilrank.runtime.ranker import Ranker
from distilrank.runtime.session import open_session
from tests.bilstms import saved_bilstm
from tests.end_to_end.verbs import distilrank
from tests.tiny import tiny_export, tiny_model, tiny_pairs, tiny_tokenizer

IS_INSTALLED = importlib.util.find_spec("openvino") is not None
with_openvino = pytest.mark.skipif(not IS_INSTALLED, reason="OpenVINO is not installed")
without_openvino = pytest.mark.skipif(IS_INSTALLED, reason="OpenVINO is installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "student"))


class Off:
    """A session whose logits are off by so much, for batches of some size only."""

    def __init__(self, session: Any, more: float, *, only: int | None = None) -> None:
        self.session, self.more, self.only, self.batches = session, more, only, []

    def get_inputs(self) -> Any:
        return self.session.get_inputs()

    def run(self, names: Any, inputs: Any) -> Any:
        (logits,) = self.session.run(names, inputs)
        self.batches.append(len(logits))
        return [logits + (self.more if self.only in (None, len(logits)) else 0.0)]


def test_logits_that_differ_are_refused(folder: Path) -> None:
    session = open_session(folder / "onnx" / "model.onnx")
    same = Off(session, 0.0)
    assert check_parity(same, session, tiny_tokenizer()) == 0.0
    assert same.batches.count(1) >= 8
    assert max(same.batches) > 3
    assert check_parity(Off(session, 5e-5), session, tiny_tokenizer()) == pytest.approx(5e-5, rel=0.1)
    for only in (1, max(same.batches)):
        with pytest.raises(ModelError, match=r"differ from onnxruntime's by 0\.0002, more than 0\.0001"):
            check_parity(Off(session, 2e-4, only=only), session, tiny_tokenizer())
    with pytest.raises(ModelError, match="were not written"):
        check_parity(Off(session, float("nan")), session, tiny_tokenizer())


@without_openvino
def test_the_extra_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingExtraError, match=r"distilrank\[openvino\]"):
        export_openvino(folder)
    (folder / "openvino").mkdir()
    (folder / "openvino" / "openvino_model.xml").touch()
    with pytest.raises(MissingExtraError, match=r"to run a model with OpenVINO.*distilrank\[openvino\]"):
        Ranker.load(folder, backend="openvino")


def test_what_it_does_not_run_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="8 bits are run by onnxruntime"):
        Ranker.load(folder, backend="openvino", precision="int8")
    with pytest.raises(ModelError, match=r"holds no openvino/openvino_model\.xml; run: .* --openvino"):
        Ranker.load(folder, backend="openvino")
    (folder / "onnx" / "encoder.onnx").touch()
    with pytest.raises(ModelError, match="reads texts apart, by onnxruntime only"):
        Ranker.load(folder, backend="openvino")


def test_files_of_other_weights_go(folder: Path) -> None:
    (folder / "openvino").mkdir()
    for suffix in ("xml", "bin"):
        (folder / "openvino" / f"openvino_model.{suffix}").touch()
    write_float((folder / "onnx" / "model.onnx").read_bytes(), folder)
    assert len(list((folder / "openvino").iterdir())) == 2
    write_float(b"other", folder)
    assert list((folder / "openvino").iterdir()) == []


@with_openvino
def test_it_ranks_as_onnxruntime_does(folder: Path) -> None:
    assert export_openvino(folder) == folder / "openvino" / "openvino_model.xml"
    names = sorted(path.name for path in (folder / "openvino").iterdir())
    assert names == ["openvino_model.bin", "openvino_model.xml"]
    pairs = tiny_pairs(30)
    ranker = Ranker.load(folder, backend="openvino", threads=1)
    assert ranker.file == folder / "openvino" / "openvino_model.xml"
    np.testing.assert_allclose(ranker.score(pairs), Ranker.load(folder).score(pairs), atol=1e-4)
    (folder / "openvino" / "openvino_model.xml").write_text("broken")
    with pytest.raises(ModelError, match=r"cannot be loaded; run: distilrank export .* --openvino"):
        Ranker.load(folder, backend="openvino")


@with_openvino
def test_a_file_that_differs_is_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = module.open_session
    monkeypatch.setattr(module, "open_session", lambda path: Off(opened(path), 1e-3))
    with pytest.raises(ModelError, match="were not written"):
        export_openvino(folder)
    assert list((folder / "openvino").iterdir()) == []


@with_openvino
def test_the_verb(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert distilrank("export", folder, "--openvino") == 0
    assert str(folder / "openvino" / "openvino_model.bin") in capsys.readouterr().out
    assert Ranker.load(folder, backend="openvino").rank("red dog", ["the cat", "red dog"])


@with_openvino
def test_a_bilstm_or_a_sentence_why_not(tmp_path: Path) -> None:
    """Whatever its makers support: the files are right or are not there."""
    folder = saved_bilstm(tmp_path / "bilstm")
    export_onnx(*load_model(folder), folder)
    try:
        export_openvino(folder)
    except ModelError:
        assert list((folder / "openvino").iterdir()) == []
