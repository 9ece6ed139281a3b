from __future__ import annotations

import sys
from pathlib import Path

import pytest

from distilrank.cli.app import build_app, run
from distilrank.cli.export import export
from distilrank.data.files import read_json
from distilrank.models.save import save_model
from distilrank.runtime.ranker import Ranker
from tests.end_to_end.verbs import prepared_ranking
from tests.tiny import tiny_model, tiny_tokenizer


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["distilrank", "export", *map(str, arguments)])
    return run(build_app({"export": export, "other": lambda: None}))


def test_an_exported_folder_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tiny_model(), tiny_tokenizer(), tmp_path / "student")
    assert call(monkeypatch, tmp_path / "student") == 0
    path, size = capsys.readouterr().out.strip().split("\t")
    assert Path(path) == tmp_path / "student" / "onnx" / "model.onnx"
    assert size.endswith(" MB")
    assert Ranker.load(tmp_path / "student").rank("red", ["dog"])[0].index == 0


def test_what_is_no_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path) == 2
    assert "holds no config.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("prepared") / "data")


def test_8_bits_are_judged_on_the_data(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    student = tmp_path / "student"
    save_model(tiny_model(hidden=32), tiny_tokenizer(), student)
    monkeypatch.setattr("distilrank.export.tune.TURNS", 2)
    options = ("--precision", "int8", "--data", data, "--margin", "0.9", "--cpu", "avx2", "--tune")
    assert call(monkeypatch, student, *options) == 0
    out, err = capsys.readouterr()
    files = [Path(line.split("\t")[0]).name for line in out.splitlines()]
    assert files == ["model.onnx", "model_quint8_avx2.onnx", "runtime.json"]
    assert "tokens in a batch, padded to multiples of" in out
    assert "int8 (static, per channel): nDCG@10" in err
    quality = read_json(student / "onnx" / "quality.json")
    assert quality["judged_on"]["data"] == "data, dev"
    assert quality["margin"] == 0.9
    assert Ranker.load(student).rank("where is war", ["war", "dog"])


def test_nothing_passes_a_margin_that_nothing_can_keep(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    student = tmp_path / "student"
    save_model(tiny_model(hidden=32), tiny_tokenizer(), student)
    monkeypatch.setattr("distilrank.export.quality.INT8_BATCH_MATES", -1.0)
    assert call(monkeypatch, student, "--precision", "int8", "--data", data, "--method", "static") == 1
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(student / "onnx" / "model.onnx")]
    assert "no 8-bit file passed, so the model runs in fp32" in err
    assert [path.name for path in sorted((student / "onnx").iterdir())] == ["model.onnx", "quality.json"]


@pytest.mark.parametrize("options", [("--precision", "int8"), ("--data", "somewhere")])
def test_8_bits_and_data_go_together(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path, *options) == 2
    assert "--precision int8 and --data DATA go together" in capsys.readouterr().err


def test_settings_out_of_range_are_refused(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path, "--precision", "int8", "--data", data, "--margin", "1") == 2
    assert "margin is 1.0; give a share of nDCG@10" in capsys.readouterr().err
