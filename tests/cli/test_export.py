from __future__ import annotations

import sys
from pathlib import Path

import pytest

from distilrank.cli.app import build_app, run
from distilrank.cli.export import export
from distilrank.models.save import save_model
from distilrank.runtime.ranker import Ranker
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
