"""Transformers.js by a stand-in for Node.js; the real one too, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from distilrank.errors import ModelError
from distilrank.export.consumers import Checked, check, open_folder
from distilrank.export.consumers.folder import PASSAGES, QUERY, ModelFolder
from distilrank.export.consumers.transformers_js import SCRIPT, run_transformers_js, transformers_js_version
from distilrank.models.save import save_model
from tests.tiny import tiny_export, tiny_model, tiny_tokenizer

NODE = """#!{python}
import json, pathlib, sys
assert pathlib.Path(sys.argv[1]).name == "transformers_js.mjs"
text = sys.stdin.read()
here = pathlib.Path({folder!r})
(here / "asked.json").write_text(text or "null")
print("a warning of the library's")
{says}
"""


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    save_model(tiny_model(), tiny_tokenizer(), tmp_path / "student")
    tiny_export(tmp_path / "student")
    return open_folder(tmp_path / "student")


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """Put a ``node`` that answers before everything else on the path."""
    (folder / "bin").mkdir()
    node = folder / "bin" / "node"
    node.write_text(NODE.format(python=sys.executable, folder=str(folder), says=says))
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


def checked(folder: ModelFolder) -> Checked:
    (consumer,) = (each for each in check.CONSUMERS if each.name == "Transformers.js")
    return check._check(consumer, folder)


def answer(folder: ModelFolder, off: float = 0.0, off_last: float = 0.0) -> str:
    logits = folder.logits.astype(float) + off
    logits[-1] += off_last
    return f"print(json.dumps('3.8.1') if not text else json.dumps({logits.tolist()}))"


def test_the_script_is_asked_and_its_last_line_read(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, answer(folder))
    assert transformers_js_version() == "3.8.1"
    np.testing.assert_allclose(run_transformers_js(folder), folder.logits, rtol=1e-6)
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked == {"folder": str(folder.path), "query": QUERY, "passages": list(PASSAGES)}
    assert SCRIPT.is_file()


def test_long_pairs_may_differ_and_others_may_not(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, answer(folder, off_last=1.0))
    found = checked(folder)
    assert (found.consumer, found.how, found.problems) == ("Transformers.js 3.8.1", "run", ())
    assert found.note.endswith("; long pairs are truncated otherwise there")
    (tmp_path / "bin" / "node").write_text(
        NODE.format(python=sys.executable, folder=str(tmp_path), says=answer(folder, off=1.0))
    )
    assert "its logits differ from distilrank's by up to" in checked(folder).problems[0]


def test_what_it_says_when_it_fails(folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = "if text: sys.exit('at somewhere\\nError: no such operator\\nNode.js v20')\nprint(json.dumps('3.8.1'))"
    stand_in(tmp_path, monkeypatch, fails)
    assert checked(folder).problems == ("it fails: Error: no such operator",)


def test_node_without_the_library_is_not_installed(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "sys.exit('Error: Cannot find module')")
    assert transformers_js_version() is None
    found = checked(folder)
    assert (found.how, found.note, found.problems) == ("by rule", "not installed", ())
    with pytest.raises(ModelError, match="Cannot find module"):
        run_transformers_js(folder)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_the_real_one(folder: ModelFolder) -> None:
    if transformers_js_version() is None:
        pytest.skip("Transformers.js is not installed where the tests run: npm install @huggingface/transformers@3")
    assert checked(folder).problems == ()
