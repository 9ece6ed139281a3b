"""Systems in processes of their own; one process serves most tests, since starting one takes a second."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distilrank.benchmark import process as module
from distilrank.benchmark.entry import Entry
from distilrank.benchmark.process import SystemProcess, cold_starts
from distilrank.benchmark.worker import peak_megabytes
from distilrank.errors import ModelError
from distilrank.runtime.ranker import Ranker
from tests.export.exported import exported_ranker
from tests.tiny import tiny_pairs


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return Entry(name="student", folder=exported_ranker(tmp_path_factory.mktemp("models") / "student"))


@pytest.fixture(scope="module")
def process(entry: Entry) -> Iterator[SystemProcess]:
    with SystemProcess(entry) as started:
        yield started


def test_it_scores_as_it_does_here(process: SystemProcess, entry: Entry) -> None:
    pairs = tiny_pairs(12)
    found = process.score(pairs)
    assert np.allclose(found.scores, Ranker.load(entry.folder).score(pairs), atol=1e-6)
    assert 0 < found.ms < 10_000
    assert found.cpu_ms > 0
    assert found.computed_tokens > 12
    # The same again takes as many tokens: they are counted from one answer to the next.
    assert process.score(pairs).computed_tokens == found.computed_tokens
    assert 0.05 < process.cold_start_seconds < 60


def test_what_it_needed_and_what_ran(process: SystemProcess) -> None:
    facts = process.facts()
    assert 20 < facts["peak_megabytes"] < 2000
    assert {"python", "distilrank", "onnxruntime", "tokenizers"} <= facts["versions"].keys()
    assert "torch" not in facts["versions"]


def test_memory_is_that_of_this_process() -> None:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    assert peak_megabytes() == pytest.approx(most, rel=0.3)


def test_a_model_that_cannot_be_opened(entry: Entry, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^broken: there is no model folder .*nothing$"):
        SystemProcess(replace(entry, name="broken", folder=tmp_path / "nothing"))


def test_a_python_that_is_none(entry: Entry, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"student: .*python cannot be run \(No such file or directory\)"):
        SystemProcess(replace(entry, python=str(tmp_path / "python")))


def test_a_python_that_lacks_distilrank(entry: Entry, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho some warning >&2\necho No module named distilrank >&2\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(ModelError, match=r"exit code 3 \(No module named distilrank\)"):
        SystemProcess(replace(entry, python=str(python)))


def test_one_that_dies_is_told(entry: Entry) -> None:
    with SystemProcess(entry) as started:
        os.kill(started._process.pid, signal.SIGKILL)
        with pytest.raises(ModelError, match=r"student: its process ended with exit code -9"):
            started.score([("a", "b")])


def test_too_few_scores_and_threads_of_all_pools(tmp_path: Path) -> None:
    """A stand-in for a worker."""
    python = tmp_path / "python"
    answers = '{"ready": true}\n{"ms": 1, "cpu_ms": 2, "computed_tokens": 3, "scores": [4]}\n'
    (tmp_path / "answers").write_text(answers)
    script = (
        f'#!/bin/sh\necho "$OMP_NUM_THREADS $RAYON_NUM_THREADS $1 $2" > {tmp_path}/told\ncat {tmp_path}/answers -\n'
    )
    python.write_text(script)
    python.chmod(0o755)
    entry = Entry(name="s", folder=tmp_path, threads=3, python=str(python))
    with SystemProcess(entry) as started, pytest.raises(ModelError, match="s gave 1 scores for 2 pairs"):
        started.score([("a", "b"), ("a", "c")])
    assert (tmp_path / "told").read_text().split() == ["3", "3", "-m", "distilrank.benchmark.worker"]


def test_every_cold_start_is_a_process_of_its_own(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[SystemProcess] = []

    class Counted(SystemProcess):
        def __init__(self, entry: Entry) -> None:
            super().__init__(entry)
            started.append(self)

    monkeypatch.setattr(module, "SystemProcess", Counted)
    seconds = cold_starts(entry, 2)
    assert seconds == [each.cold_start_seconds for each in started]
    assert len({each._process.pid for each in started}) == 2
    assert all(each._process.poll() == 0 for each in started)


def test_an_entry_survives_the_way(entry: Entry) -> None:
    assert entry.python == sys.executable
    whole = replace(entry, runner="fastembed", precision="int8", threads=2, batch_tokens=64)
    assert Entry.from_json(whole.to_json()) == whole
