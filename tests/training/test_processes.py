from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distilrank.training.journal import read_events, read_steps
from distilrank.training.processes import Processes
from tests.training.two_processes import run_by_two

SCRIPT = Path(__file__).with_name("shared_run.py")


@pytest.fixture(scope="module")
def two_and_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the same run done by two processes and by this one."""
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    run_by_two(SCRIPT, two)
    runpy.run_path(str(SCRIPT))["main"](one, max_steps=20)
    return two, one


def test_two_processes_equal_one(two_and_one: tuple[Path, Path]) -> None:
    two, one = two_and_one
    expected = load_file(one / "process-0.safetensors")
    for process in (0, 1):
        found = load_file(two / f"process-{process}.safetensors")
        assert found.keys() == expected.keys()
        for name, tensor in found.items():
            torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-5)


def test_two_processes_write_one_journal_with_the_terms_of_all_examples(two_and_one: tuple[Path, Path]) -> None:
    two, one = (read_steps(folder / "journal.jsonl") for folder in two_and_one)
    assert [line["step"] for line in two] == list(range(1, 21))
    for found, expected in zip(two, one, strict=True):
        assert found["terms"] == pytest.approx(expected["terms"], abs=1e-5)
        assert found["gradient_norm"] == pytest.approx(expected["gradient_norm"], abs=1e-4)
    (start,) = read_events(two_and_one[0] / "journal.jsonl", "start")
    assert start["processes"] == 2


def test_only_the_first_process_evaluates(two_and_one: tuple[Path, Path]) -> None:
    two, _ = two_and_one
    assert [(two / f"evaluations-{process}").read_text(encoding="utf-8") for process in (0, 1)] == ["3", "0"]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 32])
def test_shares_are_even_and_hold_every_item_once(tmp_path: Path, count: int) -> None:
    shares = []
    for index in range(3):
        processes = Processes(folder=tmp_path, trackers=())
        processes.index, processes.count = index, 3
        shares.append(list(processes.share(range(count))))
    assert [item for share in shares for item in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
