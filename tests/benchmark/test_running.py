"""What runs a model, in this process; that of the others in ``test_process.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distilrank.benchmark.entry import Entry, Runner
from distilrank.benchmark.running import open_entry
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.export.onnx import export_onnx
from distilrank.runtime.ranker import Ranker
from tests.bilstms import saved_bilstm, tiny_bilstm, tiny_word_tokenizer
from tests.export.exported import exported_ranker
from tests.tiny import tiny_pairs

PAIRS = tiny_pairs(10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_ranker(tmp_path_factory.mktemp("models") / "student")


def padded_tokens(folder: Path, *, limit: int) -> int:
    """Tokens of batches of similar lengths, each pair padded to the longest of its batch."""
    tokenizer = PairTokenizer.from_folder(folder)
    queries, passages = map(list, zip(*PAIRS, strict=True))
    return sum(arrays.input_ids.size for _, arrays in tokenizer.batches(queries, passages, batch_tokens=limit))


@pytest.mark.parametrize("runner", ["distilrank", "torch"])
def test_scores_and_tokens(folder: Path, runner: Runner) -> None:
    running = open_entry(Entry(name="s", folder=folder, runner=runner, batch_tokens=100))
    assert np.allclose(running.score(PAIRS), Ranker.load(folder).score(PAIRS), atol=1e-5)
    assert running.computed_tokens() == padded_tokens(folder, limit=100)
    running.score(PAIRS)
    assert running.computed_tokens() == 2 * padded_tokens(folder, limit=100)


@pytest.mark.slow
def test_sentence_transformers_too(folder: Path) -> None:
    running = open_entry(Entry(name="s", folder=folder, runner="sentence-transformers"))
    assert np.allclose(running.score(PAIRS), Ranker.load(folder).score(PAIRS), atol=1e-5)
    lengths = [len(each) for each in PairTokenizer.from_folder(folder).encode(*map(list, zip(*PAIRS, strict=True)))]
    assert running.computed_tokens() == len(PAIRS) * max(lengths)  # one batch of them all


def test_a_siamese_network_runs_in_halves(tmp_path: Path) -> None:
    saved = saved_bilstm(tmp_path / "bilstm")
    export_onnx(tiny_bilstm(), tiny_word_tokenizer(), saved)
    entry = Entry(name="s", folder=saved)
    assert [file.name for file in entry.network_files] == ["encoder.onnx", "head.onnx"]
    running = open_entry(entry)
    assert len(running.score(PAIRS)) == len(PAIRS)
    assert running.computed_tokens() > len(PAIRS)


def test_files_that_are_run(folder: Path) -> None:
    def names(runner: Runner) -> list[str]:
        return [file.name for file in Entry(name="s", folder=folder, runner=runner).network_files]

    assert names("distilrank") == names("fastembed") == names("flashrank") == ["model.onnx"]
    assert names("torch") == names("sentence-transformers") == ["model.safetensors"]
    with pytest.raises(ModelError, match="holds no 8-bit file that passed"):
        _ = Entry(name="s", folder=folder, precision="int8").network_files


def test_what_libraries_print_is_no_answer() -> None:
    code = (
        "import os\nfrom distilrank.benchmark import worker\nout = worker._own_output()\n"
        "print('noise', flush=True)\nos.write(1, b'more of it')\nworker._tell(out, {'ready': True})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == '{"ready": true}\n'
    assert "noise" in done.stderr


def test_a_worker_of_an_export_loads_no_torch() -> None:
    code = (
        "import sys, distilrank.benchmark.worker, distilrank.export.peers, distilrank.runtime.ranker; "
        "loaded = {'torch', 'transformers', 'scipy'} & sys.modules.keys(); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
