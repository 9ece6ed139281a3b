"""Ranking and serving from the shell where none of the libraries of the extras can be imported.

``benchmarks/base_install.py`` does the same in a virtual environment that has never had them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from distilrank.benchmark.entry import Entry
from distilrank.cli.missing import EXTRA_OF
from distilrank.export.int8 import export_int8
from distilrank.runtime.ranker import Ranker
from tests.export.exported import Judge, exported_ranker, judged_pairs
from tests.test_project import BLOCK

pytestmark = pytest.mark.slow

PASSAGES = ["red dog", "the sea is blue", "war and peace", "a cat"]
SERVING = {library for library, extra in EXTRA_OF.items() if extra == "serve"}


def script(*, keep: frozenset[str] | set[str] = frozenset()) -> str:
    """What runs the command line without those libraries."""
    blocked = sorted({"safetensors", "huggingface_hub", *EXTRA_OF} - keep)
    return BLOCK.format(blocked=blocked) + "from distilrank.cli import main\nmain()\n"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = exported_ranker(tmp_path_factory.mktemp("models") / "student")
    pairs = [pair for own in judged_pairs().values() for pair in own]
    assert export_int8(folder, evaluate=Judge(folder), pairs=pairs, margin=0.9).path is not None
    return folder


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_it_ranks(student: Path, precision: str) -> None:
    command = [sys.executable, "-c", script(), "rank", str(student), "--query", "what is war", "--json"]
    command += ["--precision", precision]
    done = subprocess.run(command, input="\n".join(PASSAGES), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["results"]
    expected = Ranker.load(student, precision=precision).rank("what is war", PASSAGES)  # type: ignore[arg-type]
    assert [each["passage"] for each in found] == [each.passage for each in expected]
    assert np.allclose([each["score"] for each in found], [each.score for each in expected], atol=1e-5)


def test_it_serves(student: Path) -> None:
    command = [sys.executable, "-c", script(keep=SERVING), "serve", str(student), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, process.stderr.read() if process.stderr else ""
        body = json.dumps({"query": "what is war", "texts": PASSAGES, "raw_scores": True}).encode()
        request = urllib.request.Request(
            f"{json.loads(first)['address']}/rerank", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = {each["index"]: each["score"] for each in json.load(answer)}
        finally:
            process.terminate()
    expected = Ranker.load(student).score([("what is war", passage) for passage in PASSAGES])
    assert np.allclose([found[place] for place in range(len(PASSAGES))], expected, atol=1e-5)


def test_it_is_measured(student: Path) -> None:
    command = [sys.executable, "-c", script(), "bench", str(student), "--passages", "2", "--tokens", "20"]
    done = subprocess.run([*command, "--starts", "1"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert Entry(name="s", folder=student, precision="auto").network_files[0].name in done.stdout
