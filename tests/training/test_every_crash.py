"""A run dies at every single operation on its folder, in turn, and is started again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distilrank.training import run_folder
from distilrank.training.journal import read_events, read_steps

MakeProblem = Callable[..., Any]
SETTINGS = {"max_steps": 5, "evaluate_every": 2, "checkpoint_every": 3}
CHECKPOINT = ["model.safetensors", "optimiser.pt", "state.json"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the package catches it."""


class Operations:
    """Counts what is done to the run folder and dies just before or just after the chosen operation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.fatal, self.half = 0, -1, False
        for owner, name in (
            (os, "replace"),
            (shutil, "rmtree"),
            (torch, "save"),
            (run_folder, "save_model"),
            (run_folder, "write_json"),
        ):
            monkeypatch.setattr(owner, name, self._wrapped(getattr(owner, name)))
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow, and without effect on a living machine

    def _wrapped(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.fatal:
                if self.half:
                    self._do_half(operation, *arguments, **options)
                raise Killed
            return operation(*arguments, **options)

        return wrapped

    def _do_half(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Leave half of the files that the operation removes, or half of the file that it writes."""
        if operation.__name__ == "rmtree":
            for path in [path for path in sorted(Path(arguments[0]).rglob("*")) if path.is_file()][::2]:
                path.unlink()
            return
        operation(*arguments, **options)
        for argument in arguments:
            if isinstance(argument, str | Path) and Path(argument).suffix in (".pt", ".safetensors"):
                os.truncate(argument, os.path.getsize(argument) // 2)


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> Operations:
    return Operations(monkeypatch)


def require_whole(folder: Path) -> None:
    """Everything that has its real name is complete, and so is what it refers to."""
    for checkpoint in (folder / "checkpoints").glob("step-*"):
        assert sorted(path.name for path in checkpoint.iterdir()) == CHECKPOINT
        load_file(checkpoint / "model.safetensors")
        torch.load(checkpoint / "optimiser.pt", weights_only=True)
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        assert state["step"] == int(checkpoint.name[5:])
        if state["best_step"] is not None:
            load_file(folder / "best" / f"step-{state['best_step']:09}" / "model.safetensors")
    if (folder / "final").exists():
        load_file(folder / "final" / "model.safetensors")
    for file in folder.glob("*.json"):
        json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("half", [False, True], ids=["before", "half-way"])
def test_what_is_left_is_whole_and_ends_in_the_same_weights(
    tmp_path: Path, problem: MakeProblem, same: Callable[..., bool], operations: Operations, half: bool
) -> None:
    def run(folder: Path) -> Any:
        run = problem(settings=SETTINGS)
        values = {2: 0.1, 4: 0.3, 5: 0.2}  # of step 4 the weights are to be had at the end

        def evaluate() -> dict[str, float]:
            return {"RR@10": values[len(read_steps(folder / "journal.jsonl"))]}

        result = run.run(folder, evaluate=evaluate)
        return result, run.weights()

    expected, weights = run(tmp_path / "whole")
    assert expected.best_step == 4
    total = operations.count
    assert total > 30
    operations.half = half
    for fatal in range(1, total + 1):
        folder = tmp_path / f"killed-{fatal}"
        operations.count, operations.fatal = 0, fatal
        with pytest.raises(Killed):
            run(folder)
        require_whole(folder)
        operations.fatal = -1
        result, found = run(folder)
        assert same(found, weights), fatal
        assert (result.steps, result.best_step, result.best_value) == (5, 4, 0.3)
        assert [line["step"] for line in read_steps(result.history)] == [1, 2, 3, 4, 5]
        assert [line["step"] for line in read_events(result.history, "evaluate")] == [2, 4, 5]
        assert len(read_events(result.history, "done")) == 1
        assert sorted(path.name for path in folder.iterdir()) == ["command.json", "done.json", "final", "journal.jsonl"]
        shutil.rmtree(folder)
