"""The ranker that comes with the package, as it lies in the repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from distilrank import Ranker
from distilrank.cli.missing import EXTRA_OF
from distilrank.errors import ModelError
from distilrank.runtime import shipped
from distilrank.runtime.shipped import DEFAULT, default_folder
from tests.end_to_end.verbs import distilrank
from tests.test_project import BLOCK

QUERY = "how do vaccines protect against disease"
PASSAGES = [
    "The Port of Rotterdam is the largest seaport in Europe.",
    "A vaccine trains the immune system to recognise a pathogen, so that a later infection is fought off quickly.",
    "The disease was first described in 1817 in an essay on the shaking palsy.",
]


def test_it_ranks_and_says_where_it_lies() -> None:
    ranker = Ranker.default(threads=1)
    assert ranker.folder == default_folder() == DEFAULT
    assert [each.index for each in ranker.rank(QUERY, PASSAGES)] == [1, 2, 0]


def test_it_is_small_and_brings_what_other_programs_look_for() -> None:
    files = {path.relative_to(DEFAULT).as_posix(): path for path in DEFAULT.rglob("*") if path.is_file()}
    assert sum(path.stat().st_size for path in files.values()) < 20e6
    assert {"README.md", "calibration.json", "config.json", "onnx/model.onnx", "tokenizer.json"} <= set(files)


def test_without_the_libraries_of_the_extras() -> None:
    code = BLOCK.format(blocked=sorted({"safetensors", "huggingface_hub", *EXTRA_OF}))
    code += (
        f"from distilrank import Ranker\nprint([each.index for each in Ranker.default().rank({QUERY!r}, {PASSAGES!r})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[1, 2, 0]"


def test_it_is_what_rank_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "passages.txt").write_text("\n".join(PASSAGES))
    told = ("rank", "--query", QUERY, "--passages", tmp_path / "passages.txt", "--threads", 1, "--json")
    assert distilrank(*told, "--probabilities") == 0
    first, *others = json.loads(capsys.readouterr().out)["results"]
    assert first["index"] == 1
    assert 1 > first["probability"] > max(each["probability"] for each in others) > 0


def test_an_installation_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "DEFAULT", tmp_path)
    with pytest.raises(ModelError, match="lacks the ranker that comes with distilrank"):
        default_folder()
